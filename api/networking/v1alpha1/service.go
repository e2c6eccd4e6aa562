package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MultiClusterService puts an imported service behind one address.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={fleet-networking},shortName=mcs
// +kubebuilder:printcolumn:name="Service-Import",type=string,JSONPath=`.spec.serviceImport.name`
// +kubebuilder:printcolumn:name="External-IP",type=string,JSONPath=`.status.loadBalancer.ingress[0].ip`
// +kubebuilder:printcolumn:name="Is-Valid",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MultiClusterService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MultiClusterServiceSpec `json:"spec"`
	// +optional
	Status MultiClusterServiceStatus `json:"status,omitzero"`
}

// MultiClusterServiceList is a list of multi-cluster services.
//
// +kubebuilder:object:root=true
type MultiClusterServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MultiClusterService `json:"items"`
}

// MultiClusterServiceSpec is which service to put behind an address.
type MultiClusterServiceSpec struct {
	// ServiceImport names the import in the same namespace. It need not exist yet.
	ServiceImport ServiceImportRef `json:"serviceImport"`
}

// ServiceImportRef names a ServiceImport in the same namespace.
type ServiceImportRef struct {
	// Name is a DNS-1035 label: the exporters have a Service of this name.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
}

// MultiClusterServiceStatus is the address, and whether there is anything behind it.
type MultiClusterServiceStatus struct {
	// LoadBalancer holds the address.
	//
	// +optional
	LoadBalancer corev1.LoadBalancerStatus `json:"loadBalancer,omitzero"`

	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// Reasons of ConditionValid on a MultiClusterService. It is True or Unknown, never False.
const (
	ReasonFoundServiceImport   = "FoundServiceImport"
	ReasonUnknownServiceImport = "UnknownServiceImport" // no member exports it, or another service has it
)
