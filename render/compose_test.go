package render

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/source"
)

var update = flag.Bool("update", false, "write what comes out into the stories of testdata")

// TestStories composes the documents of each story in testdata, in their order and shuffled, and compares the wish or the
// mistakes with the file "want".
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(story)
			if err != nil {
				t.Fatal(err)
			}
			last := len(archive.Files) - 1
			if archive.Files[last].Name != "want" {
				t.Fatal("the last file must be want")
			}
			objects := documents(t, archive.Files[:last])
			got := tell(t, objects)
			for seed := range uint64(5) {
				rand.New(rand.NewPCG(seed, 0)).Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
				if again := tell(t, objects); again != got {
					t.Fatalf("shuffled with seed %d:\n%s", seed, cmp.Diff(got, again))
				}
			}
			if *update {
				archive.Files[last].Data = []byte(got)
				if err := os.WriteFile(story, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[last].Data), got); diff != "" {
				t.Errorf("want - got +:\n%s", diff)
			}
		})
	}
}

// documents reads plain YAML files.
func documents(t testing.TB, files []txtar.File) []Object {
	t.Helper()
	var out []Object
	for _, f := range files {
		for i, text := range strings.Split("\n"+string(f.Data), "\n---\n") {
			data, err := yaml.YAMLToJSON([]byte(text))
			if err != nil {
				t.Fatalf("%s document %d: %v", f.Name, i+1, err)
			}
			u := &unstructured.Unstructured{}
			if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &u.Object); err != nil {
				t.Fatalf("%s document %d: %v", f.Name, i+1, err)
			}
			out = append(out, Object{Unstructured: u, Origin: Origin{File: f.Name, Document: i + 1}})
		}
	}
	return out
}

// tell writes down what Compose makes of objects, and checks that it leaves them alone.
func tell(t *testing.T, objects []Object) string {
	t.Helper()
	var before []Object
	for _, o := range objects {
		before = append(before, Object{Unstructured: o.DeepCopy(), Origin: o.Origin})
	}
	d, err := Compose(source.Revision{Commit: "c0ffee"}, objects)
	if diff := cmp.Diff(before, objects); diff != "" {
		t.Fatalf("Compose changed its input:\n%s", diff)
	}
	var mistakes ManifestErrors
	if errors.As(err, &mistakes) {
		if d != nil {
			t.Fatal("a wish came with the mistakes")
		}
		return mistakes.Error() + "\n"
	}
	if err != nil {
		t.Fatalf("Compose: %v", err)
	}
	return describe(t, d)
}

// directives prints those that say something.
func directives[T any](d T) string {
	v := reflect.ValueOf(d)
	var out strings.Builder
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			fmt.Fprintf(&out, " %s=%v", v.Type().Field(i).Name, v.Field(i))
		}
	}
	return out.String()
}

func describe(t *testing.T, d *Desired) string {
	t.Helper()
	if d.Revision.Commit != "c0ffee" {
		t.Errorf("the wish is for commit %q, want c0ffee", d.Revision.Commit)
	}
	var b strings.Builder
	for _, m := range d.Members {
		fmt.Fprintf(&b, "member %s %v (%s)%s\n", m.Name, m.Labels, m.Origin, directives(m.Directives))
	}
	for _, p := range d.Placements {
		fmt.Fprintf(&b, "placement %s (%s)%s\n", p.Key(), p.Origin, directives(p.Directives))
		for _, o := range p.Selected {
			fmt.Fprintf(&b, "  %s (%s)%s\n", api.RefOf(o.Unstructured), o.Origin, directives(o.Directives))
		}
	}
	for _, c := range d.HealthChecks {
		fmt.Fprintf(&b, "health of %s\n", c.Kind)
	}
	for _, o := range d.Unplaced {
		fmt.Fprintf(&b, "unplaced %s (%s)\n", api.RefOf(o.Unstructured), o.Origin)
	}
	for _, n := range d.Notices {
		fmt.Fprintf(&b, "notice %s\n", n)
	}
	if !slices.IsSortedFunc(d.Objects, compareObjects) {
		t.Error("the objects are not sorted")
	}
	return b.String()
}

// TestExpand: which objects are lists, and what their items are.
func TestExpand(t *testing.T) {
	const configMap = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
	tests := map[string]struct {
		reason string
		text   string
		want   []string
	}{
		"Object": {"not everything is a list", configMap, []string{" v1 ConfigMap"}},
		"List": {"each item has its place", "{apiVersion: v1, kind: List, items: [" + configMap + ", {apiVersion: apps/v1, kind: Deployment}]}",
			[]string{"items[0] v1 ConfigMap", "items[1] apps/v1 Deployment"}},
		"Empty": {"a list of nothing is nothing", "{apiVersion: v1, kind: List, items: []}", nil},
		"Nested": {"lists may hold lists", "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [" + configMap + "]}]}",
			[]string{"items[0].items[0] v1 ConfigMap"}},
		"OneKind": {"a list as the API server gives it does not repeat what its items are",
			"{apiVersion: apps/v1, kind: DeploymentList, items: [{metadata: {name: a}}, " + configMap + "]}",
			[]string{"items[0] apps/v1 Deployment", "items[1] v1 ConfigMap"}},
		"Nameless": {"the kind List says nothing of the items", "{apiVersion: v1, kind: List, items: [{metadata: {name: a}}]}", []string{"items[0]  "}},
		"OtherKind": {"other kinds may have a field of this name",
			"{apiVersion: example.com/v1, kind: Basket, items: [{}]}", []string{" example.com/v1 Basket"}},
		"NoItems": {"a kind may just be called so", "{apiVersion: example.com/v1, kind: WaitingList}", []string{" example.com/v1 WaitingList"}},
		"NoObject": {"the other items still count", "{apiVersion: v1, kind: List, items: [3, " + configMap + "]}", []string{"items[1] v1 ConfigMap",
			"a.yaml: document 1: items[0]: is no Kubernetes object, which is a mapping with apiVersion and kind; mend or remove it"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := documents(t, []txtar.File{{Name: "a.yaml", Data: []byte(tc.text)}})[0]
			before := o.DeepCopy()
			items, mistakes := Expand(o)
			var got []string
			for _, item := range items {
				got = append(got, item.Origin.Field+" "+item.GetAPIVersion()+" "+item.GetKind())
			}
			for _, m := range mistakes {
				got = append(got, m.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before.Object, o.Object); diff != "" {
				t.Errorf("the list is modified (-before +after):\n%s", diff)
			}
		})
	}
}

// TestComposeBlamesBuiltPlacement: a mistake names the file and document only, and finds the placement whatever root that was built in.
func TestComposeBlamesBuiltPlacement(t *testing.T) {
	objects := documents(t, []txtar.File{{Name: "a.yaml", Data: []byte(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: web}
spec: {resourceSelectors: [{group: "", version: v1, kind: Pod, name: web}]}
`)}})
	objects[0].Origin.Root = "fleet"
	_, err := Compose(source.Revision{}, objects)
	var mistakes ManifestErrors
	if !errors.As(err, &mistakes) || mistakes[0].Placement != "web" {
		t.Errorf("got %+v, want the mistake to be that of placement web", err)
	}
}
