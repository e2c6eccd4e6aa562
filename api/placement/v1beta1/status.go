package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Types of a placement's conditions. Those of one cluster carry no prefix: see ClusterStatus.
const (
	ConditionScheduled        = "ClusterResourcePlacementScheduled"
	ConditionRolloutStarted   = "ClusterResourcePlacementRolloutStarted"
	ConditionOverridden       = "ClusterResourcePlacementOverridden"
	ConditionWorkSynchronized = "ClusterResourcePlacementWorkSynchronized"
	ConditionApplied          = "ClusterResourcePlacementApplied"
	ConditionAvailable        = "ClusterResourcePlacementAvailable"
	ConditionStatusSynced     = "ClusterResourcePlacementStatusSynced"
)

// PlacementStatus is what became of a placement.
type PlacementStatus struct {
	// SelectedResources are the objects that the selectors choose.
	//
	// +optional
	SelectedResources []ResourceIdentifier `json:"selectedResources,omitempty"`

	// ObservedResourceIndex names the snapshot of the objects that the conditions talk about.
	//
	// +optional
	ObservedResourceIndex string `json:"observedResourceIndex,omitempty"`

	// PlacementStatuses has one entry for each chosen cluster, then one without a name for each slot left unfilled.
	//
	// +optional
	PlacementStatuses []ClusterStatus `json:"placementStatuses,omitempty"`

	// Conditions of the placement over all clusters.
	//
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// ClusterResourcePlacementStatus is the status of the ClusterResourcePlacement of its name, for readers who have access to
// their namespace only. It stands in the namespace that a placement with statusReportingScope NamespaceAccessible selects.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,categories={fleet,fleet-placement},shortName=crps
// +kubebuilder:printcolumn:name="Resource-Index",type=string,JSONPath=`.sourceStatus.observedResourceIndex`
// +kubebuilder:printcolumn:name="Last-Updated",type=string,JSONPath=`.lastUpdatedTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterResourcePlacementStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// SourceStatus is a copy of the placement's status, without the condition about the copying.
	//
	// +optional
	SourceStatus PlacementStatus `json:"sourceStatus,omitzero"`

	// LastUpdatedTime is when SourceStatus changed last.
	//
	// +optional
	LastUpdatedTime metav1.Time `json:"lastUpdatedTime,omitzero"`
}

// ClusterResourcePlacementStatusList is a list of copied statuses.
//
// +kubebuilder:object:root=true
type ClusterResourcePlacementStatusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterResourcePlacementStatus `json:"items"`
}

// ResourceIdentifier names one placed object.
type ResourceIdentifier struct {
	// +optional
	Group   string `json:"group,omitempty"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Envelope is the object that carried this one, if any.
	//
	// +optional
	Envelope *EnvelopeIdentifier `json:"envelope,omitempty"`
}

// EnvelopeIdentifier names the object that carries others.
type EnvelopeIdentifier struct {
	Name string `json:"name"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +kubebuilder:validation:Enum=ConfigMap;ClusterResourceEnvelope;ResourceEnvelope
	Type string `json:"type"`
}

// ClusterStatus is what became of a placement on one cluster. Condition types: Scheduled, RolloutStarted, Overridden,
// WorkSynchronized, Applied, Available.
type ClusterStatus struct {
	// ClusterName is empty for a slot that no cluster fills.
	//
	// +optional
	ClusterName string `json:"clusterName,omitempty"`

	// ObservedResourceIndex names the snapshot being rolled out to the cluster.
	//
	// +optional
	ObservedResourceIndex string `json:"observedResourceIndex,omitempty"`

	// +optional
	ApplicableResourceOverrides []NamespacedName `json:"applicableResourceOverrides,omitempty"`

	// +optional
	ApplicableClusterResourceOverrides []string `json:"applicableClusterResourceOverrides,omitempty"`

	// FailedPlacements are the objects that could not be applied or are not available.
	//
	// +kubebuilder:validation:MaxItems=100
	// +optional
	FailedPlacements []FailedResourcePlacement `json:"failedPlacements,omitempty"`

	// DriftedPlacements are the objects that someone changed on the cluster.
	//
	// +kubebuilder:validation:MaxItems=100
	// +optional
	DriftedPlacements []DriftedResourcePlacement `json:"driftedPlacements,omitempty"`

	// DiffedPlacements are the objects that differ from the manifest and were not taken over.
	//
	// +kubebuilder:validation:MaxItems=100
	// +optional
	DiffedPlacements []DiffedResourcePlacement `json:"diffedPlacements,omitempty"`

	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NamespacedName names an object of a kind known from the field.
type NamespacedName struct {
	// +optional
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// FailedResourcePlacement is one object that is not applied or not available, and why.
type FailedResourcePlacement struct {
	ResourceIdentifier `json:",inline"`

	Condition metav1.Condition `json:"condition"`
}

// DriftedResourcePlacement is one object that someone changed on the cluster after it was applied.
type DriftedResourcePlacement struct {
	ResourceIdentifier `json:",inline"`

	ObservationTime                 metav1.Time `json:"observationTime"`
	TargetClusterObservedGeneration int64       `json:"targetClusterObservedGeneration"`
	FirstDriftedObservedTime        metav1.Time `json:"firstDriftedObservedTime"`
	// +optional
	ObservedDrifts []PatchDetail `json:"observedDrifts,omitempty"`
}

// DiffedResourcePlacement is one object on the cluster that differs from the manifest.
type DiffedResourcePlacement struct {
	ResourceIdentifier `json:",inline"`

	ObservationTime metav1.Time `json:"observationTime"`
	// +optional
	TargetClusterObservedGeneration *int64      `json:"targetClusterObservedGeneration,omitempty"`
	FirstDiffedObservedTime         metav1.Time `json:"firstDiffedObservedTime"`
	// +optional
	ObservedDiffs []PatchDetail `json:"observedDiffs,omitempty"`
}

// PatchDetail is one field that differs. Values of Secrets are never shown.
type PatchDetail struct {
	// Path is a JSON pointer.
	Path string `json:"path"`
	// +optional
	ValueInMember string `json:"valueInMember,omitempty"`
	// +optional
	ValueInHub string `json:"valueInHub,omitempty"`
}
