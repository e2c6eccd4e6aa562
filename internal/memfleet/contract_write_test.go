package memfleet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

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
	u.SetResourceVersion("")
	if _, err := a.Resource(widgets).Namespace(a.ns).Update(ctx, u, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		a.t.Errorf("an update of a custom object that names no version: %v, want invalid", err)
	}
	if _, err := a.Resource(widgets).Namespace(a.ns).Patch(ctx, "a", types.StrategicMergePatchType, []byte("{}"), metav1.PatchOptions{}); !apierrors.IsUnsupportedMediaType(err) {
		a.t.Errorf("a strategic merge patch of a custom object: %v, want unsupported media type", err)
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

func testDeleteCollection(a *api) {
	for _, name := range []string{"a", "b"} {
		a.create(configMaps, a.ns, configMap(name, "k: v"))
	}
	err := a.Resource(configMaps).Namespace(a.ns).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=a"})
	if err != nil {
		a.t.Fatal(err)
	}
	if !a.gone(configMaps, a.ns, "a") || a.gone(configMaps, a.ns, "b") {
		a.t.Error("want a gone and b there")
	}
}

func testMismatches(a *api) {
	ctx := context.Background()
	client := a.Resource(configMaps).Namespace(a.ns)
	if u := a.create(configMaps, a.ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}"); len(u.GetName()) != len("a-")+5 {
		a.t.Errorf("generated the name %q", u.GetName())
	}
	if _, err := client.Create(ctx, parse(a.t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}"), metav1.CreateOptions{}); !apierrors.IsBadRequest(err) {
		a.t.Errorf("an object of another namespace: %v, want a bad request", err)
	}
	u := a.create(configMaps, a.ns, configMap("a", "k: v"))
	u.SetUID("3f1f8d8e-0000-4000-8000-000000000000")
	if _, err := client.Update(ctx, u, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		a.t.Errorf("an update of another uid: %v, want a conflict", err)
	}
	u.SetManagedFields(nil)
	if _, err := client.Apply(ctx, "a", u, metav1.ApplyOptions{FieldManager: "one", Force: true}); !apierrors.IsInvalid(err) {
		a.t.Errorf("an apply of another uid: %v, want invalid", err)
	}
	u.SetResourceVersion("")
	if _, err := client.Apply(ctx, "gone", renamed(u, "gone"), metav1.ApplyOptions{FieldManager: "one"}); !apierrors.IsConflict(err) {
		a.t.Errorf("an apply of an object that is gone, with its uid: %v, want a conflict", err)
	}
	u.SetUID("")
	if _, err := client.Apply(ctx, "b", u, metav1.ApplyOptions{FieldManager: "one"}); !apierrors.IsBadRequest(err) {
		a.t.Errorf("an apply under another name: %v, want a bad request", err)
	}
	if _, err := client.Patch(ctx, "gone", types.MergePatchType, []byte("{}"), metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		a.t.Errorf("a patch of what is not there: %v, want not found", err)
	}
	if _, err := client.Patch(ctx, "a", types.JSONPatchType, []byte("{"), metav1.PatchOptions{}); !apierrors.IsBadRequest(err) {
		a.t.Errorf("a patch that is not JSON: %v, want a bad request", err)
	}
}

func renamed(u *unstructured.Unstructured, name string) *unstructured.Unstructured {
	u = u.DeepCopy()
	u.SetName(name)
	return u
}
