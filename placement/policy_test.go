package placement

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

func TestPolicyDigestOfEqualPolicies(t *testing.T) {
	two, three := int32(2), int32(3)
	both := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "1"}, MatchExpressions: where("b", metav1.LabelSelectorOpExists).MatchExpressions}
	expressions := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "b", Operator: metav1.LabelSelectorOpExists, Values: []string{}}, {Key: "a", Operator: metav1.LabelSelectorOpIn, Values: []string{"1", "1"}}}}
	tests := map[string]struct{ a, b *v1beta1.PlacementPolicy }{
		"NilAndEmpty":          {nil, &v1beta1.PlacementPolicy{}},
		"DefaultType":          {nil, &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickAll}},
		"EmptyAffinity":        {nil, &v1beta1.PlacementPolicy{Affinity: &v1beta1.Affinity{}}},
		"EmptyClusterAffinity": {nil, &v1beta1.PlacementPolicy{Affinity: &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{}}}},
		"NoTerms":              {nil, requires()},
		"AnyClusterTerm":       {nil, requires(labelled("a", "1"), &metav1.LabelSelector{})},
		"AbsentSelector":       {nil, requires(nil)},
		"LabelsAndExpressions": {requires(both), requires(expressions)},
		"OrderOfTerms":         {requires(labelled("a", "1"), labelled("b", "2")), requires(labelled("b", "2"), labelled("a", "1"), labelled("b", "2"))},
		"OrderOfValues":        {requires(where("a", metav1.LabelSelectorOpNotIn, "1", "2")), requires(where("a", metav1.LabelSelectorOpNotIn, "2", "1", "2"))},
		"OrderOfNames":         {fixed("a", "b"), fixed("b", "a", "b")},
		"NoNames":              {fixed(), &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickFixed, ClusterNames: []string{}}},
		"NumberOfClusters":     {&v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN, NumberOfClusters: &two}, &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN, NumberOfClusters: &three}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if a, b := PolicyDigest(tc.a), PolicyDigest(tc.b); a != b {
				t.Errorf("digests %s and %s differ although the policies mean the same:\n%s\n%s", a, b, encode(tc.a), encode(tc.b))
			}
		})
	}
}

func TestPolicyDigestOfDifferentPolicies(t *testing.T) {
	property := requires(nil)
	property.Affinity.ClusterAffinity.Required.ClusterSelectorTerms[0].PropertySelector = &v1beta1.PropertySelector{
		MatchExpressions: []v1beta1.PropertySelectorRequirement{{Name: "p", Operator: "Gt", Values: []string{"1"}}}}
	policies := map[string]*v1beta1.PlacementPolicy{
		"nil":       nil,
		"one term":  requires(labelled("a", "1")),
		"value":     requires(labelled("a", "2")),
		"key":       requires(labelled("b", "1")),
		"NotIn":     requires(where("a", metav1.LabelSelectorOpNotIn, "1")),
		"Exists":    requires(where("a", metav1.LabelSelectorOpExists)),
		"or":        requires(labelled("a", "1"), labelled("b", "2")),
		"and":       requires(&metav1.LabelSelector{MatchLabels: map[string]string{"a": "1", "b": "2"}}),
		"fixed":     fixed("a"),
		"fixed two": fixed("a", "b"),
		"PickN":     {PlacementType: v1beta1.PickN},
		"property":  property,
		"spread":    {PlacementType: v1beta1.PickN, TopologySpreadConstraints: []v1beta1.TopologySpreadConstraint{{TopologyKey: "region"}}},
		"tolerate":  {Tolerations: []v1beta1.Toleration{{Key: "spot"}}},
		"preferred": {PlacementType: v1beta1.PickN, Affinity: &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{
			Preferred: []v1beta1.PreferredClusterSelector{{Weight: 5}}}}},
	}
	seen := map[string]string{}
	for name, p := range policies {
		digest := PolicyDigest(p)
		if other, taken := seen[digest]; taken {
			t.Errorf("policies %q and %q have the same digest %s", name, other, digest)
		}
		seen[digest] = name
	}
}

// TestPolicyDigestIsStable pins digests: members store them, and a release that computes others would schedule every
// placement anew.
func TestPolicyDigestIsStable(t *testing.T) {
	want := map[string]*v1beta1.PlacementPolicy{
		"459b0b551a42236c39ac28f9e06d0592": nil,
		"2524c20928ee5191aae57e2d04b294d1": requires(labelled("region", "east"), where("tier", metav1.LabelSelectorOpNotIn, "edge", "lab")),
		"ccf611114a120c08d8d348f6892b8476": fixed("east-1", "west-1"),
	}
	for digest, policy := range want {
		if got := PolicyDigest(policy); got != digest {
			t.Errorf("digest of %s is %s, was %s", encode(policy), got, digest)
		}
	}
}
