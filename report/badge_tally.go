package report

import (
	"fmt"
	"slices"

	"github.com/gitfleet/gitfleet/apply"
)

// badgeTally counts what a badge is about: the clusters of the fleet or of a placement, the placements on a cluster.
type badgeTally struct {
	total, done int
	// The others of total. Of the fleet, whose clusters are all in total, unscheduled are placements, and so may underWay be.
	failing, unreached, unscheduled, underWay int
}

// add counts one by how it fares.
func (t *badgeTally) add(s State) {
	t.total++
	switch s {
	case StateSuccess:
		t.done++
	case StateFailure:
		t.failing++
	case StateError:
		t.unreached++
	default:
		t.underWay++
	}
}

func (r Report) badgeTally(q BadgeQuestion) badgeTally {
	var t badgeTally
	away := map[string]bool{}
	worst := map[string]State{} // of the fleet: by cluster, also those that hold nothing
	for _, m := range r.Members {
		away[m.Name], worst[m.Name] = m.Joined != "True", StateSuccess
		if away[m.Name] {
			worst[m.Name] = StateError
		}
	}
	for _, p := range r.Placements {
		if q.Placement != "" && p.Key() != q.Placement {
			continue
		}
		for _, c := range p.selectedClusters() {
			s := c.fares(away[c.Cluster])
			worst[c.Cluster] = worse(worst[c.Cluster], s)
			if !q.whole() && (q.Cluster == "" || q.Cluster == c.Cluster) {
				t.add(s)
			}
		}
		t.addUnscheduled(p, q)
	}
	for _, s := range worst {
		if q.whole() {
			t.add(s)
		}
	}
	if q.Cluster != "" && t.total == 0 && away[q.Cluster] {
		t.unreached++
	}
	return t
}

// addUnscheduled counts the clusters that p asks for and does not get; for the fleet p itself. It is no matter of a single
// cluster.
func (t *badgeTally) addUnscheduled(p Placement, q BadgeQuestion) {
	missing := max(p.Decision.Unfilled, 1)
	switch {
	case q.Cluster != "" || statusOf(p.Decision.Scheduled.Status) == "True":
	case q.whole() && !p.decided():
		t.underWay++
	case q.whole():
		t.unscheduled++
	case !p.decided():
		t.total += missing
		t.underWay += missing
	default:
		t.total += missing
		t.unscheduled += missing
	}
}

// fares tells how a placement fares on a cluster. away is set while the cluster is not reached.
func (c PlacementOnCluster) fares(away bool) State {
	failed := func(o PlacedObject) bool { return o.Health.Status == apply.Failed }
	switch {
	case away:
		return StateError // what is known of it is old
	case statusOf(c.Applied) == "False", slices.ContainsFunc(c.Objects, failed):
		return StateFailure
	case statusOf(c.Applied) == "True" && statusOf(c.Healthy) == "True":
		return StateSuccess
	}
	return StatePending
}

// worse returns the state that matters more of two.
func worse(a, b State) State {
	order := []State{"", StateSuccess, StatePending, StateError, StateFailure}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

// rest says how the worst of what is not in place fares.
func (t badgeTally) rest(q BadgeQuestion) (State, string) {
	switch {
	case t.failing > 0:
		return StateFailure, fmt.Sprintf("%d failing", t.failing)
	case t.unreached > 0:
		return StateError, fmt.Sprintf("%d not reached", t.unreached)
	case t.unscheduled > 0 && q.whole():
		return StateFailure, count(t.unscheduled, "placement") + " not scheduled"
	case t.unscheduled > 0:
		return StateFailure, fmt.Sprintf("%d not scheduled", t.unscheduled)
	case t.underWay > 0:
		return StatePending, fmt.Sprintf("%d in progress", t.underWay)
	}
	return StateSuccess, ""
}

// nothing says that there is nothing to count.
func (t badgeTally) nothing(q BadgeQuestion) (State, string) {
	switch {
	case t.unreached > 0:
		return StateError, "not reached"
	case t.unscheduled > 0: // of a fleet without members
		return StateFailure, count(t.unscheduled, "placement") + " not scheduled"
	case q.Cluster != "" && q.Placement != "":
		return "", "not placed"
	case q.Cluster != "":
		return "", "no placements"
	case q.Placement != "":
		return "", "on no cluster"
	}
	return "", "no members"
}
