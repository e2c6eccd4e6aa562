// Package hub publishes what gitfleet knows on an optional Kubernetes cluster, as the objects that KubeFleet's users
// know: every ClusterResourcePlacement, ResourcePlacement and MemberCluster of the commit in force, with status, for plain
// kubectl, with copies of statuses and Events where KubeFleet has them. It writes only what differs from what its watches show, and only objects that it published itself.
package hub

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// LabelPublished marks the objects that gitfleet published. Anything else on the hub is left alone.
const LabelPublished = "gitfleet.dev/published"

// Object is one object as it shall be on the hub.
type Object struct {
	// Body is apiVersion, kind, metadata and spec. Its annotation api.AnnotationAppliedHash is the digest of the rest.
	Body *unstructured.Unstructured
	// Placement is the status of a placement, otherwise nil; so is Member of a MemberCluster. Both are nil
	// when nothing is known, and then the status on the hub stays.
	Placement *placementv1beta1.PlacementStatus
	Member    *clusterv1beta1.MemberClusterStatus
	// Generation is what those conditions call observedGeneration that speak of this Body. On the hub that becomes the
	// generation which the API server counts there.
	Generation int64
	// Copy says where else the status of a placement shows; nil for nowhere else.
	Copy *Copy
	// Time is that of the report.
	Time time.Time
	// Heartbeat is how old Member's heartbeat on the hub may get while nothing but the time changes.
	Heartbeat time.Duration
}

// Objects returns what the hub shall show for a commit and the report on it: the members by name, then the placements
// in the order of desired. The inputs are not modified.
func Objects(desired *render.Desired, r report.Report) []Object {
	var list []Object
	for _, m := range desired.Members {
		o := Object{Body: body(clusterv1beta1.MemberClusterGVK, m.ObjectMeta, m.Spec), Time: r.Time}
		if i := slices.IndexFunc(r.Members, func(rm report.Member) bool { return rm.Name == m.Name }); i >= 0 {
			status := r.Members[i].Status(r.Time)
			o.Member, o.Heartbeat = &status, heartbeatOf(m.Spec)
		}
		list = append(list, o)
	}
	reported := make(map[string]report.Placement, len(r.Placements))
	for _, p := range r.Placements {
		reported[p.Key()] = p
	}
	for _, p := range desired.Placements {
		o := Object{Body: body(kindOf(p), p.ObjectMeta, p.Spec), Copy: copyOf(p), Time: r.Time}
		if rp, ok := reported[p.Key()]; ok {
			status := rp.Status(r.Drift, r.Time)
			capStatus(&status, maxStatus)
			o.Placement, o.Generation = &status, rp.Generation
		}
		list = append(list, o)
	}
	return list
}

// kindOf returns the kind that p was written as.
func kindOf(p render.Placement) schema.GroupVersionKind {
	if p.Namespace != "" {
		return placementv1beta1.ResourcePlacementGVK
	}
	return placementv1beta1.ClusterResourcePlacementGVK
}

// heartbeatOf is how long a heartbeat may be told late: what the spec asks for, or upstream's default.
func heartbeatOf(spec clusterv1beta1.MemberClusterSpec) time.Duration {
	if spec.HeartbeatPeriodSeconds != nil {
		return time.Duration(*spec.HeartbeatPeriodSeconds) * time.Second
	}
	return time.Minute
}

// body builds an object from the parts that an author has a say in.
func body(gvk schema.GroupVersionKind, meta metav1.ObjectMeta, spec any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": encode(spec)}}
	u.SetGroupVersionKind(gvk)
	u.SetName(meta.Name)
	u.SetNamespace(meta.Namespace)
	labels := maps.Clone(meta.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelPublished] = "true"
	u.SetLabels(labels)
	annotations := maps.Clone(meta.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, corev1.LastAppliedConfigAnnotation) // kubectl's own, about an object that is elsewhere
	u.SetAnnotations(annotations)
	annotations[api.AnnotationAppliedHash] = apply.AppliedHash(u)
	u.SetAnnotations(annotations)
	return u
}

// encode turns a value of our API types into what a client sends. Such a value always encodes.
func encode(v any) map[string]any {
	holder := &struct {
		Value any `json:"value"`
	}{v}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(holder)
	if err != nil {
		panic(fmt.Sprintf("hub: %T: %v", v, err))
	}
	value, _ := m["value"].(map[string]any)
	if value == nil {
		value = map[string]any{}
	}
	return value
}
