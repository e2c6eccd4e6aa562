package hub

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// maxStatus bounds a placement's status, in bytes of JSON. An API server takes objects of about 1.5 MiB, and an object
// holds spec and managed fields besides.
const maxStatus = 900 << 10

// capStatus leaves out what does not fit into limit bytes: first objects at the end of selectedResources, down to a
// quarter of the limit, then clusters, those without a failure first. What is left out is counted in the message of the
// first condition.
func capStatus(s *placementv1beta1.PlacementStatus, limit int) {
	if size(s) <= limit {
		return
	}
	resources, clusters := len(s.SelectedResources), len(s.PlacementStatuses)
	left := limit - size(s.Conditions) - longest
	s.SelectedResources = fit(s.SelectedResources, limit/4)
	slices.SortStableFunc(s.PlacementStatuses, func(a, b placementv1beta1.ClusterStatus) int {
		return rank(a) - rank(b)
	})
	s.PlacementStatuses = fit(s.PlacementStatuses, left-size(s.SelectedResources))
	if len(s.Conditions) > 0 {
		s.Conditions[0].Message = strings.TrimPrefix(fmt.Sprintf("%s; shown here are %d of %d objects and %d of %d clusters",
			s.Conditions[0].Message, len(s.SelectedResources), resources, len(s.PlacementStatuses), clusters), "; ")
	}
}

// rank puts clusters that need somebody first, then those not finished, then the others.
func rank(c placementv1beta1.ClusterStatus) int {
	worst := 2
	for _, condition := range c.Conditions {
		switch condition.Status {
		case metav1.ConditionFalse:
			return 0
		case metav1.ConditionUnknown:
			worst = 1
		}
	}
	return worst
}

// fit returns as many leading elements as encode into limit bytes.
func fit[T any](list []T, limit int) []T {
	total := 2
	for i := range list {
		if total += size(list[i]) + 1; total > limit {
			return list[:i:i]
		}
	}
	return list
}

// size returns the length of v as JSON; our API types always encode.
func size(v any) int {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("hub: %T: %v", v, err))
	}
	return len(data)
}

func shorten(s string) string {
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest-len("…")], "") + "…"
}

// StatusOn returns o's status as it shall be written over live, the status that the hub shows now, when the object has
// this generation there. What did not change keeps its time, so that the same report gives the same status, also after
// a restart. It returns nil when nothing is known.
func (o Object) StatusOn(live map[string]any, generation int64) map[string]any {
	switch {
	case o.Placement != nil:
		var before placementv1beta1.PlacementStatus
		decode(live, &before)
		return encode(o.placementOn(before, generation))
	case o.Member != nil:
		var before clusterv1beta1.MemberClusterStatus
		decode(live, &before)
		return encode(memberOn(*o.Member, before))
	}
	return nil
}

// decode reads a status. One that does not fit our types was written by somebody else and counts as none.
func decode[T any](live map[string]any, into *T) {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live, into); err != nil {
		var none T
		*into = none
	}
}

func (o Object) placementOn(before placementv1beta1.PlacementStatus, generation int64) placementv1beta1.PlacementStatus {
	s := *o.Placement
	s.Conditions = o.carry(s.Conditions, before.Conditions, generation)
	s.PlacementStatuses = slices.Clone(s.PlacementStatuses)
	for i, c := range s.PlacementStatuses {
		var old placementv1beta1.ClusterStatus
		if j := slices.IndexFunc(before.PlacementStatuses, func(b placementv1beta1.ClusterStatus) bool { return b.ClusterName == c.ClusterName }); j >= 0 {
			old = before.PlacementStatuses[j]
		}
		s.PlacementStatuses[i].Conditions = o.carry(c.Conditions, old.Conditions, generation)
		s.PlacementStatuses[i].FailedPlacements = o.carryFailed(c.FailedPlacements, old.FailedPlacements, generation)
	}
	return s
}

// carry translates observed generations to those of the hub and keeps the times of conditions whose status did not
// change. A condition about an earlier generation of ours keeps the generation that it has on the hub.
func (o Object) carry(conditions, before []metav1.Condition, generation int64) []metav1.Condition {
	out := slices.Clone(conditions)
	for i, c := range out {
		old := meta.FindStatusCondition(before, c.Type)
		switch {
		case c.ObservedGeneration == o.Generation:
			out[i].ObservedGeneration = generation
		case old != nil:
			out[i].ObservedGeneration = old.ObservedGeneration
		}
		if old != nil && old.Status == c.Status {
			out[i].LastTransitionTime = old.LastTransitionTime
		}
	}
	return out
}

func (o Object) carryFailed(failed, before []placementv1beta1.FailedResourcePlacement, generation int64) []placementv1beta1.FailedResourcePlacement {
	out := slices.Clone(failed)
	for i, f := range out {
		var old []metav1.Condition
		if j := slices.IndexFunc(before, func(b placementv1beta1.FailedResourcePlacement) bool {
			return b.ResourceIdentifier == f.ResourceIdentifier
		}); j >= 0 {
			old = []metav1.Condition{before[j].Condition}
		}
		out[i].Condition = o.carry([]metav1.Condition{f.Condition}, old, generation)[0]
	}
	return out
}

// memberOn keeps the times of everything that did not change. A heartbeat alone is no change, so that a quiet fleet
// writes nothing; it is renewed together with something else.
func memberOn(s, before clusterv1beta1.MemberClusterStatus) clusterv1beta1.MemberClusterStatus {
	s.Conditions = slices.Clone(s.Conditions)
	for i, c := range s.Conditions {
		if old := meta.FindStatusCondition(before.Conditions, c.Type); old != nil && old.Status == c.Status {
			s.Conditions[i].LastTransitionTime = old.LastTransitionTime
		}
	}
	s.Properties = maps.Clone(s.Properties)
	for name, value := range s.Properties {
		if old, ok := before.Properties[name]; ok && old.Value == value.Value {
			s.Properties[name] = old
		}
	}
	quiet := s
	quiet.AgentStatus = before.AgentStatus
	if reflect.DeepEqual(encode(quiet), encode(before)) {
		return quiet
	}
	return s
}
