package placement

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// rule is a policy that can be decided.
type rule struct {
	kind        v1beta1.PlacementType
	names       []string // of PickFixed: sorted, unique, at least one
	number      int      // of PickN: how many are wanted
	terms       []term   // one of them must be met; none means every cluster
	preferences []preference
	constraints []constraint
	tolerations []v1beta1.Toleration
}

// parsePolicy returns the rule in policy, or what makes it undecidable. Every field that would change the outcome and is
// not understood here is refused: ignoring it would place objects where the author did not want them.
func parsePolicy(policy *v1beta1.PlacementPolicy) (rule, error) {
	if policy == nil {
		return rule{kind: v1beta1.PickAll}, nil
	}
	switch policy.PlacementType {
	case v1beta1.PickFixed:
		// Upstream skips such a cycle rather than read it as "nowhere".
		if len(policy.ClusterNames) == 0 {
			return rule{}, errors.New("spec.policy.clusterNames is empty: PickFixed needs at least one name")
		}
		return rule{kind: v1beta1.PickFixed, names: sorted(policy.ClusterNames)}, nil
	case "", v1beta1.PickAll:
		return parseFilters(v1beta1.PickAll, policy)
	case v1beta1.PickN:
		return parsePickN(policy)
	}
	return rule{}, fmt.Errorf("spec.policy.placementType %q is not supported: use PickAll, PickN or PickFixed", policy.PlacementType)
}

// parseFilters returns what keeps clusters out.
func parseFilters(kind v1beta1.PlacementType, policy *v1beta1.PlacementPolicy) (rule, error) {
	terms, err := parseTerms(requiredTerms(policy))
	if err == nil {
		err = checkTolerations(policy.Tolerations)
	}
	return rule{kind: kind, terms: terms, tolerations: policy.Tolerations}, err
}

func parsePickN(policy *v1beta1.PlacementPolicy) (rule, error) {
	// No number is not zero: that would take the placement from everywhere.
	if policy.NumberOfClusters == nil {
		return rule{}, errors.New("spec.policy.numberOfClusters is missing: PickN needs to know how many clusters to pick")
	}
	if *policy.NumberOfClusters < 0 {
		return rule{}, fmt.Errorf("spec.policy.numberOfClusters is %d: use 0 or more", *policy.NumberOfClusters)
	}
	r, err := parseFilters(v1beta1.PickN, policy)
	if err != nil {
		return rule{}, err
	}
	r.number = int(*policy.NumberOfClusters)
	if r.preferences, err = parsePreferences(preferredTerms(policy)); err != nil {
		return rule{}, err
	}
	r.constraints, err = parseConstraints(policy.TopologySpreadConstraints)
	return r, err
}

func requiredTerms(policy *v1beta1.PlacementPolicy) []v1beta1.ClusterSelectorTerm {
	if policy.Affinity == nil || policy.Affinity.ClusterAffinity == nil || policy.Affinity.ClusterAffinity.Required == nil {
		return nil
	}
	return policy.Affinity.ClusterAffinity.Required.ClusterSelectorTerms
}

func preferredTerms(policy *v1beta1.PlacementPolicy) []v1beta1.PreferredClusterSelector {
	if policy.Affinity == nil || policy.Affinity.ClusterAffinity == nil {
		return nil
	}
	return policy.Affinity.ClusterAffinity.Preferred
}

func parseTerms(selectors []v1beta1.ClusterSelectorTerm) ([]term, error) {
	terms := make([]term, len(selectors))
	for i, s := range selectors {
		field := fmt.Sprintf("spec.policy.affinity.clusterAffinity.requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerms[%d]", i)
		if s.PropertySorter != nil {
			return nil, fmt.Errorf("%s.propertySorter is for preferred terms only: require a property with propertySelector", field)
		}
		if _, err := metav1.LabelSelectorAsSelector(s.LabelSelector); err != nil {
			return nil, fmt.Errorf("%s.labelSelector: %w", field, err)
		}
		properties, err := parseComparisons(field, s.PropertySelector)
		if err != nil {
			return nil, err
		}
		terms[i] = term{labels: parseLabels(s.LabelSelector), properties: properties}
	}
	return terms, nil
}

// parseLabels returns the requirements of s in canonical order, whatever form and order they were written in.
func parseLabels(s *metav1.LabelSelector) []requirement {
	if s == nil {
		return nil
	}
	var list []requirement
	for key, value := range s.MatchLabels {
		list = append(list, requirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}})
	}
	for _, e := range s.MatchExpressions {
		list = append(list, requirement{Key: e.Key, Operator: e.Operator, Values: sorted(e.Values)})
	}
	for i := range list {
		list[i].wish = list[i].wording()
	}
	slices.SortFunc(list, requirement.compare)
	return slices.CompactFunc(list, func(a, b requirement) bool { return a.compare(b) == 0 })
}

func (r requirement) compare(o requirement) int {
	if c := strings.Compare(r.Key, o.Key); c != 0 {
		return c
	}
	if c := strings.Compare(string(r.Operator), string(o.Operator)); c != 0 {
		return c
	}
	return slices.Compare(r.Values, o.Values)
}

func sorted(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

// keys returns the labels and the properties that r asks about.
func (r rule) keys() (labels, properties map[string]bool) {
	labels, properties = map[string]bool{}, map[string]bool{}
	for _, t := range r.terms {
		t.keys(labels, properties)
	}
	for _, p := range r.preferences {
		term{labels: p.labels}.keys(labels, properties)
		if p.property != "" {
			properties[p.property] = true
		}
	}
	for _, c := range r.constraints {
		labels[c.key] = true
	}
	return labels, properties
}

// requiredProperties returns the properties that the required terms compare.
func (r rule) requiredProperties() []string {
	var names []string
	for _, t := range r.terms {
		for _, c := range t.properties {
			names = append(names, c.property)
		}
	}
	return names
}

// rankingProperties returns the properties that clusters are ranked by.
func (r rule) rankingProperties() []string {
	var names []string
	for _, p := range r.preferences {
		if p.property != "" {
			names = append(names, p.property)
		}
	}
	return names
}
