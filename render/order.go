package render

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// selectedRank is the order of kinds in status.selectedResources. Upstream goes by the kind alone, whatever its group.
var selectedRank = rank(
	"PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "ServiceAccount",
	"Secret", "ConfigMap", "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition",
	"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service", "DaemonSet", "Pod", "ReplicationController",
	"ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob", "IngressClass", "Ingress",
	"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
)

func rank(kinds ...string) map[string]int {
	out := make(map[string]int, len(kinds))
	for i, kind := range kinds {
		out[kind] = i
	}
	return out
}

// SelectedResources returns what p selects as status.selectedResources lists it, in the order of SortSelected. What came out
// of an envelope names that.
func (p Placement) SelectedResources() []placementv1beta1.ResourceIdentifier {
	ids := make([]placementv1beta1.ResourceIdentifier, len(p.Selected))
	for i, o := range p.Selected {
		gvk := o.GroupVersionKind()
		ids[i] = placementv1beta1.ResourceIdentifier{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind,
			Name: o.GetName(), Namespace: o.GetNamespace(), Envelope: o.Envelope}
	}
	SortSelected(ids)
	return ids
}

// SortSelected sorts ids as upstream sorts status.selectedResources: by a fixed sequence of kinds, then all other kinds by
// group, version and kind; within a kind by apiVersion, then by namespace and name.
func SortSelected(ids []placementv1beta1.ResourceIdentifier) {
	type sortable struct {
		rank           int
		version, path  string
		id             placementv1beta1.ResourceIdentifier
		envelopeOrigin string
	}
	all := make([]sortable, len(ids))
	for i, id := range ids {
		gvk := schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind}
		s := sortable{rank: len(selectedRank), version: gvk.String(), path: id.Namespace + "/" + id.Name, id: id}
		if n, known := selectedRank[id.Kind]; known {
			s.rank, s.version = n, gvk.GroupVersion().String()
		}
		if e := id.Envelope; e != nil {
			s.envelopeOrigin = e.Type + "/" + e.Namespace + "/" + e.Name
		}
		all[i] = s
	}
	slices.SortFunc(all, func(a, b sortable) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.version, b.version), cmp.Compare(a.path, b.path),
			cmp.Compare(a.envelopeOrigin, b.envelopeOrigin))
	})
	for i, s := range all {
		ids[i] = s.id
	}
}
