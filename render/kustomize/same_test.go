package kustomize

import (
	"bytes"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/gitfleet/gitfleet/render"
)

// TestSameBytesAsKustomize compares each normal root of the stories with what kustomize itself prints for it.
func TestSameBytesAsKustomize(t *testing.T) {
	for _, tt := range []struct{ story, root string }{
		{"overlays", "overlays/one"}, {"overlays", "overlays/two"}, {"origins", "."}, {"paths", "clusters/prod"},
		{"openapi-next", "a"}, {"openapi-next", "z"}, {"everything", "."},
	} {
		t.Run(tt.story+" "+tt.root, func(t *testing.T) {
			archive, err := txtar.ParseFile(filepath.Join("testdata", tt.story+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			options := krusty.MakeDefaultOptions()
			options.Reorder = krusty.ReorderOptionUnspecified // the command's default
			options.LoadRestrictions = types.LoadRestrictionsNone
			resources, err := krusty.MakeKustomizer(options).Run(inMemory(t, archive.Files), path.Join("/", tt.root))
			openapi.ResetOpenAPI()
			if err != nil {
				t.Fatalf("kustomize: %v", err)
			}
			want, err := resources.AsYaml()
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := render.Print(&got, mustBuild(t, repository(archive.Files), tt.root)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("kustomize - gitfleet +:\n%s", diff)
			}
		})
	}
}

// TestScopes compares render's list of kinds that live outside namespaces with kustomize's OpenAPI schema, through what
// render does with them: a cluster-wide kind must have no namespace, any other needs one.
func TestScopes(t *testing.T) {
	compared := 0
	for gvk := range scheme.Scheme.AllKnownTypes() {
		namespaced, known := openapi.IsNamespaceScoped(yaml.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind})
		if !known || strings.HasSuffix(gvk.Kind, "Options") { // those are arguments of requests
			continue
		}
		compared++
		with, without := namespaceMistake(gvk, "shop"), namespaceMistake(gvk, "")
		if with == "refused" {
			continue
		}
		if namespaced && (with != "" || without == "") || !namespaced && (with == "" || without != "") {
			t.Errorf("%s: the schema says namespaced: %t; with a namespace render says %q, without one %q", gvk, namespaced, with, without)
		}
	}
	if compared < 50 {
		t.Fatalf("only %d kinds compared: the schema is not there", compared)
	}
}

func namespaceMistake(gvk schema.GroupVersionKind, namespace string) string {
	o := render.Object{Unstructured: newObject(gvk, namespace, "x"), Origin: render.Origin{File: "f", Document: 1}}
	for _, m := range render.Check([]render.Object{o}) {
		switch {
		case m.Field == "metadata.namespace":
			return m.Message
		case strings.HasSuffix(m.Message, "never placed; remove the document") || m.Field == "kind":
			return "refused"
		}
	}
	return ""
}
