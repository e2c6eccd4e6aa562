package placement

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// reading is the value of a property as a quantity.
type reading struct {
	quantity resource.Quantity
	number   float64 // the quantity, for scaling
	bad      bool    // the value is no quantity
}

func read(value string) reading {
	q, err := api.ParseQuantity(value)
	if err != nil {
		return reading{bad: true}
	}
	return reading{quantity: q, number: q.AsApproximateFloat64()}
}

// answer is what is known of a question. Of several answers all are met by the least and any by the greatest, so an
// answer that is not known decides nothing that the others decide.
type answer int

const (
	no answer = iota
	unknown
	yes
)

// comparison compares one property with one quantity.
type comparison struct {
	property string
	operator operator
	quantity resource.Quantity
	wish     string // to follow "term 1"
}

// operator compares a property with a wanted quantity.
type operator struct {
	met  func(order int) bool // order is that of the property to the quantity, as resource.Quantity.Cmp tells it
	wish string               // to follow "term 1"
}

var operators = map[string]operator{
	"Gt": {func(order int) bool { return order > 0 }, "wants more than"},
	"Ge": {func(order int) bool { return order >= 0 }, "wants at least"},
	"Eq": {func(order int) bool { return order == 0 }, "wants exactly"},
	"Ne": {func(order int) bool { return order != 0 }, "wants anything but"},
	"Lt": {func(order int) bool { return order < 0 }, "wants less than"},
	"Le": {func(order int) bool { return order <= 0 }, "wants at most"},
}

func parseComparisons(field string, s *v1beta1.PropertySelector) ([]comparison, error) {
	if s == nil {
		return nil, nil
	}
	var list []comparison
	for i, e := range s.MatchExpressions {
		at := fmt.Sprintf("%s.propertySelector.matchExpressions[%d]", field, i)
		if err := checkPropertyName(at+".name", e.Name); err != nil {
			return nil, err
		}
		op, ok := operators[e.Operator]
		if !ok {
			return nil, fmt.Errorf("%s.operator is %q: use Gt, Ge, Eq, Ne, Lt or Le", at, e.Operator)
		}
		if len(e.Values) != 1 {
			return nil, fmt.Errorf("%s.values has %d values: %s compares with exactly one", at, len(e.Values), e.Operator)
		}
		q, err := api.ParseQuantity(e.Values[0])
		if err != nil {
			return nil, fmt.Errorf("%s.values[0] is %q, which is no Kubernetes quantity such as 4, 500m or 16Gi", at, e.Values[0])
		}
		list = append(list, comparison{property: e.Name, operator: op, quantity: q, wish: op.wish + " " + e.Values[0]})
	}
	slices.SortStableFunc(list, func(a, b comparison) int { return strings.Compare(a.property, b.property) })
	return list, nil
}

// checkPropertyName refuses names in field that upstream's scheduler stumbles over.
func checkPropertyName(field, name string) error {
	if name == "" {
		return fmt.Errorf("%s is empty: name a property", field)
	}
	if _, _, err := clusterv1beta1.SplitResourceProperty(name); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// judge compares the property of the candidate at position i. A cluster that does not report the property never matches.
func (c comparison) judge(f *Fleet, i int) answer {
	col := f.property(c.property)
	number := col.of[i]
	if number == 0 {
		return no
	}
	r := col.readings[number] // a copy: comparing changes the form of a Quantity, and a Fleet never changes
	switch {
	case r.bad:
		return unknown
	case c.operator.met(r.quantity.Cmp(c.quantity)):
		return yes
	}
	return no
}

// describe says what the property of the candidate at position i is now.
func (c comparison) describe(f *Fleet, i int) string {
	col := f.property(c.property)
	number := col.of[i]
	switch {
	case number == 0:
		return "property " + c.property + " is not reported"
	case col.readings[number].bad:
		return fmt.Sprintf("property %s is %q, which is no quantity", c.property, col.values[number])
	}
	return "property " + c.property + " is " + col.values[number]
}

// unreadable returns an error that tells which clusters report what for the properties of names that is no quantity, or nil.
func (f *Fleet) unreadable(names []string) error {
	var found []string
	for _, name := range sorted(names) {
		col := f.property(name)
		for i, number := range col.of {
			if number > 0 && col.readings[number].bad {
				found = append(found, fmt.Sprintf("property %s of cluster %s is %q", name, f.candidates[i].Name, col.values[number]))
			}
		}
	}
	const most = 3
	if more := len(found) - most; more > 0 {
		found = append(found[:most], fmt.Sprintf("%d more are like it", more))
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%s: that is no Kubernetes quantity, so the clusters cannot be compared; "+
		"correct what the cluster reports, or take the property out of the policy", strings.Join(found, "; "))
}
