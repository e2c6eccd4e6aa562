package placement

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// rule is a policy that can be decided.
type rule struct {
	fixed bool     // PickFixed; otherwise PickAll
	names []string // of PickFixed: sorted, unique, at least one
	terms []term   // of PickAll: one of them must be met; none means every cluster
}

// parsePolicy returns the rule in policy, or what makes it undecidable. Every field that would change the outcome and is
// not understood here is refused: ignoring it would place objects where the author did not want them.
func parsePolicy(policy *v1beta1.PlacementPolicy) (rule, error) {
	if policy == nil {
		return rule{}, nil
	}
	switch policy.PlacementType {
	case v1beta1.PickFixed:
		// Upstream skips such a cycle rather than read it as "nowhere".
		if len(policy.ClusterNames) == 0 {
			return rule{}, errors.New("spec.policy.clusterNames is empty: PickFixed needs at least one name")
		}
		return rule{fixed: true, names: sorted(policy.ClusterNames)}, nil
	case "", v1beta1.PickAll:
		terms, err := parseTerms(requiredTerms(policy))
		return rule{terms: terms}, err
	}
	return rule{}, fmt.Errorf("spec.policy.placementType %q is not supported: use PickAll or PickFixed", policy.PlacementType)
}

func requiredTerms(policy *v1beta1.PlacementPolicy) []v1beta1.ClusterSelectorTerm {
	if policy.Affinity == nil || policy.Affinity.ClusterAffinity == nil || policy.Affinity.ClusterAffinity.Required == nil {
		return nil
	}
	return policy.Affinity.ClusterAffinity.Required.ClusterSelectorTerms
}

func parseTerms(selectors []v1beta1.ClusterSelectorTerm) ([]term, error) {
	terms := make([]term, len(selectors))
	for i, s := range selectors {
		field := fmt.Sprintf("spec.policy.affinity.clusterAffinity.requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerms[%d]", i)
		if s.PropertySelector != nil {
			return nil, fmt.Errorf("%s.propertySelector is not supported: select by labels", field)
		}
		if _, err := metav1.LabelSelectorAsSelector(s.LabelSelector); err != nil {
			return nil, fmt.Errorf("%s.labelSelector: %w", field, err)
		}
		terms[i] = parseTerm(s.LabelSelector)
	}
	return terms, nil
}

// parseTerm returns the requirements of s in canonical order, whatever form and order they were written in.
func parseTerm(s *metav1.LabelSelector) term {
	if s == nil {
		return nil
	}
	var t term
	for key, value := range s.MatchLabels {
		t = append(t, requirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}})
	}
	for _, e := range s.MatchExpressions {
		t = append(t, requirement{Key: e.Key, Operator: e.Operator, Values: sorted(e.Values)})
	}
	slices.SortFunc(t, requirement.compare)
	return slices.CompactFunc(t, func(a, b requirement) bool { return a.compare(b) == 0 })
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

// canonicalPolicy is what PolicyDigest hashes. Digests are stored on members, and a digest that changes without the
// policy having changed schedules everything anew: add fields with omitempty only.
type canonicalPolicy struct {
	Type      v1beta1.PlacementType              `json:"type"`
	Names     []string                           `json:"names,omitempty"`
	Terms     []string                           `json:"terms,omitempty"`
	Preferred []v1beta1.PreferredClusterSelector `json:"preferred,omitempty"`
	Spread    []v1beta1.TopologySpreadConstraint `json:"spread,omitempty"`
	Tolerate  []v1beta1.Toleration               `json:"tolerate,omitempty"`
}

// PolicyDigest returns 32 hexadecimal digits that are equal for policies that mean the same, however they are written:
// nil and the empty policy, matchLabels and matchExpressions, any order of terms, expressions, values and names.
// numberOfClusters is left out, as in upstream's policy hash: another number is no other policy.
func PolicyDigest(policy *v1beta1.PlacementPolicy) string {
	c := canonicalPolicy{Type: v1beta1.PickAll}
	if policy != nil {
		if policy.PlacementType != "" {
			c.Type = policy.PlacementType
		}
		c.Names = sorted(policy.ClusterNames)
		c.Terms = canonicalTerms(requiredTerms(policy))
		c.Spread, c.Tolerate = policy.TopologySpreadConstraints, policy.Tolerations
		if a := policy.Affinity; a != nil && a.ClusterAffinity != nil {
			c.Preferred = a.ClusterAffinity.Preferred
		}
	}
	sum := sha256.Sum256(encode(c))
	return hex.EncodeToString(sum[:16])
}

// canonicalTerms returns one text a term, sorted. One term that every cluster meets makes the others idle.
func canonicalTerms(selectors []v1beta1.ClusterSelectorTerm) []string {
	var terms []string
	for _, s := range selectors {
		t := parseTerm(s.LabelSelector)
		if len(t) == 0 && s.PropertySelector == nil {
			return nil
		}
		text := string(encode(t))
		if s.PropertySelector != nil {
			text += string(encode(s.PropertySelector))
		}
		terms = append(terms, text)
	}
	return sorted(terms)
}

// encode returns v as JSON. v consists of strings, numbers and lists of them, which always encode.
func encode(v any) []byte {
	data, _ := json.Marshal(v)
	return data
}
