package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/apply/clustertest"
)

var (
	crds  = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	hooks = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
)

// createCRD creates a definition and waits until its objects are served.
func createCRD(t *testing.T, c dynamic.Interface, body string) {
	t.Helper()
	u := clustertest.Object(t, body)
	clustertest.Must(c.Resource(crds).Create(t.Context(), u, metav1.CreateOptions{}))(t)
	group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(u.Object, "spec", "names", "plural")
	clustertest.Eventually(t, "custom resources are served", func(ctx context.Context) error {
		_, err := c.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural}).List(ctx, metav1.ListOptions{})
		return err
	})
}

// webhook makes the API server change every Deployment of this row by a JSON patch at admission, until the test ends or
// removeWebhook is called.
func (d *drifter) webhook(t *testing.T, patch string) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review map[string]any
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		uid, _, _ := unstructured.NestedString(review, "request", "uid")
		answer := map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": map[string]any{
			"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": base64.StdEncoding.EncodeToString([]byte(patch))}}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(srv.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	u := clustertest.Object(t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: %[1]s}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: "%[2]s", caBundle: %[3]s}
  matchConditions: [{name: row, expression: "object.metadata.name == '%[1]s'"}]
  rules: [{apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE, UPDATE]}]
`, d.name, srv.URL, ca))
	clustertest.Must(d.driftWorld.their.Resource(hooks).Create(t.Context(), u, metav1.CreateOptions{}))(t)
	t.Cleanup(func() {
		err := d.driftWorld.their.Resource(hooks).Delete(context.WithoutCancel(t.Context()), d.name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	d.hooked(t, 9)
}

func (d *drifter) removeWebhook(t *testing.T) {
	t.Helper()
	clustertest.Must(0, d.driftWorld.their.Resource(hooks).Delete(t.Context(), d.name, metav1.DeleteOptions{}))(t)
	d.hooked(t, 1)
}

// hooked waits until a dry run that asks for one replica is answered with want.
func (d *drifter) hooked(t *testing.T, want int64) {
	t.Helper()
	clustertest.Eventually(t, fmt.Sprintf("admission makes %d replicas of one", want), func(ctx context.Context) error {
		u, err := d.their.Patch(ctx, d.name, types.MergePatchType, []byte(`{"spec":{"replicas":1},"metadata":{"labels":{"probe":"1"}}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if n := replicas(t, u); n != want {
			return fmt.Errorf("it makes %d", n)
		}
		return nil
	})
}
