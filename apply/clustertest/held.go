package clustertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// held returns the HeldError of one outcome.
func held(t *testing.T, out apply.Outcome) *apply.HeldError {
	t.Helper()
	h, ok := errors.AsType[*apply.HeldError](out.Err)
	if !ok {
		t.Fatalf("%s ended with %v, want a HeldError", out.Ref, out.Err)
	}
	return h
}

// aNamespaceWithForeignContentStays takes a namespace out of the wish in which somebody made an object of their own.
func aNamespaceWithForeignContentStays(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "held", "1", namespace("held"), configMap("held", "a", "1"), configMap("held", "kept", "1"),
		"{apiVersion: v1, kind: Service, metadata: {namespace: held, name: s}, spec: {selector: {a: b}, ports: [{port: 80}]}}"))
	Must(s.configMaps("held").Create(t.Context(), Object(t, configMap("held", "theirs", "1")), metav1.CreateOptions{}))(t)
	s.patch(t, "held", "kept", `{"metadata":{"labels":{"`+api.ApplySetPartOfLabel+`":null}}}`) // what was ours, and shall stay
	Eventually(t, "the label's loss is seen", func(context.Context) error {
		if _, there := m.Live().Objects.Get(configMapRef("held", "kept")); there {
			return errors.New("the object is still labelled")
		}
		return nil
	})
	gone := wish(t, "held", "2")
	for range 2 { // held once, it is held again
		m.sent()
		h := held(t, m.outcomes(t, gone)["Namespace held"])
		if diff := cmp.Diff([]api.Ref{configMapRef("held", "kept"), configMapRef("held", "theirs")}, h.Foreign); diff != "" {
			t.Errorf("foreign (-want +got):\n%s", diff)
		}
		if want := "ConfigMap held/kept, ConfigMap held/theirs; delete them, or delete the Namespace with kubectl"; !strings.Contains(h.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, h)
		}
		if slices.Contains(m.sent(), "DELETE /api/v1/namespaces/held") {
			t.Error("the namespace was deleted")
		}
	}
	if items := string(Must(s.inventory(t, "held").MarshalJSON())(t)); !strings.Contains(items, `\"kind\":\"Namespace\"`) || strings.Contains(items, `\"name\":\"a\"`) {
		t.Errorf("the inventory does not list the namespace alone: %s", items)
	}
	if s.exists(t, configMaps, "held", "a") || s.exists(t, services, "held", "s") {
		t.Error("the rest of the plan was not carried out")
	}
	for _, name := range []string{"kept", "theirs"} {
		Must(0, s.configMaps("held").Delete(t.Context(), name, metav1.DeleteOptions{}))(t)
	}
	m.converge(t, gone)
	if s.exists(t, namespaces, "", "held") {
		t.Error("with nothing foreign in it the namespace stays")
	}
}

// aNamespaceThatCannotBeReadStays fails each answer that the rule depends on.
func aNamespaceThatCannotBeReadStays(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "unread", "1", namespace("unread"), configMap("unread", "a", "1")))
	what := map[string]func(memfleet.Request) bool{
		"one kind": func(r memfleet.Request) bool {
			return r.Class == memfleet.List && r.Namespace == "unread" && r.Resource == "secrets"
		},
		"discovery": func(r memfleet.Request) bool { return r.Path == "/apis" },
	}
	how := map[string]memfleet.Fault{
		"forbidden": memfleet.Forbidden(), "failing": memfleet.Answer(http.StatusInternalServerError),
		"gone": memfleet.Answer(http.StatusNotFound), "cut": memfleet.Cut(),
	}
	gone := wish(t, "unread", "2")
	for w, match := range what {
		for h, fault := range how {
			m.observed(t, []apply.Set{gone})
			m.proxy.SetRule(memfleet.When(match, fault))
			m.sent()
			m.Apply(m.ctx, m.plan(gone))
			if sent := deletes(m); slices.Contains(sent, "DELETE /api/v1/namespaces/unread") {
				t.Errorf("%s %s: the namespace was deleted", w, h)
			}
			m.proxy.SetRule(nil)
		}
	}
	m.proxy.SetRule(memfleet.When(what["one kind"], memfleet.Forbidden()))
	if h := held(t, m.outcomes(t, gone)["Namespace unread"]); len(h.Foreign) > 0 || !strings.Contains(h.Error(), "not allowed") && !strings.Contains(h.Error(), "list Secret") {
		t.Errorf("the error does not say what could not be read: %v", h)
	}
	m.proxy.SetRule(nil)
	m.converge(t, gone)
	if s.exists(t, namespaces, "", "unread") {
		t.Error("when all can be read the namespace stays")
	}
}

// aNamespaceWithAnotherRepositorysObjectsStays: theirs are in an inventory, but not in ours.
func aNamespaceWithAnotherRepositorysObjectsStays(t *testing.T, s server) {
	m := s.start(t, nil)
	from := func(source string, s apply.Set) apply.Set { s.Source = source; return s }
	m.converge(t, from("one", wish(t, "shared-ns", "1", namespace("shared"))), from("one", wish(t, "shared-web", "1", configMap("shared", "ours", "1"))))
	m.converge(t, from("two", wish(t, "shared-theirs", "1", configMap("shared", "theirs", "1"))))
	m.observed(t, nil)
	out := m.executeAll(t, m.plan(from("one", wish(t, "shared-ns", "2"))))
	if diff := cmp.Diff([]api.Ref{configMapRef("shared", "theirs")}, held(t, out["Namespace shared"]).Foreign); diff != "" {
		t.Errorf("foreign (-want +got):\n%s", diff)
	}
}

// whatControllersMadeHoldsNothing prunes a namespace that is full of consequences of ours.
func whatControllersMadeHoldsNothing(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "busy", "1", namespace("busy"),
		"{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: busy, name: d}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}",
		"{apiVersion: v1, kind: Service, metadata: {namespace: busy, name: s}, spec: {selector: {a: b}, ports: [{port: 80}]}}",
		"{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: busy, name: robot}}",
		"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {namespace: busy, name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}",
		"{apiVersion: v1, kind: Secret, metadata: {namespace: busy, name: token, annotations: {kubernetes.io/service-account.name: robot}}, type: kubernetes.io/service-account-token}"))
	Must(s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace("busy").Create(t.Context(), Object(t,
		"{apiVersion: v1, kind: Secret, metadata: {namespace: busy, name: default-token, annotations: {kubernetes.io/service-account.name: default}}, type: kubernetes.io/service-account-token}"), metav1.CreateOptions{}))(t)
	Eventually(t, "controllers have done their part", func(ctx context.Context) error {
		for resource, want := range map[schema.GroupVersionResource]int{
			{Version: "v1", Resource: "pods"}: 2, {Version: "v1", Resource: "endpoints"}: 1, {Version: "v1", Resource: "configmaps"}: 1,
			{Version: "v1", Resource: "serviceaccounts"}: 2, {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}: 1,
			{Version: "v1", Resource: "events"}: 3,
		} {
			list, err := s.client.Resource(resource).Namespace("busy").List(ctx, metav1.ListOptions{})
			if err != nil || len(list.Items) < want {
				return fmt.Errorf("%s: %d, want %d: %w", resource.Resource, len(list.Items), want, err)
			}
		}
		token, err := s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace("busy").Get(ctx, "default-token", metav1.GetOptions{})
		if err != nil || token.GetAnnotations()["kubernetes.io/service-account.uid"] == "" {
			return fmt.Errorf("the token is not filled in: %w", err)
		}
		return nil
	})
	for name, out := range m.outcomes(t, wish(t, "busy", "2")) {
		if out.Err != nil {
			t.Errorf("%s: %v", name, out.Err)
		}
	}
}
