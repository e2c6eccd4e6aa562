package hub

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/report"
)

// maxStatus bounds a placement's status, in bytes of JSON. An API server takes objects of about 1.5 MiB, and an object
// holds spec and managed fields besides.
const maxStatus = 900 << 10

// longest bounds what capStatus adds to a message.
const longest = 1024

// capStatus leaves out what does not fit into limit bytes: first which fields drifted, then objects at the end of
// selectedResources, down to a quarter of the limit, then clusters, those without a failure first. Objects and clusters left
// out are counted in the message of the first condition.
func capStatus(s *placementv1beta1.PlacementStatus, limit int) {
	if size(s) <= limit {
		return
	}
	for _, c := range s.PlacementStatuses {
		for i := range c.DriftedPlacements {
			c.DriftedPlacements[i].ObservedDrifts = nil
		}
	}
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

// StatusOn returns o's status as it shall be written over live, the status that the hub shows now, when the object has
// this generation there. What did not change keeps its time, so that the same report gives the same status, also after
// a restart. It returns nil when nothing is known. Whether the status could be copied is not told in it.
func (o Object) StatusOn(live map[string]any, generation int64) map[string]any {
	switch {
	case o.Placement != nil:
		var before placementv1beta1.PlacementStatus
		decode(live, &before)
		return encode(o.placementOn(before, generation))
	case o.Member != nil:
		var before clusterv1beta1.MemberClusterStatus
		decode(live, &before)
		return encode(o.memberOn(before))
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
	before.Conditions = withoutSynced(before.Conditions)
	s.Conditions = o.carry(s.Conditions, before.Conditions, generation)
	switch {
	case len(s.Conditions) == 0:
	case s.Conditions[0].Reason == report.InvalidResourceSelectors:
		// The author must act first: everything else stays as it was.
		before.Conditions = keepOlder(s.Conditions, before.Conditions)
		return before
	case s.Conditions[0].Status == metav1.ConditionUnknown:
		s.Conditions = keepOlder(s.Conditions, before.Conditions)
	}
	old := make(map[string]placementv1beta1.ClusterStatus, len(before.PlacementStatuses))
	for _, c := range before.PlacementStatuses {
		old[c.ClusterName] = c
	}
	s.PlacementStatuses = slices.Clone(s.PlacementStatuses)
	for i, c := range s.PlacementStatuses {
		s.PlacementStatuses[i].Conditions = o.carry(c.Conditions, old[c.ClusterName].Conditions, generation)
		s.PlacementStatuses[i].FailedPlacements = o.carryFailed(c.FailedPlacements, old[c.ClusterName].FailedPlacements, generation)
	}
	return s
}

// keepOlder returns conditions followed by those of before that are not among them.
func keepOlder(conditions, before []metav1.Condition) []metav1.Condition {
	for _, c := range before {
		if meta.FindStatusCondition(conditions, c.Type) == nil {
			conditions = append(conditions, c)
		}
	}
	return conditions
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
			return reflect.DeepEqual(b.ResourceIdentifier, f.ResourceIdentifier)
		}); j >= 0 {
			old = []metav1.Condition{before[j].Condition}
		}
		out[i].Condition = o.carry([]metav1.Condition{f.Condition}, old, generation)[0]
	}
	return out
}

// memberOn keeps the times of conditions that did not change. Where nothing but times would change, what the hub shows stays
// until its heartbeat is a period old: a fleet at rest writes one status a member a period, and no more however often it is
// published. A member that is not heard any more writes none. What is not known now stays too, with the time when it was.
func (o Object) memberOn(before clusterv1beta1.MemberClusterStatus) clusterv1beta1.MemberClusterStatus {
	s := *o.Member
	if s.ResourceUsage.ObservationTime.IsZero() {
		s.ResourceUsage = before.ResourceUsage
	}
	if len(s.AgentStatus) == 0 {
		s.AgentStatus = before.AgentStatus
	}
	known := maps.Clone(before.Properties)
	if known == nil {
		known = map[string]clusterv1beta1.PropertyValue{}
	}
	maps.Copy(known, s.Properties)
	s.Properties = known
	s.Conditions = keepTimes(s.Conditions, before.Conditions)
	s.AgentStatus = slices.Clone(s.AgentStatus)
	for i, a := range s.AgentStatus {
		if j := slices.IndexFunc(before.AgentStatus, func(b clusterv1beta1.AgentStatus) bool { return b.Type == a.Type }); j >= 0 {
			s.AgentStatus[i].Conditions = keepTimes(a.Conditions, before.AgentStatus[j].Conditions)
		}
	}
	if lastHeard(s).Sub(lastHeard(before)) < o.Heartbeat && reflect.DeepEqual(encode(timeless(s)), encode(timeless(before))) {
		return before
	}
	return s
}

// keepTimes gives conditions whose status did not change the time that they have in before.
func keepTimes(conditions, before []metav1.Condition) []metav1.Condition {
	out := slices.Clone(conditions)
	for i, c := range out {
		if old := meta.FindStatusCondition(before, c.Type); old != nil && old.Status == c.Status {
			out[i].LastTransitionTime = old.LastTransitionTime
		}
	}
	return out
}

// lastHeard is the latest heartbeat in s.
func lastHeard(s clusterv1beta1.MemberClusterStatus) time.Time {
	var last time.Time
	for _, a := range s.AgentStatus {
		if a.LastReceivedHeartbeat.After(last) {
			last = a.LastReceivedHeartbeat.Time
		}
	}
	return last
}

// timeless is s without the times at which it was observed.
func timeless(s clusterv1beta1.MemberClusterStatus) clusterv1beta1.MemberClusterStatus {
	s.Properties = maps.Clone(s.Properties)
	for name, p := range s.Properties {
		p.ObservationTime = metav1.Time{}
		s.Properties[name] = p
	}
	s.ResourceUsage.ObservationTime = metav1.Time{}
	s.AgentStatus = slices.Clone(s.AgentStatus)
	for i := range s.AgentStatus {
		s.AgentStatus[i].LastReceivedHeartbeat = metav1.Time{}
	}
	return s
}
