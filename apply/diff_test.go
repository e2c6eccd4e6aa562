package apply

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// configMaps returns n targets in as many waves, all of one version of the wish.
func configMaps(n int, version string) []*Target {
	var out []*Target
	for i := range n {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"key": version},
			"metadata": map[string]any{"namespace": "one", "name": fmt.Sprintf("c%03d", i)}}}
		out = append(out, NewTarget(render.Object{Unstructured: u, Directives: api.Directives{Wave: i}}, nil))
	}
	return out
}

func TestWavesWriteTheInventoryOnceMoreThanThereAreWaves(t *testing.T) {
	s := newStory()
	s.targets = []Set{{Name: "web", Revision: "aaaaaaa1", Objects: configMaps(4, "1")}}
	w := world{t, s.live}
	var widened int
	for wave := range 4 {
		plan := Diff("aks-1", s.targets, w.live, storyTime)
		if plan.Size() != 1 || len(plan.Waits("web")) != 3-wave || !plan.Touches("web") {
			t.Fatalf("wave %d: the plan is\n%swant one object of it, and the others to wait", wave, plan)
		}
		if plan.Sets[0].Widen {
			widened++
		}
		w.execute(plan)
		if n := len(w.live.Parents["web"].Items); n != 4 {
			t.Errorf("after wave %d the inventory lists %d objects, want all 4", wave, n)
		}
	}
	if widened != 1 {
		t.Errorf("the inventory was widened %d times, want once: each is a write", widened)
	}
	if plan := Diff("aks-1", s.targets, w.live, storyTime); len(plan.Sets) > 0 {
		t.Errorf("after all waves there is left\n%s", plan)
	}
}

func TestWhatWaitsStaysAsItIsListed(t *testing.T) {
	s := newStory()
	s.applied(Set{Name: "web", Revision: "aaaaaaa1", PolicyDigest: "policy", Objects: configMaps(3, "1")})
	after := configMaps(3, "2")
	after[2].Version = "v2"
	s.targets = []Set{{Name: "web", Revision: "bbbbbbb2", PolicyDigest: "policy", Objects: after}}
	plan := Diff("aks-1", s.targets, s.live, storyTime)
	if len(plan.Sets) != 1 || len(plan.Sets[0].Waits) != 2 {
		t.Fatalf("the plan is\n%swant two waits", plan)
	}
	if got := plan.Sets[0].After.Items[2]; got != plan.Sets[0].Before.Items[2] {
		t.Errorf("an object that is not applied with v2 yet will be listed as %+v", got)
	}
	s.targets[0].Unready, s.targets[0].DependsOn = map[string]string{"db": "not applied"}, []string{"db"}
	lo, _ := s.live.Objects.Get(after[0].Ref)
	lo.AppliedHash, lo.EntryHash = after[0].Hash, "fewer fields"
	s.live.Objects = s.live.Objects.With(&lo)
	plan = Diff("aks-1", s.targets, s.live, storyTime)
	if len(plan.Sets) != 1 || plan.Size() != 1 || plan.Sets[0].After.Revision != "aaaaaaa1" {
		t.Errorf("while all that the commit changes waits, a repair is no reason to record the commit: %+v\n%s", plan.Sets[0].After, plan)
	}
}

func TestSuspendedSetIsNotWrittenForItsPolicyEither(t *testing.T) {
	s := newStory()
	s.applied(Set{Name: "web", Revision: "aaaaaaa1", PolicyDigest: "policy", Objects: configMaps(2, "1")})
	set := Set{Name: "web", Revision: "bbbbbbb2", PolicyDigest: "another", Source: "elsewhere", Objects: configMaps(2, "1")}
	if plan := Diff("aks-1", []Set{set}, s.live, storyTime); plan.Empty() {
		t.Fatal("another policy is recorded when the Set is not suspended; else this test shows nothing")
	}
	set.Suspended = true
	if plan := Diff("aks-1", []Set{set}, s.live, storyTime); len(plan.Sets) > 0 {
		t.Errorf("a suspended Set of which every object is in place: the plan is\n%s%+v", plan, plan.Sets[0].After)
	}
	set.Objects = nil
	plan := Diff("aks-1", []Set{set}, s.live, storyTime)
	if !plan.Empty() || len(plan.Waits("web")) != 2 || plan.Removals() != 0 {
		t.Errorf("a suspended Set leaves the cluster: the plan is\n%swant it to wait, and no removals that need a word", plan)
	}
}

func TestChangeTellsWhatIsGivenAway(t *testing.T) {
	replicas := fieldpath.MakePathOrDie("spec", "replicas")
	u := object(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 2}}")
	target := NewTarget(render.Object{Unstructured: u, Directives: api.Directives{Recreate: true}},
		[]api.IgnoreRule{{Kind: schema.GroupKind{Group: "apps", Kind: "Deployment"}, Path: replicas}})
	plan := Diff("aks-1", []Set{{Name: "web", Objects: []*Target{target}}}, newStory().live, storyTime)
	c := plan.Sets[0].Stages[0][0]
	if len(c.HandOut) != 1 || !c.HandOut[0].Equals(replicas) || !c.Recreate {
		t.Errorf("the change is %+v, want .spec.replicas given away, and leave to recreate", c)
	}
}

func TestRemovals(t *testing.T) {
	s := newStory()
	s.applied(Set{Name: "web", Revision: "aaaaaaa1", Objects: configMaps(5, "1")})
	never := s.live.Parents["web"].Items[4]
	s.live.Parents["web"].Items[4].UID = ""
	s.live.Objects = s.live.Objects.Without(never.Ref)
	set := Set{Name: "web", Revision: "bbbbbbb2", Objects: configMaps(1, "2")}
	for _, reason := range []string{"", "confirm it"} {
		set.HoldRemovals = reason
		plan := Diff("aks-1", []Set{set}, s.live, storyTime)
		if plan.Removals() != 3 {
			t.Errorf("%d removals, want 3, whether they are planned, wait for higher waves or for a word:\n%s", plan.Removals(), plan)
		}
	}
}

func TestTooMany(t *testing.T) {
	rows := []struct {
		reason           string
		removals, listed int
		limit            Threshold
		want             bool
	}{
		{"nothing to delete", 0, 0, Threshold{}, false},
		{"a large part of little", 20, 20, Threshold{}, false},
		{"half", 50, 100, Threshold{}, false},
		{"more than half", 51, 100, Threshold{}, true},
		{"more than half of what just counts", 11, 21, Threshold{}, true},
		{"many, though not in proportion", 101, 10000, Threshold{}, true},
		{"just not many", 100, 10000, Threshold{}, false},
		{"another number", 11, 10000, Threshold{Objects: 10}, true},
		{"another part", 60, 100, Threshold{Percent: 60}, false},
		{"another least", 50, 60, Threshold{Least: 60}, false},
	}
	for _, row := range rows {
		if got := TooMany(row.removals, row.listed, row.limit); got != row.want {
			t.Errorf("%s: TooMany(%d, %d, %+v) = %v", row.reason, row.removals, row.listed, row.limit, got)
		}
	}
}

// TestKinds: each version of a kind must be watched once, in whatever inventory it stands.
func TestKinds(t *testing.T) {
	item := func(group, version, kind, name string) Item {
		return Item{Ref: api.Ref{Group: group, Kind: kind, Name: name}, Version: version}
	}
	got := Kinds(map[string]Parent{
		"a": {Items: []Item{item("", "v1", "Namespace", "x"), item("apps", "v1", "Deployment", "a"), item("apps", "v1", "Deployment", "b")}},
		"b": {Items: []Item{item("apps", "v1", "Deployment", "a"), item("apps", "v1beta1", "Deployment", "c"), item("apps", "v2", "DaemonSet", "a")}},
		"c": {},
	})
	want := []schema.GroupVersionKind{{Version: "v1", Kind: "Namespace"}, {Group: "apps", Version: "v2", Kind: "DaemonSet"},
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1beta1", Kind: "Deployment"}}
	if !slices.Equal(got, want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}

// TestWake: the first of the repairs that are held back is the moment to look again, whichever set it is of.
func TestWake(t *testing.T) {
	at := func(m int) Held { return Held{Until: storyTime.Add(time.Duration(m) * time.Minute)} }
	if at, ok := (Plan{Sets: []SetPlan{{}}}).Wake(); ok {
		t.Errorf("a plan that holds nothing wakes at %s", at)
	}
	p := Plan{Sets: []SetPlan{{Held: []Held{at(5), at(3)}}, {}, {Held: []Held{at(4), at(2), at(9)}}}}
	if got, ok := p.Wake(); !ok || got != at(2).Until {
		t.Errorf("wakes at %s, %t; want %s", got, ok, at(2).Until)
	}
	if !p.Empty() {
		t.Error("a plan that only holds back has something to execute")
	}
}

// TestInventoryThatDoesNotFitStopsItsSetOnly: nothing is written under an inventory that could not list it.
func TestInventoryThatDoesNotFitStopsItsSetOnly(t *testing.T) {
	live := Live{Complete: true, ParentsSynced: true}
	big := configMaps(4000, "1")
	for _, o := range big {
		o.Ref.Name += strings.Repeat("x", 249)
	}
	plan := Diff("aks-1", []Set{{Name: "big", Objects: big}, {Name: "small", Objects: configMaps(1, "1")}}, live, storyTime)
	if len(plan.Sets) != 2 || !errors.Is(plan.Sets[0].Err, ErrInventoryTooLarge) || plan.Sets[1].Err != nil || plan.Size() != 1 {
		t.Fatalf("%d sets, %d changes; want the big one refused and the small one's object created", len(plan.Sets), plan.Size())
	}
	if got := plan.String(); !strings.HasPrefix(got, "aks-1 big: blocked: ") || strings.Count(got, "aks-1 big: ") != 1 {
		t.Errorf("the plan tells %.300q", got)
	}
}

func TestDiffLeavesItsInputAlone(t *testing.T) {
	s := newStory()
	s.applied(Set{Name: "web", Revision: "aaaaaaa1", Objects: configMaps(5, "1")})
	set := Set{Name: "web", Revision: "bbbbbbb2", Objects: configMaps(4, "2")}
	set.Objects[0], set.Objects[3] = set.Objects[3], set.Objects[0]
	first := set.Objects[0]
	items, objects := fmt.Sprint(s.live.Parents["web"].Items), allOf(s.live.Objects)
	Diff("aks-1", []Set{set}, s.live, storyTime)
	if set.Objects[0] != first || fmt.Sprint(s.live.Parents["web"].Items) != items || !maps.Equal(objects, allOf(s.live.Objects)) {
		t.Error("Diff sorted or changed what it was given")
	}
}
