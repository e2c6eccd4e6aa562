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
	"github.com/gitfleet/gitfleet/report"
)

// member is one cluster as the loop knows it.
type member struct {
	name    string
	ctx     context.Context // ends when the member leaves the registry
	gone    context.CancelFunc
	conn    Member // nil until it could be opened
	open    worker // only its delay is used: opening does not block
	source  string // what it was opened for
	opening bool   // the member before in its place is not closed yet
	err     error  // why it could not be opened

	prepare  worker
	prepared bool  // what gitfleet needs is in place, as far as was seen since the member was last reached
	lacks    error // why it is not

	dirty    bool // something was seen since the last observation
	state    fleet.State
	live     apply.Live
	deleting []apply.LiveObject // of live: what is being deleted of ours, the longest first
	observed mcs.Observed

	tracked    []schema.GroupVersionKind // kinds of the wish that are being watched
	rules      *apply.HealthRules        // by which it judges health
	trackedFor int                       // the version that tracked is for
	suspended  bool                      // Git asks for nothing to be changed
	claim      error                     // why this process does not manage the member
	imports    []*apply.Target           // what services need on it
	sets       []apply.Set               // what plan is for
	plannedFor *wish                     // the wish that plan is for
	version    int                       // the version that plan is for
	fresh      bool                      // plan was made from what the member shows now
	replan     bool                      // plan is to be made again whatever runs
	plan       apply.Plan                // what is left to do, for all lanes
	removals   int                       // objects that plan deletes or would
	lanes      [Lanes]lane

	swept       apply.Sweep
	sweeping    bool // swept has begun
	inventories int  // counts changes of the inventories
	sweptFor    int  // the count that swept is for

	told map[string]report.PlacementOnCluster // what is reported of each placement here; nil when it must be said anew

	statuses  []mcs.StatusWrite // what its statuses lack, without times
	written   []mcs.StatusWrite // the same when they were last written
	status    worker
	statusErr error
}

// close gives m up once nothing that was begun on it is under way any more.
func (m *member) close() {
	m.prepare.pieces.Wait()
	m.status.pieces.Wait()
	for i := range m.lanes {
		m.lanes[i].pieces.Wait()
	}
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
		phase, outdated, observed := m.state.Phase, errorText(m.state.Outdated), m.observed
		m.dirty, m.state, m.observed = false, m.conn.State(), m.conn.Services()
		l.look(m)
		if m.state.Phase != phase || !reflect.DeepEqual(m.observed, observed) {
			l.stale.services = true
		}
		if now := errorText(m.state.Outdated); now != outdated && now != "" {
			l.opt.Log.Warn("credentials cannot be renewed, the ones from before stay in use", "member", m.name, "error", m.state.Outdated)
		} else if now != outdated {
			l.opt.Log.Info("credentials are as their files say again", "member", m.name)
		}
		switch {
		case m.state.Phase == phase:
		case m.state.Phase == fleet.Unreachable:
			l.opt.Log.Warn("member is out of reach, the others go on", "member", m.name, "error", m.state.Err)
		case m.state.Phase == fleet.Ready:
			l.opt.Log.Info("member is reached", "member", m.name, "version", m.state.Version)
		}
	}
}

// look takes what m holds now.
func (l *Loop) look(m *member) {
	before := m.live
	m.live, m.fresh, m.told = m.conn.Live(), false, nil
	m.deleting = nil
	for _, o := range m.live.Objects {
		if o.Deleting && !o.Controlled {
			m.deleting = append(m.deleting, o)
		}
	}
	slices.SortFunc(m.deleting, func(a, b apply.LiveObject) int {
		return cmp.Or(a.DeletingSince.Compare(b.DeletingSince), a.Ref.Compare(b.Ref))
	})
	if m.live.ParentsSynced != before.ParentsSynced || !samePlaces(m.live.Parents, before.Parents) {
		l.stale.schedule = true
	}
	if !maps.EqualFunc(m.live.Parents, before.Parents, func(a, b apply.Parent) bool { return a.ResourceVersion == b.ResourceVersion }) {
		m.inventories++
	}
}

// askClaims finds out which members this process may change.
func (l *Loop) askClaims() {
	for _, m := range l.members {
		if m.conn == nil {
			continue
		}
		err := m.conn.Claim()
		if errorText(err) == errorText(m.claim) {
			continue
		}
		var claimed *apply.ClaimedError
		var denied *apply.RefusedError
		if errors.As(err, &denied) {
			l.opt.Log.Warn("member is not changed as long as it cannot be claimed", "member", m.name, "error", err)
		} else if errors.As(err, &claimed) {
			l.opt.Log.Error("another gitfleet manages this member, which is left to it", "member", m.name, "error", err)
		} else if errors.As(m.claim, &claimed) && err == nil {
			l.opt.Log.Info("this gitfleet manages the member now", "member", m.name)
		}
		m.claim, m.told, l.stale.services = err, nil, true
	}
}

// errUnclaimed is the claim on a member that nobody has asked about yet.
var errUnclaimed = errors.New("not claimed yet")

// samePlaces tells whether two sets of inventories say the same about where placements are.
func samePlaces(a, b map[string]apply.Parent) bool {
	return maps.EqualFunc(a, b, func(x, y apply.Parent) bool { return x.PolicyDigest == y.PolicyDigest && x.Source == y.Source })
}

// openMembers opens the registered members and lets go of those that are registered no more. What the latter hold stays
// where it is: taking a cluster out of the registry is not a wish to empty it.
func (l *Loop) openMembers(ctx context.Context, now time.Time) {
	registered := map[string]bool{}
	for _, r := range l.wish.Members {
		registered[r.Name] = true
		m := l.member(ctx, r.Name, now)
		m.suspended = r.Directives.Suspend
		l.rememberMember(m, now)
	}
	for name, m := range l.members {
		if !registered[name] {
			delete(l.members, name)
			delete(l.memory.Members, name)
			l.stale.schedule, l.stale.services = true, true
			m.gone()
			l.work.Go(m.close)
		}
	}
}

// openRemembered opens the members of the last run while the wish is still being rendered: a restart is the sooner over.
// Nothing is done to them before the wish is there.
func (l *Loop) openRemembered(ctx context.Context, now time.Time) {
	if l.memory.Applied.Commit == "" {
		return
	}
	for name := range l.memory.Members {
		l.member(ctx, name, now)
	}
}

// member returns the member of that name, and opens it if that is due.
func (l *Loop) member(ctx context.Context, name string, now time.Time) *member {
	m := l.members[name]
	if m == nil {
		m = &member{name: name, claim: errUnclaimed}
		m.ctx, m.gone = context.WithCancel(ctx)
		l.members[name] = m
		l.stale.services = true
	}
	if m.conn != nil && (m.conn.Moved() || m.source != l.sourceName()) {
		m = l.reopen(ctx, m)
	}
	if m.conn == nil && !m.opening && m.open.ready(now) {
		l.openMember(m, now)
	}
	return m
}

// reopen lets go of m, and returns the member that takes its place once that is done. What m showed of services stays known:
// its pods live on, whoever is asked about them.
func (l *Loop) reopen(ctx context.Context, m *member) *member {
	fresh := &member{name: m.name, claim: errUnclaimed, suspended: m.suspended, opening: true, err: errReopened}
	fresh.ctx, fresh.gone = context.WithCancel(ctx)
	l.members[m.name] = fresh
	l.stale.schedule, l.stale.services = true, true
	remembered := l.memory.Members[m.name]
	if len(m.observed.Exports)+len(m.observed.Services) > 0 {
		last := m.observed
		last.Synced = false
		remembered.Services = &last
	}
	l.memory.Members[m.name] = remembered
	l.opt.Log.Info("member is opened anew", "member", m.name)
	m.gone()
	l.work.Go(func() {
		m.close()
		l.post(ctx, func() { fresh.opening = false })
	})
	return fresh
}

// errReopened is why a member is not open that is on its way back.
var errReopened = errors.New("its API server or its source is another one now, so it is opened anew")

func (l *Loop) openMember(m *member, now time.Time) {
	changed := make(chan struct{}, 1)
	conn, err := l.opt.Fleet.Open(m.name, l.sourceName(), func() {
		select {
		case changed <- struct{}{}:
		default: // the loop has not looked since the last change; it will see this one too
		}
	})
	if err != nil {
		if errorText(m.err) != err.Error() {
			l.opt.Log.Error("member cannot be opened, will be tried again", "member", m.name, "error", err)
		}
		m.err, m.told = err, nil
		m.open.failed(now)
		return
	}
	m.conn, m.source, m.err, m.dirty = conn, l.sourceName(), nil, true
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
	asked := m.replan || m.version != l.version || m.plannedFor != l.wish
	at, held := m.plan.Wake()
	seen := !m.fresh || held && !now.Before(at)
	if !asked && (!seen || m.lanes[Bulk].running) {
		return
	}
	m.plannedFor, m.version, m.fresh, m.replan, m.told = l.wish, l.version, true, false, nil
	m.sets = l.targetSets(m)
	m.plan = apply.Diff(m.name, m.sets, m.live, now)
	m.removals = part(m.plan, Bulk).Removals() // what services need comes and goes by itself
	for n := range Lanes {
		if !m.lanes[n].running {
			m.lanes[n].plan = part(m.plan, n)
		}
	}
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
	if m.trackedFor == l.version && m.tracked != nil {
		return
	}
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
