package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// levelPrefix sets the condition types of a whole placement apart from those of one cluster.
const levelPrefix = "ClusterResourcePlacement"

// InvalidResourceSelectors is upstream's reason for a placement whose author must act.
const InvalidResourceSelectors = "InvalidResourceSelectors"

// outcome is what a stage came to on one cluster.
type outcome struct {
	status  metav1.ConditionStatus
	message string
}

// reasons are the words for True, False and Unknown, as KubeFleet writes them.
type reasons struct{ yes, no, unknown string }

func (r reasons) of(status metav1.ConditionStatus) string {
	switch status {
	case metav1.ConditionTrue:
		return r.yes
	case metav1.ConditionFalse:
		return r.no
	}
	return r.unknown
}

// stage is one link of the chain that a placement passes on every cluster.
type stage struct {
	name    string // the type, without prefix
	whole   reasons
	cluster reasons
	look    func(PlacementOnCluster) outcome
}

// chain returns the stages in order. gitfleet holds nothing back and overrides nothing, and a wish needs no way to an
// agent, so the first three stages are done as soon as the cluster is chosen.
func chain() []stage {
	done := func(PlacementOnCluster) outcome { return outcome{status: metav1.ConditionTrue} }
	return []stage{
		{
			name:    "RolloutStarted",
			whole:   reasons{"RolloutStarted", "RolloutNotStartedYet", "RolloutStartedUnknown"},
			cluster: reasons{"RolloutStarted", "RolloutNotStartedYet", "RolloutStartedUnknown"},
			look:    done,
		},
		{
			name:    "Overridden",
			whole:   reasons{"NoOverrideSpecified", "OverriddenFailed", "OverriddenPending"},
			cluster: reasons{"NoOverrideSpecified", "OverriddenFailed", "OverriddenPending"},
			look:    done,
		},
		{
			name:    "WorkSynchronized",
			whole:   reasons{"WorkSynchronized", "WorkNotSynchronizedYet", "WorkSynchronizedUnknown"},
			cluster: reasons{"AllWorkSynced", "SyncWorkFailed", "WorkSynchronizedUnknown"},
			look:    done,
		},
		{
			name:    "Applied",
			whole:   reasons{"ApplySucceeded", "ApplyFailed", "ApplyPending"},
			cluster: reasons{"AllWorkHaveBeenApplied", "NotAllWorkHaveBeenApplied", "ApplyPending"},
			look:    func(c PlacementOnCluster) outcome { return outcomeOf(c.Applied, c.Message) },
		},
		{
			name:    "Available",
			whole:   reasons{"ResourceAvailable", "ResourceNotAvailableYet", "ResourceAvailableUnknown"},
			cluster: reasons{"AllWorkAreAvailable", "NotAllWorkAreAvailable", "ResourceAvailableUnknown"},
			look:    func(c PlacementOnCluster) outcome { return outcomeOf(c.Healthy, c.Message) },
		},
	}
}

// outcomeOf is the outcome of a word of the Report. message tells what is wrong, so it belongs to no success.
func outcomeOf(word, message string) outcome {
	o := outcome{status: statusOf(word), message: message}
	if o.status == metav1.ConditionTrue {
		o.message = ""
	}
	return o
}

// statusOf reads a word of the Report. Anything but True and False is Unknown: silence is no answer.
func statusOf(word string) metav1.ConditionStatus {
	switch metav1.ConditionStatus(word) {
	case metav1.ConditionTrue, metav1.ConditionFalse:
		return metav1.ConditionStatus(word)
	}
	return metav1.ConditionUnknown
}

// Conditions returns the conditions of p as a whole, in KubeFleet's types and reasons: Scheduled, and the chain up to
// the first stage that is not True. At each stage one Unknown cluster makes the whole Unknown, else one False makes it
// False. With no cluster there is only Scheduled. While p has an error, or is not decided yet, the chain of before stays
// as it is. A condition of before whose status did not change keeps its lastTransitionTime; others get now, to the
// second, as an API server would store it.
func Conditions(p Placement, before []metav1.Condition, now time.Time) []metav1.Condition {
	w := writer{generation: p.Generation, before: before, now: now}
	s := p.Decision.Scheduled
	switch {
	case p.Err != "":
		w.add(v1beta1.ConditionScheduled, metav1.ConditionFalse, InvalidResourceSelectors, p.Err)
		return w.keepOthers()
	case s.Status == "":
		w.add(v1beta1.ConditionScheduled, metav1.ConditionUnknown, "SchedulePending", "no decision yet")
		return w.keepOthers()
	}
	w.add(v1beta1.ConditionScheduled, statusOf(s.Status), s.Reason, s.Message)
	clusters := p.selectedClusters()
	if len(clusters) == 0 {
		return w.list
	}
	for _, st := range chain() {
		status, message := st.over(clusters)
		w.add(levelPrefix+st.name, status, st.whole.of(status), message)
		if status != metav1.ConditionTrue {
			break
		}
	}
	return w.list
}

// ClusterConditions returns the conditions of p on the cluster of c: Scheduled, and the chain up to the first stage that
// is not True. A c without a cluster name stands for a slot that no cluster fills. before is as for Conditions.
func ClusterConditions(p Placement, c PlacementOnCluster, before []metav1.Condition, now time.Time) []metav1.Condition {
	w := writer{generation: p.Generation, before: before, now: now}
	if c.Cluster == "" {
		w.add("Scheduled", metav1.ConditionFalse, "ScheduleFailed", p.Decision.Scheduled.Message)
		return w.list
	}
	w.add("Scheduled", metav1.ConditionTrue, "Scheduled", p.verdictOn(c.Cluster))
	for _, st := range chain() {
		o := st.look(c)
		w.add(st.name, o.status, st.cluster.of(o.status), o.message)
		if o.status != metav1.ConditionTrue {
			break
		}
	}
	return w.list
}

// selectedClusters returns one entry for each selected cluster. One that nothing is known of yet is Unknown.
func (p Placement) selectedClusters() []PlacementOnCluster {
	var list []PlacementOnCluster
	for _, v := range p.Decision.Verdicts {
		if !v.Selected {
			continue
		}
		i := slices.IndexFunc(p.Clusters, func(c PlacementOnCluster) bool { return c.Cluster == v.Cluster })
		if i < 0 {
			list = append(list, PlacementOnCluster{Cluster: v.Cluster, Message: "nothing is known of it yet"})
			continue
		}
		list = append(list, p.Clusters[i])
	}
	return list
}

func (p Placement) verdictOn(cluster string) string {
	for _, v := range p.Decision.Verdicts {
		if v.Cluster == cluster {
			return v.Reason
		}
	}
	return ""
}

// over sums a stage up over clusters. The message names those that are not True.
func (st stage) over(clusters []PlacementOnCluster) (metav1.ConditionStatus, string) {
	status := metav1.ConditionTrue
	var others []string
	for _, c := range clusters {
		o := st.look(c)
		switch {
		case o.status == metav1.ConditionTrue:
			continue
		case o.status == metav1.ConditionUnknown || status == metav1.ConditionUnknown:
			status = metav1.ConditionUnknown
		default:
			status = metav1.ConditionFalse
		}
		others = append(others, describe(c.Cluster, o))
	}
	message := fmt.Sprintf("on %d of %d clusters", len(clusters)-len(others), len(clusters))
	if len(others) > 0 {
		message += "; " + firstOf(others, "; ")
	}
	return status, message
}

func describe(cluster string, o outcome) string {
	s := fmt.Sprintf("%s: %s", cluster, o.status)
	if o.message != "" {
		s += ", " + o.message
	}
	return s
}

// firstOf joins the first three of list and counts the rest, so that a large fleet does not burst a status.
func firstOf(list []string, separator string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, separator)
	}
	return strings.Join(list[:most], separator) + fmt.Sprintf("%sand %d more", separator, len(list)-most)
}

// writer collects conditions that remember when they changed.
type writer struct {
	generation int64
	before     []metav1.Condition
	now        time.Time
	list       []metav1.Condition
}

// longest bounds a message well below the 32768 characters that the API allows, since a status holds many.
const longest = 2000

func (w *writer) add(kind string, status metav1.ConditionStatus, reason, message string) {
	c := metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: shorten(message, longest),
		ObservedGeneration: w.generation, LastTransitionTime: metav1.NewTime(w.now.Truncate(time.Second)),
	}
	if old := meta.FindStatusCondition(w.before, kind); old != nil && old.Status == status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	w.list = append(w.list, c)
}

// keepOthers returns what was added, followed by those of before that were not.
func (w *writer) keepOthers() []metav1.Condition {
	for _, old := range w.before {
		if meta.FindStatusCondition(w.list, old.Type) == nil {
			w.list = append(w.list, old)
		}
	}
	return w.list
}

// shorten cuts s to at most limit characters and marks the cut.
func shorten(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit-1]) + "…"
}
