package reconcile

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
)

// member is one cluster as the loop knows it.
type member struct {
	name string
	conn Member // nil until it could be opened
	open worker
	err  error // why it could not be opened

	prepare  worker
	prepared bool  // what gitfleet needs is in place, as far as was seen since the member was last reached
	lacks    error // why it is not

	dirty    bool // something was seen since the last observation
	state    fleet.State
	live     apply.Live
	observed mcs.Observed

	tracked []schema.GroupVersionKind // kinds of the wish that are being watched
	plan    apply.Plan                // what is left to do
	apply   worker
	tried   string       // the plan that was last executed, as text
	result  apply.Result // and what became of it

	statuses  []mcs.StatusWrite // what its statuses lack
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
		m.dirty = false
		m.state, m.live, m.observed = m.conn.State(), m.conn.Live(), m.conn.Services()
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
			l.members[r.Name] = m
		}
		if m.conn == nil && m.open.ready(now) {
			l.openMember(ctx, m, now)
		}
		l.rememberMember(m, now)
	}
	for name, m := range l.members {
		if !registered[name] {
			delete(l.members, name)
			delete(l.memory.Members, name)
			m.apply.stop()
			m.status.stop()
			l.work.Go(m.close)
		}
	}
}

func (l *Loop) openMember(ctx context.Context, m *member, now time.Time) {
	changed := make(chan struct{}, 1)
	m.conn, m.err = l.opt.Fleet.Open(m.name, func() {
		select {
		case changed <- struct{}{}:
		default: // the loop has not looked since the last change; it will see this one too
		}
	})
	if m.err != nil {
		m.conn = nil
		l.opt.Log.Error("member cannot be opened", "member", m.name, "error", m.err)
		m.open.failed(now)
		return
	}
	m.dirty = true
	l.work.Go(func() {
		for {
			select {
			case <-changed:
				l.post(ctx, m.changed)
			case <-ctx.Done():
				return
			}
		}
	})
}

// changed folds that the member may show something new.
func (m *member) changed() {
	m.dirty = true
	if m.status.failures == 0 {
		m.status.retryAt = time.Time{} // what was written last may be what it shows
	}
}

func (l *Loop) rememberMember(m *member, now time.Time) {
	remembered := l.memory.Members[m.name]
	if remembered.Created.IsZero() {
		remembered.Created = now
	}
	if m.state.Phase == fleet.Unreachable && m.state.LastSeen.After(remembered.LastSeen) {
		remembered.LastSeen = m.state.LastSeen // only when it is lost: the file is not a heartbeat
	}
	l.memory.Members[m.name] = remembered
}

// planMembers decides what each member lacks and starts the executors.
func (l *Loop) planMembers(ctx context.Context, now time.Time) {
	if len(l.schedule.errs) > 0 {
		return
	}
	for _, m := range l.sortedMembers() {
		if m.conn == nil {
			continue
		}
		l.trackKinds(m)
		if m.state.Phase != fleet.Ready {
			m.prepared = false
			continue
		}
		l.startPrepare(ctx, m, now)
		if !m.prepared && m.lacks == nil {
			continue
		}
		if m.apply.running { // what it changes is not all visible yet; it is planned again when it is done
			continue
		}
		m.plan = apply.Diff(m.name, l.targetSets(m), m.live, now)
		l.startApply(ctx, m, now)
	}
}

// startPrepare installs what gitfleet needs on m: once when it is reached, and again when its services cannot be
// watched, which happens when somebody removed the definitions. A failure keeps nothing else from being applied.
func (l *Loop) startPrepare(ctx context.Context, m *member, now time.Time) {
	if m.prepared && m.observed.Synced || !m.prepare.ready(now) {
		return
	}
	start(ctx, l, &m.prepare, m.conn.Prepare, func(err error) {
		m.prepared, m.lacks = err == nil, err
		if err == nil {
			m.prepare.failures = 0
			m.prepare.retryAt = time.Now().Add(settle)
			return
		}
		if ctx.Err() == nil {
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
	m.live = m.conn.Live() // no longer complete when a kind is new
}

// startApply executes m's plan. The same plan is not tried again before its delay; a different one is at once.
func (l *Loop) startApply(ctx context.Context, m *member, now time.Time) {
	if m.plan.Empty() {
		m.apply.succeeded()
		m.tried, m.result = "", apply.Result{}
		return
	}
	text := m.plan.String()
	if text == m.tried && !m.apply.ready(now) {
		return
	}
	m.tried = text
	plan := m.plan
	l.opt.Log.Info("applying", "member", m.name, "changes", plan.Size())
	start(ctx, l, &m.apply, func(ctx context.Context) apply.Result { return m.conn.Apply(ctx, plan) },
		func(result apply.Result) { l.applied(ctx, m, result) })
}

// applied folds the result of a plan. Whatever it left undone shows in the next plan.
func (l *Loop) applied(ctx context.Context, m *member, result apply.Result) {
	m.dirty, m.result = true, result
	err := result.Err()
	switch {
	case err == nil:
		m.apply.succeeded()
	case m.apply.stopped:
		m.tried, m.result = "", apply.Result{} // the rest of it may be tried at once
	default:
		if ctx.Err() == nil {
			l.opt.Log.Warn("not everything was applied, will be tried again", "member", m.name, "error", err)
		}
		m.apply.failed(time.Now())
		m.doubt(err, m.apply.failures)
	}
}

// doubt has m listed anew when a write was refused again because something exists, or changed, that m does not show. The
// first time that may be a change on its way; after that what is shown is wrong.
func (m *member) doubt(err error, failures int) {
	var fenced *apply.FencedError
	if failures > 1 && (errors.As(err, &fenced) || apierrors.IsAlreadyExists(err)) {
		m.conn.Relist()
	}
}
