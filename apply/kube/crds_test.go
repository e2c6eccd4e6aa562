package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

func crd(t *testing.T, group string) *unstructured.Unstructured {
	t.Helper()
	return clustertest.Object(t, strings.ReplaceAll(clustertest.Widgets, "example.com", group))
}

// behindProxy is a session with a member through a proxy.
type behindProxy struct {
	session *fleet.Session
	proxy   *memfleet.Proxy
}

func startBehindProxy(t *testing.T, config *rest.Config, rule memfleet.Rule) behindProxy {
	t.Helper()
	proxy := clustertest.Must(memfleet.NewProxy(config))(t)
	t.Cleanup(proxy.Close)
	proxy.SetRule(rule)
	session := clustertest.Must(fleet.Open("aks-1", proxy.Config(), nil))(t)
	t.Cleanup(session.Close)
	return behindProxy{session, proxy}
}

// writes returns the writes since the last call: "PUT /api/v1/namespaces/web".
func (b behindProxy) writes() []string {
	var out []string
	for _, r := range b.proxy.Writes() {
		out = append(out, r.Method+" "+r.Path)
	}
	b.proxy.Reset()
	return out
}

func ourDefinitionsAreInstalled(t *testing.T, config *rest.Config) {
	const group = "install.example.com"
	m := startBehindProxy(t, config, nil)
	crds := NewCRDs(m.session, []*unstructured.Unstructured{crd(t, group)})
	clustertest.Must(0, crds.Ensure(t.Context()))(t)
	path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	if diff := cmp.Diff([]string{"POST " + path}, m.writes()); diff != "" {
		t.Errorf("first (-want +sent):\n%s", diff)
	}
	clustertest.Must(0, crds.Ensure(t.Context()))(t)
	if requests := m.proxy.Requests(); len(requests) > 0 {
		t.Errorf("when it is installed these requests were made: %v", requests)
	}
	newer := crd(t, group)
	set(t, newer, []any{"w"}, "spec", "names", "shortNames")
	clustertest.Must(0, NewCRDs(m.session, []*unstructured.Unstructured{newer}).Ensure(t.Context()))(t)
	if diff := cmp.Diff([]string{"PUT " + path + "/widgets." + group}, m.writes()); diff != "" {
		t.Errorf("another edition (-want +sent):\n%s", diff)
	}
}

func foreignDefinitionsAreLeftAlone(t *testing.T, config *rest.Config) {
	const group = "foreign.example.com"
	createCRD(t, dynamic.NewForConfigOrDie(config), strings.ReplaceAll(clustertest.Widgets, "example.com", group))
	m := startBehindProxy(t, config, nil)
	ours := crd(t, group)
	set(t, ours, []any{"w"}, "spec", "names", "shortNames")
	clustertest.Must(0, NewCRDs(m.session, []*unstructured.Unstructured{ours}).Ensure(t.Context()))(t)
	versions, _, _ := unstructured.NestedSlice(ours.Object, "spec", "versions")
	versions[0].(map[string]any)["name"] = "v2"
	set(t, ours, versions, "spec", "versions")
	err := NewCRDs(m.session, []*unstructured.Unstructured{ours}).Ensure(t.Context())
	refused, ok := errors.AsType[*apply.RefusedError](err)
	if !ok || refused.Actor != apply.Operator || !strings.Contains(refused.Message, "serves v1, not v2") {
		t.Errorf("a foreign definition without our version: %v", err)
	}
	if sent := m.writes(); len(sent) > 0 {
		t.Errorf("foreign definitions were touched: %v", sent)
	}
}

func definitionsThatCannotBeListedAreNotMissing(t *testing.T, config *rest.Config) {
	m := startBehindProxy(t, config, memfleet.When(func(r memfleet.Request) bool { return r.Resource == definitions.Resource }, memfleet.Answer(http.StatusForbidden)))
	crds := NewCRDs(m.session, []*unstructured.Unstructured{crd(t, "unlisted.example.com")})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		looks := 0
		until(ctx, func() bool { looks++; return looks > 20 })
		cancel()
	}()
	if err := crds.Ensure(ctx); err == nil {
		t.Error("no error although nothing is known")
	}
	if sent := m.writes(); len(sent) > 0 {
		t.Errorf("sent %v", sent)
	}
}
