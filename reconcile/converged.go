package reconcile

import (
	"fmt"
	"time"

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
		if m.state.Phase != fleet.Ready || !m.live.Complete || !m.observed.Synced || m.claim != nil || m.plannedFor != l.wish || m.busy() || m.lacks != nil || len(m.statuses) > 0 || m.terminating() != "" {
			return false
		}
	}
	return !l.services.provide.running && l.services.after == 0 && l.services.err == nil && r.Removing == 0 && r.Confirm == nil
}

// terminating names the object of ours that has been being deleted for longest, what it waits for, and counts the others;
// "" when there is none.
func (m *member) terminating() string {
	n := len(m.deleting)
	if n == 0 {
		return ""
	}
	first := m.deleting[0]
	text := first.Ref.String()
	if n > 1 {
		text += fmt.Sprintf(" and %d more are", n-1)
	} else {
		text += " is"
	}
	text += " still being deleted, since " + first.DeletingSince.UTC().Format(time.RFC3339)
	if first.Finalizers != "" {
		text += "; the first waits for the finalizers " + first.Finalizers + ", which gitfleet never removes"
	}
	return text
}

// busy tells whether something is being done on m or left to do without anybody's help.
func (m *member) busy() bool {
	return m.prepare.running || m.status.running || !m.idle()
}

// attempts is how often work is tried before `run --once` takes a failure for a fact.
const attempts = 3

// stuck tells whether nothing more will happen until a person does something: the source is refused or out of reach, or
// every member has converged, is out of reach, keeps failing, or holds what will not become healthy.
func (l *Loop) stuck() bool {
	if l.source.fetchErr != nil || len(l.source.refused) > 0 || len(l.schedule.errs) > 0 {
		return l.toldForge()
	}
	if l.wish == nil || l.wish.Revision.Commit != l.source.head.Commit {
		held := l.source.held != "" && (!l.source.asking || l.reviews.tracing.failures >= attempts)
		return l.source.render.failures >= attempts || held
	}
	for _, m := range l.members {
		if m.pending() {
			return false
		}
	}
	// A provider that wants to come back only after so long waits for a person, or for a limit that is not its own.
	if after := l.services.after; l.services.provide.running || after > 0 && after < lastRetry {
		return false
	}
	return l.toldHub(l.Report()) && l.toldForge()
}

// pending tells whether m may still make progress by itself.
func (m *member) pending() bool {
	switch {
	case m.opening:
		return true
	case m.conn == nil || m.state.Phase == fleet.Unreachable || refusedClaim(m.claim):
		return false
	case m.state.Phase != fleet.Ready || m.claim != nil || m.prepare.running || m.status.running:
		return true
	case max(m.laneFailures(), m.prepare.failures, m.status.failures) >= attempts:
		return false
	case m.suspended:
		return false
	case !m.live.Complete || !m.observed.Synced || !m.idle() || len(m.statuses) > 0:
		return true
	}
	for o := range m.live.Objects.All() {
		if o.Health.Status == apply.InProgress {
			return true
		}
	}
	return m.terminating() != ""
}
