package render

import (
	"testing"

	"golang.org/x/tools/txtar"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// TestCheckUpdate has the rules of what may not be changed, between two specs of one placement.
func TestCheckUpdate(t *testing.T) {
	const way = ", or give the placement another name: its objects are then handed over, and nothing is deleted in between"
	tests := []struct {
		reason, before, after string
		want                  []string
	}{
		{"nothing changes", "policy: {placementType: PickFixed, clusterNames: [a]}", "policy: {placementType: PickFixed, clusterNames: [a]}", nil},
		{"what is chosen may change", "policy: {placementType: PickN, numberOfClusters: 1}", "policy: {placementType: PickN, numberOfClusters: 2, affinity: {}}", nil},
		{"what is placed may change", "revisionHistoryLimit: 3", `resourceSelectors: [{group: "", version: v1, kind: Namespace, name: b, selectionScope: NamespaceOnly}]`, nil},
		{"a policy may come, of the same type", "", "policy: {affinity: {}}", nil},
		{"of another type it may not", "", "policy: {placementType: PickN, numberOfClusters: 1}",
			[]string{"spec.policy.placementType: cannot be changed from PickAll to PickN; change it back" + way}},
		{"the default type spelt out", "policy: {}", "policy: {placementType: PickAll}", nil},
		{"the type may not change", "policy: {placementType: PickFixed, clusterNames: [a]}", "policy: {placementType: PickN, numberOfClusters: 1}",
			[]string{"spec.policy.placementType: cannot be changed from PickFixed to PickN; change it back" + way}},
		{"a policy may not go", "policy: {affinity: {}}", "", []string{"spec.policy: cannot be removed once it is there; write policy: {placementType: PickAll}, which means the same" + way}},
		{"nor with its type", "policy: {placementType: PickN, numberOfClusters: 1}", "", []string{"spec.policy.placementType: cannot be changed from PickN to PickAll; change it back" + way}},
		{"tolerations may come", "policy: {tolerations: [{key: a}]}", "policy: {tolerations: [{key: b}, {key: a, operator: Equal}]}", nil},
		{"a toleration may lose the default it spelt out", "policy: {tolerations: [{key: a, operator: Equal}]}", "policy: {tolerations: [{key: a}]}", nil},
		{"tolerations may not go", "policy: {tolerations: [{key: a}, {operator: Exists, effect: NoSchedule}]}", "policy: {}", []string{
			"spec.policy.tolerations: {key: a, operator: Equal} cannot be changed or removed, only others added; put it back" + way,
			"spec.policy.tolerations: {operator: Exists, effect: NoSchedule} cannot be changed or removed, only others added; put it back" + way}},
		{"nor with the policy", "policy: {tolerations: [{key: a}]}", "", []string{"spec.policy: cannot be removed once it is there; write policy: {placementType: PickAll}",
			"spec.policy.tolerations: {key: a, operator: Equal} cannot be changed"}},
		{"a toleration may not change", `policy: {tolerations: [{key: a, value: "1"}]}`, `policy: {tolerations: [{key: a, value: "2"}]}`, []string{
			`spec.policy.tolerations: {key: a, operator: Equal, value: "1"} cannot be changed`}},
		{"the place of the status may not change", "statusReportingScope: NamespaceAccessible", "", []string{
			"spec.statusReportingScope: cannot be changed from NamespaceAccessible to ClusterScopeOnly; change it back" + way}},
		{"nor the other way", "", "statusReportingScope: NamespaceAccessible", []string{"spec.statusReportingScope: cannot be changed from ClusterScopeOnly to NamespaceAccessible"}},
		{"the default place spelt out", "", "statusReportingScope: ClusterScopeOnly", nil},
		{"staged update runs stay", "strategy: {type: External}", "strategy: {}", []string{"spec.strategy.type: cannot be changed from External to RollingUpdate; change it back" + way}},
		{"without a strategy, too", "strategy: {type: External}", "", []string{"spec.strategy.type: cannot be changed from External to RollingUpdate"}},
		{"staged update runs may come", "strategy: {type: RollingUpdate}", "strategy: {type: External}", nil},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			before, after := placementsOf(t, placementWith(tt.before)), placementsOf(t, placementWith(tt.after))
			before[0].Origin = Origin{}
			var got []string
			for _, e := range CheckUpdate(before, after) {
				if e.File != "f.yaml" || e.Document != 1 {
					t.Errorf("%q is said of %s document %d, want f.yaml document 1", e.Message, e.File, e.Document)
				}
				got = append(got, e.Field+": "+e.Message)
			}
			wantFaults(t, got, tt.want)
		})
	}
}

// TestCheckUpdateMatches proves that placements are compared by namespace and name.
func TestCheckUpdateMatches(t *testing.T) {
	named := func(namespace, name string, policy v1beta1.PlacementType) Placement {
		p := &v1beta1.ClusterResourcePlacement{Spec: v1beta1.PlacementSpec{Policy: &v1beta1.PlacementPolicy{PlacementType: policy}}}
		p.Namespace, p.Name = namespace, name
		return Placement{ClusterResourcePlacement: p}
	}
	before := []Placement{named("", "a", v1beta1.PickN), named("x", "a", v1beta1.PickFixed), named("", "gone", v1beta1.PickN)}
	tests := []struct {
		reason string
		after  Placement
		want   int
	}{
		{"the same", named("", "a", v1beta1.PickN), 0},
		{"changed", named("", "a", v1beta1.PickAll), 1},
		{"another name", named("", "b", v1beta1.PickAll), 0},
		{"another namespace", named("y", "a", v1beta1.PickAll), 0},
		{"the same in a namespace", named("x", "a", v1beta1.PickFixed), 0},
		{"changed in a namespace", named("x", "a", v1beta1.PickN), 1},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			if got := CheckUpdate(before, []Placement{tt.after}); len(got) != tt.want {
				t.Errorf("got %d mistakes (%v), want %d", len(got), got, tt.want)
			}
		})
	}
}

// placementsOf decodes placements, whatever the rules say of them.
func placementsOf(t *testing.T, document string) []Placement {
	t.Helper()
	placements, _, _ := Schedulable(documents(t, []txtar.File{{Name: "f.yaml", Data: []byte(document)}}))
	if len(placements) == 0 {
		t.Fatalf("no placement in:\n%s", document)
	}
	return placements
}
