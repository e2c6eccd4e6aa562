package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

func crd(t *testing.T, group string) *unstructured.Unstructured {
	t.Helper()
	return object(t, strings.ReplaceAll(widgets, "example.com", group))
}

func ourDefinitionsAreInstalled(t *testing.T, c cluster) {
	const group = "install.example.com"
	m := c.member(t, nil)
	crds := NewCRDs(m.session, []*unstructured.Unstructured{crd(t, group)})
	must(0, crds.Ensure(t.Context()))(t)
	path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	if diff := cmp.Diff([]string{"POST " + path}, m.sent()); diff != "" {
		t.Errorf("first (-want +sent):\n%s", diff)
	}
	must(0, crds.Ensure(t.Context()))(t)
	if requests := m.proxy.Requests(); len(requests) > 0 {
		t.Errorf("when it is installed these requests were made: %v", requests)
	}
	newer := crd(t, group)
	set(t, newer, []any{"w"}, "spec", "names", "shortNames")
	must(0, NewCRDs(m.session, []*unstructured.Unstructured{newer}).Ensure(t.Context()))(t)
	if diff := cmp.Diff([]string{"PUT " + path + "/widgets." + group}, m.sent()); diff != "" {
		t.Errorf("another edition (-want +sent):\n%s", diff)
	}
}

func foreignDefinitionsAreLeftAlone(t *testing.T, c cluster) {
	const group = "foreign.example.com"
	createCRD(t, c.client, strings.ReplaceAll(widgets, "example.com", group))
	m := c.member(t, nil)
	ours := crd(t, group)
	set(t, ours, []any{"w"}, "spec", "names", "shortNames")
	must(0, NewCRDs(m.session, []*unstructured.Unstructured{ours}).Ensure(t.Context()))(t)
	versions, _, _ := unstructured.NestedSlice(ours.Object, "spec", "versions")
	versions[0].(map[string]any)["name"] = "v2"
	set(t, ours, versions, "spec", "versions")
	err := NewCRDs(m.session, []*unstructured.Unstructured{ours}).Ensure(t.Context())
	refused, ok := errors.AsType[*apply.RefusedError](err)
	if !ok || refused.Actor != apply.Operator || !strings.Contains(refused.Message, "serves v1, not v2") {
		t.Errorf("a foreign definition without our version: %v", err)
	}
	if sent := m.sent(); len(sent) > 0 {
		t.Errorf("foreign definitions were touched: %v", sent)
	}
}

func definitionsThatCannotBeListedAreNotMissing(t *testing.T, c cluster) {
	m := c.member(t, memfleet.When(func(r memfleet.Request) bool { return r.Resource == definitions.Resource }, memfleet.Answer(http.StatusForbidden)))
	crds := NewCRDs(m.session, []*unstructured.Unstructured{crd(t, "unlisted.example.com")})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		until(ctx, looks(20))
		cancel()
	}()
	if err := crds.Ensure(ctx); err == nil {
		t.Error("no error although nothing is known")
	}
	if sent := m.sent(); len(sent) > 0 {
		t.Errorf("sent %v", sent)
	}
}
