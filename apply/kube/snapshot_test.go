package kube

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// holding is a watch that tells its last change only.
type holding struct {
	objects map[string]apply.LiveObject
	version uint64
	latest  []any // what the latest version came with; nil when something went
}

func (w *holding) Err() error { return nil }

func (w *holding) Changes(version uint64) ([]any, uint64, bool) {
	switch {
	case version == w.version:
		return nil, w.version, false
	case version+1 == w.version && w.latest != nil && version > 0:
		return w.latest, w.version, false
	}
	var all []any
	for _, name := range slices.Sorted(maps.Keys(w.objects)) {
		lo := w.objects[name]
		all = append(all, &lo)
	}
	return all, w.version, true
}

func (w *holding) set(lo apply.LiveObject) {
	w.objects[lo.Ref.Name] = lo
	w.version++
	w.latest = []any{&lo}
}

func (w *holding) drop(name string) {
	delete(w.objects, name)
	w.version++
	w.latest = nil
}

// TestSnapshot: whatever comes, changes and goes, kinds too, the snapshot has it.
func TestSnapshot(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []schema.GroupKind{{Kind: "ConfigMap"}, {Kind: "Secret"}, {Group: "apps", Kind: "Deployment"}}
	watches := map[schema.GroupKind]*holding{}
	var s snapshot
	for n := range 3000 {
		gk := kinds[random.IntN(len(kinds))]
		w := watches[gk]
		name := fmt.Sprint(random.IntN(5))
		switch what := random.IntN(40); {
		case w == nil:
			watches[gk] = &holding{objects: map[string]apply.LiveObject{}, version: 1}
		case what == 0:
			delete(watches, gk)
		case what == 1:
			watches[gk] = &holding{objects: maps.Clone(w.objects), version: w.version}
		case what < 5:
			w.drop(name)
		case what < 30:
			w.set(apply.LiveObject{Ref: api.Ref{Group: gk.Group, Kind: gk.Kind, Name: name}, ResourceVersion: fmt.Sprint(n)})
		}
		if random.IntN(3) == 0 {
			continue
		}
		readings, want := map[schema.GroupKind]reading{}, map[api.Ref]apply.LiveObject{}
		for gk, w := range watches {
			readings[gk] = readContent(w, s.of[gk].version)
			for _, lo := range w.objects {
				want[lo.Ref] = lo
			}
		}
		s.take(readings)
		if got := contentOf(s.objects); !maps.Equal(got, want) {
			t.Fatalf("step %d: %v, want %v", n, got, want)
		}
	}
}

func contentOf(objects apply.Objects) map[api.Ref]apply.LiveObject {
	content := map[api.Ref]apply.LiveObject{}
	for lo := range objects.All() {
		content[lo.Ref] = lo
	}
	return content
}

func TestSharedTexts(t *testing.T) {
	var s shared
	for i := range 2*sharedMax + 1 {
		name := fmt.Sprint(i)
		lo := apply.LiveObject{Ref: api.Ref{Group: "apps", Kind: "Deployment", Namespace: name, Name: name}, SetID: "set", UID: "uid"}
		before := lo
		if s.object(&lo); lo != before {
			t.Fatalf("%+v became %+v", before, lo)
		}
	}
	if len(s.known) > sharedMax {
		t.Errorf("%d texts are kept", len(s.known))
	}
}
