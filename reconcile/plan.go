package reconcile

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// planMembers decides what each member lacks and starts the executors.
func (l *Loop) planMembers(now time.Time) {
	l.judgeReadiness()
	var open []*member
	for _, m := range l.sortedMembers() {
		if m.conn == nil {
			continue
		}
		l.trackKinds(m)
		if l.mayPlan(m, now) {
			open = append(open, m)
		}
	}
	if l.stale.schedule { // tracking showed inventories that the schedule does not know
		l.again = true
		return
	}
	for _, m := range open {
		if !m.suspended {
			l.sweep(m, now)
		}
		l.plan(m, now)
	}
	if l.guardRemovals(now) {
		for _, m := range open {
			l.plan(m, now)
		}
	}
	for _, m := range open {
		for n := range Lanes {
			if !m.lanes[n].running {
				l.startLane(m, n, now)
			}
		}
	}
}

// mayPlan tells whether anything may be done on m now.
func (l *Loop) mayPlan(m *member, now time.Time) bool {
	if m.state.Phase != fleet.Ready {
		m.prepared = false
		m.prepare.succeeded()
		return false
	}
	if m.claim != nil {
		for i := range m.lanes {
			m.lanes[i].stop()
		}
		return false
	}
	if !m.suspended {
		l.startPrepare(m, now)
	}
	return (m.prepared || m.lacks != nil || m.suspended) && !l.schedule.conflicts[m.name]
}

// plan brings m's plan up to date, when anything that it depends on has changed. A lane whose executor runs keeps its part:
// what that changes is not all visible yet, and m is planned again when it is done. While the bulk lane runs, every moment
// shows something new of its own doing: then only a new wish, new imports or the end of an execution are reasons to plan.
func (l *Loop) plan(m *member, now time.Time) {
	asked := l.asksForPlan(m)
	at, held := m.plan.Wake()
	seen := !m.fresh || held && !now.Before(at)
	if !asked && (!seen || m.lanes[Bulk].running) {
		return
	}
	m.plannedFor, m.version, m.fresh, m.replan, m.told = l.wish, l.version, true, false, nil
	m.sets = l.tenant(m, l.wish).sets(l.wish, l.schedule, l.guard.held)
	m.plan = apply.Diff(m.name, m.sets, m.live, now)
	m.removals = part(m.plan, Bulk).Removals() // what services need comes and goes by itself
	for n := range Lanes {
		if !m.lanes[n].running {
			m.lanes[n].plan = part(m.plan, n)
		}
	}
}

// asksForPlan tells whether m must be planned again whatever runs.
func (l *Loop) asksForPlan(m *member) bool {
	return m.replan || m.version != l.version || m.plannedFor != l.wish
}

// startPrepare installs what gitfleet needs on m: once when it is reached, and again when its services cannot be
// watched, which happens when somebody removed the definitions. A failure keeps nothing else from being applied.
func (l *Loop) startPrepare(m *member, now time.Time) {
	if m.prepared && m.observed.Synced || !m.prepare.ready(now) {
		return
	}
	start(m.ctx, l, &m.prepare, m.conn.Prepare, func(err error) {
		m.told = nil
		known := errorText(m.lacks)
		m.prepared, m.lacks = err == nil, err
		if err == nil {
			m.prepare.failures = 0
			m.prepare.retryAt = time.Now().Add(settle)
			return
		}
		if m.ctx.Err() == nil && known != err.Error() {
			l.opt.Log.Warn("member lacks what gitfleet needs, will be tried again", "member", m.name, "error", err)
		}
		m.prepare.failed(time.Now())
		m.doubt(err, m.prepare.failures)
	})
}

// trackKinds asks for a watch on every kind that the wish brings to m.
func (l *Loop) trackKinds(m *member) {
	if m.trackedFor == l.version && m.tracked != nil && sameTargets(m.trackedImports, m.imports) {
		return
	}
	m.trackedImports = m.imports
	m.trackedFor = l.version
	if m.rules != l.wish.rules {
		m.rules = l.wish.rules
		m.conn.UseHealthRules(m.rules)
		l.look(m)
	}
	kinds := map[schema.GroupVersionKind]bool{}
	for _, set := range l.schedule.targets[m.name] {
		for _, o := range set.Objects {
			kinds[o.GroupVersionKind()] = true
		}
	}
	for _, o := range m.imports {
		kinds[o.GroupVersionKind()] = true
	}
	sorted := slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupVersionKind) int {
		return cmp.Compare(a.String(), b.String())
	})
	if m.tracked != nil && slices.Equal(sorted, m.tracked) {
		return
	}
	m.tracked = append([]schema.GroupVersionKind{}, sorted...)
	m.conn.Track(sorted)
	l.look(m) // no longer complete when a kind is new
}

// sameTargets tells whether two lists are one.
func sameTargets(a, b []*apply.Target) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// doubt has m listed anew when a write was refused again because something exists, or changed, that m does not show. The
// first time that may be a change on its way; after that what is shown is wrong, or somebody else writes all the time,
// which listing anew does not help, so it is done more and more rarely.
func (m *member) doubt(err error, failures int) {
	var fenced *apply.FencedError
	powerOfTwo := failures&(failures-1) == 0
	if failures > 1 && powerOfTwo && (errors.As(err, &fenced) || apierrors.IsAlreadyExists(err)) {
		m.conn.Relist()
	}
}
