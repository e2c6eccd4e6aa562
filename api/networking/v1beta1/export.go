// Package v1beta1 holds what Azure Kubernetes Fleet Manager serves in a second version of networking.fleet.azure.com. Its
// ServiceExport has the same fields as that of v1alpha1, so API servers convert by changing the version alone.
//
// +kubebuilder:object:generate=true
// +groupName=networking.fleet.azure.com
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// GroupVersion is the version this package describes.
var GroupVersion = schema.GroupVersion{Group: v1alpha1.Group, Version: "v1beta1"}

// ServiceExport offers the Service of the same namespace and name to the whole fleet.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={fleet-networking},shortName=svcexport
// +kubebuilder:printcolumn:name="Is-Valid",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="Is-Conflicted",type=string,JSONPath=`.status.conditions[?(@.type=="Conflict")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServiceExport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status v1alpha1.ServiceExportStatus `json:"status,omitzero"`
}
