package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// IsDefinition tells whether gk is CustomResourceDefinition, whose objects define kinds and need a moment until they do.
func IsDefinition(gk schema.GroupKind) bool { return gk.Group == crdGroup && gk.Kind == crdKind }

// Defines returns the kinds in the versions that a CustomResourceDefinition serves, in its order.
func Defines(crd *unstructured.Unstructured) []schema.GroupVersionKind {
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return nil // refused by the API server, which says why
	}
	gk := schema.GroupKind{Group: text(crd, "spec", "group"), Kind: text(crd, "spec", "names", "kind")}
	var out []schema.GroupVersionKind
	for _, e := range versions {
		v, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if served, _, _ := unstructured.NestedBool(v, "served"); served {
			name, _, _ := unstructured.NestedString(v, "name")
			out = append(out, gk.WithVersion(name))
		}
	}
	return out
}
