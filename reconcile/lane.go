package reconcile

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/apply"
)

// Lane is one of the ways to a member, each with an executor of its own, so that endpoints do not wait behind a thousand
// Deployments.
type Lane int

// The lanes.
const (
	Endpoints Lane = iota // what multi-cluster services need
	Bulk                  // what placements bring
	Lanes                 // how many there are
)

// String names the lane as logs do.
func (n Lane) String() string { return [Lanes]string{"endpoints", "placements"}[n] }

// laneOf tells which lane a Set takes.
func laneOf(set string) Lane {
	if set == servicesSet {
		return Endpoints
	}
	return Bulk
}

// lane is what one executor of a member has to do and did last.
type lane struct {
	worker
	plan   apply.Plan   // what is left to do; while the executor runs: what it does
	tried  string       // the plan that was last executed, as text
	wish   string       // digest of the wish that it was for
	result apply.Result // and what became of it
	logged string       // the last failure that was logged
}

// part returns what p holds for one lane.
func part(p apply.Plan, n Lane) apply.Plan {
	p.Sets = slices.DeleteFunc(slices.Clone(p.Sets), func(s apply.SetPlan) bool { return laneOf(s.Set.Name) != n })
	return p
}

// startLane executes a lane's plan. The same plan is not tried again before its delay; a different one is at once.
func (l *Loop) startLane(m *member, n Lane, now time.Time) {
	ln := &m.lanes[n]
	if ln.plan.Empty() {
		if m.live.Complete && (ln.tried != "" || ln.failures > 0) { // else it is empty for want of knowledge
			ln.succeeded()
			ln.tried, ln.result, ln.logged = "", apply.Result{}, ""
			m.told = nil
		}
		return
	}
	text := ln.plan.Steps()
	if text == ln.tried && !ln.ready(now) {
		return
	}
	if changes := ln.plan.Size(); changes > 0 && text != ln.tried {
		level := slog.LevelInfo
		if n == Endpoints { // which come and go all day
			level = slog.LevelDebug
		}
		l.opt.Log.Log(m.ctx, level, "applying", "member", m.name, "lane", n, "changes", changes)
	}
	ln.tried, ln.wish, m.told = text, l.schedule.digest, nil
	plan := ln.plan
	start(m.ctx, l, &ln.worker, func(ctx context.Context) apply.Result { return m.conn.Apply(ctx, n, plan) },
		func(result apply.Result) { l.applied(m, n, result) })
}

// applied folds the result of a plan. Whatever it left undone shows in the next plan.
func (l *Loop) applied(m *member, n Lane, result apply.Result) {
	ln := &m.lanes[n]
	m.dirty, m.replan, ln.result = true, true, result
	l.recordDrift(m, result)
	l.tellDeleted(m, result)
	l.guard.count(n, ln.wish, result)
	err := result.Err()
	if err == nil {
		ln.succeeded()
		return
	}
	if m.ctx.Err() == nil && ln.logged != err.Error() {
		ln.logged = err.Error()
		l.opt.Log.Warn("not everything was applied, will be tried again", "member", m.name, "error", err)
	}
	ln.failed(time.Now())
	m.doubt(err, ln.failures)
}

// tellDeleted names in the log what was deleted: nobody can look it up any more. What services brought is not worth a line.
func (l *Loop) tellDeleted(m *member, result apply.Result) {
	const most = 20
	for _, set := range slices.Sorted(maps.Keys(result.Outcomes)) {
		if laneOf(set) == Endpoints {
			continue
		}
		n := 0
		for _, o := range result.Outcomes[set] {
			if o.Action != apply.Delete || o.Err != nil {
				continue
			}
			if n++; n <= most {
				l.opt.Log.Info("deleted", "member", m.name, "placement", set, "object", o.Ref, "note", o.Note)
			}
		}
		if n > most {
			l.opt.Log.Info("deleted more", "member", m.name, "placement", set, "objects", n-most)
		}
	}
}

// idle tells whether no executor runs on m and nothing is left for one.
func (m *member) idle() bool {
	for i := range m.lanes {
		if m.lanes[i].running || !m.lanes[i].plan.Empty() {
			return false
		}
	}
	return true
}

// laneFailures returns how often in a row the worse lane has failed.
func (m *member) laneFailures() (most int) {
	for i := range m.lanes {
		most = max(most, m.lanes[i].failures)
	}
	return most
}
