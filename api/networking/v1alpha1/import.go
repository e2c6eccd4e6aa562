package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ServiceImport is a service that some members export, as it appears on a member that imports it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={fleet-networking},shortName=svcimport
type ServiceImport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status ServiceImportStatus `json:"status,omitzero"`
}

// ServiceImportList is a list of imports.
//
// +kubebuilder:object:root=true
type ServiceImportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceImport `json:"items"`
}

// ServiceImportType is how an imported service is reached.
type ServiceImportType string

// The types of an import.
const (
	ClusterSetIP ServiceImportType = "ClusterSetIP"
	Headless     ServiceImportType = "Headless"
)

// ServiceImportStatus is the service as its exporters describe it.
type ServiceImportStatus struct {
	// +listType=atomic
	// +optional
	IPs []string `json:"ips,omitempty"`

	// +listType=atomic
	// +optional
	Ports []ServicePort `json:"ports,omitempty"`

	// Clusters are the exporters that count.
	//
	// +patchMergeKey=cluster
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=cluster
	// +optional
	Clusters []ClusterStatus `json:"clusters,omitempty" patchStrategy:"merge" patchMergeKey:"cluster"`

	// +kubebuilder:validation:Enum=ClusterSetIP;Headless
	// +optional
	Type ServiceImportType `json:"type,omitempty"`

	// +optional
	SessionAffinity corev1.ServiceAffinity `json:"sessionAffinity,omitempty"`

	// +optional
	SessionAffinityConfig *corev1.SessionAffinityConfig `json:"sessionAffinityConfig,omitempty"`
}

// ServicePort is one port of an imported service.
type ServicePort struct {
	// +optional
	Name string `json:"name,omitempty"`

	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	// +kubebuilder:default=TCP
	// +optional
	Protocol corev1.Protocol `json:"protocol,omitempty"`

	// +optional
	AppProtocol *string `json:"appProtocol,omitempty"`

	Port int32 `json:"port"`

	// TargetPort is a number or name, as on the exporters.
	//
	// +kubebuilder:validation:XIntOrString
	// +optional
	TargetPort intstr.IntOrString `json:"targetPort,omitzero"`
}

// ClusterStatus names one exporter.
type ClusterStatus struct {
	Cluster string `json:"cluster"`
}
