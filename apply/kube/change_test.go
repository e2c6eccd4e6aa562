package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// whatWasDoneBeforeTheCutIsRecorded cancels an execution while one of its objects is on the wire.
func whatWasDoneBeforeTheCutIsRecorded(t *testing.T, c cluster) {
	m := c.member(t, nil)
	m.converge(t, wish(t, "cut-ns", "1", namespace("cut")))
	target := wish(t, "cut", "1", configMap("cut", "a", "1"), // and in the next stage:
		"{apiVersion: v1, kind: Service, metadata: {namespace: cut, name: b}, spec: {ports: [{port: 80}]}}")
	m.observed(t, []apply.Set{target})
	ctx, cancel := context.WithCancel(m.ctx)
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Name == "b" }, memfleet.Call(func(memfleet.Request) memfleet.Fault {
		cancel()
		return memfleet.Hold(nil)
	})))
	result := m.executor.Execute(ctx, m.plan(target))
	if !errors.Is(result.Errs["cut"], context.Canceled) {
		t.Errorf("the set ended with %v, want context.Canceled", result.Errs["cut"])
	}
	m.close()
	next := c.member(t, nil)
	next.observed(t, []apply.Set{target})
	var left []string
	for _, stage := range next.plan(target).Sets[0].Stages {
		for _, change := range stage {
			left = append(left, string(change.Action)+" "+change.Ref.Name)
		}
	}
	if diff := cmp.Diff([]string{"create b"}, left); diff != "" {
		t.Errorf("left for the next process (-want +got):\n%s", diff)
	}
	next.converge(t, target)
}

// aDroppedVersionIsNoDroppedKind applies an object in a version that the member then no longer serves.
func aDroppedVersionIsNoDroppedKind(t *testing.T, c cluster) {
	definition := strings.ReplaceAll(widgets, "example.com", "dropped.example.com")
	crd := object(t, definition)
	versions := crd.Object["spec"].(map[string]any)["versions"].([]any)
	old := runtime.DeepCopyJSON(versions[0].(map[string]any))
	old["name"], old["storage"] = "v1beta1", false
	crd.Object["spec"].(map[string]any)["versions"] = append(versions, old)
	must(c.client.Resource(definitions).Create(t.Context(), crd, metav1.CreateOptions{}))(t)
	eventually(t, "the old version is served", func(ctx context.Context) error {
		_, err := c.client.Resource(schema.GroupVersionResource{Group: "dropped.example.com", Version: "v1beta1", Resource: "widgets"}).List(ctx, metav1.ListOptions{})
		return err
	})
	widget := func(name string) string {
		return "{apiVersion: dropped.example.com/v1beta1, kind: Widget, metadata: {namespace: dropped, name: " + name + "}, spec: {size: 1}}"
	}
	m := c.member(t, nil)
	m.converge(t, wish(t, "dropped", "1", namespace("dropped"), widget("a"), widget("b")))
	must(c.client.Resource(definitions).Patch(t.Context(), crd.GetName(), types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/spec/versions/1/served","value":false}]`), metav1.PatchOptions{}))(t)
	resource := schema.GroupVersionResource{Group: "dropped.example.com", Version: "v1", Resource: "widgets"}
	eventually(t, "the watch of the old version ends", func(context.Context) error {
		if m.observer.Live().Complete {
			return errors.New("it does not")
		}
		return nil
	})
	for name, p := range map[string]*member{"a": m, "b": c.member(t, nil)} { // a process that saw it happen, and one that did not
		left := map[string]string{"a": widget("b"), "b": configMap("dropped", "c", "1")}[name]
		p.observed(t, nil)
		result := p.executor.Execute(p.ctx, p.plan(wish(t, "dropped", "2"+name, namespace("dropped"), left)))
		if c.exists(t, resource, "dropped", name) {
			t.Errorf("widget %s was not pruned: %v", name, result)
		}
	}
}

// aTerminatingNamespaceIsWaitedFor: nobody has to act, the next attempts will succeed.
func aTerminatingNamespaceIsWaitedFor(t *testing.T, c cluster) {
	ns := object(t, namespace("leaving"))
	ns.SetFinalizers([]string{"example.com/slow"})
	client := c.client.Resource(namespaces)
	must(client.Create(t.Context(), ns, metav1.CreateOptions{}))(t)
	must(0, client.Delete(t.Context(), "leaving", metav1.DeleteOptions{}))(t)
	m := c.member(t, nil)
	out := m.outcomes(t, wish(t, "leaving", "1", configMap("leaving", "a", "1")))["ConfigMap a"]
	refused, ok := errors.AsType[*apply.RefusedError](out.Err)
	if want := "namespace leaving is being deleted"; !ok || refused.Actor != apply.Retry || !strings.Contains(refused.Message, want) {
		t.Errorf("got %v, want a refusal to retry with %q", out.Err, want)
	}
	must(client.Patch(t.Context(), "leaving", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	eventually(t, "the namespace is gone", func(context.Context) error {
		if _, err := client.Get(t.Context(), "leaving", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	m.converge(t, wish(t, "leaving", "2", namespace("leaving"), configMap("leaving", "a", "1")))
}
