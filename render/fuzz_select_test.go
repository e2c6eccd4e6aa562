package render

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/source"
)

// FuzzSelect edits the documents of a story: placements, envelopes and what they select. Nothing makes Compose panic, the order
// of documents changes nothing, and what comes out keeps what selection promises. An edit is four bytes: which field, what to
// do with it, and what to put there.
func FuzzSelect(f *testing.F) {
	var stories [][]Object
	for i, name := range []string{"select-scopes", "select-errors", "selectors", "resource-placements", "resource-placement-errors",
		"resource-placement-cycle", "envelopes", "envelope-errors"} {
		archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
		if err != nil {
			f.Fatal(err)
		}
		stories = append(stories, documents(f, archive.Files[:len(archive.Files)-1]))
		f.Add(uint8(i), []byte{})
		for b := range byte(16) { // a start: some of these leave the revision valid
			f.Add(uint8(i), []byte{b, b * 17, b % 3, b * 5, 0, b * 3, 1, b})
		}
	}
	f.Fuzz(func(t *testing.T, story uint8, edits []byte) {
		objects := edited(stories[int(story)%len(stories)], edits)
		d, err := Compose(source.Revision{}, objects)
		slices.Reverse(objects)
		again, errAgain := Compose(source.Revision{}, objects)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("the order of documents matters:\n%v\nreversed:\n%v", err, errAgain)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("the order of documents matters:\n%s", diff)
		}
		if err == nil {
			checkSelection(t, d)
		}
	})
}

// edited returns copies of the documents with some fields removed, or holding other values: those of other fields, and nonsense.
func edited(documents []Object, edits []byte) []Object {
	nonsense := []any{nil, "", "default", "shop", "NamespaceOnly", "ConfigMap", int64(-1), true, []any{},
		map[string]any{}, []any{nil}, map[string]any{"": ""}}
	root := map[string]any{}
	for i, o := range documents {
		root[fmt.Sprintf("%03d", i)] = o.DeepCopy().Object
	}
	for ; len(edits) >= 4; edits = edits[4:] {
		fields := fieldsOf(root, nil)
		if len(fields) == 0 || len(fields) > 3000 { // copies of copies grow without end
			break
		}
		at := fields[(int(edits[0])<<8|int(edits[1]))%len(fields)]
		switch edits[2] % 3 {
		case 0:
			delete(at.in, at.key)
		case 1:
			at.in[at.key] = runtime.DeepCopyJSONValue(nonsense[int(edits[3])%len(nonsense)])
		default:
			from := fields[int(edits[3])*len(fields)/256]
			at.in[at.key] = runtime.DeepCopyJSONValue(from.in[from.key])
		}
	}
	var out []Object
	for i, o := range documents {
		if content, ok := root[fmt.Sprintf("%03d", i)].(map[string]any); ok {
			out = append(out, Object{Unstructured: &unstructured.Unstructured{Object: content}, Origin: o.Origin})
		}
	}
	return out
}

// place is one field of a mapping.
type place struct {
	in  map[string]any
	key string
}

// fieldsOf appends every field in v, in a fixed order.
func fieldsOf(v any, fields []place) []place {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fields = fieldsOf(v[key], append(fields, place{v, key}))
		}
	case []any:
		for _, item := range v {
			fields = fieldsOf(item, fields)
		}
	}
	return fields
}

// checkSelection checks what holds for the selection of every valid revision.
func checkSelection(t *testing.T, d *Desired) {
	t.Helper()
	keys := map[string]bool{}
	for _, p := range d.Placements {
		if keys[p.Key()] {
			t.Fatalf("two placements have the key %s", p.Key())
		}
		keys[p.Key()] = true
		seen := map[api.Ref]bool{}
		for _, o := range p.Selected {
			ref := api.RefOf(o.Unstructured)
			switch {
			case seen[ref]:
				t.Fatalf("%s brings %s twice", p.Key(), ref)
			case isEnvelope(o.GroupVersionKind()) || ours(ref.Group):
				t.Fatalf("%s brings %s, which is never placed", p.Key(), ref)
			case Reserved(o.GetNamespace()) || isNamespace(o) && Reserved(o.GetName()):
				t.Fatalf("%s brings %s of a reserved namespace", p.Key(), ref)
			case p.confined() && o.GetNamespace() != p.Namespace:
				t.Fatalf("%s brings %s of another namespace", p.Key(), ref)
			case o.Envelope != nil && o.GetNamespace() != o.Envelope.Namespace:
				t.Fatalf("%s brings %s out of an envelope in namespace %q", p.Key(), ref, o.Envelope.Namespace)
			}
			seen[ref] = true
		}
		if !slices.IsSortedFunc(p.Selected, compareObjects) {
			t.Fatalf("what %s selects is not sorted", p.Key())
		}
		if len(p.SelectedResources()) != len(p.Selected) {
			t.Fatalf("%s lists other resources than it selects", p.Key())
		}
	}
}
