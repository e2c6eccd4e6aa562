package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// TestObjects checks what `get -o yaml` prints: objects as kubectl prints them.
func TestObjects(t *testing.T) {
	r := sample()
	web := r.Placements[0]
	web.Namespace, web.Labels = "shop", map[string]string{"team": "web"}
	web.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "n"}
	web.Clusters, web.Conditions, web.Decision.Verdicts = nil, web.Conditions[:1], nil
	web.Conditions[0].Type = "ResourcePlacementScheduled"
	three := int32(3)
	web.Spec = &placementv1beta1.PlacementSpec{
		ResourceSelectors: []placementv1beta1.ResourceSelector{{Version: "v1", Kind: "ConfigMap"}},
		Policy:            &placementv1beta1.PlacementPolicy{PlacementType: placementv1beta1.PickN, NumberOfClusters: &three},
	}
	r.Placements = []Placement{web}
	r.Members = r.Members[1:2]
	for kind, want := range map[string]string{
		"placements": `
apiVersion: v1
items:
- apiVersion: placement.kubernetes-fleet.io/v1beta1
  kind: ResourcePlacement
  metadata:
    annotations:
      note: "n"
    creationTimestamp: "2026-03-01T11:59:40Z"
    generation: 1
    labels:
      team: web
    name: web-demos
    namespace: shop
  spec:
    policy:
      numberOfClusters: 3
      placementType: PickN
    resourceSelectors:
    - group: ""
      kind: ConfigMap
      version: v1
  status:
    conditions:
    - lastTransitionTime: "2026-03-01T12:00:00Z"
      message: as wished
      observedGeneration: 1
      reason: SchedulingPolicyFulfilled
      status: "True"
      type: ResourcePlacementScheduled
kind: List
metadata:
  resourceVersion: ""
`,
		"members": `
apiVersion: v1
items:
- apiVersion: cluster.kubernetes-fleet.io/v1beta1
  kind: MemberCluster
  metadata:
    creationTimestamp: "2026-03-01T09:00:00Z"
    labels:
      env: prod
      region: east
    name: aks-1
  status:
    agentStatus:
    - conditions:
      - lastTransitionTime: "2026-03-01T12:00:00Z"
        message: ""
        reason: InternalMemberClusterJoined
        status: "True"
        type: Joined
      - lastTransitionTime: "2026-03-01T12:00:00Z"
        message: ""
        reason: InternalMemberClusterHealthy
        status: "True"
        type: Healthy
      lastReceivedHeartbeat: "2026-03-01T12:00:00Z"
      type: MemberAgent
    conditions:
    - lastTransitionTime: "2026-03-01T12:00:00Z"
      message: its API server answers
      reason: MemberClusterJoined
      status: "True"
      type: Joined
    - lastTransitionTime: "2026-03-01T12:00:00Z"
      message: credentials are there
      reason: MemberClusterReadyToJoin
      status: "True"
      type: ReadyToJoin
    properties:
      kubernetes-fleet.io/node-count:
        observationTime: "2026-03-01T12:00:00Z"
        value: "2"
    resourceUsage:
      allocatable:
        cpu: "8"
        memory: 16Gi
      available:
        cpu: 3920m
        memory: 12Gi
      observationTime: "2026-03-01T12:00:00Z"
kind: List
metadata:
  resourceVersion: ""
`,
	} {
		var b strings.Builder
		if err := List(&b, r, kind, "yaml"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), b.String()); diff != "" {
			t.Errorf("get %s -o yaml (-want +got):\n%s", kind, diff)
		}
	}
}
