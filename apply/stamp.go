package apply

import (
	"encoding/base64"
	"encoding/json"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// Stamp returns the object as it is applied for the Set of that name: a copy without what only a server may set, with the
// Set's part-of label and the digest of itself as annotation. The object is not modified.
func Stamp(set string, o render.Object) render.Object {
	u := normal(o.Unstructured)
	hash := hashOf(u)
	u = u.DeepCopy()
	// Set one by one: reading labels as a map of strings would drop all of them when one is a number. Where labels are no
	// map at all nothing is set, and the API server refuses the object.
	_ = unstructured.SetNestedField(u.Object, SetID(set), "metadata", "labels", api.ApplySetPartOfLabel)
	_ = unstructured.SetNestedField(u.Object, hash, "metadata", "annotations", api.AnnotationAppliedHash)
	return render.Object{Unstructured: u, Origin: o.Origin}
}

// AppliedHash returns the digest that Stamp records: of the object as rendered, so it is the same in whichever Set the
// object stands.
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

// normal returns a copy without server fields. What it leaves alone it shares with o: every Diff digests every object.
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
