package stub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

var (
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// start starts a member with a namespace "ours" and returns how to reach it.
func start(t *testing.T) (*rest.Config, dynamic.Interface) {
	t.Helper()
	issuer := httptest.NewTLSServer(nil) // for its certificate
	certificate := issuer.TLS.Certificates[0]
	issuer.Close()
	m, err := Start(certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	config := &rest.Config{Host: m.URL(), QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: authority(t, certificate)}}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, client.Resource(namespaces), map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "ours"}})
	return config, client
}

func authority(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: parsed.Raw})
}

func apply(t *testing.T, r dynamic.ResourceInterface, object map[string]any) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: object}
	out, err := r.Apply(context.Background(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "tester", Force: true})
	if err != nil {
		t.Fatalf("apply %s: %v", u.GetName(), err)
	}
	return out
}

func configMap(name, value string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"key": value},
		"metadata": map[string]any{"name": name, "namespace": "ours", "labels": map[string]any{"app": name}}}
}

// TestApply checks what gitfleet's inventory rests on: versions, uids and the entry of managedFields.
func TestApply(t *testing.T) {
	_, client := start(t)
	r := client.Resource(configMaps).Namespace("ours")
	first := apply(t, r, configMap("one", "a"))
	again := apply(t, r, configMap("one", "a"))
	if again.GetResourceVersion() != first.GetResourceVersion() {
		t.Errorf("an apply that changes nothing made version %s of %s", again.GetResourceVersion(), first.GetResourceVersion())
	}
	changed := apply(t, r, configMap("one", "b"))
	if changed.GetResourceVersion() == first.GetResourceVersion() || changed.GetUID() != first.GetUID() {
		t.Errorf("after a change version %s and uid %s, before it %s and %s", changed.GetResourceVersion(), changed.GetUID(),
			first.GetResourceVersion(), first.GetUID())
	}
	if m := changed.GetManagedFields(); len(m) != 1 || m[0].Manager != "tester" || m[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("managedFields are %v, want one Apply entry of tester", m)
	}
	_, err := client.Resource(configMaps).Namespace("other").Apply(t.Context(), "one", &unstructured.Unstructured{Object: configMap("one", "a")},
		metav1.ApplyOptions{FieldManager: "tester"})
	if !apierrors.IsNotFound(err) {
		t.Errorf("apply in a namespace that is not there: %v, want NotFound", err)
	}
}

// TestConflict checks the fence of inventories.
func TestConflict(t *testing.T) {
	_, client := start(t)
	r := client.Resource(configMaps).Namespace("ours")
	made, err := r.Create(t.Context(), &unstructured.Unstructured{Object: configMap("one", "a")}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(t.Context(), &unstructured.Unstructured{Object: configMap("one", "a")}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("second create: %v, want AlreadyExists", err)
	}
	stale := made.DeepCopy()
	made.Object["data"] = map[string]any{"key": "b"}
	if _, err := r.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("update of an old version: %v, want Conflict", err)
	}
}

// TestWatch checks that a watch goes on where a list ended and sees only what its selector selects.
func TestWatch(t *testing.T) {
	config, client := start(t)
	r := client.Resource(configMaps).Namespace("ours")
	apply(t, r, configMap("before", "a"))
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := meta.Resource(configMaps).List(t.Context(), metav1.ListOptions{LabelSelector: "app"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "before" {
		t.Fatalf("listed %v, %v; want the object from before", list, err)
	}
	w, err := meta.Resource(configMaps).Watch(t.Context(), metav1.ListOptions{LabelSelector: "app=wanted", ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	apply(t, r, configMap("other", "a"))
	apply(t, r, configMap("wanted", "a"))
	apply(t, r, configMap("wanted", "b"))
	if err := r.Delete(t.Context(), "wanted", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		event := <-w.ResultChan()
		if o, ok := event.Object.(*metav1.PartialObjectMetadata); event.Type != want || !ok || o.Name != "wanted" {
			t.Errorf("event %s of %v, want %s of the selected object", event.Type, event.Object, want)
		}
	}
}

// TestDefinition checks that kinds of a CustomResourceDefinition are served once it is there.
func TestDefinition(t *testing.T) {
	config, client := start(t)
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: definitions}
	apply(t, client.Resource(crds), map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "things.example.com"},
		"spec": map[string]any{"group": "example.com", "scope": "Namespaced", "names": map[string]any{"kind": "Thing", "plural": "things"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true}}}})
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := disco.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		if list.GroupVersion == "example.com/v1" && list.APIResources[0].Kind == "Thing" {
			return
		}
	}
	t.Errorf("discovery does not show the kind: %v", lists)
}
