package placement

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// The limits of one full pass, on two cores: 1,000 placements over 1,000 clusters with 10 labels each in 300 ms when they
// have terms only, and in 2 s with preferences, sorters and spread.
const (
	benchClusters   = 1000
	benchPlacements = 1000
)

// benchFleet has labels of every kind: of two values, of ten, of a hundred, and one that no two clusters share.
func benchFleet() []Candidate {
	candidates := make([]Candidate, benchClusters)
	for i := range candidates {
		labels := map[string]string{"tier": fmt.Sprint("t", i%2), "region": fmt.Sprint("r", i%10), "zone": fmt.Sprint("z", i%100), "host": fmt.Sprint("h", i)}
		for n := range 6 {
			labels[fmt.Sprint("label-", n)] = fmt.Sprint("v", i%(n+3))
		}
		candidates[i] = Candidate{Name: fmt.Sprintf("member-%04d", i), Labels: labels, Properties: map[string]string{
			"kubernetes-fleet.io/node-count":              fmt.Sprint(1 + i%40),
			"resources.kubernetes-fleet.io/available-cpu": fmt.Sprintf("%dm", 500+i*37),
		}}
	}
	return candidates
}

func benchPolicies(make func(i int) *v1beta1.PlacementPolicy) []Placement {
	var list []Placement
	for i := range benchPlacements {
		list = append(list, Placement{Name: fmt.Sprint("app-", i), Policy: make(i)})
	}
	return list
}

func benchTerms(i int) *v1beta1.PlacementPolicy {
	return requires(
		&metav1.LabelSelector{MatchLabels: map[string]string{"region": fmt.Sprint("r", i%10), "tier": fmt.Sprint("t", i%2)}},
		where("zone", metav1.LabelSelectorOpIn, fmt.Sprint("z", i%100), fmt.Sprint("z", (i+1)%100)),
	)
}

func benchRanked(i int) *v1beta1.PlacementPolicy {
	policy := requires(where("region", metav1.LabelSelectorOpNotIn, fmt.Sprint("r", i%10)))
	policy.PlacementType, policy.NumberOfClusters = v1beta1.PickN, number(3+i%5)
	policy.Affinity.ClusterAffinity.Preferred = []v1beta1.PreferredClusterSelector{
		prefer(20, labelled("tier", "t1"), nil),
		prefer(40, nil, &v1beta1.PropertySorter{Name: "kubernetes-fleet.io/node-count", SortOrder: "Ascending"}),
		prefer(60, nil, &v1beta1.PropertySorter{Name: "resources.kubernetes-fleet.io/available-cpu", SortOrder: "Descending"}),
	}
	policy.TopologySpreadConstraints = []v1beta1.TopologySpreadConstraint{spreadOver("region", 1, "DoNotSchedule"), spreadOver("zone", 1, "ScheduleAnyway")}
	return policy
}

func number(n int) *int32 {
	n32 := int32(n)
	return &n32
}

func prefer(weight int32, labels *metav1.LabelSelector, sorter *v1beta1.PropertySorter) v1beta1.PreferredClusterSelector {
	return v1beta1.PreferredClusterSelector{Weight: weight, Preference: v1beta1.ClusterSelectorTerm{LabelSelector: labels, PropertySorter: sorter}}
}

func spreadOver(key string, maxSkew int32, when string) v1beta1.TopologySpreadConstraint {
	return v1beta1.TopologySpreadConstraint{TopologyKey: key, MaxSkew: &maxSkew, WhenUnsatisfiable: when}
}

// BenchmarkPass is one full pass over all placements: from nothing, and again when everything is where it belongs.
func BenchmarkPass(b *testing.B) {
	for _, kind := range []struct {
		name   string
		policy func(int) *v1beta1.PlacementPolicy
	}{
		{"Terms", benchTerms},
		{"TermsOnUniqueLabel", func(i int) *v1beta1.PlacementPolicy { return requires(labelled("host", fmt.Sprint("h", i))) }},
		{"Ranked", benchRanked},
		{"RankedHalfOfAll", func(i int) *v1beta1.PlacementPolicy {
			p := benchRanked(i)
			p.NumberOfClusters = number(benchClusters / 2)
			p.TopologySpreadConstraints[0].WhenUnsatisfiable = "ScheduleAnyway" // the region that is kept out would stop it
			return p
		}},
	} {
		candidates, placements := benchFleet(), benchPolicies(kind.policy)
		pass := func(before []Assignment) []Assignment {
			after := make([]Assignment, len(placements))
			fleet := NewFleet(candidates)
			for i, p := range placements {
				after[i] = fleet.Decide(p, before[i], noon).Assignment
			}
			return after
		}
		nothing := make([]Assignment, len(placements))
		b.Run(kind.name+"/First", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pass(nothing)
			}
		})
		b.Run(kind.name+"/Again", func(b *testing.B) {
			settled := pass(nothing)
			b.ReportAllocs()
			for b.Loop() {
				pass(settled)
			}
		})
	}
}

// BenchmarkDecide is one decision without an index of the fleet.
func BenchmarkDecide(b *testing.B) {
	candidates := benchFleet()
	for name, policy := range map[string]*v1beta1.PlacementPolicy{"Terms": benchTerms(1), "Ranked": benchRanked(1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(Placement{Policy: policy}, Assignment{}, candidates, noon)
			}
		})
	}
}
