package placement

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
)

// How long a cluster may be out of touch or unhealthy until nothing new is scheduled onto it: upstream's defaults.
const (
	heartbeatLimit = 5 * time.Minute
	unhealthyLimit = 5 * time.Minute
)

// memberNameLabel is what upstream's controller adds to every MemberCluster: the cluster's own name.
const memberNameLabel = "kubernetes-fleet.io/member-name"

// namespacesCollected is the condition of a MemberCluster whose status lists every namespace that is there.
const namespacesCollected = "NamespaceCollectionSucceeded"

// leaving is why a cluster that is being removed is not eligible.
const leaving = "the cluster is being removed from the fleet, so nothing new goes there"

// Types of an agent's conditions.
const (
	agentJoined  = "Joined"
	agentHealthy = "Healthy"
)

// CandidateOf returns m as scheduling sees it at now. A MemberCluster without any status has not been reported on, as
// those in a repository, and is eligible.
func CandidateOf(m *clusterv1beta1.MemberCluster, now time.Time) Candidate {
	c := Candidate{Name: m.Name, Labels: maps.Clone(m.Labels), Taints: slices.Clone(m.Spec.Taints), Properties: propertiesOf(&m.Status)}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Labels[memberNameLabel] = m.Name
	if meta.IsStatusConditionTrue(m.Status.Conditions, namespacesCollected) {
		c.Namespaces = map[string]bool{}
		for name := range m.Status.Namespaces {
			c.Namespaces[name] = true
		}
	}
	switch {
	case !m.DeletionTimestamp.IsZero():
		c.Leaving, c.Ineligible = true, leaving
	case !reflect.ValueOf(m.Status).IsZero():
		c.Ineligible = ineligible(m.Status.AgentStatus, now)
	}
	return c
}

// propertiesOf returns what a cluster reports of itself. Resources are asked for by names that upstream serves from the
// usage, never from the properties.
func propertiesOf(s *clusterv1beta1.MemberClusterStatus) map[string]string {
	properties := map[string]string{}
	for name, p := range s.Properties {
		if !strings.HasPrefix(name, clusterv1beta1.PropertyResourcePrefix) {
			properties[name] = p.Value
		}
	}
	figures := map[string]corev1.ResourceList{
		clusterv1beta1.FigureTotal:       s.ResourceUsage.Capacity,
		clusterv1beta1.FigureAllocatable: s.ResourceUsage.Allocatable,
		clusterv1beta1.FigureAvailable:   s.ResourceUsage.Available,
	}
	for figure, list := range figures {
		for name, quantity := range list {
			properties[clusterv1beta1.ResourceProperty(figure, string(name))] = quantity.String()
		}
	}
	if len(properties) == 0 {
		return nil
	}
	return properties
}

// ineligible returns the first reason, in upstream's order, why nothing new may be scheduled onto the cluster of these
// agents, or "". It tells points in time, not durations: a reason must not change while nothing happens.
func ineligible(agents []clusterv1beta1.AgentStatus, now time.Time) string {
	i := slices.IndexFunc(agents, func(a clusterv1beta1.AgentStatus) bool { return a.Type == clusterv1beta1.AgentMember })
	if i < 0 {
		return "its member agent has never reported: see that it runs and reaches the hub"
	}
	agent := agents[i]
	seen := agent.LastReceivedHeartbeat.Time
	joined := meta.FindStatusCondition(agent.Conditions, agentJoined)
	healthy := meta.FindStatusCondition(agent.Conditions, agentHealthy)
	switch {
	case now.Sub(seen) > heartbeatLimit:
		return fmt.Sprintf("its member agent was last heard of at %s, more than %s ago: see that it runs and reaches the hub",
			stamp(seen), heartbeatLimit)
	case joined == nil || joined.Status != metav1.ConditionTrue:
		return fmt.Sprintf("its member agent has not joined the fleet (%s): see its log", conditionText(agentJoined, joined))
	case healthy == nil:
		return "its member agent has not told yet whether it is healthy: see its log"
	case healthy.Status != metav1.ConditionTrue && now.Sub(healthy.LastTransitionTime.Time) > unhealthyLimit:
		return fmt.Sprintf("its member agent has not been healthy since %s, more than %s ago (%s): see that it can list the nodes",
			stamp(healthy.LastTransitionTime.Time), unhealthyLimit, conditionText(agentHealthy, healthy))
	}
	return ""
}

// conditionText shows what c, the condition of that name, says.
func conditionText(name string, c *metav1.Condition) string {
	if c == nil {
		return name + " is not set"
	}
	text := name + " is " + string(c.Status)
	for _, part := range []string{c.Reason, c.Message} {
		if part != "" {
			text += ", " + part
		}
	}
	return text
}
