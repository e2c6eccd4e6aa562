package memfleet_test

import (
	"context"
	"fmt"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

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
