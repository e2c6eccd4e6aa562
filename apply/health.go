package apply

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// HealthStatus is one of kstatus' words.
type HealthStatus string

// The statuses. NotFound is for an object that was applied and is not there (yet).
const (
	Current     HealthStatus = "Current"
	InProgress  HealthStatus = "InProgress"
	Failed      HealthStatus = "Failed"
	Terminating HealthStatus = "Terminating"
	NotFound    HealthStatus = "NotFound"
	Unknown     HealthStatus = "Unknown"
)

// Health is an object's state and, unless it is Current, why.
type Health struct {
	Status  HealthStatus `json:"status"`
	Message string       `json:"message,omitempty"`
}

// String prints h as "InProgress: 1 of 2 replicas are available".
func (h Health) String() string {
	if h.Message == "" {
		return string(h.Status)
	}
	return string(h.Status) + ": " + h.Message
}

func current() Health                          { return Health{Status: Current} }
func inProgress(f string, args ...any) Health  { return Health{InProgress, fmt.Sprintf(f, args...)} }
func failed(reason, message string) Health     { return Health{Failed, joinReason(reason, message)} }
func joinReason(reason, message string) string { return strings.Trim(reason+": "+message, ": ") }

// HealthOf computes an object's health from the whole object, by the rules of kstatus
// (sigs.k8s.io/cli-utils/pkg/kstatus, README.md) and those of healthRules. now is needed for what only waiting tells: a
// Pod that nobody can schedule counts as failed after a while.
func HealthOf(u *unstructured.Unstructured, now time.Time) Health {
	return (*HealthRules)(nil).HealthOf(u, now)
}

// underWay tells the health that every object has while it is being deleted, or while its controller has not seen its
// latest change.
func underWay(u *unstructured.Unstructured) (h Health, decided bool) {
	if u.GetDeletionTimestamp() != nil {
		return terminating(), true
	}
	observed, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if found && err == nil && observed < u.GetGeneration() {
		return inProgress("generation %d is not observed yet", u.GetGeneration()), true
	}
	return Health{}, false
}

// ruledHealth judges by the standard conditions and the rule of the object's kind.
func ruledHealth(u *unstructured.Unstructured, conditions map[string]condition, now time.Time) Health {
	if c := conditions["Stalled"]; c.Status == "True" {
		return failed(c.Reason, c.Message)
	}
	if c := conditions["Reconciling"]; c.Status == "True" {
		return inProgress("%s", joinReason(c.Reason, c.Message))
	}
	if rule, ok := healthRules[u.GroupVersionKind().GroupKind()]; ok {
		return rule(u, conditions, now)
	}
	if c, ok := conditions["Ready"]; ok && c.Status != "True" {
		return inProgress("%s", joinReason(c.Reason, c.Message))
	}
	return current()
}

// NeedsStatus tells whether the health of objects of gk shows in their status, so that they must be watched whole. Of the
// kinds of Kubernetes itself these are the ones with a rule here; a custom resource may have the standard conditions.
func NeedsStatus(gk schema.GroupKind) bool {
	if _, ok := healthRules[gk]; ok {
		return true
	}
	switch gk.Group {
	case "networking.fleet.azure.com", "multicluster.x-k8s.io":
		return false // service discovery: mcs watches these, and their conditions say nothing about being in place
	}
	builtin := !strings.Contains(gk.Group, ".") || strings.HasSuffix(gk.Group, ".k8s.io")
	return !builtin
}

// condition is the part of a status condition that health looks at.
type condition struct {
	Status, Reason, Message string
	Since                   time.Time // lastTransitionTime
	Generation              int64     // observedGeneration; 0 when it does not say
}

func conditionsOf(u *unstructured.Unstructured) map[string]condition {
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		return nil
	}
	return readConditions(list)
}

// readConditions returns the conditions of list by type. What is no condition is left out.
func readConditions(list []any) map[string]condition {
	out := make(map[string]condition, len(list))
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		text := func(key string) string { s, _ := m[key].(string); return s }
		since, _ := time.Parse(time.RFC3339, text("lastTransitionTime")) // zero when absent: long ago
		generation, _ := m["observedGeneration"].(int64)
		out[text("type")] = condition{text("status"), text("reason"), text("message"), since, generation}
	}
	return out
}
