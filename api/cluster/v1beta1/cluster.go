// Package v1beta1 holds the cluster API of KubeFleet (group cluster.kubernetes-fleet.io): MemberCluster, by which a
// repository registers the clusters of its fleet.
//
// +kubebuilder:object:generate=true
// +groupName=cluster.kubernetes-fleet.io
package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of member clusters.
const Group = "cluster.kubernetes-fleet.io"

// GroupVersion is the version this package describes.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1beta1"}

// MemberClusterGVK identifies MemberCluster documents.
var MemberClusterGVK = GroupVersion.WithKind("MemberCluster")

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &MemberCluster{}, &MemberClusterList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// MemberCluster is one cluster of the fleet. Its labels are what placements choose by.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories={fleet,fleet-cluster},shortName=cluster
// +kubebuilder:printcolumn:name="Joined",type=string,JSONPath=`.status.conditions[?(@.type=="Joined")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Member-Agent-Last-Seen",type=date,JSONPath=`.status.agentStatus[?(@.type=="MemberAgent")].lastReceivedHeartbeat`
// +kubebuilder:printcolumn:name="Node-Count",type=string,JSONPath=`.status.properties.kubernetes-fleet\.io/node-count.value`
// +kubebuilder:printcolumn:name="Available-CPU",type=string,JSONPath=`.status.resourceUsage.available.cpu`
// +kubebuilder:printcolumn:name="Available-Memory",type=string,JSONPath=`.status.resourceUsage.available.memory`
// +kubebuilder:printcolumn:name="Allocatable-CPU",type=string,priority=1,JSONPath=`.status.resourceUsage.allocatable.cpu`
// +kubebuilder:printcolumn:name="Allocatable-Memory",type=string,priority=1,JSONPath=`.status.resourceUsage.allocatable.memory`
type MemberCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec MemberClusterSpec `json:"spec,omitzero"`
	// +optional
	Status MemberClusterStatus `json:"status,omitzero"`
}

// MemberClusterList is a list of clusters.
//
// +kubebuilder:object:root=true
type MemberClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MemberCluster `json:"items"`
}

// MemberClusterSpec is what is wished of a cluster. All of it is optional: gitfleet reaches members with kubeconfig
// files, and has no agent there that would need an identity or a heartbeat.
type MemberClusterSpec struct {
	// Identity is whom a KubeFleet hub lets in as this cluster's agent.
	//
	// +optional
	Identity *rbacv1.Subject `json:"identity,omitempty"`

	// HeartbeatPeriodSeconds is how often a KubeFleet agent reports.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	// +optional
	HeartbeatPeriodSeconds *int32 `json:"heartbeatPeriodSeconds,omitempty"`

	// Taints keep placements off the cluster that do not tolerate them.
	//
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Taints []Taint `json:"taints,omitempty"`

	// DeleteOptions is about what must hold before the cluster may leave.
	//
	// +optional
	DeleteOptions *DeleteOptions `json:"deleteOptions,omitempty"`
}

// Taint keeps placements off a cluster.
type Taint struct {
	Key string `json:"key"`
	// +optional
	Value string `json:"value,omitempty"`
	// Effect is always NoSchedule.
	//
	// +kubebuilder:validation:Enum=NoSchedule
	Effect corev1.TaintEffect `json:"effect"`
}

// DeleteOptions is about what must hold before the cluster may leave.
type DeleteOptions struct {
	// ValidationMode is Strict when absent: a cluster that still exports services may not leave.
	//
	// +kubebuilder:validation:Enum=Strict;Skip
	// +optional
	ValidationMode string `json:"validationMode,omitempty"`
}

// Types of a cluster's conditions.
const (
	ConditionReadyToJoin = "ReadyToJoin"
	ConditionJoined      = "Joined"
)

// Words that the status uses.
const (
	AgentMember       = "MemberAgent"                    // agentStatus[].type; gitfleet reports its own view under it
	PropertyNodeCount = "kubernetes-fleet.io/node-count" // properties key, and the Node-Count column
	PropertyVersion   = "k8s.io/k8s-version"             // properties key
)

// MemberClusterStatus is what is seen of a cluster.
type MemberClusterStatus struct {
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`

	// Properties are facts about the cluster by name.
	//
	// +optional
	Properties map[string]PropertyValue `json:"properties,omitempty"`

	// ResourceUsage sums up the cluster's nodes.
	//
	// +optional
	ResourceUsage ResourceUsage `json:"resourceUsage,omitzero"`

	// Namespaces maps namespaces that placements own to the name of the work behind them.
	//
	// +optional
	Namespaces map[string]string `json:"namespaces,omitempty"`

	// AgentStatus has one entry for each reporter.
	//
	// +optional
	AgentStatus []AgentStatus `json:"agentStatus,omitempty"`
}

// PropertyValue is one observed fact.
type PropertyValue struct {
	Value           string      `json:"value"`
	ObservationTime metav1.Time `json:"observationTime"`
}

// ResourceUsage sums up nodes.
type ResourceUsage struct {
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitempty"`
	// +optional
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	// +optional
	Available corev1.ResourceList `json:"available,omitempty"`
	// +optional
	ObservationTime metav1.Time `json:"observationTime,omitzero"`
}

// AgentStatus is what one reporter says.
type AgentStatus struct {
	// +kubebuilder:validation:Enum=MemberAgent;MultiClusterServiceAgent;ServiceExportImportAgent
	Type string `json:"type"`

	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`

	// +optional
	LastReceivedHeartbeat metav1.Time `json:"lastReceivedHeartbeat,omitzero"`
}
