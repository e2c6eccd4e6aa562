package memfleet_test

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

func testDiscovery(a *api) {
	for _, legacy := range []bool{false, true} {
		client := discovery.NewDiscoveryClientForConfigOrDie(a.cfg)
		client.UseLegacyDiscovery = legacy
		_, lists, err := client.ServerGroupsAndResources()
		if err != nil {
			a.t.Fatal(err)
		}
		found := map[string]bool{}
		for _, list := range lists {
			for _, r := range list.APIResources {
				found[fmt.Sprintf("%s %s %s namespaced=%t", list.GroupVersion, r.Name, r.Kind, r.Namespaced)] = true
			}
		}
		for _, want := range []string{
			"v1 namespaces Namespace namespaced=false",
			"v1 configmaps ConfigMap namespaced=true",
			"apps/v1 deployments Deployment namespaced=true",
			"apps/v1 deployments/status Deployment namespaced=true",
			"rbac.authorization.k8s.io/v1 clusterroles ClusterRole namespaced=false",
			"discovery.k8s.io/v1 endpointslices EndpointSlice namespaced=true",
			"apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition namespaced=false",
		} {
			if !found[want] {
				a.t.Errorf("discovery (legacy: %t) lacks %s", legacy, want)
			}
		}
	}
}

func testInitialEvents(a *api) {
	a.create(configMaps, a.ns, configMap("a", "k: v"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	yes := true
	w, err := a.Resource(configMaps).Namespace(a.ns).Watch(ctx, metav1.ListOptions{
		LabelSelector: "app", SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	defer w.Stop()
	if event := <-w.ResultChan(); event.Type != watch.Added {
		a.t.Errorf("first event: %v, want what is there", event)
	}
	event := <-w.ResultChan()
	mark, ok := event.Object.(*unstructured.Unstructured)
	if event.Type != watch.Bookmark || !ok || mark.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" || mark.GetResourceVersion() == "" {
		a.t.Errorf("second event: %v, want the bookmark that ends what is there", event)
	}
	a.create(configMaps, a.ns, configMap("b", "k: v"))
	if event := <-w.ResultChan(); event.Type != watch.Added {
		a.t.Errorf("third event: %v, want what came", event)
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
