// Package providertest is the contract of mcs.Provider, as tests that run against any implementation. A case sees what the
// loop sees: observations are resolved, what a provider wants on members stands there, and plans are carried out until there
// is nothing left to do. What is behind a load balancer, and how it is reached, is the provider's own affair.
package providertest

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/gitfleet/gitfleet/mcs"
)

// Subject is a kind of provider under test.
type Subject struct {
	// Open starts a provider as a process that has just been started finds it: what the provider before it did in the same case may
	// still be in place, if load balancers of this kind outlive a process. It is closed when the case is over.
	Open func(t *testing.T) mcs.Provider
	// Close ends what Open started, as when a process ends; nil when there is nothing to end.
	Close func(mcs.Provider)
}

// Run runs every case.
func Run(t *testing.T, s Subject) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"NothingWanted", nothingWanted},
		{"OneComesChangesGoes", comesChangesGoes},
		{"ChangesConverge", changesConverge},
		{"OnlyWhatDiffersIsPlanned", onlyWhatDiffers},
		{"PlanIsPure", planIsPure},
		{"ApplyTwiceIsHarmless", applyTwice},
		{"StateIsTheCallersOwn", stateIsTheCallersOwn},
		{"ServedOrTold", servedOrTold},
		{"NamesakesDoNotMeet", namesakes},
		{"LosingSightIsNotLosingLife", losingSight},
		{"MemberLeaves", memberLeaves},
		{"Restart", restart},
		{"CanceledApply", canceledApply},
		{"ManyAtOnce", manyAtOnce},
		{"ObjectsFitTheirMembers", objectsFit},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, s)
			c.test(t, w)
		})
	}
}

// world is a fleet, and a process with the provider under test.
type world struct {
	*fleet
	t       *testing.T
	subject Subject
	p       mcs.Provider
}

func newWorld(t *testing.T, s Subject) *world {
	w := &world{fleet: newFleet(), t: t, subject: s, p: s.Open(t)}
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	if w.subject.Close != nil {
		w.subject.Close(w.p)
	}
}

// restart ends the process and starts another one.
func (w *world) restart() {
	w.close()
	w.p = w.subject.Open(w.t)
}

// resolve is what all members come to now, after they have taken in what the provider wants on them.
func (w *world) resolve() mcs.Resolution {
	for range 4 { // an object may need another one to be there, or the status of one to be written
		r := mcs.Resolve(w.observed(), mcs.Terms{Properties: w.p.Properties()}, w.now)
		told := w.tell(r.Statuses(w.list(), w.now))
		if !w.take(w.p.Objects(r)) && !told {
			return r
		}
	}
	w.t.Fatal("what the provider wants on members is never the same twice")
	panic("not reached")
}

func (w *world) list() mcs.State {
	w.t.Helper()
	state, err := w.p.List(w.t.Context())
	if err != nil {
		w.t.Fatalf("listing: %v", err)
	}
	return state
}

func (w *world) plan() mcs.Plan {
	w.t.Helper()
	return w.p.Plan(w.resolve(), w.list())
}

func (w *world) apply(p mcs.Plan) mcs.State {
	w.t.Helper()
	state, err := w.p.Apply(w.t.Context(), p)
	if err != nil {
		w.t.Fatalf("applying %s: %v", words(p), err)
	}
	return state
}

// converge makes cycles until a plan is empty. It returns what is in place, and every change on the way.
func (w *world) converge() (mcs.State, []mcs.Change) {
	w.t.Helper()
	var done []mcs.Change
	for range 5 { // an address that comes later is a cycle of its own
		r := w.resolve()
		plan := w.p.Plan(r, w.list())
		w.checkPlan(plan)
		if len(plan.Changes) == 0 {
			state := w.list()
			w.checkState(r, state)
			return state, done
		}
		done = append(done, plan.Changes...)
		state := w.apply(plan)
		if listed := w.list(); !reflect.DeepEqual(listed, state) {
			w.t.Fatalf("applied to %+v, listed right away as %+v", state, listed)
		}
	}
	w.t.Fatalf("does not come to rest: still to do is %s", words(w.plan()))
	return nil, nil
}

// checkPlan wants a plan that a person can read, in which every load balancer has one step.
func (w *world) checkPlan(p mcs.Plan) {
	w.t.Helper()
	seen := map[mcs.LoadBalancerKey]bool{}
	last := ""
	for _, c := range p.Changes {
		key := c.LoadBalancer.Key()
		if seen[key] {
			w.t.Errorf("%s has two steps in %s", key, words(p))
		}
		seen[key] = true
		if at := fmt.Sprintf("%s\x00%s\x00%s", key.Namespace, key.Name, key.Member); at < last {
			w.t.Errorf("not sorted: %s", words(p))
		} else {
			last = at
		}
		if c.Reason == "" {
			w.t.Errorf("no reason for %s %s", c.Action, key)
		}
	}
}

// checkState wants everything in place that is asked for, and nothing else that somebody can be seen not to ask for.
func (w *world) checkState(r mcs.Resolution, state mcs.State) {
	w.t.Helper()
	wanted := map[mcs.LoadBalancerKey]bool{}
	for _, lb := range r.LoadBalancers {
		wanted[lb.Key()] = true
		if _, ok := state[lb.Key()]; !ok {
			w.t.Errorf("%s is wanted, not planned and not in place", lb.Key())
		}
	}
	for key := range state {
		if !wanted[key] && len(r.Unsynced) == 0 {
			w.t.Errorf("%s is in place and nobody asks for it", key)
		}
	}
}

func words(p mcs.Plan) string {
	var out []string
	for _, c := range p.Changes {
		out = append(out, fmt.Sprintf("%s %s: %s", c.Action, c.LoadBalancer.Key(), c.Reason))
	}
	return fmt.Sprintf("%q", out)
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
