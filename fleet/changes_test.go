package fleet

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestChanges(t *testing.T) {
	w := (&Session{ctx: t.Context()}).newWatch(WatchSpec{})
	key := func(name string) objectKey { return objectKey{"default", name} }
	_, start, whole := w.Changes(0)
	if !whole {
		t.Error("version 0 is answered with changes, though nobody knows what they are changes of")
	}
	var before uint64
	for _, step := range []struct {
		reason string
		do     func()
		want   []any
		whole  bool
	}{
		{"nothing has happened", func() {}, nil, false},
		{"one came, one changed", func() { w.set(key("a"), 1); w.set(key("b"), 1); w.set(key("a"), 2) }, []any{1, 1, 2}, false},
		{"the same again is no change", func() { w.set(key("a"), 2) }, nil, false},
		{"one went", func() { w.set(key("b"), nil) }, []any{2}, true},
		{"one changed after that", func() { w.set(key("a"), 3) }, []any{3}, false},
		{"a list came", func() { w.replace(map[objectKey]any{key("a"): 4}, 1) }, []any{4}, true},
		{"as much as is remembered", func() { setAll(w, changelogMax) }, numbers(changelogMax), false},
		{"one more", func() { w.replace(map[objectKey]any{}, 1); setAll(w, changelogMax+1) }, numbers(changelogMax + 1), true},
	} {
		since := max(start, before)
		step.do()
		kept, now, whole := w.Changes(since)
		if whole {
			slices.SortFunc(kept, func(a, b any) int { return a.(int) - b.(int) })
		}
		if diff := cmp.Diff(step.want, kept); diff != "" && len(step.want)+len(kept) > 0 || whole != step.whole {
			t.Errorf("%s: whole %t, want %t (-want +got):\n%s", step.reason, whole, step.whole, diff)
		}
		before = now
	}
	for i := range 2 * changelogMax {
		w.set(key("a"), -i)
	}
	_, now, _ := w.Changes(before)
	kept, _, _ := w.Changes(now - changelogMax)
	mine := slices.Clone(kept)
	w.set(key("a"), "later")
	if diff := cmp.Diff(mine, kept); diff != "" || len(kept) != changelogMax {
		t.Errorf("an answer changed when more happened (-was +is):\n%s", diff)
	}
	if _, _, whole := w.Changes(now + 1000); !whole {
		t.Error("a version that is yet to come is answered with changes")
	}
}

func setAll(w *Watch, n int) {
	for _, i := range numbers(n) {
		w.set(objectKey{"default", fmt.Sprint("n-", i)}, i)
	}
}

func numbers(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestFollowingChanges: who follows Changes, at whatever pace, knows what the watch holds.
func TestFollowingChanges(t *testing.T) {
	type kept struct {
		name  string
		value int
	}
	random := rand.New(rand.NewPCG(1, 2))
	w := (&Session{ctx: t.Context()}).newWatch(WatchSpec{})
	mine, version, short := map[string]kept{}, uint64(0), 0
	for range 5000 {
		k := kept{fmt.Sprint(random.IntN(20)), random.IntN(3)}
		switch key := (objectKey{"", k.name}); random.IntN(20) {
		case 0:
			w.replace(map[objectKey]any{key: k}, 1)
		case 1, 2:
			w.set(key, nil)
		default:
			w.set(key, k)
		}
		if random.IntN(8) > 0 {
			continue
		}
		objects, now, whole := w.Changes(version)
		if whole {
			mine = map[string]kept{}
		} else {
			short++
		}
		for _, o := range objects {
			mine[o.(kept).name] = o.(kept)
		}
		version = now
		for _, o := range w.Objects() {
			if mine[o.(kept).name] != o {
				t.Fatalf("%v, known as %v", o, mine[o.(kept).name])
			}
		}
		if len(mine) != len(w.Objects()) {
			t.Fatalf("%d objects, %d are known", len(w.Objects()), len(mine))
		}
	}
	if short < 50 {
		t.Errorf("only %d answers were changes", short)
	}
}

// TestSameness: what is called equal is what reflect.DeepEqual calls so.
func TestSameness(t *testing.T) {
	type plain struct {
		s string
		n [2]float64
		b struct{ on bool }
	}
	type since struct{ at time.Time }
	type boxed struct{ v any }
	type refers struct{ to *plain }
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	values := []any{nil, 1, int64(1), "a", "b", []string{"a"}, []string{"a"}, map[string]int{"a": 1}, map[string]int{"a": 1},
		plain{s: "a"}, plain{s: "a"}, plain{s: "b"}, plain{n: [2]float64{0, 1}}, plain{b: struct{ on bool }{true}}, &plain{s: "a"}, &plain{s: "a"}, &plain{s: "b"},
		refers{&plain{s: "a"}}, refers{&plain{s: "a"}}, refers{}, boxed{[]int{1}}, boxed{[]int{1}}, boxed{1}, since{now}, since{now}, since{now.Add(1)}}
	var s sameness
	for _, a := range values {
		for _, b := range values {
			if got, want := s.equal(a, b), reflect.DeepEqual(a, b); got != want {
				t.Errorf("%#v and %#v: equal is %t, want %t", a, b, got, want)
			}
		}
	}
	if isPlain(reflect.TypeFor[boxed]()) || isPlain(reflect.TypeFor[refers]()) || !isPlain(reflect.TypeFor[since]()) {
		t.Error("what == can compare is told wrongly")
	}
}

// TestReduceMetadata: metadata is reduced as it comes, from lists and from events.
func TestReduceMetadata(t *testing.T) {
	m := openMember(t)
	m.configMap("a")
	w := m.Watch(WatchSpec{
		Key: "metadata", Resource: configMaps, LabelSelector: "app=a", Metadata: true,
		ReduceMetadata: func(gvk schema.GroupVersionKind, o metav1.Object) any {
			if o.GetName() == "b" {
				return nil
			}
			return fmt.Sprint(gvk.GroupVersion(), " ", gvk.Kind, " ", o.GetNamespace(), "/", o.GetName(), " ", o.GetLabels())
		},
	})
	m.awaitSynced(w)
	m.configMap("b")
	m.configMap("c")
	line := func(name string) any { return "v1 ConfigMap default/" + name + " map[app:a]" }
	m.await("c is seen", func() bool { return cmp.Equal(w.Objects(), []any{line("a"), line("c")}) })
	m.remove(configMaps, "default", "a")
	m.await("a goes", func() bool { return cmp.Equal(w.Objects(), []any{line("c")}) })
}
