package report

import (
	"cmp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
)

// Status returns the status that users of KubeFleet know, as of now. gitfleet has no agent on a member: it says under the name of the
// MemberAgent what it sees itself. What was observed has the time when the member was last heard.
func (m Member) Status(now time.Time) clusterv1beta1.MemberClusterStatus {
	seen := second(cmp.Or(m.LastSeen, now))
	s := clusterv1beta1.MemberClusterStatus{Conditions: m.conditions(now), Properties: m.properties(seen), ResourceUsage: m.Resources.usage(seen)}
	if !m.LastSeen.IsZero() {
		s.AgentStatus = []clusterv1beta1.AgentStatus{{
			Type: clusterv1beta1.AgentMember, Conditions: m.agentConditions(now), LastReceivedHeartbeat: seen,
		}}
	}
	return s
}

// conditions are those of the cluster as a whole.
func (m Member) conditions(now time.Time) []metav1.Condition {
	w := writer{now: cmp.Or(m.Since, now)}
	switch statusOf(m.Joined) {
	case metav1.ConditionTrue:
		w.add(clusterv1beta1.ConditionJoined, metav1.ConditionTrue, "MemberClusterJoined", cmp.Or(m.Message, "its API server answers"))
	case metav1.ConditionFalse:
		w.add(clusterv1beta1.ConditionJoined, metav1.ConditionFalse, "MemberClusterNotReadyToJoin", m.Message)
		w.add(clusterv1beta1.ConditionReadyToJoin, metav1.ConditionFalse, "MemberClusterNotReadyToJoin", m.Message)
		return w.list
	default:
		w.add(clusterv1beta1.ConditionJoined, metav1.ConditionUnknown, "MemberClusterJoinStateUnknown", m.Message)
	}
	w.add(clusterv1beta1.ConditionReadyToJoin, metav1.ConditionTrue, "MemberClusterReadyToJoin", "credentials are there")
	return w.list
}

// agentConditions are those by which KubeFleet takes a cluster for eligible. One that was reached once has joined, and stays so
// when it is lost, as upstream has it. Healthy means that its nodes could be listed.
func (m Member) agentConditions(now time.Time) []metav1.Condition {
	w := writer{now: cmp.Or(m.Since, now)}
	if statusOf(m.Joined) == metav1.ConditionFalse {
		w.add(clusterv1beta1.ConditionJoined, metav1.ConditionFalse, "InternalMemberClusterLeft", m.Message)
	} else {
		w.add(clusterv1beta1.ConditionJoined, metav1.ConditionTrue, "InternalMemberClusterJoined", "")
	}
	const healthy = "Healthy"
	switch {
	case statusOf(m.Joined) != metav1.ConditionTrue:
		w.add(healthy, metav1.ConditionUnknown, "InternalMemberClusterUnhealthy", m.Message)
	case m.Nodes == nil:
		w.add(healthy, metav1.ConditionUnknown, "InternalMemberClusterUnhealthy", cmp.Or(m.Message, "its nodes are not listed yet"))
	default:
		w.add(healthy, metav1.ConditionTrue, "InternalMemberClusterHealthy", "")
	}
	return w.list
}

// properties are upstream's, of those that are known.
func (m Member) properties(seen metav1.Time) map[string]clusterv1beta1.PropertyValue {
	known := map[string]clusterv1beta1.PropertyValue{}
	if m.Nodes != nil {
		known[clusterv1beta1.PropertyNodeCount] = clusterv1beta1.PropertyValue{Value: strconv.Itoa(*m.Nodes), ObservationTime: seen}
	}
	if m.Version != "" {
		known[clusterv1beta1.PropertyVersion] = clusterv1beta1.PropertyValue{Value: m.Version, ObservationTime: seen}
	}
	if len(known) == 0 {
		return nil
	}
	return known
}

// usage is r as upstream writes it; the zero value while r is unknown.
func (r *Resources) usage(seen metav1.Time) clusterv1beta1.ResourceUsage {
	if r == nil {
		return clusterv1beta1.ResourceUsage{}
	}
	return clusterv1beta1.ResourceUsage{Capacity: amounts(r.Capacity), Allocatable: amounts(r.Allocatable), Available: amounts(r.Available),
		ObservationTime: seen}
}

// amounts parses quantities; what is none was not written by gitfleet and is left out.
func amounts(of map[string]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, text := range of {
		if q, err := resource.ParseQuantity(text); err == nil {
			list[corev1.ResourceName(name)] = q
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}
