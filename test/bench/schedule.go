package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/placement"
)

// scheduled is how many placements are scheduled over how many clusters.
const scheduled = 1000

// scheduleSuite measures one full pass of scheduling: every placement over every cluster, from nothing.
func scheduleSuite() suite {
	return suite{
		names: []string{"schedule-terms", "schedule-terms-allocated", "schedule-ranked", "schedule-ranked-allocated"},
		measure: func(_ context.Context, notes *notebook) error {
			for range runs {
				for _, kind := range []struct {
					name   string
					policy func(int) *v1beta1.PlacementPolicy
					goal   time.Duration
				}{{"schedule-terms", terms, 300 * time.Millisecond}, {"schedule-ranked", ranked, 2 * time.Second}} {
					took, allocated, err := pass(kind.policy)
					if err != nil {
						return fmt.Errorf("%s: %w", kind.name, err)
					}
					notes.addGoal(kind.name, took, kind.goal)
					notes.add(kind.name+"-allocated", allocated, "MiB", "a reason of 64 bytes for each of 1,000,000 verdicts", 61)
				}
			}
			return nil
		},
	}
}

// clustersToSchedule have ten labels each, of two values, of ten, of a hundred and of their own, and report what they offer.
func clustersToSchedule() []placement.Candidate {
	candidates := make([]placement.Candidate, scheduled)
	for i := range candidates {
		labels := map[string]string{"tier": fmt.Sprint("t", i%2), "region": fmt.Sprint("r", i%10), "zone": fmt.Sprint("z", i%100), "host": fmt.Sprint("h", i)}
		for n := range 6 {
			labels[fmt.Sprint("label-", n)] = fmt.Sprint("v", i%(n+3))
		}
		candidates[i] = placement.Candidate{Name: fmt.Sprintf("member-%04d", i), Labels: labels, Properties: map[string]string{
			"kubernetes-fleet.io/node-count": fmt.Sprint(1 + i%40), "resources.kubernetes-fleet.io/available-cpu": fmt.Sprintf("%dm", 500+i*37)}}
	}
	return candidates
}

// terms is a policy that requires one of two things of the labels.
func terms(i int) *v1beta1.PlacementPolicy {
	zones := []string{fmt.Sprint("z", i%100), fmt.Sprint("z", (i+1)%100)}
	return &v1beta1.PlacementPolicy{Affinity: &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{
		Required: &v1beta1.ClusterSelector{ClusterSelectorTerms: []v1beta1.ClusterSelectorTerm{
			{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"region": fmt.Sprint("r", i%10), "tier": fmt.Sprint("t", i%2)}}},
			{LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: metav1.LabelSelectorOpIn, Values: zones}}}},
		}},
	}}}
}

// ranked is a policy that picks a few by preferences and sorters, spread over two kinds of domains.
func ranked(i int) *v1beta1.PlacementPolicy {
	n, one := int32(3+i%5), int32(1)
	sorter := func(name, order string) v1beta1.ClusterSelectorTerm {
		return v1beta1.ClusterSelectorTerm{PropertySorter: &v1beta1.PropertySorter{Name: name, SortOrder: order}}
	}
	return &v1beta1.PlacementPolicy{
		PlacementType: v1beta1.PickN, NumberOfClusters: &n,
		Affinity: &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{Preferred: []v1beta1.PreferredClusterSelector{
			{Weight: 20, Preference: v1beta1.ClusterSelectorTerm{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "t1"}}}},
			{Weight: 40, Preference: sorter("kubernetes-fleet.io/node-count", "Ascending")},
			{Weight: 60, Preference: sorter("resources.kubernetes-fleet.io/available-cpu", "Descending")},
		}}},
		TopologySpreadConstraints: []v1beta1.TopologySpreadConstraint{
			{TopologyKey: "region", MaxSkew: &one, WhenUnsatisfiable: "DoNotSchedule"}, {TopologyKey: "zone", MaxSkew: &one, WhenUnsatisfiable: "ScheduleAnyway"}},
	}
}

// pass decides about every placement and returns how long that took and what it allocated, in MiB.
func pass(policy func(int) *v1beta1.PlacementPolicy) (time.Duration, float64, error) {
	candidates := clustersToSchedule()
	placements := make([]placement.Placement, scheduled)
	for i := range placements {
		placements[i] = placement.Placement{Name: fmt.Sprint("app-", i), Policy: policy(i)}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	fleet := placement.NewFleet(candidates)
	for _, p := range placements {
		if d := fleet.Decide(p, placement.Assignment{}, start); d.Scheduled.Status != "True" {
			return 0, 0, fmt.Errorf("%s: %s", p.Name, d.Scheduled.Message)
		}
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return took, float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20), nil
}
