package reconcile

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

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
	shown    bool // observed was complete once
	recalls  bool // observed holds what it imported from others

	tracked        []schema.GroupVersionKind // kinds of the wish that are being watched
	rules          *apply.HealthRules        // by which it judges health
	trackedFor     int                       // the version that tracked is for
	trackedImports []*apply.Target           // the imports that tracked is for
	suspended      bool                      // Git asks for nothing to be changed
	claim          error                     // why this process does not manage the member
	imports        []*apply.Target           // what services need on it
	// importsKnown tells that imports is all of it: else what services brought there is left alone.
	importsKnown bool
	sets         []apply.Set // what plan is for
	plannedFor   *wish       // the wish that plan is for
	version      int         // the version that plan is for
	fresh        bool        // plan was made from what the member shows now
	replan       bool        // plan is to be made again whatever runs
	plan         apply.Plan  // what is left to do, for all lanes
	removals     int         // objects that plan deletes or would
	lanes        [Lanes]lane

	sweeper     sweeper
	inventories int // counts changes of the inventories

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
	for _, name := range l.opt.Visits {
		if !registered[name] {
			registered[name] = true
			l.member(ctx, name, now)
		}
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
	remembered.Reached = remembered.Reached || m.state.Phase == fleet.Ready
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
