package apply

import (
	"encoding/base64"
	"encoding/json"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// Stamp returns the object of t as it is applied for the Set of that name: a copy without what only a server may set, with
// the Set's part-of label and t.Hash as annotation. Fields that are given away are in it, for its creation. It shares with t
// what it does not change.
func Stamp(set string, t *Target) render.Object {
	u := normal(t.Unstructured)
	if meta, ok := u.Object["metadata"].(map[string]any); ok { // normal's own copy
		put(meta, "labels", api.ApplySetPartOfLabel, SetID(set))
		put(meta, "annotations", api.AnnotationAppliedHash, t.Hash)
	}
	return render.Object{Unstructured: u, Origin: t.Origin, Directives: t.Directives}
}

// put sets a key of a map of metadata, in a copy of it. Where labels are no map nothing is set, and the API server refuses
// the object; where one of them is a number, the others stay.
func put(meta map[string]any, field, key, value string) {
	switch m := meta[field].(type) {
	case nil:
		meta[field] = map[string]any{key: value}
	case map[string]any:
		m = maps.Clone(m)
		m[key] = value
		meta[field] = m
	}
}

// AppliedHash returns the digest of an object as rendered, of which nothing is given away: it is the same in whichever Set
// the object stands.
func AppliedHash(u *unstructured.Unstructured) string { return hashOf(normal(u)) }

func hashOf(u *unstructured.Unstructured) string {
	raw, err := json.Marshal(u.Object) // sorts keys
	if err != nil {
		// Only values that no JSON document can hold fail, and every object came out of one.
		panic("apply: object " + api.RefOf(u).String() + " is not JSON: " + err.Error())
	}
	return digest(raw)
}

// serverFields are the fields of metadata that an author has no say in. Some of them would make an apply fail
// (managedFields), others turn it into a request about one incarnation of the object (uid, resourceVersion).
var serverFields = []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
	"managedFields", "resourceVersion", "selfLink", "uid"}

// normal returns a copy without server fields. What it leaves alone it shares with o: every object of every revision is
// digested.
func normal(o *unstructured.Unstructured) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: maps.Clone(o.Object)}
	if meta, ok := u.Object["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, f := range serverFields {
			delete(meta, f)
		}
		u.Object["metadata"] = meta
	}
	delete(u.Object, "status")
	if gvk := u.GroupVersionKind(); gvk.Group == "" && gvk.Kind == "Secret" {
		mergeStringData(u)
	}
	return u
}

// mergeStringData does what the API server does with a Secret's stringData. Applied as it is, we would own stringData,
// which is never stored, and no change of data would show in our managedFields entry.
func mergeStringData(u *unstructured.Unstructured) {
	text, found, err := unstructured.NestedStringMap(u.Object, "stringData")
	if !found || err != nil {
		return // not a map of strings: the API server's strict validation tells the author
	}
	data, _, err := unstructured.NestedStringMap(u.Object, "data")
	if err != nil {
		return
	}
	if data == nil {
		data = make(map[string]string, len(text))
	}
	for k, v := range text {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	delete(u.Object, "stringData")
	_ = unstructured.SetNestedStringMap(u.Object, data, "data") // fails only below something that is no map
}
