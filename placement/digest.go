package placement

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// canonicalPolicy is what PolicyDigest hashes. Digests are stored on members, and a digest that changes without the
// policy having changed schedules everything anew: add fields with omitempty only.
type canonicalPolicy struct {
	Type      v1beta1.PlacementType `json:"type"`
	Names     []string              `json:"names,omitempty"`
	Terms     []string              `json:"terms,omitempty"`
	Preferred []string              `json:"preferred,omitempty"`
	Spread    []string              `json:"spread,omitempty"`
	Tolerate  []string              `json:"tolerate,omitempty"`
}

// PolicyDigest returns 32 hexadecimal digits that are equal for policies that mean the same, however they are written:
// nil and the empty policy, matchLabels and matchExpressions, defaults left out or spelled out, any order of lists.
// numberOfClusters is left out, as in upstream's policy hash: another number is no other policy.
func PolicyDigest(policy *v1beta1.PlacementPolicy) string {
	c := canonicalPolicy{Type: v1beta1.PickAll}
	if policy != nil {
		if policy.PlacementType != "" {
			c.Type = policy.PlacementType
		}
		c.Names = sorted(policy.ClusterNames)
		c.Terms = canonicalTerms(requiredTerms(policy))
		c.Preferred = canonicalPreferences(preferredTerms(policy))
		c.Spread = canonicalSpread(policy.TopologySpreadConstraints)
		c.Tolerate = canonicalTolerations(policy.Tolerations)
	}
	sum := sha256.Sum256(encode(c))
	return hex.EncodeToString(sum[:16])
}

// canonicalTerms returns one text a term, sorted. One term that every cluster meets makes the others idle.
func canonicalTerms(selectors []v1beta1.ClusterSelectorTerm) []string {
	var terms []string
	for _, s := range selectors {
		labels, properties := parseLabels(s.LabelSelector), canonicalComparisons(s.PropertySelector)
		if len(labels)+len(properties) == 0 {
			return nil
		}
		text := string(encode(labels))
		if len(properties) > 0 {
			text += string(encode(properties))
		}
		terms = append(terms, text)
	}
	return sorted(terms)
}

func canonicalComparisons(s *v1beta1.PropertySelector) []string {
	if s == nil {
		return nil
	}
	var texts []string
	for _, e := range s.MatchExpressions {
		values := make([]string, len(e.Values))
		for i, v := range e.Values {
			values[i] = canonicalQuantity(v)
		}
		texts = append(texts, string(encode([]any{e.Name, e.Operator, values})))
	}
	return sorted(texts)
}

// canonicalQuantity is the same for 1Gi and 1024Mi, and the value itself when that is no quantity.
func canonicalQuantity(value string) string {
	q, err := api.ParseQuantity(value)
	if err != nil {
		return value
	}
	return resource.NewDecimalQuantity(*q.AsDec(), resource.DecimalSI).String()
}

// canonicalPreferences returns one text a preference, sorted. The same preference twice counts twice; one without a weight
// does not count.
func canonicalPreferences(preferred []v1beta1.PreferredClusterSelector) []string {
	var texts []string
	for _, p := range preferred {
		if p.Weight != 0 {
			texts = append(texts, string(encode([]any{p.Weight, parseLabels(p.Preference.LabelSelector), p.Preference.PropertySorter})))
		}
	}
	slices.Sort(texts)
	return texts
}

// canonicalSpread returns one text a constraint, sorted. The same constraint twice scores twice.
func canonicalSpread(constraints []v1beta1.TopologySpreadConstraint) []string {
	var texts []string
	for _, c := range constraints {
		when := c.WhenUnsatisfiable
		if when == "" {
			when = doNotSchedule
		}
		texts = append(texts, string(encode([]any{c.TopologyKey, skewOf(c), when})))
	}
	slices.Sort(texts)
	return texts
}

// canonicalTolerations returns one text a toleration, sorted. Taints have one effect only, so a toleration of every effect
// is one of that effect.
func canonicalTolerations(tolerations []v1beta1.Toleration) []string {
	var texts []string
	for _, t := range tolerations {
		if t.Operator == "" {
			t.Operator = corev1.TolerationOpEqual
		}
		if t.Effect == "" {
			t.Effect = corev1.TaintEffectNoSchedule
		}
		texts = append(texts, strings.Join([]string{t.Key, string(t.Operator), t.Value, string(t.Effect)}, "\x00"))
	}
	return sorted(texts)
}

// encode returns v as JSON. v consists of strings, numbers and lists of them, which always encode.
func encode(v any) []byte {
	data, _ := json.Marshal(v)
	return data
}
