package reconcile

import (
	"fmt"
	"slices"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/report"
)

// converged tells whether the newest revision is in force everywhere, healthy, and nothing is left to do.
func (l *Loop) converged(r report.Report) bool {
	if r.SourceErr != "" || len(r.Errors) > 0 || r.Head.Commit != r.Applied.Commit {
		return false
	}
	for _, p := range r.Placements {
		if p.Decision.Scheduled.Status != yes {
			return false
		}
		for _, c := range p.Clusters {
			if c.Applied != yes || c.Healthy != yes {
				return false
			}
		}
	}
	for _, m := range l.members {
		if m.state.Phase != fleet.Ready || !m.live.Complete || !m.observed.Synced || m.plannedFor != l.desired || m.busy() || m.lacks != nil || len(m.statuses) > 0 || m.terminating() != "" {
			return false
		}
	}
	return !l.services.provide.running && l.services.err == nil
}

// terminating names an object of ours that is being deleted and still there, and counts the others; "" when there is none.
func (m *member) terminating() string {
	var names []string
	for ref, o := range m.live.Objects {
		if o.Deleting && !o.Controlled {
			names = append(names, ref.String())
		}
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0] + " is still being deleted"
	}
	return fmt.Sprintf("%s and %d more are still being deleted", names[0], len(names)-1)
}

// busy tells whether something is being done on m or left to do without anybody's help.
func (m *member) busy() bool {
	return m.apply.running || m.prepare.running || m.status.running || !m.plan.Empty()
}

// attempts is how often work is tried before `run --once` takes a failure for a fact.
const attempts = 3

// stuck tells whether nothing more will happen until a person does something: the source is refused or out of reach, or
// every member has converged, is out of reach, keeps failing, or holds what will not become healthy.
func (l *Loop) stuck() bool {
	if l.source.fetchErr != nil || len(l.source.refused) > 0 || len(l.schedule.errs) > 0 {
		return true
	}
	if l.desired == nil || l.desired.Revision.Commit != l.source.head.Commit {
		return l.source.render.failures >= attempts
	}
	for _, m := range l.members {
		if m.pending() {
			return false
		}
	}
	return !l.services.provide.running && l.toldHub(l.Report())
}

// pending tells whether m may still make progress by itself.
func (m *member) pending() bool {
	switch {
	case m.conn == nil || m.state.Phase == fleet.Unreachable:
		return false
	case m.state.Phase != fleet.Ready || m.prepare.running || m.apply.running || m.status.running:
		return true
	case max(m.apply.failures, m.prepare.failures, m.status.failures) >= attempts:
		return false
	case !m.live.Complete || !m.observed.Synced || !m.plan.Empty() || len(m.statuses) > 0:
		return true
	}
	for _, o := range m.live.Objects {
		if o.Health.Status == apply.InProgress {
			return true
		}
	}
	return m.terminating() != ""
}
