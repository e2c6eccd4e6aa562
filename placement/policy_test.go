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
	selector := func(comparisons ...string) func(*v1beta1.PlacementPolicy) {
		return requiring(comparing(comparisons...))
	}
	spot, gpu := v1beta1.Toleration{Key: "spot", Value: "x"}, v1beta1.Toleration{Key: "gpu", Operator: "Exists"}
	first, second := prefer(1, labelled("a", "1"), nil), prefer(2, nil, ascending("p"))
	zone, region := v1beta1.TopologySpreadConstraint{TopologyKey: "zone"}, spreadOver("region", 2, "ScheduleAnyway")
	tests := map[string]struct{ a, b *v1beta1.PlacementPolicy }{
		"EmptyPropertySelector": {nil, pickAll(selector())},
		"OrderOfComparisons":    {pickAll(selector("p Gt 1", "q Lt 2")), pickAll(selector("q Lt 2", "p Gt 1", "q Lt 2"))},
		"FormOfQuantity":        {pickAll(selector("p Gt 1Gi", "q Gt 1500m")), pickAll(selector("p Gt 1024Mi", "q Gt 1.5"))},
		"BytesOfQuantity":       {pickAll(selector("p Gt 1Gi")), pickAll(selector("p Gt 1073741824"))},
		"OrderOfTolerations":    {pickAll(tolerating(spot, gpu)), pickAll(tolerating(gpu, spot, gpu))},
		"DefaultsOfToleration":  {pickAll(tolerating(spot)), pickAll(tolerating(v1beta1.Toleration{Key: "spot", Value: "x", Operator: "Equal", Effect: "NoSchedule"}))},
		"OrderOfPreferences":    {pickN(1, preferring(first, second)), pickN(1, preferring(second, first))},
		"PreferenceOfNoWeight":  {pickN(1, preferring(first)), pickN(1, preferring(first, prefer(0, labelled("b", "1"), nil)))},
		"FormOfPreference":      {pickN(1, preferring(first)), pickN(1, preferring(prefer(1, where("a", metav1.LabelSelectorOpIn, "1"), nil)))},
		"OrderOfConstraints":    {pickN(1, spreading(zone, region)), pickN(1, spreading(region, zone))},
		"DefaultsOfConstraint":  {pickN(1, spreading(zone)), pickN(1, spreading(spreadOver("zone", 1, "DoNotSchedule")))},
		"NilAndEmpty":           {nil, &v1beta1.PlacementPolicy{}},
		"DefaultType":           {nil, &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickAll}},
		"EmptyAffinity":         {nil, &v1beta1.PlacementPolicy{Affinity: &v1beta1.Affinity{}}},
		"EmptyClusterAffinity":  {nil, &v1beta1.PlacementPolicy{Affinity: &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{}}}},
		"NoTerms":               {nil, requires()},
		"AnyClusterTerm":        {nil, requires(labelled("a", "1"), &metav1.LabelSelector{})},
		"AbsentSelector":        {nil, requires(nil)},
		"LabelsAndExpressions":  {requires(both), requires(expressions)},
		"OrderOfTerms":          {requires(labelled("a", "1"), labelled("b", "2")), requires(labelled("b", "2"), labelled("a", "1"), labelled("b", "2"))},
		"OrderOfValues":         {requires(where("a", metav1.LabelSelectorOpNotIn, "1", "2")), requires(where("a", metav1.LabelSelectorOpNotIn, "2", "1", "2"))},
		"OrderOfNames":          {fixed("a", "b"), fixed("b", "a", "b")},
		"NoNames":               {fixed(), &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickFixed, ClusterNames: []string{}}},
		"NumberOfClusters":      {&v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN, NumberOfClusters: &two}, &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN, NumberOfClusters: &three}},
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
	twice := prefer(1, labelled("a", "1"), nil)
	for name, p := range map[string]*v1beta1.PlacementPolicy{
		"property value":       pickAll(requiring(comparing("p Gt 2"))),
		"property operator":    pickAll(requiring(comparing("p Ge 1"))),
		"property name":        pickAll(requiring(comparing("q Gt 1"))),
		"property no quantity": pickAll(requiring(comparing("p Gt many"))),
		"property ored":        pickAll(requiring(comparing("p Gt 1"), comparing("q Gt 1"))),
		"property anded":       pickAll(requiring(comparing("p Gt 1", "q Gt 1"))),
		"toleration value":     pickAll(tolerating(v1beta1.Toleration{Key: "spot", Value: "x"})),
		"toleration exists":    pickAll(tolerating(v1beta1.Toleration{Key: "spot", Operator: "Exists"})),
		"toleration effect":    pickAll(tolerating(v1beta1.Toleration{Key: "spot", Effect: "NoExecute"})),
		"constraint key":       pickN(1, spreading(spreadOver("zone", 1, ""))),
		"constraint skew":      pickN(1, spreading(spreadOver("region", 2, ""))),
		"constraint when":      pickN(1, spreading(spreadOver("region", 1, "ScheduleAnyway"))),
		"constraint twice":     pickN(1, spreading(spreadOver("region", 1, ""), spreadOver("region", 1, ""))),
		"preference once":      pickN(1, preferring(twice)),
		"preference twice":     pickN(1, preferring(twice, twice)),
		"preference weight":    pickN(1, preferring(prefer(2, labelled("a", "1"), nil))),
		"preference labels":    pickN(1, preferring(prefer(1, labelled("a", "2"), nil))),
		"preference sorter":    pickN(1, preferring(prefer(1, labelled("a", "1"), ascending("p")))),
		"preference order":     pickN(1, preferring(prefer(1, labelled("a", "1"), descending("p")))),
		"preference property":  pickN(1, preferring(prefer(1, labelled("a", "1"), descending("q")))),
	} {
		policies[name] = p
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
		"8fb20c4630954d1534b6433c22fbda56": pickAll(requiring(comparing("p Gt 1Gi")), tolerating(v1beta1.Toleration{Key: "spot"})),
		"019724eb017faa857893a21c4fd873f6": pickN(2, preferring(prefer(10, labelled("a", "1"), ascending("p"))), spreading(v1beta1.TopologySpreadConstraint{TopologyKey: "region"})),
	}
	for digest, policy := range want {
		if got := PolicyDigest(policy); got != digest {
			t.Errorf("digest of %s is %s, was %s", encode(policy), got, digest)
		}
	}
}
