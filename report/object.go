package report

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// objectList is a list of Kubernetes objects of any kind, as kubectl prints it.
type objectList struct {
	APIVersion string            `json:"apiVersion"`
	Items      []any             `json:"items"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
}

func listOf(items []any) objectList {
	return objectList{APIVersion: "v1", Items: orEmpty(items), Kind: "List", Metadata: map[string]string{"resourceVersion": ""}}
}

// object is p as a Kubernetes object, with its status.
func (p Placement) object(r Report) any {
	metadata := metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.Labels, Annotations: ownAnnotations(p.Annotations),
		Generation: p.Generation, CreationTimestamp: metav1.NewTime(p.Created)}
	var spec placementv1beta1.PlacementSpec
	if p.Spec != nil {
		spec = *p.Spec
	}
	status := p.Status(r.Drift, r.Time)
	if p.Namespace != "" {
		return placementv1beta1.ResourcePlacement{TypeMeta: typeOf(placementv1beta1.ResourcePlacementGVK.ToAPIVersionAndKind()),
			ObjectMeta: metadata, Spec: spec, Status: status}
	}
	return placementv1beta1.ClusterResourcePlacement{TypeMeta: typeOf(placementv1beta1.ClusterResourcePlacementGVK.ToAPIVersionAndKind()),
		ObjectMeta: metadata, Spec: spec, Status: status}
}

// object is m as a Kubernetes object, with its status.
func (m Member) object(r Report) any {
	o := clusterv1beta1.MemberCluster{
		TypeMeta: typeOf(clusterv1beta1.MemberClusterGVK.ToAPIVersionAndKind()),
		ObjectMeta: metav1.ObjectMeta{Name: m.Name, Labels: m.Labels, Annotations: ownAnnotations(m.Annotations),
			CreationTimestamp: metav1.NewTime(m.Created)},
		Status: m.Status(r.Time),
	}
	if m.Spec != nil {
		o.Spec = *m.Spec
	}
	return o
}

func typeOf(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// ownAnnotations leaves out kubectl's, which is about another object.
func ownAnnotations(all map[string]string) map[string]string {
	own := maps.Clone(all)
	delete(own, corev1.LastAppliedConfigAnnotation)
	return own
}
