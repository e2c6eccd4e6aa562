package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/source"
)

// FuzzCompose: no document makes Compose panic, every mistake names its document, and what passes is placed the same way
// again.
func FuzzCompose(f *testing.F) {
	for _, story := range []string{"testdata/field-errors.txtar", "testdata/policy-errors.txtar", "testdata/refused.txtar",
		"testdata/documents.txtar", "testdata/selectors.txtar", "testdata/selector-errors.txtar", "testdata/directives.txtar", "testdata/directive-errors.txtar", "testdata/tutorial.txtar"} {
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

// FuzzSchedulable: no YAML makes the decoder or the validator panic, every mistake names its document, and what passes is an allowed
// change of itself.
func FuzzSchedulable(f *testing.F) {
	for _, story := range []string{"testdata/policy-errors.txtar", "testdata/selector-errors.txtar", "testdata/refused.txtar"} {
		archive, err := txtar.ParseFile(story)
		if err != nil {
			f.Fatal(err)
		}
		for text := range strings.SplitSeq(string(archive.Files[0].Data), "\n---\n") {
			f.Add(text, placementWith("policy: {placementType: PickN, numberOfClusters: 1}"))
		}
	}
	f.Add(placementWith(`policy: {affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{propertySelector: {matchExpressions: [
		{name: a, operator: Gt, values: ["1"]}, {name: a, operator: Lt, values: ["1e9"]}, {name: a/b, operator: Ne, values: [3Ki]}]}}]}}}}`), placementWith(""))
	f.Add("apiVersion: fleet.azure.com/v1alpha1\nkind: ClusterResourcePlacement\nmetadata: {name: p}\nspec: {policy: {clusterNames: [a], affinity: {clusterAffinity: {clusterSelectorTerms: [{}]}}}}",
		placementWith("policy: {tolerations: [{key: a}, {operator: Exists}]}"))
	f.Fuzz(func(t *testing.T, first, second string) {
		before, clean := schedulable(t, first)
		after, _ := schedulable(t, second)
		if errs := CheckUpdate(before, before); clean && len(errs) > 0 {
			t.Fatalf("what is not changed is changed: %v", errs)
		}
		for _, errs := range []ManifestErrors{CheckUpdate(before, after), CheckUpdate(after, before)} {
			for _, e := range errs {
				if e.File != "f.yaml" || e.Field == "" || e.Message == "" {
					t.Fatalf("the mistake %+v cannot be found", e)
				}
			}
		}
	})
}

// schedulable returns the placements of one YAML document, and whether all is well with it.
func schedulable(t *testing.T, text string) ([]Placement, bool) {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, false
	}
	u := &unstructured.Unstructured{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &u.Object); err != nil {
		return nil, false
	}
	placements, _, errs := Schedulable([]Object{{Unstructured: u, Origin: Origin{File: "f.yaml", Document: 1}}})
	for _, e := range errs {
		if e.File != "f.yaml" || e.Document != 1 || e.Message == "" {
			t.Fatalf("the mistake %+v cannot be found", e)
		}
	}
	return placements, len(errs) == 0
}
