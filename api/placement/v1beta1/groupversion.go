// Package v1beta1 holds the placement API of KubeFleet (group placement.kubernetes-fleet.io): ClusterResourcePlacement and
// ResourcePlacement, with every field that manifests written for Azure Kubernetes Fleet Manager may carry, envelopes, and
// ClusterResourcePlacementStatus.
//
// +kubebuilder:object:generate=true
// +groupName=placement.kubernetes-fleet.io
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of placements.
const Group = "placement.kubernetes-fleet.io"

// GroupVersion is the version this package describes.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1beta1"}

// The kinds of this package.
var (
	ClusterResourcePlacementGVK       = GroupVersion.WithKind("ClusterResourcePlacement")
	ResourcePlacementGVK              = GroupVersion.WithKind("ResourcePlacement")
	ClusterResourcePlacementStatusGVK = GroupVersion.WithKind("ClusterResourcePlacementStatus")
	ClusterResourceEnvelopeGVK        = GroupVersion.WithKind("ClusterResourceEnvelope")
	ResourceEnvelopeGVK               = GroupVersion.WithKind("ResourceEnvelope")
)

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &ClusterResourcePlacement{}, &ClusterResourcePlacementList{},
		&ResourcePlacement{}, &ResourcePlacementList{}, &ClusterResourcePlacementStatus{}, &ClusterResourcePlacementStatusList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
