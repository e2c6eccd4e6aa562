package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// concurrency is how many objects of one stage are in flight at once on one member. With 8 an API server spends a fifth more
// processor time an object than with 16 to 32, since each wake-up serves fewer requests. 24 is half of the 49 seats that its
// default flow control has for clients without a priority level of their own
// (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/: 20 of 245 shares of 600 seats).
const concurrency = 24

// recordLimit is how long an execution that was cancelled may still take to write down what it has done.
const recordLimit = 5 * time.Second

// Executor carries out plans on one member. It is used by one goroutine at a time.
type Executor struct {
	session  *fleet.Session
	observer *Observer
	recorded map[string]string // resourceVersion of our last write to a parent, by Set name
	patience time.Duration     // how long watches may take to show what was written
	mute     bool              // the last event was denied, and that was said
}

// NewExecutor returns an executor on the member of s, which o observes.
func NewExecutor(s *fleet.Session, o *Observer) *Executor {
	return &Executor{session: s, observer: o, recorded: map[string]string{}, patience: catchUpLimit}
}

// Execute carries out plan and reports on every change in it. It may be stopped after any request, by ctx or by the
// process ending: what it leaves behind is settled by the next plan, because every object is in an inventory before it is
// created and until it is gone.
//
// The stages of all Sets advance together, so that one Set's namespaces are there before another Set's objects. A failing
// object stops nothing but itself; a failing inventory stops its Set; an unreachable member or the end of ctx stops all.
// After the end of ctx no object is written any more, but the inventories are, within seconds, with what was: else the next
// plan would have to confirm every object. Execute returns when the observer shows what was written, or after some seconds.
func (e *Executor) Execute(ctx context.Context, plan apply.Plan) apply.Result {
	x := &execution{Executor: e, began: time.Now(), result: apply.Result{
		Cluster: plan.Cluster, Outcomes: map[string][]apply.Outcome{}, Errs: map[string]error{}}}
	for _, p := range plan.Sets {
		if p.Err != nil {
			x.result.Errs[p.Set.Name] = p.Err
			continue
		}
		x.sets = append(x.sets, newSetRun(p))
	}
	x.eachSet(ctx, x.widen)
	for stage := range apply.Stages {
		x.applyStage(ctx, stage)
	}
	for stage := apply.Stages - 1; stage >= 0; stage-- {
		x.pruneStage(ctx, stage)
	}
	longer, cancel := outlive(ctx, recordLimit)
	defer cancel()
	x.eachSet(longer, x.record)
	var g errgroup.Group
	g.Go(func() error { x.sendEvents(longer); return nil })
	e.observer.catchUp(longer, e.patience, x.writes)
	_ = g.Wait() // what could not be told is in the outcomes
	return x.finish(ctx)
}

// outlive returns a context that ends d after ctx does, or when cancel is called, which it must be.
func outlive(ctx context.Context, d time.Duration) (longer context.Context, cancel func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			end(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		end(nil)
	}
}

// execution is one run of one plan.
type execution struct {
	*Executor
	began time.Time
	sets  []*setRun

	mu     sync.Mutex
	result apply.Result
	writes []written
	events []event // to be sent
	halt   error   // why nothing more is sent
}

// setRun is what has become of one Set so far. Only the execution's own goroutine touches it outside of note.
type setRun struct {
	plan    apply.SetPlan
	before  map[api.Ref]apply.Item
	stored  *apply.Parent             // the parent as it is on the member now; nil when there is none
	stopped bool                      // the inventory could not be written
	done    map[api.Ref]apply.Item    // items of applied objects, with what their answers said
	failed  map[api.Ref]apply.Outcome // changes that did not succeed, or were not tried
}

func newSetRun(p apply.SetPlan) *setRun {
	s := &setRun{plan: p, stored: p.Before, before: map[api.Ref]apply.Item{}, done: map[api.Ref]apply.Item{}, failed: map[api.Ref]apply.Outcome{}}
	if p.Before != nil {
		for _, it := range p.Before.Items {
			s.before[it.Ref] = it
		}
	}
	return s
}

// eachSet runs do for every Set that is not stopped, and stops it when that fails.
func (x *execution) eachSet(ctx context.Context, do func(context.Context, *setRun) error) {
	for _, s := range x.sets {
		if s.stopped {
			continue
		}
		err := x.halted(ctx)
		if err == nil {
			err = do(ctx, s)
			x.haltOn(err)
		}
		if err != nil {
			s.stopped = true
			x.result.Errs[s.plan.Set.Name] = err
		}
	}
}

// step is one change with the Set it belongs to.
type step struct {
	set    *setRun
	change apply.Change
}

func (x *execution) applyStage(ctx context.Context, stage int) {
	var steps []step
	for _, s := range x.sets {
		for _, changes := range s.plan.Stages {
			steps = appendStage(steps, s, changes, stage)
		}
	}
	x.run(ctx, steps, x.apply)
	x.awaitDefinitions(ctx, steps)
}

func (x *execution) pruneStage(ctx context.Context, stage int) {
	var steps []step
	for _, s := range x.sets {
		steps = appendStage(steps, s, s.plan.Prune, stage)
	}
	// Namespaces first: what is in them cannot be listed while definitions of kinds go.
	isDefinition := func(st step) bool { return apply.IsDefinition(st.change.Ref.GroupKind()) }
	x.run(ctx, slices.DeleteFunc(slices.Clone(steps), isDefinition), x.prune)
	x.run(ctx, slices.DeleteFunc(steps, func(st step) bool { return !isDefinition(st) }), x.prune)
}

func appendStage(steps []step, s *setRun, changes []apply.Change, stage int) []step {
	for _, c := range changes {
		if !s.stopped && apply.StageOf(c.Ref.GroupKind()) == stage {
			steps = append(steps, step{s, c})
		}
	}
	return steps
}

// run carries out steps concurrently and notes what became of each.
func (x *execution) run(ctx context.Context, steps []step, do func(context.Context, step) (apply.Outcome, error)) {
	var g errgroup.Group
	g.SetLimit(concurrency)
	for _, st := range steps {
		g.Go(func() error {
			err := x.halted(ctx)
			out := apply.Outcome{Ref: st.change.Ref, Action: st.change.Action}
			if err == nil {
				out, err = do(ctx, st)
				x.haltOn(err)
			}
			out.Err = err
			x.note(st, out)
			return nil
		})
	}
	_ = g.Wait() // every error is in an outcome
}

func (x *execution) note(st step, out apply.Outcome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if out.Err != nil {
		st.set.failed[st.change.Ref] = out
	}
	name := st.set.plan.Set.Name
	x.result.Outcomes[name] = append(x.result.Outcomes[name], out)
}

// halted returns why nothing more may be sent.
func (x *execution) halted(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.halt
}

// haltOn ends the execution when err tells that the member cannot be reached: every further request would fail alike.
func (x *execution) haltOn(err error) {
	unreachable, ok := errors.AsType[*fleet.UnreachableError](err)
	if !ok {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.halt = unreachable
}

// wrote notes a write for catchUp.
func (x *execution) wrote(w written) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writes = append(x.writes, w)
}

// finish returns the result, sorted. A Set that the end of ctx left unfinished has stopped, though it was recorded.
func (x *execution) finish(ctx context.Context) apply.Result {
	for _, s := range x.sets {
		cut := func(out apply.Outcome) bool {
			return errors.Is(out.Err, context.Cause(ctx)) || errors.Is(out.Err, ctx.Err())
		}
		name := s.plan.Set.Name
		if ctx.Err() != nil && x.result.Errs[name] == nil && slices.ContainsFunc(x.result.Outcomes[name], cut) {
			x.result.Errs[name] = x.halted(ctx)
		}
	}
	for _, outcomes := range x.result.Outcomes {
		apply.SortOutcomes(outcomes)
	}
	return x.result
}

// item returns what the inventory of a Set holds of an object before this execution.
func (s *setRun) item(ref api.Ref) apply.Item { return s.before[ref] }
