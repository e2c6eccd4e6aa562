package kustomize

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocuments reads files that no kustomization builds.
func TestDocuments(t *testing.T) {
	const noObject = "is no Kubernetes object, which is a mapping with apiVersion and kind; mend or remove it"
	tests := map[string]struct {
		reason string
		data   string
		want   []string
	}{
		"YAML": {"empty documents are counted, and a sound one is read whatever the others are",
			"null\n---\nkind: A\nn: 3\n---\n- a\n---\nkind: B\nkind: C\n",
			[]string{"document 2: map[kind:A n:3 int64]", "f: document 3: " + noObject,
				"f: document 4: kind: line 9: the key is there already, in line 8; keep one"}},
		"Tools": {"what is meant for tools only is not rendered either",
			"kind: A\nmetadata: {annotations: {config.kubernetes.io/local-config: \"true\"}}\n", nil},
		"JSON":       {"JSON may be indented with tabs", "{\n\t\"kind\": \"A\",\n\t\"n\": 3\n}\n", []string{"document 1: map[kind:A n:3 int64]"}},
		"Surrogates": {"and may write characters as surrogate pairs", `{"kind": "\ud83d\ude80"}`, []string{"document 1: map[kind:🚀]"}},
		"Duplicates": {"a key that occurs twice is a mistake in JSON too", `{"kind": "A", "spec": {"a": 1, "a": 2}}`,
			[]string{"document 1: map[kind:A spec:map[a:2]]", `f: document 1: duplicate field "spec.a"; keep one`}},
		"JSONList": {"an object is a mapping", `[{"kind": "A"}]`,
			[]string{"f: document 1: " + noObject}},
		"JSONNull": {"and not nothing", "null", []string{"f: document 1: " + noObject}},
		"NoJSON":   {"what is no JSON is read as YAML", `{"kind": "A",}`, []string{"document 1: map[kind:A]"}},
		"Nothing":  {"an empty file is nothing", "", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			objects, errs := Documents("f", []byte(tc.data))
			var got []string
			for _, o := range objects {
				line := fmt.Sprintf("document %d: %v", o.Origin.Document, o.Object)
				if n, found := o.Object["n"]; found {
					line = fmt.Sprintf("%s %T]", line[:len(line)-1], n)
				}
				got = append(got, line)
			}
			for _, e := range errs {
				got = append(got, e.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
