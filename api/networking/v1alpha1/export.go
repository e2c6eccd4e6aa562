package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceExport offers the Service of the same namespace and name to the whole fleet.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={fleet-networking},shortName=svcexport
// +kubebuilder:printcolumn:name="Is-Valid",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="Is-Conflicted",type=string,JSONPath=`.status.conditions[?(@.type=="Conflict")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServiceExport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status ServiceExportStatus `json:"status,omitzero"`
}

// ServiceExportList is a list of exports.
//
// +kubebuilder:object:root=true
type ServiceExportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceExport `json:"items"`
}

// ServiceExportStatus tells whether the export counts.
type ServiceExportStatus struct {
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// Types of a ServiceExport's conditions. A MultiClusterService has ConditionValid too.
const (
	ConditionValid    = "Valid"
	ConditionConflict = "Conflict"
)

// Reasons of ConditionValid on a ServiceExport.
const (
	ReasonServiceIsValid    = "ServiceIsValid"
	ReasonServiceNotFound   = "ServiceNotFound"   // there is no Service of that name, or it is being deleted
	ReasonServiceIneligible = "ServiceIneligible" // headless, or of type ExternalName
	ReasonInvalidWeight     = "ServiceExportInvalidWeightAnnotation"
)

// Reasons of ConditionConflict on a ServiceExport.
const (
	ReasonPendingConflictResolution = "ServicePendingConflictResolution"
	ReasonNoConflictFound           = "NoConflictFound"
	ReasonConflictFound             = "ConflictFound"
)
