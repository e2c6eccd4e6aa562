package render

import (
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// Schedulable returns the placements and the members among objects, both sorted, and every mistake that Compose would find in
// them alone. Nothing is selected and no dependency followed: what they refer to need not be there.
func Schedulable(objects []Object) ([]Placement, []Member, ManifestErrors) {
	d := &Desired{}
	objects, errs := d.gather(objects)
	scopes := scopesOf(objects)
	for _, p := range d.Placements {
		errs = append(errs, checkPlacement(p, scopes)...)
	}
	errs = fold(MergeErrors(errs))
	blame(errs, objects)
	return d.Placements, d.Members, errs
}

// fleetAPI lists, by group, every kind of the fleet's API that upstream serves or has served, not only those that are acted on. A
// document taken from a hub may be of any of them.
var fleetAPI = map[string][]string{
	placementv1beta1.Group: {
		"ClusterResourcePlacement", "ResourcePlacement", "ClusterResourcePlacementStatus",
		"ClusterResourceBinding", "ResourceBinding", "Work", "AppliedWork",
		"ClusterResourceSnapshot", "ResourceSnapshot", "ClusterSchedulingPolicySnapshot", "SchedulingPolicySnapshot",
		"ClusterResourceOverride", "ResourceOverride", "ClusterResourceOverrideSnapshot", "ResourceOverrideSnapshot",
		"ClusterResourceEnvelope", "ResourceEnvelope",
		"ClusterResourcePlacementEviction", "ClusterResourcePlacementDisruptionBudget",
		"ClusterStagedUpdateRun", "StagedUpdateRun", "ClusterStagedUpdateStrategy", "StagedUpdateStrategy",
		"ClusterApprovalRequest", "ApprovalRequest",
	},
	clusterv1beta1.Group: {"MemberCluster", "InternalMemberCluster"},
	alpha.Group:          {"ClusterResourcePlacement", "MemberCluster", "InternalMemberCluster"},
}

// Misspelled returns the mistake in o's kind when its group is one of the fleet's API and has no such kind, and otherwise nil. A
// placement or a member may have been meant.
func Misspelled(o Object) *ManifestError {
	gvk := o.GroupVersionKind()
	kinds, ours := fleetAPI[gvk.Group]
	// A list without items is left as it is.
	if !ours || gvk.Kind == "" || slices.Contains(kinds, strings.TrimSuffix(gvk.Kind, "List")) {
		return nil
	}
	remedy := "mend the kind, or remove the document"
	if best := api.Nearest(gvk.Kind, kinds); best != "" {
		remedy = "did you mean " + best + "?"
	}
	return o.mistakeAt("kind", "%s has no kind %s; %s", gvk.Group, gvk.Kind, remedy)
}
