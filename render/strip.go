package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// strip removes from u what only the API server or a controller of the cluster it was copied from may set. The list is
// that of KubeFleet's resource snapshots, so manifests exported from a cluster work the same way here and there.
func strip(u *unstructured.Unstructured) {
	for _, f := range []string{"resourceVersion", "generation", "uid", "selfLink", "deletionTimestamp",
		"deletionGracePeriodSeconds", "creationTimestamp", "managedFields", "ownerReferences"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	delete(u.Object, "status")
	for _, a := range []string{"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"} {
		removeAndPrune(u.Object, "metadata", "annotations", a)
	}
	switch u.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Kind: "Service"}:
		stripService(u.Object)
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		stripJob(u.Object)
	}
}

// stripService removes addresses and ports that a cluster allocated. A headless Service keeps its "None".
func stripService(content map[string]any) {
	if ip, _, _ := unstructured.NestedString(content, "spec", "clusterIP"); ip != "None" {
		unstructured.RemoveNestedField(content, "spec", "clusterIP")
		unstructured.RemoveNestedField(content, "spec", "clusterIPs")
	}
	unstructured.RemoveNestedField(content, "spec", "healthCheckNodePort")
	ports, _, err := unstructured.NestedFieldNoCopy(content, "spec", "ports")
	list, ok := ports.([]any)
	if err != nil || !ok {
		return
	}
	for _, p := range list {
		if m, ok := p.(map[string]any); ok {
			delete(m, "nodePort")
		}
	}
}

// stripJob removes the selector that the Job controller generates unless the author asked for one of their own.
func stripJob(content map[string]any) {
	if manual, _, _ := unstructured.NestedBool(content, "spec", "manualSelector"); manual {
		return
	}
	removeAndPrune(content, "spec", "template", "metadata", "creationTimestamp")
	for _, label := range []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"} {
		removeAndPrune(content, "spec", "selector", "matchLabels", label)
		removeAndPrune(content, "spec", "template", "metadata", "labels", label)
	}
}

// removeAndPrune removes a field, and its parent mapping if that held nothing else.
func removeAndPrune(content map[string]any, path ...string) {
	v, found, err := unstructured.NestedFieldNoCopy(content, path...)
	if !found || err != nil || v == nil {
		return
	}
	unstructured.RemoveNestedField(content, path...)
	parent, _, err := unstructured.NestedMap(content, path[:len(path)-1]...)
	if err == nil && len(parent) == 0 && len(path) > 2 {
		unstructured.RemoveNestedField(content, path[:len(path)-1]...)
	}
}
