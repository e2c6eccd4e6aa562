// Package v1alpha1 holds the networking API of Azure Kubernetes Fleet Manager (group networking.fleet.azure.com):
// ServiceExport, ServiceImport and MultiClusterService, all of which live on member clusters.
//
// +kubebuilder:object:generate=true
// +groupName=networking.fleet.azure.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of multi-cluster services.
const Group = "networking.fleet.azure.com"

// GroupVersion is the version this package describes.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// The kinds and resources of this package.
var (
	ServiceExportGVK       = GroupVersion.WithKind("ServiceExport")
	ServiceImportGVK       = GroupVersion.WithKind("ServiceImport")
	MultiClusterServiceGVK = GroupVersion.WithKind("MultiClusterService")
	ServiceExportGVR       = GroupVersion.WithResource("serviceexports")
	ServiceImportGVR       = GroupVersion.WithResource("serviceimports")
	MultiClusterServiceGVR = GroupVersion.WithResource("multiclusterservices")
)

// Annotations that ask for an internal instead of a public address when their value is a true boolean. The first is
// what the Azure how-to writes on the MultiClusterService, the second is what Azure's own controllers read there; both
// count.
const (
	AnnotationAzureInternal = "service.beta.kubernetes.io/azure-load-balancer-internal"
	AnnotationFleetInternal = "networking.fleet.azure.com/azure-load-balancer-internal"
)

// AnnotationWeight on a ServiceExport is its cluster's share of new connections: a whole number from 0, which takes none, to 1000.
const AnnotationWeight = "networking.fleet.azure.com/weight"

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&ServiceExport{}, &ServiceExportList{},
		&ServiceImport{}, &ServiceImportList{},
		&MultiClusterService{}, &MultiClusterServiceList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
