package reconcile

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
)

// member is one cluster as the loop knows it.
type member struct {
	name string
	ctx  context.Context // ends when the member leaves the registry
	gone context.CancelFunc
	conn Member // nil until it could be opened
	open worker // only its delay is used: opening does not block
	err  error  // why it could not be opened

	prepare  worker
	prepared bool  // what gitfleet needs is in place, as far as was seen since the member was last reached
	lacks    error // why it is not

	dirty    bool // something was seen since the last observation
	state    fleet.State
	live     apply.Live
	observed mcs.Observed

	tracked    []schema.GroupVersionKind // kinds of the wish that are being watched
	sets       []apply.Set               // what plan is for
	plannedFor *render.Desired           // the wish that plan is for
	fresh      bool                      // plan was made from what the member shows now
	plan       apply.Plan                // what is left to do
	apply      worker
	tried      string       // the plan that was last executed, as text
	result     apply.Result // and what became of it
	logged     string       // the last failure that was logged

	statuses  []mcs.StatusWrite // what its statuses lack, without times
	written   []mcs.StatusWrite // the same when they were last written
	status    worker
	statusErr error
}

func (m *member) close() {
	if m.conn != nil {
		m.conn.Close()
	}
}

// sortedMembers returns the members by name, so that every step does the same things in the same order.
func (l *Loop) sortedMembers() []*member {
	return slices.SortedFunc(maps.Values(l.members), func(a, b *member) int { return cmp.Compare(a.name, b.name) })
}

// observe takes what the members show since the last step.
func (l *Loop) observe() {
	for _, m := range l.members {
		if m.conn == nil || !m.dirty {
			continue
		}
		m.dirty, m.fresh = false, false
		before := m.state.Phase
		m.state, m.live, m.observed = m.conn.State(), m.conn.Live(), m.conn.Services()
		switch {
		case m.state.Phase == before:
		case m.state.Phase == fleet.Unreachable:
			l.opt.Log.Warn("member is out of reach, the others go on", "member", m.name, "error", m.state.Err)
		case m.state.Phase == fleet.Ready:
			l.opt.Log.Info("member is reached", "member", m.name, "version", m.state.Version)
		}
	}
}

// openMembers opens the registered members and lets go of those that are registered no more. What the latter hold stays
// where it is: taking a cluster out of the registry is not a wish to empty it.
func (l *Loop) openMembers(ctx context.Context, now time.Time) {
	registered := map[string]bool{}
	for _, r := range l.desired.Members {
		registered[r.Name] = true
		m := l.members[r.Name]
		if m == nil {
			m = &member{name: r.Name}
			m.ctx, m.gone = context.WithCancel(ctx)
			l.members[r.Name] = m
		}
		if m.conn == nil && m.open.ready(now) {
			l.openMember(m, now)
		}
		l.rememberMember(m, now)
	}
	for name, m := range l.members {
		if !registered[name] {
			delete(l.members, name)
			delete(l.memory.Members, name)
			m.gone()
			l.work.Go(m.close)
		}
	}
}

func (l *Loop) openMember(m *member, now time.Time) {
	changed := make(chan struct{}, 1)
	conn, err := l.opt.Fleet.Open(m.name, func() {
		select {
		case changed <- struct{}{}:
		default: // the loop has not looked since the last change; it will see this one too
		}
	})
	if err != nil {
		if errorText(m.err) != err.Error() {
			l.opt.Log.Error("member cannot be opened, will be tried again", "member", m.name, "error", err)
		}
		m.err = err
		m.open.failed(now)
		return
	}
	m.conn, m.err, m.dirty = conn, nil, true
	l.forward(m.ctx, changed, func() { m.dirty = true })
}

// forward folds an event for every token in changed, until ctx ends.
func (l *Loop) forward(ctx context.Context, changed <-chan struct{}, fold func()) {
	l.work.Go(func() {
		for {
			select {
			case <-changed:
				l.post(ctx, fold)
			case <-ctx.Done():
				return
			}
		}
	})
}

func (l *Loop) rememberMember(m *member, now time.Time) {
	remembered := l.memory.Members[m.name]
	if remembered.Created.IsZero() {
		remembered.Created = now
	}
	if m.state.Phase == fleet.Unreachable && m.state.LastSeen.After(remembered.LastSeen) {
		remembered.LastSeen = m.state.LastSeen // only when it is lost: the file is not a heartbeat
	}
	switch seen := len(m.observed.Exports)+len(m.observed.Services) > 0; {
	case m.state.Phase == fleet.Unreachable && seen:
		last := m.observed
		last.Synced, last.Problem = false, ""
		remembered.Services = &last
	case m.state.Phase == fleet.Ready && m.observed.Synced:
		remembered.Services = nil
	}
	l.memory.Members[m.name] = remembered
}

// planMembers decides what each member lacks and starts the executors.
func (l *Loop) planMembers(now time.Time) {
	for _, m := range l.sortedMembers() {
		if m.conn == nil {
			continue
		}
		l.trackKinds(m)
		if m.state.Phase != fleet.Ready {
			m.prepared = false
			m.prepare.succeeded()
			continue
		}
		l.startPrepare(m, now)
		if !m.prepared && m.lacks == nil {
			continue
		}
		// While an executor runs, what it changes is not all visible yet; the member is planned again when it is done.
		if !l.schedule.conflicts[m.name] && !m.apply.running {
			l.plan(m, now)
			l.startApply(m, now)
		}
	}
}

// plan brings m's plan up to date, when anything that it depends on has changed.
func (l *Loop) plan(m *member, now time.Time) {
	m.plannedFor = l.desired
	sets := l.targetSets(m)
	at, held := m.plan.Wake()
	if m.fresh && reflect.DeepEqual(sets, m.sets) && !(held && !now.Before(at)) {
		return
	}
	m.sets, m.fresh = sets, true
	m.plan = apply.Diff(m.name, sets, m.live, now)
}

// startPrepare installs what gitfleet needs on m: once when it is reached, and again when its services cannot be
// watched, which happens when somebody removed the definitions. A failure keeps nothing else from being applied.
func (l *Loop) startPrepare(m *member, now time.Time) {
	if m.prepared && m.observed.Synced || !m.prepare.ready(now) {
		return
	}
	start(m.ctx, l, &m.prepare, m.conn.Prepare, func(err error) {
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
	kinds := map[schema.GroupVersionKind]bool{}
	for _, set := range l.schedule.targets[m.name] {
		for _, o := range set.Objects {
			kinds[o.GroupVersionKind()] = true
		}
	}
	sorted := slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupVersionKind) int {
		return cmp.Compare(a.String(), b.String())
	})
	if slices.Equal(sorted, m.tracked) {
		return
	}
	m.tracked = sorted
	m.conn.Track(sorted)
	m.fresh = false
	m.live = m.conn.Live() // no longer complete when a kind is new
}

// startApply executes m's plan. The same plan is not tried again before its delay; a different one is at once.
func (l *Loop) startApply(m *member, now time.Time) {
	if m.plan.Empty() {
		if m.live.Complete { // else it is empty for want of knowledge
			m.apply.succeeded()
			m.tried, m.result, m.logged = "", apply.Result{}, ""
		}
		return
	}
	text := m.plan.String()
	if text == m.tried && !m.apply.ready(now) {
		return
	}
	if changes := m.plan.Size(); changes > 0 && text != m.tried {
		l.opt.Log.Info("applying", "member", m.name, "changes", changes)
	}
	m.tried = text
	plan := m.plan
	start(m.ctx, l, &m.apply, func(ctx context.Context) apply.Result { return m.conn.Apply(ctx, plan) },
		func(result apply.Result) { l.applied(m, result) })
}

// applied folds the result of a plan. Whatever it left undone shows in the next plan.
func (l *Loop) applied(m *member, result apply.Result) {
	m.dirty, m.result = true, result
	err := result.Err()
	if err == nil {
		m.apply.succeeded()
		return
	}
	if m.ctx.Err() == nil && m.logged != err.Error() {
		m.logged = err.Error()
		l.opt.Log.Warn("not everything was applied, will be tried again", "member", m.name, "error", err)
	}
	m.apply.failed(time.Now())
	m.doubt(err, m.apply.failures)
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
