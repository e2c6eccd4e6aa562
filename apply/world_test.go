package apply

import (
	"maps"
	"slices"
	"testing"

	"github.com/gitfleet/gitfleet/api"
)

// world is a cluster in memory that does at once what it is told.
type world struct {
	t    *testing.T
	live Live
}

// settle carries plans out until there is nothing to do.
func (w *world) settle(targets []Set) {
	w.t.Helper()
	var plan Plan
	for range 12 {
		for lo := range w.live.Objects.All() {
			if lo.Deleting && lo.Finalizers == "" {
				w.live.Objects = w.live.Objects.Without(lo.Ref)
			}
		}
		if plan = Diff("aks-1", targets, w.live, storyTime); plan.Empty() {
			return
		}
		w.execute(plan)
	}
	w.t.Fatalf("does not come to rest: still\n%s", plan)
}

// recover lets everything become healthy, and what is being deleted go.
func (w *world) recover() {
	for lo := range w.live.Objects.All() {
		lo.Health, lo.Finalizers = current(), ""
		w.live.Objects = w.live.Objects.With(&lo)
	}
}

// execute does to the world what an executor does to a cluster.
func (w *world) execute(plan Plan) {
	w.live.Parents, w.live.Doubts = maps.Clone(w.live.Parents), maps.Clone(w.live.Doubts)
	for _, p := range plan.Sets {
		if p.Err == nil {
			w.executeSet(p)
		}
	}
}

func (w *world) executeSet(p SetPlan) {
	after := p.After
	after.Items = slices.Clone(after.Items)
	for _, stage := range p.Stages {
		for _, c := range stage {
			target := p.Set.Objects[slices.IndexFunc(p.Set.Objects, func(t *Target) bool { return t.Ref == c.Ref })]
			it, lo := appliedObject(p.Set.Name, target)
			lo.AppliedHash = c.Target.Hash
			if old, ok := w.live.Objects.Get(c.Ref); ok {
				lo.UID, it.UID = old.UID, old.UID
			}
			w.live.Objects = w.live.Objects.With(&lo)
			delete(w.live.Doubts, c.Ref)
			i := slices.IndexFunc(after.Items, func(it Item) bool { return it.Ref == c.Ref })
			if i < 0 {
				w.t.Fatalf("%s is written and not listed afterwards:\n%+v", c.Ref, after.Items)
			}
			after.Items[i] = it
		}
	}
	for _, c := range p.Prune {
		w.live.Objects = w.live.Objects.Without(c.Ref)
	}
	w.live.Parents[p.Set.Name] = after
	if p.Remove {
		delete(w.live.Parents, p.Set.Name)
	}
}

// holds asserts that everything that targets want is there, listed, and labelled for its Set, and that nothing else is
// listed.
func (w *world) holds(targets []Set) {
	w.t.Helper()
	for _, set := range targets {
		for _, o := range set.Objects {
			if lo, ok := w.live.Objects.Get(o.Ref); !ok || lo.SetID != SetID(set.Name) || lo.AppliedHash != o.Hash {
				w.t.Errorf("%s is not what %s wants: %+v", o.Ref, set.Name, lo)
			}
		}
		var listed, wanted []api.Ref
		for _, it := range w.live.Parents[set.Name].Items {
			listed = append(listed, it.Ref)
		}
		for _, o := range set.Objects {
			wanted = append(wanted, o.Ref)
		}
		slices.SortFunc(wanted, api.Ref.Compare)
		if !slices.Equal(listed, wanted) {
			w.t.Errorf("the inventory of %s lists %v, want %v", set.Name, listed, wanted)
		}
	}
}
