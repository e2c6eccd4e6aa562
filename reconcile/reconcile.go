// Package reconcile is the loop: observe, decide, act, report. It is the only package that knows all stages.
//
// One goroutine owns every piece of state and makes every decision. Whatever can block (fetching, rendering, applying,
// publishing) runs in workers on immutable inputs and comes back as an event; there are no locks. Nothing that is decided
// is remembered for its own sake: each step starts again from the wish in Git and from what the members show, so the
// process can be stopped at any line.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// Repository is where the wish comes from. Fetch may block on the network; Last and Snapshot read the local cache.
type Repository interface {
	// Fetch brings the newest revision into the cache. On an error the last good revision stays available.
	Fetch(ctx context.Context) (source.Revision, error)
	// Last returns the newest revision in the cache, also after a restart.
	Last() (source.Revision, bool)
	// Snapshot returns the tree of a revision in the cache.
	Snapshot(rev source.Revision) (source.Snapshot, error)
	// Confirmations returns the plan digests that the messages of the commits up to commit, and after since, confirm. Without
	// since, or when the cache does not hold it, that is the commit itself with what it merged.
	Confirmations(ctx context.Context, since, commit string) ([]string, error)
	// MistypedConfirmations returns the lines of the same messages that look like confirmations and are none.
	MistypedConfirmations(ctx context.Context, since, commit string) ([]string, error)
}

// Builder turns a snapshot into objects. Author errors come as render.ManifestErrors, all at once.
type Builder interface {
	Build(ctx context.Context, snap source.Snapshot, paths []string) ([]render.Object, error)
}

// Member is one cluster. The observing methods return what is known without a request; Prepare, Apply and WriteStatuses
// block, and each is called by one goroutine at a time.
type Member interface {
	State() fleet.State
	// Moved tells that the member's API server is another one now, so that it must be closed and opened anew.
	Moved() bool
	Resources() (r fleet.Resources, known bool)
	// Claim returns nil while this process is the one that manages the member for its source, and otherwise why it is not,
	// or not yet.
	Claim() error
	// Track asks for these kinds to be watched, from now on and besides those that the inventory names.
	Track(kinds []schema.GroupVersionKind)
	// UseHealthRules has the health of objects judged by these rules.
	UseHealthRules(rules *apply.HealthRules)
	Live() apply.Live
	// Doubt has objects verified by a dry run, each for a reason: Live shows them as doubted until that is done.
	Doubt(refs map[api.Ref]string)
	// Services returns what the member shows of services; with recall also what it shows of others' endpoints.
	Services(recall bool) mcs.Observed
	// Prepare installs what gitfleet itself needs on the member. It makes no request when that is in place.
	Prepare(ctx context.Context) error
	// Apply is called by one goroutine at a time for each lane.
	Apply(ctx context.Context, lane Lane, plan apply.Plan) apply.Result
	WriteStatuses(ctx context.Context, writes []mcs.StatusWrite) error
	// Preview asks what a change of a set would come to, and writes nothing. It may be called concurrently, with everything.
	Preview(ctx context.Context, set apply.Set, change apply.Change) (apply.Preview, error)
	// Relist makes everything be listed anew, because what is shown cannot be what the member holds.
	Relist()
	Close()
}

// Fleet opens members by name. An error tells the operator what is missing; opening is tried again.
type Fleet interface {
	// Open never blocks. source names where the wish comes from: what the member is claimed for. changed is called, from any goroutine, whenever what the member's observing methods return may have
	// changed; it does not block either.
	Open(name, source string, changed func()) (Member, error)
}

// Hub is where status is published for kubectl. Publish makes no request when nothing differs.
type Hub interface {
	// Claim returns nil while this process is the one that publishes there, and otherwise why it is not, or not yet. HubChanged
	// tells when it may answer otherwise. Two that publish would overwrite each other's status for ever.
	Claim() error
	Publish(ctx context.Context, desired *render.Desired, r report.Report) error
}

// Options is everything the loop is wired with.
type Options struct {
	Repository   Repository
	Builder      Builder
	Fleet        Fleet
	Visits       []string // members to open besides those that the wish registers: for who only looks, and claims nothing
	Store        *Store
	Hub          Hub             // nil without a hub
	HubChanged   <-chan struct{} // holds a token when the hub may show something else than was published
	Provider     mcs.Provider    // nil without load balancers
	ServiceLease time.Duration   // how long the endpoints of a member out of sight are handed on to others; 0 for ever
	Paths        []string        // directories of the repository to render; empty for all of it
	TakeOver     bool            // inventories of other sources are taken over
	Confinements []Confinement   // whose rights the placements of a directory have
	Interval     time.Duration   // between two looks at the repository
	// SourceChanged holds a token when the repository may have changed, so that it is looked at now; nil when nothing tells.
	SourceChanged <-chan struct{}
	Verify        time.Duration   // in which every object is verified by a dry run once; 0 for never
	Threshold     apply.Threshold // how much may be deleted before a person must confirm it
	Forge         report.Forge    // nil where nobody is told about commits
	Statuses      StatusOptions
	Reviews       ReviewOptions
	Log           *slog.Logger
}

// Loop is one running reconciler.
type Loop struct {
	opt    Options
	events chan func()
	work   sync.WaitGroup
	status atomic.Pointer[report.Report]

	// Everything below belongs to the goroutine of Run.
	started   time.Time
	stepped   time.Time // when the loop last decided
	source    sourceState
	wish      *wish // in force; nil until a first revision rendered
	members   map[string]*member
	memory    memory
	memoryErr error     // why it is not saved
	unsaved   time.Time // when words in it that are not saved yet will be; zero when all are
	schedule  schedule
	services  services
	guard     guard
	unready   map[string]string // placements that others wait for, with why they are not ready
	drift     map[driftKey]report.Drift

	toldCommit string // the commit that the log was last told has converged

	// What must be decided anew, because something that it depends on has changed. Everything else stays: an event costs
	// what it concerns, not what the fleet holds.
	stale   staleness
	news    bool // of the repository: reported at once, lest an old report be taken for one about the new commit
	again   bool // there is something to decide that this step has found out too late
	version int  // counts changes of what all members' plans depend on

	requests []request // for a look ahead
	forge    forge
	takenUp  bool // what commits show is no longer only what the process before said
	reviews  reviews

	publish    worker
	published  string // digest of the report that was last published
	hubShows   string // the same, unless the hub changed since
	hubLeft    bool   // to another process, or for want of a permission
	publishErr error
}

// staleness says what must be decided anew.
type staleness struct {
	schedule bool // where the placements go
	services bool // what the members export
	report   bool
}

// New returns a loop that Run starts.
func New(opt Options) *Loop {
	l := &Loop{opt: opt, events: make(chan func(), 64), members: map[string]*member{}, memory: opt.Store.load(), drift: map[driftKey]report.Drift{}}
	for _, name := range opt.Visits { // who only looks cannot know, and one that is out of reach now most likely answered before
		m := l.memory.Members[name]
		m.Reached = true
		l.memory.Members[name] = m
	}
	l.status.Store(&report.Report{})
	return l
}

// Report returns the newest report. It may be called from any goroutine.
func (l *Loop) Report() report.Report { return *l.status.Load() }

// gather is the least time between two steps, so that a burst of watch events costs few decisions. What comes alone is
// decided on at once.
const gather = 20 * time.Millisecond

// tellEvery is the least time between two reports. A report says everything about the whole fleet.
const tellEvery = 200 * time.Millisecond

// ErrNotConverged is what RunOnce returns when the fleet did not reach the wish.
var ErrNotConverged = errors.New("not converged")

// Run reconciles until ctx ends. It returns after every worker has stopped; what was begun can be continued by any later
// run.
func (l *Loop) Run(ctx context.Context) {
	l.run(ctx, func(report.Report) bool { return false })
}

// RunOnce reconciles until the fleet has converged on the newest revision, or until nothing more will happen without a
// person. It returns an error wrapping ErrNotConverged in the second case and when ctx ends.
func (l *Loop) RunOnce(ctx context.Context) error {
	l.run(ctx, func(r report.Report) bool {
		return l.source.looked && (r.Converged && l.toldHub(r) && l.toldForge() || l.stuck())
	})
	if r := l.Report(); !r.Converged || r.HubErr != "" || r.ForgeErr != "" {
		return ErrNotConverged
	}
	return nil
}

func (l *Loop) run(parent context.Context, done func(report.Report) bool) {
	ctx, stop := context.WithCancel(parent)
	defer l.shutdown(stop)
	l.started = time.Now()
	l.startSource(ctx)
	l.forward(ctx, l.opt.HubChanged, func() { l.hubShows = "" })
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-alarm.C:
		case fold := <-l.events:
			fold()
			l.foldWaiting(ctx)
		}
		if l.step(ctx, time.Now()) && done(l.Report()) {
			return
		}
		if at, ok := l.due(); ok {
			alarm.Reset(time.Until(at))
		} else {
			alarm.Stop()
		}
	}
}

// due returns when the loop must decide again although nothing happened: the first retry, held repair or report.
func (l *Loop) due() (first time.Time, ok bool) {
	if l.again {
		return l.stepped, true
	}
	consider := func(at time.Time) {
		// What was due at the last step has had its chance.
		if at.After(l.stepped) && (!ok || at.Before(first)) {
			first, ok = at, true
		}
	}
	if l.stale.report {
		consider(l.Report().Time.Add(tellEvery))
	}
	if l.opt.Hub != nil {
		consider(l.Report().Time.Truncate(heard).Add(heard))
	}
	if !l.schedule.wake.IsZero() {
		consider(l.schedule.wake)
	}
	if at, ok := l.statusesDue(); ok {
		consider(at)
	}
	consider(l.forge.quiet)
	consider(l.unsaved)
	if at, ok := l.reviewsDue(); ok {
		consider(at)
	}
	if l.opt.Hub != nil && l.published == "" || l.guard.waiting || len(l.requests) > 0 || !l.takenUp {
		consider(l.started.Add(acquaintance))
	}
	consider(l.services.resolution.Wake)
	if !l.services.provide.running && !l.services.relist.IsZero() {
		consider(later(l.services.relist, l.services.provide.retryAt))
	}
	if l.schedule.pending != "" {
		consider(l.acquaintedBy())
	}
	workers := []*worker{&l.source.render, &l.services.provide, &l.publish, &l.forge.tell, &l.forge.talk, &l.reviews.poll, &l.reviews.work, &l.reviews.tracing}
	for _, m := range l.members {
		workers = append(workers, &m.open, &m.prepare, &m.status)
		for i := range m.lanes {
			workers = append(workers, &m.lanes[i].worker)
		}
		if at, held := m.plan.Wake(); held {
			consider(at)
		}
		if at, due := m.sweeper.Wake(); due {
			consider(at)
		}
	}
	for _, w := range workers {
		if !w.running {
			consider(w.retryAt)
		}
	}
	return first, ok
}

// foldWaiting folds what arrives until the next step may be taken.
func (l *Loop) foldWaiting(ctx context.Context) {
	timer := time.NewTimer(time.Until(l.stepped.Add(gather)))
	defer timer.Stop()
	for {
		select {
		case fold := <-l.events:
			fold()
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// step decides what has to be decided anew and starts whatever work follows. It reports whether there is a new report.
func (l *Loop) step(ctx context.Context, now time.Time) (told bool) {
	l.stepped, l.stale.report, l.again = now, true, false
	l.settleDispute(now)
	l.startRender(ctx, now)
	if l.wish != nil {
		l.openMembers(ctx, now)
		l.observe(now)
		l.askClaims()
		l.lookAround(now)
		l.decide(now)
		l.resolveServices(ctx, now)
		l.remember(now) // before anything is done about it
		l.planMembers(now)
	} else {
		l.openRemembered(ctx, now)
	}
	l.answerRequests(now)
	l.review(ctx, now)
	if !l.tells(now) {
		return false
	}
	l.stale.report, l.news = false, false
	r := l.buildReport(now)
	l.recordCommits(r)
	r.Commits = l.seenCommits()
	l.status.Store(&r)
	l.tellConverged(r)
	l.publishReport(ctx, r)
	l.tellForge(ctx, now)
	return true
}

// tells whether this step ends in a report.
func (l *Loop) tells(now time.Time) bool {
	return l.news || now.Sub(l.Report().Time) >= tellEvery
}

// tellConverged tells the log once that a commit is in place everywhere.
func (l *Loop) tellConverged(r report.Report) {
	if r.Converged && l.toldCommit != r.Applied.Commit {
		l.toldCommit = r.Applied.Commit
		l.opt.Log.Info("converged: everything is in place and healthy", "commit", r.Applied.Commit)
	}
}

// remember keeps the memory for the next start. Failing to is reported and hurts nobody now.
func (l *Loop) remember(now time.Time) {
	var err error
	l.unsaved, err = l.opt.Store.keep(l.memory, now)
	l.tellMemory(err)
}

// tellMemory notes whether the memory is saved, and tells the log once when it is not.
func (l *Loop) tellMemory(err error) {
	if err != nil && errorText(l.memoryErr) != err.Error() {
		l.opt.Log.Warn("the memory for the next start is not saved, will be tried again", "error", err)
	}
	l.memoryErr = err
}

// post hands an event to the loop. It blocks while the loop is busy and gives up when ctx ends.
func (l *Loop) post(ctx context.Context, fold func()) {
	select {
	case l.events <- fold:
	case <-ctx.Done():
	}
}

// shutdown stops the workers, waits for them and closes the members.
func (l *Loop) shutdown(stop context.CancelFunc) {
	stop()
	l.work.Wait()
	if l.wish != nil {
		l.tellMemory(l.opt.Store.save(l.memory, time.Now()))
	}
	for _, m := range l.members {
		l.work.Go(m.close)
	}
	l.work.Wait()
}
