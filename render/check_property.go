package render

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// requirement is one comparison of a property with a quantity that can be read.
type requirement struct {
	entry    int
	operator string
	quantity resource.Quantity
}

func (r requirement) String() string { return r.operator + " " + r.quantity.String() }

// propertySelector checks each comparison by itself, then those of the same property together.
func (f *faults) propertySelector(at string, all []v1beta1.PropertySelectorRequirement) {
	var names []string // in the order of the document
	of := map[string][]requirement{}
	for i, e := range all {
		f.propertyName(entry(at, i)+".name", e.Name)
		quantity, ok := f.comparison(entry(at, i), e)
		if !ok {
			continue
		}
		if len(of[e.Name]) == 0 {
			names = append(names, e.Name)
		}
		of[e.Name] = append(of[e.Name], requirement{i, e.Operator, quantity})
	}
	for _, name := range names {
		f.contradictions(at, of[name])
	}
}

// comparison returns the quantity that a property is compared with, or false after reporting why there is none.
func (f *faults) comparison(at string, e v1beta1.PropertySelectorRequirement) (resource.Quantity, bool) {
	ok := e.Operator != ""
	if !ok {
		f.add(at+".operator", "is missing")
	}
	ok = f.oneOf(at+".operator", e.Operator, "Gt", "Ge", "Eq", "Ne", "Lt", "Le") && ok
	switch n := len(e.Values); {
	case e.Values == nil:
		f.add(at+".values", "is missing")
		return resource.Quantity{}, false
	case n != 1:
		f.add(at+".values", "must have exactly one entry, not %d", n)
		return resource.Quantity{}, false
	}
	q, err := api.ParseQuantity(e.Values[0])
	if err != nil {
		f.add(at+".values[0]", "%q is no quantity; write it as 5, 0.5, 500m or 16Gi", e.Values[0])
		return q, false
	}
	return q, ok
}

// contradictions reports comparisons of one property that no value can meet: bounds that leave nothing between them, where Eq is a
// bound on both sides, and Ne of what Eq asks for.
func (f *faults) contradictions(at string, all []requirement) {
	var low, high, equal *requirement
	for i := range all {
		r := &all[i]
		isEqual := r.operator == "Eq"
		if (isEqual || r.operator == "Gt" || r.operator == "Ge") && (low == nil || tighter(r, low, r.quantity.Cmp(low.quantity))) {
			low = r
		}
		if (isEqual || r.operator == "Lt" || r.operator == "Le") && (high == nil || tighter(r, high, high.quantity.Cmp(r.quantity))) {
			high = r
		}
		if isEqual && equal == nil {
			equal = r
		}
	}
	if low != nil && high != nil && empty(*low, *high) {
		f.contradiction(at, *low, *high)
	}
	for _, r := range all {
		if equal != nil && r.operator == "Ne" && r.quantity.Cmp(equal.quantity) == 0 {
			f.contradiction(at, *equal, r)
		}
	}
}

// tighter tells whether bound r leaves less than the bound before, given by how much it reaches further in.
func tighter(r, before *requirement, further int) bool {
	return further > 0 || further == 0 && r.open() && !before.open()
}

// open tells whether the bound itself is excluded.
func (r requirement) open() bool { return r.operator == "Gt" || r.operator == "Lt" }

func empty(low, high requirement) bool {
	c := low.quantity.Cmp(high.quantity)
	return c > 0 || c == 0 && (low.open() || high.open())
}

func (f *faults) contradiction(at string, a, b requirement) {
	if a.entry > b.entry {
		a, b = b, a
	}
	f.add(entry(at, b.entry), "contradicts entry %d: nothing is both %s and %s, so no cluster qualifies; remove one of them", a.entry, a, b)
}

func (f *faults) propertySorter(at string, s v1beta1.PropertySorter) {
	f.propertyName(at+".name", s.Name)
	if s.SortOrder == "" {
		f.add(at+".sortOrder", "is missing")
	}
	f.oneOf(at+".sortOrder", s.SortOrder, "Ascending", "Descending")
}

// propertyName checks the form of a name: parts between slashes, of which the first may be a domain; for what is read from the
// resource usage, which figure of which resource.
func (f *faults) propertyName(at, name string) {
	if name == "" {
		f.add(at, "is missing")
		return
	}
	var found []string
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if i == 0 && len(parts) > 1 && len(validation.IsDNS1123Subdomain(part)) == 0 {
			continue
		}
		found = append(found, validation.IsQualifiedName(part)...)
	}
	f.problems(at, name, "name of a property", found)
	if _, _, err := clusterv1beta1.SplitResourceProperty(name); err != nil && len(found) == 0 {
		f.add(at, "%v", err)
	}
}
