package api

import (
	"cmp"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestRefOf: a ref has no version, and prints as kubectl names objects.
func TestRefOf(t *testing.T) {
	for in, want := range map[string]string{
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"web","name":"shop"}}`:      "Deployment.apps web/shop",
		`{"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{"namespace":"web","name":"shop"}}`: "Deployment.apps web/shop",
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"web"}}`:                               "Namespace web",
		`{"apiVersion":"example.com/v1","kind":"Namespace","metadata":{"name":"web"}}`:                   "Namespace.example.com web",
	} {
		if got := RefOf(&unstructured.Unstructured{Object: decode(t, in)}).String(); got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
}

func TestRefsAreOrdered(t *testing.T) {
	sorted := []Ref{
		{Kind: "ConfigMap", Namespace: "z", Name: "z"}, {Kind: "Namespace", Name: "b"}, {Kind: "Namespace", Namespace: "a", Name: "a"},
		{Group: "apps", Kind: "A", Namespace: "a", Name: "a"}, {Group: "apps", Kind: "A", Namespace: "a", Name: "b"}, {Group: "apps", Kind: "A", Namespace: "b", Name: "a"},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}
