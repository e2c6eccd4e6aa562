package offline

import (
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/render/kustomize"
)

// FuzzRead changes values in the documents of the stories of `gitfleet schedule`, which comes further than changing letters does: to
// what passes as YAML and is wrong, or strange, as a placement or a member.
func FuzzRead(f *testing.F) {
	stories, err := filepath.Glob("../../cmd/gitfleet/testdata/schedule/*.txtar")
	if err != nil || len(stories) == 0 {
		f.Fatalf("no stories (%v)", err)
	}
	for seed := range uint64(20 * len(stories)) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 3))
		items := storyItems(t, stories[seed%uint64(len(stories))])
		m := mutator{Rand: random, values: []any{
			nil, "", "x", "-1", "1e400", "5m", "-3Ki", true, int64(-1), int64(0), int64(1 << 40), 0.5, []any{}, map[string]any{},
		}}
		m.collect(items)
		for range 1 + random.IntN(3) {
			m.mutate(items)
		}
		checkRead(t, items)
		if t.Failed() {
			t.Logf("seed %d: %v", seed, items)
		}
	})
}

// storyItems returns what the sound documents of a story hold.
func storyItems(t *testing.T, story string) []any {
	t.Helper()
	archive, err := txtar.ParseFile(story)
	if err != nil {
		t.Fatal(err)
	}
	var items []any
	for _, file := range archive.Files {
		if slices.Contains([]string{"args", "stdout", "stderr", "exit"}, file.Name) {
			continue
		}
		documents, _ := kustomize.Documents(file.Name, file.Data)
		for _, d := range documents {
			items = append(items, d.Object)
		}
	}
	return items
}

// checkRead holds for whatever a list contains: it is either refused with mistakes that can be found, or scheduled, in the same way
// in whatever order it stands. It is not modified.
func checkRead(t *testing.T, items []any) {
	t.Helper()
	list := listOf(items)
	before := list.DeepCopy()
	in, err := Read([]render.Object{list}, nil)
	if diff := cmp.Diff(before.Object, list.Object); diff != "" {
		t.Errorf("reading modifies documents (-before +after):\n%s", diff)
	}
	if err != nil {
		var mistakes render.ManifestErrors
		if !errors.As(err, &mistakes) {
			t.Fatalf("the error is no mistake of an author: %v", err)
		}
		for _, m := range mistakes {
			if m.File != "fleet.yaml" || m.Document != 1 || !strings.HasPrefix(m.Field, "items[") || m.Message == "" {
				t.Fatalf("the mistake %+v cannot be found", m)
			}
		}
		return
	}
	decisions := in.Decide(noon)
	if len(decisions) != len(in.Placements) {
		t.Fatalf("%d decisions on %d placements", len(decisions), len(in.Placements))
	}
	reversed := slices.Clone(items)
	slices.Reverse(reversed)
	again, err := Read([]render.Object{listOf(reversed)}, nil)
	if err != nil {
		t.Fatalf("in reverse the same is refused: %v", err)
	}
	if diff := cmp.Diff(decisions, again.Decide(noon)); diff != "" {
		t.Errorf("the order of documents matters (-first +reversed):\n%s", diff)
	}
	if diff := cmp.Diff(in.Notices(), again.Notices()); diff != "" {
		t.Errorf("the order of documents changes what is noticed (-first +reversed):\n%s", diff)
	}
}

func listOf(items []any) render.Object {
	content := map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	return render.Object{Unstructured: &unstructured.Unstructured{Object: content}, Origin: render.Origin{File: "fleet.yaml", Document: 1}}
}

// mutator changes values of decoded documents at random places.
type mutator struct {
	*rand.Rand
	values []any // what is put in
}

// collect adds the scalars in v to the values, so that a name comes where another was.
func (m *mutator) collect(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m.collect(v[key])
		}
	case []any:
		for _, e := range v {
			m.collect(e)
		}
	default:
		m.values = append(m.values, v)
	}
}

// mutate changes something in v, in place where that is possible.
func (m *mutator) mutate(v any) any {
	const rare = 8
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || m.IntN(rare) == 0 {
			return m.values[m.IntN(len(m.values))]
		}
		keys := slices.Sorted(maps.Keys(v))
		key := keys[m.IntN(len(keys))]
		switch m.IntN(rare) {
		case 0:
			delete(v, key)
		case 1:
			v[keys[m.IntN(len(keys))]] = v[key]
		default:
			v[key] = m.mutate(v[key])
		}
		return v
	case []any:
		if len(v) == 0 {
			return m.values[m.IntN(len(m.values))]
		}
		i := m.IntN(len(v))
		v[i] = m.mutate(v[i])
		return v
	}
	return m.values[m.IntN(len(m.values))]
}
