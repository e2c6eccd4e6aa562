package apply

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
)

// Owned is what the inventories of one source on one cluster list: to tell, before a delete that takes other objects with it, whether
// one of those is somebody else's.
type Owned struct {
	sets map[string]bool // ApplySet ids
	refs map[api.Ref]bool
	uids map[types.UID]bool // the same object may be served in two API groups
}

// NewOwned collects what parents list.
func NewOwned(parents ...Parent) Owned {
	o := Owned{sets: map[string]bool{}, refs: map[api.Ref]bool{}, uids: map[types.UID]bool{}}
	for _, p := range parents {
		o.sets[SetID(p.Name)] = true
		for _, it := range p.Items {
			o.refs[it.Ref] = true
			if it.UID != "" {
				o.uids[it.UID] = true
			}
		}
	}
	return o
}

// Foreign tells whether an object, of which m is the metadata, would be somebody's loss: neither gitfleet created it, nor
// does the control plane, nor a controller on behalf of another object, nor is it being deleted anyway.
//
// Ours is what an inventory lists and what carries its label; who takes the label off wants to keep the object. What was
// there before we first applied it is ours like everything that the commit names, except a volume: see CoCreator.
func (o Owned) Foreign(ref api.Ref, m metav1.Object) bool {
	switch {
	case m.GetDeletionTimestamp() != nil, metav1.GetControllerOfNoCopy(m) != nil, madeByControlPlane(ref, m), o.token(ref, m):
		return false
	case IsVolume(ref.GroupKind()) && CoCreator(m) != "":
		return true
	}
	return !o.refs[ref] && !o.uids[m.GetUID()] || !o.sets[m.GetLabels()[api.ApplySetPartOfLabel]]
}

// IsBookkeeping tells whether objects of gk only record what goes on, so that nobody loses anything with them.
func IsBookkeeping(gk schema.GroupKind) bool {
	switch gk {
	case schema.GroupKind{Kind: "Event"}, schema.GroupKind{Group: "events.k8s.io", Kind: "Event"},
		schema.GroupKind{Group: "coordination.k8s.io", Kind: "Lease"}, schema.GroupKind{Group: "coordination.k8s.io", Kind: "LeaseCandidate"}:
		return true
	}
	return false
}

// madeByControlPlane tells of what kube-controller-manager makes in every namespace, or for every Service, without being
// its controller owner. EndpointSlices need no rule: their Service is their controller.
func madeByControlPlane(ref api.Ref, m metav1.Object) bool {
	switch (schema.GroupKind{Group: ref.Group, Kind: ref.Kind}) {
	case schema.GroupKind{Kind: "ConfigMap"}:
		return ref.Name == "kube-root-ca.crt"
	case schema.GroupKind{Kind: "ServiceAccount"}:
		return ref.Name == "default"
	case schema.GroupKind{Kind: "Endpoints"}:
		_, current := m.GetLabels()["endpoints.kubernetes.io/managed-by"]     // since Kubernetes 1.33
		_, older := m.GetAnnotations()[corev1.EndpointsLastChangeTriggerTime] // before
		return current || older
	}
	return false
}

// token tells whether a Secret is the token of the default ServiceAccount or of one of ours, with which it goes. The
// metadata does not hold the type; only the token controller sets the second annotation.
func (o Owned) token(ref api.Ref, m metav1.Object) bool {
	if ref.Group != "" || ref.Kind != "Secret" || m.GetAnnotations()[corev1.ServiceAccountUIDKey] == "" {
		return false
	}
	account := m.GetAnnotations()[corev1.ServiceAccountNameKey]
	return account == "default" || o.refs[api.Ref{Kind: "ServiceAccount", Namespace: ref.Namespace, Name: account}]
}

// IsVolume tells whether gk is a kind whose objects hold data that nobody can make again.
func IsVolume(gk schema.GroupKind) bool {
	return gk.Group == "" && (gk.Kind == "PersistentVolume" || gk.Kind == "PersistentVolumeClaim")
}

// CoCreator returns who, beside gitfleet, set the access modes of the volume that m is the metadata of: every volume and
// every claim must have them from the start and no controller ever writes them, so that is who created it before gitfleet
// adopted it, or who applies it too. It is "" when gitfleet alone did.
func CoCreator(m metav1.Object) string {
	for _, e := range m.GetManagedFields() {
		if e.Manager == api.FieldManager || e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) != nil {
			continue // an API server never writes that
		}
		if _, ok := fields.Spec["f:accessModes"]; ok {
			return e.Manager
		}
	}
	return ""
}
