package offline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/placement"
)

// TestAssignment reads from statuses where placements are, and whether the present policy chose that.
func TestAssignment(t *testing.T) {
	present := placement.PolicyDigest(nil)
	condition := func(kind, generation string) string {
		return `[{type: ` + kind + `, status: "False", observedGeneration: ` + generation + `, reason: R, message: "", lastTransitionTime: null}]`
	}
	const cluster, namespaced, alpha = "placement.kubernetes-fleet.io/v1beta1 ClusterResourcePlacement",
		"placement.kubernetes-fleet.io/v1 ResourcePlacement", "fleet.azure.com/v1alpha1 ClusterResourcePlacement"
	tests := map[string]struct {
		reason string
		kind   string
		status string // of generation 3
		want   placement.Assignment
	}{
		"New": {"a placement without a status is nowhere, and no policy has decided yet", cluster, "{}", placement.Assignment{}},
		"Kept": {"the condition is about the present generation, whatever it says", cluster,
			`{placementStatuses: [{clusterName: b}, {clusterName: a}], conditions: ` + condition("ClusterResourcePlacementScheduled", "3") + `}`,
			placement.Assignment{Clusters: []string{"a", "b"}, PolicyDigest: present}},
		"Changed": {"an older generation was decided by another policy", cluster,
			`{placementStatuses: [{clusterName: a}], conditions: ` + condition("ClusterResourcePlacementScheduled", "2") + `}`,
			placement.Assignment{Obsolete: []string{"a"}}},
		"Newer": {"a generation that is not there yet is another one too", cluster,
			`{placementStatuses: [{clusterName: a}], conditions: ` + condition("ClusterResourcePlacementScheduled", "4") + `}`,
			placement.Assignment{Obsolete: []string{"a"}}},
		"Unconditional": {"without the condition nobody knows which policy chose", cluster,
			`{placementStatuses: [{clusterName: a}], conditions: ` + condition("ClusterResourcePlacementApplied", "3") + `}`,
			placement.Assignment{Obsolete: []string{"a"}}},
		"Slots": {"unfilled slots name no cluster, and one that is named twice is one", cluster,
			`{placementStatuses: [{clusterName: a}, {}, {clusterName: a}], conditions: ` + condition("ClusterResourcePlacementScheduled", "3") + `}`,
			placement.Assignment{Clusters: []string{"a"}, PolicyDigest: present}},
		"Namespaced": {"a ResourcePlacement has a condition type of its own", namespaced,
			`{placementStatuses: [{clusterName: a}], conditions: ` + condition("ResourcePlacementScheduled", "3") + `}`,
			placement.Assignment{Clusters: []string{"a"}, PolicyDigest: present}},
		"NamespacedOther": {"the other kind's condition says nothing about it", namespaced,
			`{placementStatuses: [{clusterName: a}], conditions: ` + condition("ClusterResourcePlacementScheduled", "3") + `}`,
			placement.Assignment{Obsolete: []string{"a"}}},
		"Alpha": {"the version of 2022 lists its clusters", alpha,
			`{targetClusters: [b, a], conditions: ` + condition("Scheduled", "3") + `}`,
			placement.Assignment{Clusters: []string{"a", "b"}, PolicyDigest: present}},
		"AlphaChanged": {"the generation counts there too", alpha,
			`{targetClusters: [a], conditions: ` + condition("Scheduled", "2") + `}`,
			placement.Assignment{Obsolete: []string{"a"}}},
		"AlphaUnconditional": {"so does the lack of the condition", alpha, `{targetClusters: [a]}`, placement.Assignment{Obsolete: []string{"a"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := assignmentOf(t, tc.kind, tc.status)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// assignmentOf reads a placement of generation 3 of the given apiVersion and kind.
func assignmentOf(t *testing.T, apiVersionKind, status string) (placement.Assignment, error) {
	t.Helper()
	version, kind, _ := strings.Cut(apiVersionKind, " ")
	namespace, selected := "", "Namespace"
	if kind == "ResourcePlacement" {
		namespace, selected = ", namespace: shop", "ConfigMap"
	}
	in, err := Read(parse(t, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: web, generation: 3"+namespace+"}\n"+
		"spec: {resourceSelectors: [{group: \"\", version: v1, kind: "+selected+", name: web}]}\nstatus: "+status+"\n"), nil)
	if err != nil {
		return placement.Assignment{}, err
	}
	if len(in.Placements) != 1 {
		t.Fatalf("got %d placements, want one", len(in.Placements))
	}
	return in.Placements[0].Before, nil
}
