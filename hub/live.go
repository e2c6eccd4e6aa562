package hub

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// key names an object among those of its kind.
type key struct{ namespace, name string }

// String prints k as people write it: "name", or "namespace/name".
func (k key) String() string {
	if k.namespace == "" {
		return k.name
	}
	return k.namespace + "/" + k.name
}

func keyOf(u *unstructured.Unstructured) key { return key{u.GetNamespace(), u.GetName()} }

// live is an object on the hub, reduced to what deciding needs.
type live struct {
	key
	uid             types.UID
	resourceVersion string
	generation      int64
	labels          map[string]string
	annotations     map[string]string
	spec            any
	status          map[string]any
	source          map[string]any // of a copied status, which has neither spec nor status
	updated         any            // when source changed last; nil when nobody says
	owner           types.UID      // the object that l goes with; empty for none
	finalizers      []string
	deleting        bool
}

// observe reduces u. It shares u's spec and statuses, which nobody modifies.
func observe(u *unstructured.Unstructured) live {
	l := live{
		key: keyOf(u), uid: u.GetUID(), resourceVersion: u.GetResourceVersion(), generation: u.GetGeneration(),
		labels: u.GetLabels(), annotations: u.GetAnnotations(), spec: u.Object["spec"], finalizers: u.GetFinalizers(),
		deleting: u.GetDeletionTimestamp() != nil,
	}
	l.status, _ = u.Object["status"].(map[string]any)
	l.source, _ = u.Object["sourceStatus"].(map[string]any)
	l.updated = u.Object["lastUpdatedTime"]
	if owner := metav1.GetControllerOfNoCopy(u); owner != nil {
		l.owner = owner.UID
	}
	return l
}

// published tells whether gitfleet wrote l.
func (l live) published() bool { return l.labels[LabelPublished] == "true" }

// upstreamFinalizers begin the names of the finalizers that KubeFleet's hub agent sets.
const upstreamFinalizers = "kubernetes-fleet.io/"

// controller returns the sign that KubeFleet's own hub agent works on l, or nothing.
func (l live) controller() string {
	for _, f := range l.finalizers {
		if strings.HasPrefix(f, upstreamFinalizers) {
			return f
		}
	}
	return ""
}

// shows tells whether l has all that body says. The API server's defaults may come on top; what body no longer says is
// told by the digest among its annotations.
func (l live) shows(body *unstructured.Unstructured) bool {
	for key, value := range body.GetLabels() {
		if l.labels[key] != value {
			return false
		}
	}
	for key, value := range body.GetAnnotations() {
		if l.annotations[key] != value {
			return false
		}
	}
	return contains(l.spec, body.Object["spec"])
}

// contains tells whether have holds every field of want with the same value. Lists must have the same length.
func contains(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		m, ok := have.(map[string]any)
		if !ok {
			return len(want) == 0 && have == nil
		}
		for key, value := range want {
			if !contains(m[key], value) {
				return false
			}
		}
		return true
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !contains(list[i], want[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(have, want)
}
