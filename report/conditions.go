package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// prefix sets the condition types of the placement as a whole apart from those of one cluster: the name of its kind.
func (p Placement) prefix() string {
	if p.Namespace != "" {
		return v1beta1.ResourcePlacementGVK.Kind
	}
	return v1beta1.ClusterResourcePlacementGVK.Kind
}

// condition returns the condition of the placement as a whole of a type without its prefix; nil when there is none.
func (p Placement) condition(kind string) *metav1.Condition {
	return meta.FindStatusCondition(p.Conditions, p.prefix()+kind)
}

// The types of conditions that the tables show, without prefix.
const (
	scheduled        = "Scheduled"
	workSynchronized = "WorkSynchronized"
	applied          = "Applied"
	available        = "Available"
)

// InvalidResourceSelectors is upstream's reason for a placement whose author must act.
const InvalidResourceSelectors = "InvalidResourceSelectors"

// outcome is what a stage came to on one cluster.
type outcome struct {
	status  metav1.ConditionStatus
	reason  string // when it is not the stage's usual one for the status
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
			name:    workSynchronized,
			whole:   reasons{"WorkSynchronized", "WorkNotSynchronizedYet", "WorkSynchronizedUnknown"},
			cluster: reasons{"AllWorkSynced", "SyncWorkFailed", "WorkSynchronizedUnknown"},
			look:    done,
		},
		{
			name:    applied,
			whole:   reasons{"ApplySucceeded", "ApplyFailed", "ApplyPending"},
			cluster: reasons{"AllWorkHaveBeenApplied", "NotAllWorkHaveBeenApplied", "ApplyPending"},
			look:    PlacementOnCluster.appliedOutcome,
		},
		{
			name:    available,
			whole:   reasons{"ResourceAvailable", "ResourceNotAvailableYet", "ResourceAvailableUnknown"},
			cluster: reasons{"AllWorkAreAvailable", "NotAllWorkAreAvailable", "ResourceAvailableUnknown"},
			look:    PlacementOnCluster.availableOutcome,
		},
	}
}

// appliedOutcome tells work under way, which upstream calls False too, from a failure.
func (c PlacementOnCluster) appliedOutcome() outcome {
	o := outcomeOf(c.Applied, c.Message)
	if c.Applying && o.status == metav1.ConditionUnknown {
		o.status, o.reason = metav1.ConditionFalse, "ApplyInProgress"
	}
	return o
}

// availableOutcome says of what is taken for available that nobody can see whether it is.
func (c PlacementOnCluster) availableOutcome() outcome {
	o := outcomeOf(c.Healthy, c.Message)
	if o.status != metav1.ConditionTrue {
		return o
	}
	if n, first := c.untracked(); n > 0 {
		o.reason = "NotAllWorkAreAvailabilityTrackable"
		o.message = fmt.Sprintf("%s is taken for available, since nothing tells", first)
		if n > 1 {
			o.message = fmt.Sprintf("%s and %d more are taken for available, since nothing tells", first, n-1)
		}
	}
	return o
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
	s, prefix := p.Decision.Scheduled, p.prefix()
	switch {
	case p.Err != "":
		w.add(prefix+scheduled, metav1.ConditionFalse, InvalidResourceSelectors, p.Err)
		return w.keepOthers()
	case !p.decided():
		w.add(prefix+scheduled, metav1.ConditionUnknown, "SchedulePending", cmp.Or(s.Message, "no decision yet"))
		return w.keepOthers()
	}
	w.add(prefix+scheduled, statusOf(s.Status), s.Reason, s.Message)
	clusters := p.selectedClusters()
	if len(clusters) == 0 {
		return w.list
	}
	for _, st := range chain() {
		status, message := st.over(clusters)
		w.add(prefix+st.name, status, st.whole.of(status), message)
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
		w.add(scheduled, metav1.ConditionFalse, "ScheduleFailed", p.Decision.Scheduled.Message)
		return w.list
	}
	w.add(scheduled, metav1.ConditionTrue, "Scheduled", p.verdictOn(c.Cluster))
	for _, st := range chain() {
		o := st.look(c)
		w.add(st.name, o.status, cmp.Or(o.reason, st.cluster.of(o.status)), o.message)
		if o.status != metav1.ConditionTrue {
			break
		}
	}
	return w.list
}

// decided tells whether there is a decision about the placement's clusters.
func (p Placement) decided() bool {
	return statusOf(p.Decision.Scheduled.Status) != metav1.ConditionUnknown
}

// WithConditions returns p with its conditions and those on every cluster, as they follow from the rest of it. before is p
// as it was reported last, or nothing: what has the same status since then keeps its time.
func (p Placement) WithConditions(before Placement, now time.Time) Placement {
	p.Conditions = Conditions(p, before.Conditions, now)
	old := make(map[string][]metav1.Condition, len(before.Clusters))
	for _, c := range before.Clusters {
		old[c.Cluster] = c.Conditions
	}
	p.Clusters = slices.Clone(p.Clusters)
	for i := range p.Clusters {
		c := &p.Clusters[i]
		c.Conditions = ClusterConditions(p, *c, old[c.Cluster], now)
	}
	return p
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
