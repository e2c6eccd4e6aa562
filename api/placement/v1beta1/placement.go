package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterResourcePlacement says which objects go to which clusters of the fleet.
//
// The printed columns are those of the Azure how-to for layer 4 load balancing, which shows Applied where later releases
// of KubeFleet show Available; the latter, and those that KubeFleet itself prints only then, are printed with -o wide.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories={fleet,fleet-placement},shortName=crp
// +kubebuilder:printcolumn:name="Gen",type=string,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name="Type",type=string,priority=1,JSONPath=`.spec.policy.placementType`
// +kubebuilder:printcolumn:name="Scheduled",type=string,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementScheduled")].status`
// +kubebuilder:printcolumn:name="ScheduledGen",type=string,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementScheduled")].observedGeneration`
// +kubebuilder:printcolumn:name="Work-Synchronized",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementWorkSynchronized")].status`
// +kubebuilder:printcolumn:name="Work-Synchronized-Gen",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementWorkSynchronized")].observedGeneration`
// +kubebuilder:printcolumn:name="Applied",type=string,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementApplied")].status`
// +kubebuilder:printcolumn:name="AppliedGen",type=string,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementApplied")].observedGeneration`
// +kubebuilder:printcolumn:name="Available",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementAvailable")].status`
// +kubebuilder:printcolumn:name="AvailableGen",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ClusterResourcePlacementAvailable")].observedGeneration`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterResourcePlacement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PlacementSpec `json:"spec"`
	// +optional
	Status PlacementStatus `json:"status,omitzero"`
}

// ClusterResourcePlacementList is a list of placements.
//
// +kubebuilder:object:root=true
type ClusterResourcePlacementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterResourcePlacement `json:"items"`
}

// ResourcePlacement says which objects of its own namespace go to which clusters of the fleet. It has the spec and the
// status of a ClusterResourcePlacement, but for the types of its conditions, which begin with the name of its own kind.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={fleet,fleet-placement},shortName=rp
// +kubebuilder:printcolumn:name="Gen",type=string,JSONPath=`.metadata.generation`
// +kubebuilder:printcolumn:name="Type",type=string,priority=1,JSONPath=`.spec.policy.placementType`
// +kubebuilder:printcolumn:name="Scheduled",type=string,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementScheduled")].status`
// +kubebuilder:printcolumn:name="ScheduledGen",type=string,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementScheduled")].observedGeneration`
// +kubebuilder:printcolumn:name="Work-Synchronized",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementWorkSynchronized")].status`
// +kubebuilder:printcolumn:name="Work-Synchronized-Gen",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementWorkSynchronized")].observedGeneration`
// +kubebuilder:printcolumn:name="Applied",type=string,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementApplied")].status`
// +kubebuilder:printcolumn:name="AppliedGen",type=string,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementApplied")].observedGeneration`
// +kubebuilder:printcolumn:name="Available",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementAvailable")].status`
// +kubebuilder:printcolumn:name="AvailableGen",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="ResourcePlacementAvailable")].observedGeneration`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ResourcePlacement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PlacementSpec `json:"spec"`
	// +optional
	Status PlacementStatus `json:"status,omitzero"`
}

// ResourcePlacementList is a list of placements.
//
// +kubebuilder:object:root=true
type ResourcePlacementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ResourcePlacement `json:"items"`
}

// PlacementSpec is what to place, where, and how to roll it out.
type PlacementSpec struct {
	// ResourceSelectors choose objects. An object that any of them chooses is placed.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	ResourceSelectors []ResourceSelector `json:"resourceSelectors"`

	// Policy chooses clusters. Without one, every cluster is chosen.
	//
	// +optional
	Policy *PlacementPolicy `json:"policy,omitempty"`

	// Strategy is how changes reach the chosen clusters.
	//
	// +optional
	Strategy *RolloutStrategy `json:"strategy,omitempty"`

	// RevisionHistoryLimit is how many generations of snapshots a KubeFleet hub keeps. gitfleet keeps none: Git does.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`

	// StatusReportingScope says whether the status of a ClusterResourcePlacement is also shown in the one namespace that it
	// selects, as a ClusterResourcePlacementStatus.
	//
	// +kubebuilder:validation:Enum=ClusterScopeOnly;NamespaceAccessible
	// +optional
	StatusReportingScope StatusReportingScope `json:"statusReportingScope,omitempty"`
}

// ResourceSelector chooses objects of one kind: one by name, those with certain labels, or all. A Namespace stands for
// itself and everything in it, unless SelectionScope narrows that.
type ResourceSelector struct {
	// Group of the kind; empty for the core group.
	Group string `json:"group"`

	// Version of the kind.
	Version string `json:"version"`

	// Kind of the objects.
	Kind string `json:"kind"`

	// Name of the one object; exclusive with labelSelector.
	//
	// +optional
	Name string `json:"name,omitempty"`

	// LabelSelector chooses objects by their labels; exclusive with name.
	//
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`

	// SelectionScope is read for Namespaces only: whether what lives in them comes along.
	//
	// +kubebuilder:validation:Enum=NamespaceOnly;NamespaceWithResources;NamespaceWithResourceSelectors
	// +optional
	SelectionScope SelectionScope `json:"selectionScope,omitempty"`
}

// SelectionScope is how far the selection of a Namespace reaches.
type SelectionScope string

// The selection scopes; absent means NamespaceWithResources.
const (
	NamespaceOnly                  SelectionScope = "NamespaceOnly"
	NamespaceWithResources         SelectionScope = "NamespaceWithResources"
	NamespaceWithResourceSelectors SelectionScope = "NamespaceWithResourceSelectors"
)

// StatusReportingScope is where a placement's status can be read.
type StatusReportingScope string

// The reporting scopes; absent means ClusterScopeOnly.
const (
	ClusterScopeOnly    StatusReportingScope = "ClusterScopeOnly"
	NamespaceAccessible StatusReportingScope = "NamespaceAccessible"
)
