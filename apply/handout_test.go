package apply

import (
	"encoding/json"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
)

func fieldPaths(t testing.TB, paths ...string) []fieldpath.Path {
	t.Helper()
	var out []fieldpath.Path
	for _, s := range paths {
		p, err := api.ParseFieldPath(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

const shop = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"shop","finalizers":["a/b","c/d"]},"spec":{"replicas":2,"strategy":{"rollingUpdate":{"maxSurge":1}},
"template":{"spec":{"containers":[{"name":"app","image":"i","resources":{"limits":{"cpu":"1"}},"ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}]},{"name":"side","image":"j"}]}}}}`

func TestStrip(t *testing.T) {
	for _, row := range []struct {
		reason, path, want string // want is a patch: what differs from shop
	}{
		{"a plain field", "spec.replicas", `{"spec":{"replicas":null}}`},
		{"a field that is not there", "spec.paused", `{}`},
		{"maps that held nothing else go with it: an empty one would be ours, and mean something else",
			"spec.strategy.rollingUpdate.maxSurge", `{"spec":{"strategy":null}}`},
		{"a value is no map", "spec.replicas.x", `{}`},
		{"a map is no list", "spec.strategy[name=x].y", `{}`},
		{"a list is no map", "spec.template.spec.containers.app", `{}`},
	} {
		t.Run(row.path, func(t *testing.T) {
			in := object(t, shop)
			got := Strip(in, fieldPaths(t, row.path))
			if want := merge(t, object(t, shop).Object, row.want); !reflect.DeepEqual(got.Object, want) {
				t.Errorf("%s:\n got %v\nwant %v", row.reason, got.Object, want)
			}
			if !reflect.DeepEqual(in.Object, object(t, shop).Object) {
				t.Error("the object was modified")
			}
		})
	}
}

func TestStripItems(t *testing.T) {
	for _, row := range []struct{ reason, path, want string }{
		{"a field of an item", "spec.template.spec.containers[name=app].resources", `[{"image":"i","name":"app","ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}]},{"image":"j","name":"side"}]`},
		{"an item", "spec.template.spec.containers[name=app]", `[{"image":"j","name":"side"}]`},
		{"another item", "spec.template.spec.containers[name=none].image", `whole`},
		{"a key that is not whole names all that match", "spec.template.spec.containers[name=app].ports[containerPort=80]",
			`[{"image":"i","name":"app","ports":[],"resources":{"limits":{"cpu":"1"}}},{"image":"j","name":"side"}]`},
		{"a whole key names one", "spec.template.spec.containers[name=app].ports[containerPort=80,protocol=UDP]",
			`[{"image":"i","name":"app","ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1"}}},{"image":"j","name":"side"}]`},
	} {
		list, _, _ := unstructured.NestedSlice(Strip(object(t, shop), fieldPaths(t, row.path)).Object, "spec", "template", "spec", "containers")
		whole, _, _ := unstructured.NestedSlice(object(t, shop).Object, "spec", "template", "spec", "containers")
		want := row.want
		if want == "whole" {
			want = jsonOf(t, whole)
		}
		if got := jsonOf(t, list); got != want {
			t.Errorf("%s (%s):\n got %s\nwant %s", row.reason, row.path, got, want)
		}
	}
	finalizers := Strip(object(t, shop), fieldPaths(t, `metadata.finalizers[="a/b"]`)).GetFinalizers()
	if jsonOf(t, finalizers) != `["c/d"]` {
		t.Errorf("an item named by its value: %v is left", finalizers)
	}
}

func TestDecided(t *testing.T) {
	live := object(t, shop)
	for path, want := range map[string]bool{
		"spec.replicas": true,
		"spec.paused":   true, // somebody may have removed it, and Git does not bring it back
		"spec.template.spec.containers[name=app].resources.limits.cpu":         true,
		"spec.template.spec.containers[name=app].livenessProbe":                true,
		"spec.template.spec.containers[name=new]":                              true,
		"spec.template.spec.containers[name=new].image":                        false, // the item comes with Git's value
		"spec.template.spec.containers[name=app].ports[containerPort=81].name": false,
	} {
		if got := len(Decided(fieldPaths(t, path), live)) > 0; got != want {
			t.Errorf("%s is decided: %v, want %v", path, got, want)
		}
	}
}

func FuzzStrip(f *testing.F) {
	f.Add([]byte(shop), "spec.template.spec.containers[name=app].ports[containerPort=80]")
	f.Add([]byte(shop), `metadata.finalizers[="a/b"]`)
	f.Add([]byte(`{"spec":[1,{"a":null}]}`), "spec[=1]")
	f.Fuzz(func(t *testing.T, raw []byte, path string) {
		p, err := api.ParseFieldPath(path)
		if err != nil {
			return
		}
		var content map[string]any
		if json.Unmarshal(raw, &content) != nil || content == nil {
			return
		}
		u := &unstructured.Unstructured{Object: content}
		before := jsonOf(t, content)
		got := Strip(u, []fieldpath.Path{p})
		if jsonOf(t, content) != before {
			t.Fatal("the object was modified")
		}
		if holds(got.Object, p) {
			t.Errorf("%s is still there: %s", path, jsonOf(t, got.Object))
		}
	})
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// merge applies a merge patch to m.
func merge(t testing.TB, m map[string]any, patch string) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(patch), &p); err != nil {
		t.Fatal(err)
	}
	mergeInto(m, p)
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(jsonOf(t, m))); err != nil {
		t.Fatal(err)
	}
	return u.Object
}

func mergeInto(m, patch map[string]any) {
	for k, v := range patch {
		child, ok := v.(map[string]any)
		into, both := m[k].(map[string]any)
		switch {
		case v == nil:
			delete(m, k)
		case ok && both:
			mergeInto(into, child)
		default:
			m[k] = v
		}
	}
}
