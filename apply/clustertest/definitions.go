package clustertest

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

	"github.com/gitfleet/gitfleet/api"
)

func definitionsComeBeforeTheirObjects(t *testing.T, s server) {
	m := s.start(t, nil)
	definition := strings.ReplaceAll(Widgets, "example.com", "staged.example.com")
	widget := "{apiVersion: staged.example.com/v1, kind: Widget, metadata: {namespace: staged, name: w}, spec: {size: 1}}"
	set := wish(t, "staged", "1", widget, configMap("staged", "a", "1"), namespace("staged"), definition)
	m.seen(t)
	for name, out := range m.executeAll(t, m.plan(set)) {
		if out.Err != nil {
			t.Errorf("%s: %v", name, out.Err)
		}
	}
	m.converge(t, set)
	m.executeAll(t, m.plan(wish(t, "staged", "2", namespace("staged"))))
	Eventually(t, "the definition is gone", func(ctx context.Context) error {
		_, err := s.client.Resource(definitions).Get(ctx, "widgets.staged.example.com", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("still there: %w", err)
	})
	s.start(t, nil).converge(t, wish(t, "staged", "3", widget, namespace("staged"), definition))
	resource := s.client.Resource(schema.GroupVersionResource{Group: "staged.example.com", Version: "v1", Resource: "widgets"})
	Must(resource.Namespace("staged").Get(t.Context(), "w", metav1.GetOptions{}))(t)
}

// aDroppedVersionIsNoDroppedKind applies an object in a version that the member then no longer serves.
func aDroppedVersionIsNoDroppedKind(t *testing.T, s server) {
	definition := strings.ReplaceAll(Widgets, "example.com", "dropped.example.com")
	crd := Object(t, definition)
	versions := crd.Object["spec"].(map[string]any)["versions"].([]any)
	old := runtime.DeepCopyJSON(versions[0].(map[string]any))
	old["name"], old["storage"] = "v1beta1", false
	crd.Object["spec"].(map[string]any)["versions"] = append(versions, old)
	Must(s.client.Resource(definitions).Create(t.Context(), crd, metav1.CreateOptions{}))(t)
	Eventually(t, "the old version is served", func(ctx context.Context) error {
		_, err := s.client.Resource(schema.GroupVersionResource{Group: "dropped.example.com", Version: "v1beta1", Resource: "widgets"}).List(ctx, metav1.ListOptions{})
		return err
	})
	widget := func(name string) string {
		return "{apiVersion: dropped.example.com/v1beta1, kind: Widget, metadata: {namespace: dropped, name: " + name + "}, spec: {size: 1}}"
	}
	m := s.start(t, nil)
	m.converge(t, wish(t, "dropped", "1", namespace("dropped"), widget("a"), widget("b")))
	Must(s.client.Resource(definitions).Patch(t.Context(), crd.GetName(), types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/spec/versions/1/served","value":false}]`), metav1.PatchOptions{}))(t)
	resource := schema.GroupVersionResource{Group: "dropped.example.com", Version: "v1", Resource: "widgets"}
	Eventually(t, "the watch of the old version ends", func(context.Context) error {
		if m.Live().Complete {
			return errors.New("it does not")
		}
		return nil
	})
	for name, p := range map[string]*process{"a": m, "b": s.start(t, nil)} { // a process that saw it happen, and one that did not
		left := map[string]string{"a": widget("b"), "b": configMap("dropped", "c", "1")}[name]
		p.observed(t, nil)
		result := p.Apply(p.ctx, p.plan(wish(t, "dropped", "2"+name, namespace("dropped"), left)))
		if s.exists(t, resource, "dropped", name) {
			t.Errorf("widget %s was not pruned: %v", name, result)
		}
	}
}

// aDefinitionWithForeignObjectsStays: deleting it would delete them.
func aDefinitionWithForeignObjectsStays(t *testing.T, s server) {
	m := s.start(t, nil)
	definition := strings.ReplaceAll(Widgets, "example.com", "kept.example.com")
	widget := func(name string) string {
		return "{apiVersion: kept.example.com/v1, kind: Widget, metadata: {namespace: kept, name: " + name + "}, spec: {size: 1}}"
	}
	m.converge(t, wish(t, "kept", "1", namespace("kept"), definition, widget("ours")))
	resource := schema.GroupVersionResource{Group: "kept.example.com", Version: "v1", Resource: "widgets"}
	Must(s.client.Resource(resource).Namespace("kept").Create(t.Context(), Object(t, widget("theirs")), metav1.CreateOptions{}))(t)
	gone := wish(t, "kept", "2")
	out := m.outcomes(t, gone)
	theirs := []api.Ref{{Group: "kept.example.com", Kind: "Widget", Namespace: "kept", Name: "theirs"}}
	for _, name := range []string{"CustomResourceDefinition widgets.kept.example.com", "Namespace kept"} {
		if diff := cmp.Diff(theirs, held(t, out[name]).Foreign); diff != "" {
			t.Errorf("%s: foreign (-want +got):\n%s", name, diff)
		}
	}
	if !s.exists(t, resource, "kept", "theirs") || s.exists(t, resource, "kept", "ours") {
		t.Error("want theirs to stay and ours to go")
	}
	Must(0, s.client.Resource(resource).Namespace("kept").Delete(t.Context(), "theirs", metav1.DeleteOptions{}))(t)
	m.converge(t, gone)
	if s.exists(t, namespaces, "", "kept") || s.exists(t, definitions, "", "widgets.kept.example.com") {
		t.Error("with nothing foreign left they stay")
	}
}
