package render

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"github.com/gitfleet/gitfleet/source"
)

// FuzzCompose: no document makes Compose panic, every mistake names its document, and what passes is placed the same way
// again.
func FuzzCompose(f *testing.F) {
	for _, story := range []string{"testdata/field-errors.txtar", "testdata/policy-errors.txtar", "testdata/refused.txtar",
		"testdata/documents.txtar", "testdata/selectors.txtar", "testdata/directives.txtar", "testdata/directive-errors.txtar", "testdata/tutorial.txtar"} {
		archive, err := txtar.ParseFile(story)
		if err != nil {
			f.Fatal(err)
		}
		for _, o := range documents(f, archive.Files[:len(archive.Files)-1]) {
			seed, err := json.Marshal(o.Object)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(seed)
		}
	}
	f.Add([]byte(`{"kind":"List","apiVersion":"v1","items":[{"items":[]},3]}`))
	f.Add([]byte(`{"kind":"Job","apiVersion":"batch/v1","metadata":{"annotations":[]},"spec":{"template":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var content map[string]any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &content); err != nil {
			return
		}
		o := Object{Unstructured: &unstructured.Unstructured{Object: content}, Origin: Origin{File: "f.yaml", Document: 7}}
		d, err := Compose(source.Revision{}, []Object{o})
		if err != nil {
			for _, m := range err.(ManifestErrors) {
				if m.File != "f.yaml" && m.File != "." || m.File == "f.yaml" && m.Document != 7 || m.Message == "" {
					t.Fatalf("the mistake %+v cannot be found", m)
				}
			}
			return
		}
		again, err := Compose(source.Revision{}, append(d.Objects, document(t, d)...))
		if err != nil {
			t.Fatalf("what passed once does not pass again: %v", err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("composed twice:\n%s", diff)
		}
	})
}

// document turns decoded placements and members back into documents.
func document(t *testing.T, d *Desired) []Object {
	t.Helper()
	var out []Object
	add := func(v any, origin Origin) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &u.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, Object{Unstructured: u, Origin: origin})
	}
	for _, p := range d.Placements {
		add(p.ClusterResourcePlacement, p.Origin)
	}
	for _, m := range d.Members {
		add(m.MemberCluster, m.Origin)
	}
	return out
}
