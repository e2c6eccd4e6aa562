package apply

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// TestDiffOfAnything makes up clusters and wishes, and asserts what must hold of every plan.
func TestDiffOfAnything(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(600) {
		s := madeUp(rand.New(rand.NewPCG(seed, 7)))
		plan := Diff("aks-1", s.targets, s.live, storyTime)
		again := Diff("aks-1", s.shuffled(seed), s.live, storyTime)
		paths := cmp.Comparer(func(a, b fieldpath.Path) bool { return a.Equals(b) })
		if diff := cmp.Diff(plan, again, paths); diff != "" {
			t.Fatalf("seed %d: the order of the input shows (-sorted +shuffled):\n%s", seed, diff)
		}
		if plan.Empty() != (plan.Steps() == "") {
			t.Errorf("Empty() = %v of a plan with the steps\n%s", plan.Empty(), plan.Steps())
		}
		for _, p := range plan.Sets {
			checkPlan(t, s, p)
		}
		for line := range strings.Lines(plan.String()) {
			seen[strings.Fields(line)[2]] = true
		}
		s.converges(t)
		if t.Failed() {
			t.Fatalf("seed %d, the first plan was\n%s", seed, plan)
		}
	}
	for _, word := range []string{"widen", "create", "update", "delete", "hold", "wait", "narrow", "remove", "rewrite"} {
		if !seen[word] {
			t.Errorf("nothing that was made up led to a step %q", word)
		}
	}
}

// pool is what made up clusters consist of. Later ones are in higher waves and depend on earlier ones, so that nothing
// waits in a circle.
const pool = 12

func madeUp(r *rand.Rand) story {
	s := newStory()
	names := []string{"web", "db", "shop"}
	before, after := map[string]*Set{}, map[string]*Set{}
	for _, name := range names {
		before[name] = &Set{Name: name, Revision: "aaaaaaa1", PolicyDigest: "policy"}
		after[name] = &Set{Name: name, Revision: "bbbbbbb2", PolicyDigest: []string{"policy", "another"}[r.IntN(2)]}
	}
	wave := func(i int) int { return i/4 + r.IntN(2) - i%4/3 }
	var wanted []api.Ref
	for i := range pool {
		home := names[r.IntN(len(names))]
		d := api.Directives{Wave: i/4 - 1}
		if r.IntN(3) > 0 {
			old := d
			old.Wave += wave(i) - i/4 // waves may have been others
			before[home].Objects = append(before[home].Objects, madeUpTarget(i, 1, old))
		}
		if r.IntN(4) == 0 {
			home = names[r.IntN(len(names))]
		}
		if r.IntN(4) == 0 {
			continue
		}
		for _, ref := range wanted {
			if r.IntN(8) == 0 {
				d.DependsOn = append(d.DependsOn, api.Dependency{Object: ref})
			}
		}
		if r.IntN(10) == 0 {
			d.DependsOn = append(d.DependsOn, api.Dependency{Placement: "elsewhere"})
		}
		target := madeUpTarget(i, 1+r.IntN(2), d)
		wanted = append(wanted, target.Ref)
		after[home].Objects = append(after[home].Objects, target)
	}
	for _, name := range names {
		if len(before[name].Objects) > 0 {
			s.applied(*before[name])
		}
		s.targets = append(s.targets, madeUpDirections(r, *after[name]))
	}
	s.happen(r)
	return s
}

func madeUpTarget(i, version int, d api.Directives) *Target {
	group, kind := "v1", "ConfigMap"
	if i%3 == 0 {
		group, kind = "apps/v1", "Deployment"
	}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group, "kind": kind, "data": int64(version),
		"metadata": map[string]any{"namespace": "one", "name": fmt.Sprintf("n%02d", (i*5)%pool)}}}
	return NewTarget(render.Object{Unstructured: u, Directives: d}, nil)
}

func madeUpDirections(r *rand.Rand, set Set) Set {
	set.Suspended = r.IntN(6) == 0
	if r.IntN(6) == 0 {
		set.HoldRemovals = "too many"
	}
	if r.IntN(6) == 0 {
		set.DependsOn = []string{"elsewhere"}
	}
	if r.IntN(2) == 0 {
		set.Unready = map[string]string{"elsewhere": "on aks-2: not applied"}
	}
	return set
}

// happen does something to about every other object.
func (s *story) happen(r *rand.Rand) {
	for _, set := range s.targets {
		for i, it := range s.live.Parents[set.Name].Items {
			lo, _ := s.live.Objects.Get(it.Ref)
			switch r.IntN(18) {
			case 0:
				lo.EntryHash = "fewer fields"
			case 1:
				lo.EntryHash = ""
			case 2:
				lo.UID = "another uid"
			case 3:
				lo.Deleting = true
			case 4:
				lo.Deleting, lo.Finalizers = true, "example.com/slow"
			case 5:
				lo.Health = Health{InProgress, "1 of 2"}
			case 6:
				lo.Health = Health{Failed, "stalled"}
			case 7:
				s.live.Doubts[it.Ref] = "verified by the sweep"
			case 8:
				lo.EntryHash = "fewer fields"
				s.live.Repairs[it.Ref] = Repair{Count: 4, Last: storyTime.Add(-time.Second)}
			case 9:
				s.live.Parents[set.Name].Items[i].UID = ""
			case 10:
				s.live.Parents[set.Name].Items[i].UID = ""
				fallthrough
			case 11:
				s.live.Objects = s.live.Objects.Without(it.Ref)
				continue
			case 12:
				lo.AppliedHash = "an older one"
			}
			s.live.Objects = s.live.Objects.With(&lo)
		}
	}
}

// checkPlan asserts of the plan of one Set what Diff promises, as directly as it can be said.
func checkPlan(t *testing.T, s story, p SetPlan) {
	t.Helper()
	if p.Set.Suspended {
		if p.writes() || p.Widen || len(p.Stages)+len(p.Prune)+len(p.Held) > 0 {
			t.Errorf("%s is suspended and is written", p.Set.Name)
		}
		return
	}
	for _, c := range slices.Concat(p.Stages...) {
		checkChange(t, s, p.Set, c)
	}
	for _, c := range p.Prune {
		item, listed := p.Before.find(c.Ref)
		if _, _, wanted := s.wants(c.Ref); wanted || !listed {
			t.Errorf("%s deletes %s, wanted %v, listed %v", p.Set.Name, c.Ref, wanted, listed)
		}
		if p.Set.HoldRemovals != "" && (item.UID != "" || c.Live.UID != "") {
			t.Errorf("%s deletes %s although a person must confirm it", p.Set.Name, c.Ref)
		}
		for lo := range s.live.Objects.All() {
			if _, _, wanted := s.wants(lo.Ref); lo.SetID == SetID(p.Set.Name) && !wanted && c.Live.UID != "" && lo.Wave > c.Live.Wave {
				t.Errorf("%s deletes %s of wave %d before %s of wave %d", p.Set.Name, c.Ref, c.Live.Wave, lo.Ref, lo.Wave)
			}
		}
	}
	if !slices.IsSortedFunc(p.Waits, func(a, b Wait) int { return a.Ref.Compare(b.Ref) }) {
		t.Errorf("the waits of %s are not sorted: %v", p.Set.Name, p.Waits)
	}
	for _, w := range p.Waits {
		if w.Reason == "" || w.Confirm && (w.Action != Delete || p.Set.HoldRemovals == "") {
			t.Errorf("%s: a wait that does not tell what it is: %+v", p.Set.Name, w)
		}
	}
}

func checkChange(t *testing.T, s story, set Set, c Change) {
	t.Helper()
	_, target, _ := s.wants(c.Ref)
	lo, seen := s.live.Objects.Get(c.Ref)
	if c.Repair || seen && lo.SetID == SetID(set.Name) && lo.AppliedHash == target.Hash {
		return // not Git moved
	}
	if _, unready := set.Unready["elsewhere"]; unready && (len(set.DependsOn) > 0 ||
		slices.Contains(target.Directives.DependsOn, api.Dependency{Placement: "elsewhere"})) {
		t.Errorf("%s %s before a placement is ready", c.Action, c.Ref)
	}
	for _, other := range set.Objects {
		if other.Directives.Wave < target.Directives.Wave && !s.inPlace(other.Ref) {
			t.Errorf("%s %s of wave %d before %s of wave %d is in place", c.Action, c.Ref, target.Directives.Wave, other.Ref, other.Directives.Wave)
		}
	}
	for _, dep := range target.Directives.DependsOn {
		if dep.Placement == "" && !s.inPlace(dep.Object) {
			t.Errorf("%s %s before %s is in place", c.Action, c.Ref, dep.Object)
		}
	}
	for _, other := range s.targets {
		if other.Suspended && seen && lo.SetID == SetID(other.Name) {
			t.Errorf("%s is taken from %s, which is suspended", c.Ref, other.Name)
		}
	}
}

// wants finds who wants an object.
func (s story) wants(ref api.Ref) (set string, target *Target, wanted bool) {
	for _, set := range s.targets {
		for _, o := range set.Objects {
			if o.Ref == ref {
				return set.Name, o, true
			}
		}
	}
	return "", nil, false
}

func (s story) inPlace(ref api.Ref) bool {
	set, target, _ := s.wants(ref)
	lo, _ := s.live.Objects.Get(ref)
	return lo.SetID == SetID(set) && lo.AppliedHash == target.Hash && !lo.Deleting && lo.Health.Status == Current
}
