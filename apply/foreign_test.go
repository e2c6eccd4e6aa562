package apply

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
)

func TestForeign(t *testing.T) {
	yes, past := true, metav1.NewTime(time.Unix(0, 0))
	ref := func(kind, name string) api.Ref { return api.Ref{Kind: kind, Namespace: "web", Name: name} }
	owned := NewOwned(Parent{Name: "web", Items: []Item{
		{Ref: ref("ConfigMap", "a"), UID: "uid-a"}, {Ref: ref("ServiceAccount", "robot")}, {Ref: ref("PersistentVolumeClaim", "data")},
	}})
	ours := map[string]string{api.ApplySetPartOfLabel: SetID("web")}
	token := func(account, uid string) map[string]string {
		return map[string]string{"kubernetes.io/service-account.name": account, "kubernetes.io/service-account.uid": uid}
	}
	modes := func(manager, subresource, fields string) []metav1.ManagedFieldsEntry {
		return []metav1.ManagedFieldsEntry{{Manager: manager, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}}
	}
	const created = `{"f:spec":{"f:accessModes":{}}}`
	rows := []struct {
		reason  string
		ref     api.Ref
		meta    metav1.ObjectMeta
		foreign bool
	}{
		{"nobody knows it", ref("ConfigMap", "b"), metav1.ObjectMeta{}, true},
		{"listed and labelled", ref("ConfigMap", "a"), metav1.ObjectMeta{Labels: ours}, false},
		{"listed, but somebody took the label off", ref("ConfigMap", "a"), metav1.ObjectMeta{UID: "uid-a"}, true},
		{"listed, but of a set that is not ours", ref("ConfigMap", "a"), metav1.ObjectMeta{Labels: map[string]string{api.ApplySetPartOfLabel: "applyset-x-v1"}}, true},
		{"labelled, but in no inventory", ref("ConfigMap", "b"), metav1.ObjectMeta{Labels: ours}, true},
		{"listed under another API group", api.Ref{Group: "old", Kind: "ConfigMap", Namespace: "web", Name: "a"}, metav1.ObjectMeta{UID: "uid-a", Labels: ours}, false},
		{"on its way out", ref("ConfigMap", "b"), metav1.ObjectMeta{DeletionTimestamp: &past}, false},
		{"a controller's", ref("Pod", "b"), metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Controller: &yes}}}, false},
		{"owned, but by no controller", ref("Pod", "b"), metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{}}}, true},
		{"made in every namespace", ref("ConfigMap", "kube-root-ca.crt"), metav1.ObjectMeta{}, false},
		{"made in every namespace", ref("ServiceAccount", "default"), metav1.ObjectMeta{}, false},
		{"of that name, but another kind", ref("Secret", "default"), metav1.ObjectMeta{}, true},
		{"of that name, but another group", api.Ref{Group: "x.io", Kind: "ServiceAccount", Namespace: "web", Name: "default"}, metav1.ObjectMeta{}, true},
		{"a Service's endpoints", ref("Endpoints", "s"), metav1.ObjectMeta{Labels: map[string]string{"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}, false},
		{"endpoints by hand", ref("Endpoints", "s"), metav1.ObjectMeta{}, true},
		{"the default token", ref("Secret", "t"), metav1.ObjectMeta{Annotations: token("default", "1")}, false},
		{"a token of our account", ref("Secret", "t"), metav1.ObjectMeta{Annotations: token("robot", "1")}, false},
		{"a token of their account", ref("Secret", "t"), metav1.ObjectMeta{Annotations: token("theirs", "1")}, true},
		{"no token", ref("Secret", "t"), metav1.ObjectMeta{Annotations: token("default", "")}, true},
		{"a claim that was there before", ref("PersistentVolumeClaim", "data"), metav1.ObjectMeta{Labels: ours, ManagedFields: modes("kubectl-create", "", created)}, true},
		{"a claim that only gitfleet made", ref("PersistentVolumeClaim", "data"), metav1.ObjectMeta{Labels: ours, ManagedFields: modes(api.FieldManager, "", created)}, false},
		{"a claim that another applies too", ref("PersistentVolumeClaim", "data"), metav1.ObjectMeta{Labels: ours,
			ManagedFields: append(modes(api.FieldManager, "", created), modes("flux", "", created)...)}, true},
		{"a claim with a status of somebody", ref("PersistentVolumeClaim", "data"), metav1.ObjectMeta{Labels: ours, ManagedFields: modes("x", "status", created)}, false},
		{"a claim with an entry that is no field set", ref("PersistentVolumeClaim", "data"), metav1.ObjectMeta{Labels: ours,
			ManagedFields: append(modes("x", "", `{"f:spec":7}`), modes("y", "", created)...)}, true},
		{"a claim that was bound", ref("PersistentVolumeClaim", "data"), metav1.ObjectMeta{Labels: ours, ManagedFields: modes("kube-controller-manager", "", `{"f:spec":{"f:volumeName":{}}}`)}, false},
	}
	for _, row := range rows {
		if got := owned.Foreign(row.ref, &row.meta); got != row.foreign {
			t.Errorf("%s, %s: foreign %v, want %v", row.ref, row.reason, got, row.foreign)
		}
	}
}

// TestBookkeeping: an Event of another group may be anything.
func TestBookkeeping(t *testing.T) {
	for kind, want := range map[string]bool{
		"Event": true, "Event.events.k8s.io": true, "Lease.coordination.k8s.io": true, "LeaseCandidate.coordination.k8s.io": true,
		"Event.example.com": false, "Lease": false, "ConfigMap": false,
	} {
		if got := IsBookkeeping(schema.ParseGroupKind(kind)); got != want {
			t.Errorf("%s only records what goes on: %t, want %t", kind, got, want)
		}
	}
}
