package memfleet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	widgets     = schema.GroupVersionResource{Group: "test.gitfleet.io", Version: "v1", Resource: "widgets"}
)

// api is an API server under test, with a namespace of its own.
type api struct {
	t  *testing.T
	ns string
	*dynamic.DynamicClient
	cfg *rest.Config
}

// contract is what every API server does, in memory or real. Each case says what gitfleet relies on.
var contract = []struct {
	name string
	test func(*api)
}{
	{"discovery names kinds, scopes and subresources", testDiscovery},
	{"lists select by label and by name, and tell metadata alone", testLists},
	{"a watch shows coming, changing, leaving a selector, and going", testWatch},
	{"an update from an old state conflicts", testStaleUpdate},
	{"deletes keep their preconditions", testPreconditions},
	{"a finalizer holds an object that is marked as deleted", testFinalizer},
	{"a namespace takes its content with it", testNamespace},
	{"creating in a namespace that is not there is not found", testMissingNamespace},
	{"an apply that changes nothing writes nothing", testNoOpApply},
	{"applies conflict, and force takes over", testApplyConflict},
	{"a field that is no longer applied goes away", testApplyRemoves},
	{"lists with keys are merged by key", testApplyKeyedList},
	{"a dry run keeps nothing", testDryRun},
	{"status and the rest are written apart", testStatus},
	{"patches of all kinds", testPatches},
	{"a custom kind is served once it is established", testDefinition},
	{"stringData becomes data", testSecret},
}

func TestServerKeepsTheContract(t *testing.T) {
	server := memfleet.NewServer()
	t.Cleanup(server.Close)
	runContract(t, server.Config())
}

// TestRealServerKeepsTheContract shows that the contract is not our invention, and, since it goes through a proxy, that
// the proxy changes nothing by itself.
func TestRealServerKeepsTheContract(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real API servers")
	}
	fleet := realfleet.Start(t, 1)
	runContract(t, startProxy(t, fleet.Config(t, "aks-member-1")).Config())
}

func startProxy(t *testing.T, upstream *rest.Config) *memfleet.Proxy {
	t.Helper()
	proxy, err := memfleet.NewProxy(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

func runContract(t *testing.T, cfg *rest.Config) {
	for i, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			client, err := dynamic.NewForConfig(cfg)
			if err != nil {
				t.Fatal(err)
			}
			a := &api{t: t, ns: fmt.Sprintf("contract-%d", i), DynamicClient: client, cfg: cfg}
			a.create(namespaces, "", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+a.ns+"}")
			c.test(a)
		})
	}
}

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	return u
}

func (a *api) create(gvr schema.GroupVersionResource, ns, manifest string) *unstructured.Unstructured {
	a.t.Helper()
	u, err := a.Resource(gvr).Namespace(ns).Create(context.Background(), parse(a.t, manifest), metav1.CreateOptions{})
	if err != nil {
		a.t.Fatalf("create: %v", err)
	}
	return u
}

func (a *api) get(gvr schema.GroupVersionResource, name string) *unstructured.Unstructured {
	a.t.Helper()
	u, err := a.Resource(gvr).Namespace(a.ns).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		a.t.Fatalf("get: %v", err)
	}
	return u
}

func (a *api) apply(gvr schema.GroupVersionResource, manager string, force bool, manifest string, dryRun ...string) (*unstructured.Unstructured, error) {
	u := parse(a.t, manifest)
	return a.Resource(gvr).Namespace(a.ns).Apply(context.Background(), u.GetName(), u, metav1.ApplyOptions{FieldManager: manager, Force: force, DryRun: dryRun})
}

func (a *api) mustApply(gvr schema.GroupVersionResource, manager string, force bool, manifest string) *unstructured.Unstructured {
	a.t.Helper()
	u, err := a.apply(gvr, manager, force, manifest)
	if err != nil {
		a.t.Fatalf("apply by %s: %v", manager, err)
	}
	return u
}

// eventually waits until cond holds; only what a real server does later needs it.
func (a *api) eventually(what string, cond func() bool) {
	a.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			a.t.Fatalf("never happened: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (a *api) gone(gvr schema.GroupVersionResource, ns, name string) bool {
	_, err := a.Resource(gvr).Namespace(ns).Get(context.Background(), name, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// entry returns the fields that a manager owns.
func entry(t *testing.T, u *unstructured.Unstructured, manager string) string {
	t.Helper()
	for _, e := range u.GetManagedFields() {
		if e.Manager == manager {
			var fields any
			if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields); err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(fields)
			return string(e.Operation) + " " + e.Subresource + string(text)
		}
	}
	return ""
}

func configMap(name, extra string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", labels: {app: " + name + "}}\ndata: {" + extra + "}"
}

func testDiscovery(a *api) {
	client := discovery.NewDiscoveryClientForConfigOrDie(a.cfg)
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		a.t.Fatal(err)
	}
	var found []string
	for _, list := range lists {
		for _, r := range list.APIResources {
			switch r.Name {
			case "namespaces", "configmaps", "deployments", "deployments/status", "clusterroles", "endpointslices", "customresourcedefinitions":
				found = append(found, fmt.Sprintf("%s %s %s namespaced=%t", list.GroupVersion, r.Name, r.Kind, r.Namespaced))
			}
		}
	}
	want := map[string]bool{
		"v1 namespaces Namespace namespaced=false": true, "v1 configmaps ConfigMap namespaced=true": true,
		"apps/v1 deployments Deployment namespaced=true": true, "apps/v1 deployments/status Deployment namespaced=true": true,
		"rbac.authorization.k8s.io/v1 clusterroles ClusterRole namespaced=false":                      true,
		"discovery.k8s.io/v1 endpointslices EndpointSlice namespaced=true":                            true,
		"apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition namespaced=false": true,
	}
	for _, f := range found {
		delete(want, f)
	}
	if len(want) > 0 {
		a.t.Errorf("discovery lacks %v; it has %v", want, found)
	}
}

func testLists(a *api) {
	ctx := context.Background()
	a.create(configMaps, a.ns, configMap("b", "k: v"))
	a.create(configMaps, a.ns, configMap("a", "k: v"))
	for _, o := range []metav1.ListOptions{{LabelSelector: "app=b"}, {FieldSelector: "metadata.name=b"}, {LabelSelector: "app in (b,c)", Limit: 10}} {
		list, err := a.Resource(configMaps).Namespace(a.ns).List(ctx, o)
		if err != nil {
			a.t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].GetName() != "b" || list.Items[0].GetKind() != "ConfigMap" || list.GetResourceVersion() == "" {
			a.t.Errorf("list %+v: got %d items, %v", o, len(list.Items), list.Object["metadata"])
		}
	}
	partial, err := metadata.NewForConfigOrDie(a.cfg).Resource(configMaps).Namespace(a.ns).List(ctx, metav1.ListOptions{LabelSelector: "app"})
	if err != nil {
		a.t.Fatal(err)
	}
	if len(partial.Items) != 2 || partial.Items[0].Name != "a" || partial.Items[0].Labels["app"] != "a" || partial.Items[0].UID == "" {
		a.t.Errorf("metadata list: %+v", partial.Items)
	}
	if !a.gone(configMaps, a.ns, "c") {
		a.t.Error("an object that was never made is found")
	}
}

func testWatch(a *api) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	list, err := a.Resource(configMaps).Namespace(a.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	options := metav1.ListOptions{LabelSelector: "app=x", ResourceVersion: list.GetResourceVersion()}
	full, err := a.Resource(configMaps).Namespace(a.ns).Watch(ctx, options)
	if err != nil {
		a.t.Fatal(err)
	}
	defer full.Stop()
	partial, err := metadata.NewForConfigOrDie(a.cfg).Resource(configMaps).Namespace(a.ns).Watch(ctx, options)
	if err != nil {
		a.t.Fatal(err)
	}
	defer partial.Stop()

	u := a.create(configMaps, a.ns, configMap("x", "k: v"))
	a.create(configMaps, a.ns, configMap("other", "k: v"))
	u.Object["data"] = map[string]any{"k": "w"}
	u, _ = a.Resource(configMaps).Namespace(a.ns).Update(ctx, u, metav1.UpdateOptions{})
	u.SetLabels(map[string]string{"app": "y"})
	u, _ = a.Resource(configMaps).Namespace(a.ns).Update(ctx, u, metav1.UpdateOptions{})
	u.SetLabels(map[string]string{"app": "x"})
	if _, err = a.Resource(configMaps).Namespace(a.ns).Update(ctx, u, metav1.UpdateOptions{}); err != nil {
		a.t.Fatal(err)
	}
	if err := a.Resource(configMaps).Namespace(a.ns).Delete(ctx, "x", metav1.DeleteOptions{}); err != nil {
		a.t.Fatal(err)
	}
	want := []watch.EventType{watch.Added, watch.Modified, watch.Deleted, watch.Added, watch.Deleted}
	for name, w := range map[string]watch.Interface{"objects": full, "metadata": partial} {
		var got []watch.EventType
		for len(got) < len(want) {
			event, ok := <-w.ResultChan()
			if !ok {
				break
			}
			got = append(got, event.Type)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			a.t.Errorf("%s: events (-want +got):\n%s", name, diff)
		}
	}
}

func testStaleUpdate(a *api) {
	old := a.create(configMaps, a.ns, configMap("a", "k: v"))
	fresh := old.DeepCopy()
	fresh.Object["data"] = map[string]any{"k": "w"}
	if _, err := a.Resource(configMaps).Namespace(a.ns).Update(context.Background(), fresh, metav1.UpdateOptions{}); err != nil {
		a.t.Fatal(err)
	}
	old.Object["data"] = map[string]any{"k": "x"}
	if _, err := a.Resource(configMaps).Namespace(a.ns).Update(context.Background(), old, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		a.t.Errorf("update from an old resource version: %v, want a conflict", err)
	}
	same := a.get(configMaps, "a")
	again, err := a.Resource(configMaps).Namespace(a.ns).Update(context.Background(), same, metav1.UpdateOptions{})
	if err != nil || again.GetResourceVersion() != same.GetResourceVersion() {
		a.t.Errorf("an update that changes nothing made version %s of %s (%v)", again.GetResourceVersion(), same.GetResourceVersion(), err)
	}
	_, err = a.Resource(configMaps).Namespace(a.ns).Create(context.Background(), parse(a.t, configMap("a", "k: v")), metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		a.t.Errorf("second create: %v, want already exists", err)
	}
}

func testPreconditions(a *api) {
	u := a.create(configMaps, a.ns, configMap("a", "k: v"))
	uid, version, wrongUID, wrongVersion := u.GetUID(), u.GetResourceVersion(), types.UID("3f1f8d8e-0000-4000-8000-000000000000"), "1"
	remove := func(p metav1.Preconditions) error {
		return a.Resource(configMaps).Namespace(a.ns).Delete(context.Background(), "a", metav1.DeleteOptions{Preconditions: &p})
	}
	if err := remove(metav1.Preconditions{UID: &wrongUID}); !apierrors.IsConflict(err) {
		a.t.Errorf("delete with another uid: %v, want a conflict", err)
	}
	if err := remove(metav1.Preconditions{UID: &uid, ResourceVersion: &wrongVersion}); !apierrors.IsConflict(err) {
		a.t.Errorf("delete with another version: %v, want a conflict", err)
	}
	if err := remove(metav1.Preconditions{UID: &uid, ResourceVersion: &version}); err != nil {
		a.t.Errorf("delete with what is there: %v", err)
	}
	if err := remove(metav1.Preconditions{UID: &uid}); !apierrors.IsNotFound(err) {
		a.t.Errorf("second delete: %v, want not found", err)
	}
}

func testFinalizer(a *api) {
	ctx := context.Background()
	a.create(configMaps, a.ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [test.gitfleet.io/hold]}")
	if err := a.Resource(configMaps).Namespace(a.ns).Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		a.t.Fatal(err)
	}
	u := a.get(configMaps, "a")
	if u.GetDeletionTimestamp() == nil {
		a.t.Fatal("not marked as deleted")
	}
	u.SetFinalizers(nil)
	if _, err := a.Resource(configMaps).Namespace(a.ns).Update(ctx, u, metav1.UpdateOptions{}); err != nil {
		a.t.Fatal(err)
	}
	if !a.gone(configMaps, a.ns, "a") {
		a.t.Error("still there without finalizers")
	}
}

func testNamespace(a *api) {
	ctx := context.Background()
	a.create(configMaps, a.ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [test.gitfleet.io/hold]}")
	a.create(configMaps, a.ns, configMap("b", "k: v"))
	if err := a.Resource(namespaces).Delete(ctx, a.ns, metav1.DeleteOptions{}); err != nil {
		a.t.Fatal(err)
	}
	a.eventually("content without a finalizer goes", func() bool { return a.gone(configMaps, a.ns, "b") })
	_, err := a.Resource(configMaps).Namespace(a.ns).Create(ctx, parse(a.t, configMap("c", "k: v")), metav1.CreateOptions{})
	if !apierrors.HasStatusCause(err, "NamespaceTerminating") {
		a.t.Errorf("create in a namespace that is going: %v", err)
	}
	a.eventually("content with a finalizer is marked", func() bool { return a.get(configMaps, "a").GetDeletionTimestamp() != nil })
	patch := []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`)
	if _, err := a.Resource(configMaps).Namespace(a.ns).Patch(ctx, "a", types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		a.t.Fatal(err)
	}
	a.eventually("the namespace goes", func() bool { return a.gone(namespaces, "", a.ns) })
}

func testMissingNamespace(a *api) {
	_, err := a.Resource(configMaps).Namespace("nowhere").Create(context.Background(), parse(a.t, configMap("a", "k: v")), metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) {
		a.t.Errorf("got %v, want not found", err)
	}
	list, err := a.Resource(configMaps).Namespace("nowhere").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		a.t.Errorf("a list in a namespace that is not there: %v, want an empty one", err)
	}
}

func testNoOpApply(a *api) {
	first := a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	second := a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	if first.GetResourceVersion() != second.GetResourceVersion() {
		a.t.Errorf("version %s became %s", first.GetResourceVersion(), second.GetResourceVersion())
	}
	if diff := cmp.Diff(first.GetManagedFields(), second.GetManagedFields()); diff != "" {
		a.t.Errorf("managedFields changed:\n%s", diff)
	}
	want := `Apply {"f:data":{"f:k":{}},"f:metadata":{"f:labels":{"f:app":{}}}}`
	if got := entry(a.t, second, "one"); got != want {
		a.t.Errorf("owned fields:\n got %s\nwant %s", got, want)
	}
}

func testApplyConflict(a *api) {
	a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	_, err := a.apply(configMaps, "two", false, configMap("a", "k: w"))
	if !apierrors.IsConflict(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		a.t.Errorf("apply by another manager: %v, want a field manager conflict", err)
	}
	u := a.mustApply(configMaps, "two", true, configMap("a", "k: w"))
	if got, want := entry(a.t, u, "one"), `Apply {"f:metadata":{"f:labels":{"f:app":{}}}}`; got != want {
		a.t.Errorf("after force, one owns:\n got %s\nwant %s", got, want)
	}
	u.Object["data"] = map[string]any{"k": "x"}
	u, err = a.Resource(configMaps).Namespace(a.ns).Update(context.Background(), u, metav1.UpdateOptions{FieldManager: "three"})
	if err != nil {
		a.t.Fatal(err)
	}
	if got, want := entry(a.t, u, "three"), `Update {"f:data":{"f:k":{}}}`; got != want {
		a.t.Errorf("after an update, three owns:\n got %s\nwant %s", got, want)
	}
}

func testApplyRemoves(a *api) {
	a.mustApply(configMaps, "one", false, configMap("a", "k: v, gone: soon"))
	u := a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	if diff := cmp.Diff(map[string]any{"k": "v"}, u.Object["data"]); diff != "" {
		a.t.Errorf("data (-want +got):\n%s", diff)
	}
}

const service = `
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  selector: {app: a}
  ports: [{name: %s, port: %d, targetPort: %d, protocol: TCP}]
`

func testApplyKeyedList(a *api) {
	a.mustApply(services, "one", false, fmt.Sprintf(service, "web", 80, 8000))
	u := a.mustApply(services, "two", false, fmt.Sprintf(service, "admin", 81, 8001))
	ports, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
	if len(ports) != 2 {
		a.t.Errorf("got ports %v, want both", ports)
	}
	want := `Apply {"f:spec":{"f:ports":{"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:selector":{}}}`
	if got := entry(a.t, u, "two"); got != want {
		a.t.Errorf("owned fields:\n got %s\nwant %s", got, want)
	}
}

func testDryRun(a *api) {
	ctx := context.Background()
	if _, err := a.apply(configMaps, "one", false, configMap("a", "k: v"), metav1.DryRunAll); err != nil {
		a.t.Fatal(err)
	}
	if !a.gone(configMaps, a.ns, "a") {
		a.t.Error("a dry run made an object")
	}
	before := a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	u, err := a.apply(configMaps, "one", false, configMap("a", "k: w"), metav1.DryRunAll)
	if err != nil {
		a.t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(u.Object, "data", "k"); got != "w" {
		a.t.Errorf("the dry run answers k: %q, want w", got)
	}
	if err := a.Resource(configMaps).Namespace(a.ns).Delete(ctx, "a", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		a.t.Fatal(err)
	}
	if after := a.get(configMaps, "a"); after.GetResourceVersion() != before.GetResourceVersion() {
		a.t.Error("a dry run wrote")
	}
	_, err = a.apply(configMaps, "two", false, configMap("a", "k: w"), metav1.DryRunAll)
	if !apierrors.IsConflict(err) {
		a.t.Errorf("a dry run of a conflicting apply: %v, want a conflict", err)
	}
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: %d
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: registry.test/does-not-exist:1}]}
`

func testStatus(a *api) {
	ctx := context.Background()
	u := a.mustApply(deployments, "one", false, fmt.Sprintf(deployment, 0))
	if u.GetGeneration() != 1 {
		a.t.Errorf("generation %d after create, want 1", u.GetGeneration())
	}
	u = a.mustApply(deployments, "one", false, fmt.Sprintf(deployment, 1))
	if u.GetGeneration() != 2 {
		a.t.Errorf("generation %d after a change of spec, want 2", u.GetGeneration())
	}
	patch := []byte(`{"metadata":{"labels":{"no":"no"}},"spec":{"replicas":9},"status":{"collisionCount":7}}`)
	u, err := a.Resource(deployments).Namespace(a.ns).Patch(ctx, "a", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "two"}, "status")
	if err != nil {
		a.t.Fatal(err)
	}
	replicas, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	collisions, _, _ := unstructured.NestedInt64(u.Object, "status", "collisionCount")
	if replicas != 1 || collisions != 7 || u.GetGeneration() != 2 {
		a.t.Errorf("after a status patch: replicas %d, collisionCount %d, generation %d; want 1, 7, 2", replicas, collisions, u.GetGeneration())
	}
	u, err = a.Resource(deployments).Namespace(a.ns).Patch(ctx, "a", types.MergePatchType, []byte(`{"status":{"collisionCount":8}}`), metav1.PatchOptions{FieldManager: "two"})
	if err != nil {
		a.t.Fatal(err)
	}
	if collisions, _, _ = unstructured.NestedInt64(u.Object, "status", "collisionCount"); collisions != 7 {
		a.t.Errorf("collisionCount became %d by a patch that is not of the status", collisions)
	}
}

func testPatches(a *api) {
	a.create(configMaps, a.ns, configMap("a", "k: v"))
	for _, p := range []struct {
		kind  types.PatchType
		patch string
	}{
		{types.MergePatchType, `{"data":{"k":null,"merge":"1"}}`},
		{types.JSONPatchType, `[{"op":"add","path":"/data/json","value":"2"}]`},
		{types.StrategicMergePatchType, `{"data":{"strategic":"3"}}`},
	} {
		if _, err := a.Resource(configMaps).Namespace(a.ns).Patch(context.Background(), "a", p.kind, []byte(p.patch), metav1.PatchOptions{}); err != nil {
			a.t.Fatalf("%s: %v", p.kind, err)
		}
	}
	want := map[string]any{"merge": "1", "json": "2", "strategic": "3"}
	if diff := cmp.Diff(want, a.get(configMaps, "a").Object["data"]); diff != "" {
		a.t.Errorf("data (-want +got):\n%s", diff)
	}
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.gitfleet.io}
spec:
  group: test.gitfleet.io
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    - name: v1beta1
      served: true
      storage: false
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

func testDefinition(a *api) {
	ctx := context.Background()
	beta := schema.GroupVersionResource{Group: widgets.Group, Version: "v1beta1", Resource: "widgets"}
	if _, err := a.Resource(widgets).List(ctx, metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		a.t.Errorf("list of a kind that is not served: %v, want not found", err)
	}
	a.create(definitions, "", definition)
	a.eventually("the definition is established", func() bool {
		crd, err := a.Resource(definitions).Get(ctx, "widgets.test.gitfleet.io", metav1.GetOptions{})
		text, _ := json.Marshal(crd)
		return err == nil && bytes.Contains(text, []byte(`"type":"Established"`))
	})
	a.eventually("the kind is served", func() bool {
		_, err := a.Resource(widgets).List(ctx, metav1.ListOptions{})
		return err == nil
	})
	u := a.mustApply(widgets, "one", false, "apiVersion: test.gitfleet.io/v1\nkind: Widget\nmetadata: {name: a}\nspec: {size: 1}\nstatus: {no: way}")
	if _, ok := u.Object["status"]; ok || u.GetGeneration() != 1 {
		a.t.Errorf("created as %v", u.Object)
	}
	if got, want := entry(a.t, u, "one"), `Apply {"f:spec":{".":{},"f:size":{}}}`; got != want {
		a.t.Errorf("owned fields:\n got %s\nwant %s", got, want)
	}
	if u := a.get(beta, "a"); u.GetAPIVersion() != "test.gitfleet.io/v1beta1" || u.GetResourceVersion() == "" {
		a.t.Errorf("the other version is %v", u.Object)
	}
	if err := a.Resource(definitions).Delete(ctx, "widgets.test.gitfleet.io", metav1.DeleteOptions{}); err != nil {
		a.t.Fatal(err)
	}
	a.eventually("the kind is no longer served", func() bool {
		_, err := a.Resource(widgets).List(ctx, metav1.ListOptions{})
		return apierrors.IsNotFound(err)
	})
}

func testSecret(a *api) {
	u := a.create(secrets, a.ns, "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {k: v}")
	if diff := cmp.Diff(map[string]any{"k": "dg=="}, u.Object["data"]); diff != "" || u.Object["stringData"] != nil {
		a.t.Errorf("data (-want +got):\n%s", diff)
	}
}
