// Package hub publishes what gitfleet knows on an optional Kubernetes cluster, as the objects that KubeFleet's users
// know: every ClusterResourcePlacement and MemberCluster of the commit in force, with status, for plain kubectl. It
// writes only what differs from what its watches show, and only objects that it published itself.
package hub

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

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
	// Placement is the status of a ClusterResourcePlacement, otherwise nil; so is Member of a MemberCluster. Both are nil
	// when nothing is known, and then the status on the hub stays.
	Placement *placementv1beta1.PlacementStatus
	Member    *clusterv1beta1.MemberClusterStatus
	// Generation is what those conditions call observedGeneration that speak of this Body. On the hub that becomes the
	// generation which the API server counts there.
	Generation int64
}

// Objects returns what the hub shall show for a commit and the report on it: the members by name, then the placements
// by name. The inputs are not modified.
func Objects(desired *render.Desired, r report.Report) []Object {
	var list []Object
	for _, m := range desired.Members {
		o := Object{Body: body(clusterv1beta1.MemberClusterGVK, m.ObjectMeta, m.Spec)}
		if i := slices.IndexFunc(r.Members, func(rm report.Member) bool { return rm.Name == m.Name }); i >= 0 {
			status := memberStatus(r.Members[i], metav1.NewTime(r.Time))
			o.Member = &status
		}
		list = append(list, o)
	}
	for _, p := range desired.Placements {
		o := Object{Body: body(placementv1beta1.ClusterResourcePlacementGVK, p.ObjectMeta, p.Spec)}
		if i := slices.IndexFunc(r.Placements, func(rp report.Placement) bool { return rp.Name == p.Name }); i >= 0 {
			status := placementStatus(p, r.Placements[i], r)
			capStatus(&status, maxStatus)
			o.Placement, o.Generation = &status, r.Placements[i].Generation
		}
		list = append(list, o)
	}
	return list
}

// body builds an object from the parts that an author has a say in.
func body(gvk schema.GroupVersionKind, meta metav1.ObjectMeta, spec any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": encode(spec)}}
	u.SetGroupVersionKind(gvk)
	u.SetName(meta.Name)
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

// memberStatus is upstream's status for what is known of a member.
func memberStatus(m report.Member, now metav1.Time) clusterv1beta1.MemberClusterStatus {
	joined := metav1.Condition{Type: clusterv1beta1.ConditionJoined, Status: metav1.ConditionUnknown,
		Reason: "MemberClusterJoinStateUnknown", Message: m.Message, LastTransitionTime: now}
	ready := metav1.Condition{Type: clusterv1beta1.ConditionReadyToJoin, Status: metav1.ConditionTrue,
		Reason: "MemberClusterReadyToJoin", Message: "credentials are there", LastTransitionTime: now}
	switch metav1.ConditionStatus(m.Joined) {
	case metav1.ConditionTrue:
		joined.Status, joined.Reason = metav1.ConditionTrue, "MemberClusterJoined"
		joined.Message = cmp.Or(m.Message, "its API server answers")
	case metav1.ConditionFalse:
		joined.Status, joined.Reason = metav1.ConditionFalse, "MemberClusterNotReadyToJoin"
		ready.Status, ready.Reason, ready.Message = joined.Status, joined.Reason, m.Message
	}
	s := clusterv1beta1.MemberClusterStatus{Conditions: []metav1.Condition{joined, ready}}
	if m.Nodes != nil {
		s.Properties = map[string]clusterv1beta1.PropertyValue{
			clusterv1beta1.PropertyNodeCount: {Value: fmt.Sprint(*m.Nodes), ObservationTime: now},
		}
	}
	if !m.LastSeen.IsZero() {
		s.AgentStatus = []clusterv1beta1.AgentStatus{{
			Type: clusterv1beta1.AgentMember, LastReceivedHeartbeat: metav1.NewTime(m.LastSeen),
		}}
	}
	return s
}

// placementStatus is upstream's status for what a placement came to.
func placementStatus(p render.Placement, rp report.Placement, r report.Report) placementv1beta1.PlacementStatus {
	s := placementv1beta1.PlacementStatus{Conditions: slices.Clone(rp.Conditions)}
	versions := map[api.Ref]string{}
	for _, o := range p.Selected {
		id := identify(api.RefOf(o.Unstructured), o.GroupVersionKind().Version)
		versions[api.RefOf(o.Unstructured)] = id.Version
		s.SelectedResources = append(s.SelectedResources, id)
	}
	for _, c := range rp.Clusters {
		conditions := c.Conditions
		if len(conditions) == 0 {
			conditions = report.ClusterConditions(rp, c, nil, r.Time)
		}
		s.PlacementStatuses = append(s.PlacementStatuses, placementv1beta1.ClusterStatus{
			ClusterName:      c.Cluster,
			Conditions:       slices.Clone(conditions),
			FailedPlacements: failedPlacements(c, versions, rp.Generation, metav1.NewTime(r.Time)),
		})
	}
	for range rp.Decision.Unfilled {
		s.PlacementStatuses = append(s.PlacementStatuses, placementv1beta1.ClusterStatus{
			Conditions: report.ClusterConditions(rp, report.PlacementOnCluster{}, nil, r.Time),
		})
	}
	return s
}

func identify(ref api.Ref, version string) placementv1beta1.ResourceIdentifier {
	return placementv1beta1.ResourceIdentifier{
		Group: ref.Group, Version: version, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
	}
}

// maxFailed is how many failed objects upstream's API allows for each cluster.
const maxFailed = 100

// failedPlacements names the objects that could not be applied, and, where the cluster as a whole is known not to be
// healthy, those that are not available. What is not known has not failed.
func failedPlacements(c report.PlacementOnCluster, versions map[api.Ref]string, generation int64, now metav1.Time) []placementv1beta1.FailedResourcePlacement {
	var failed []placementv1beta1.FailedResourcePlacement
	for _, o := range c.Objects {
		condition := metav1.Condition{Status: metav1.ConditionFalse, ObservedGeneration: generation, LastTransitionTime: now}
		switch {
		case o.Error != "":
			condition.Type, condition.Reason, condition.Message = "Applied", "ManifestApplyFailed", o.Error
		case c.Healthy != string(metav1.ConditionFalse) || o.Health.Status == apply.Current || o.Health.Status == apply.Unknown:
			continue
		case o.Health.Status == apply.Failed:
			condition.Type, condition.Reason, condition.Message = "Available", "Failed", o.Health.Message
		default:
			condition.Type, condition.Reason, condition.Message = "Available", "ManifestNotAvailableYet", o.Health.Message
		}
		condition.Message = shorten(condition.Message)
		failed = append(failed, placementv1beta1.FailedResourcePlacement{
			ResourceIdentifier: identify(o.Ref, versions[o.Ref]), Condition: condition,
		})
		if len(failed) == maxFailed {
			break
		}
	}
	return failed
}

// longest bounds one message, in bytes: a status holds many.
const longest = 1024
