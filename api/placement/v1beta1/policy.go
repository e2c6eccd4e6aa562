package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PlacementType is how clusters are chosen.
type PlacementType string

// The placement types; absent means PickAll.
const (
	PickAll   PlacementType = "PickAll"
	PickN     PlacementType = "PickN"
	PickFixed PlacementType = "PickFixed"
)

// PlacementPolicy chooses clusters.
type PlacementPolicy struct {
	// PlacementType is PickAll (every cluster that qualifies), PickN (the best of them) or PickFixed (those named).
	//
	// +kubebuilder:validation:Enum=PickAll;PickN;PickFixed
	// +kubebuilder:default=PickAll
	// +optional
	PlacementType PlacementType `json:"placementType,omitempty"`

	// ClusterNames are the clusters of a PickFixed placement, each a DNS subdomain of at most 63 characters.
	//
	// +kubebuilder:validation:MaxItems=100
	// +optional
	ClusterNames []string `json:"clusterNames,omitempty"`

	// NumberOfClusters is how many a PickN placement chooses.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	NumberOfClusters *int32 `json:"numberOfClusters,omitempty"`

	// Affinity narrows and ranks the clusters; not for PickFixed.
	//
	// +optional
	Affinity *Affinity `json:"affinity,omitempty"`

	// TopologySpreadConstraints spread a PickN placement over domains.
	//
	// +optional
	TopologySpreadConstraints []TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// Tolerations let the placement onto tainted clusters; not for PickFixed.
	//
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Tolerations []Toleration `json:"tolerations,omitempty"`
}

// Affinity groups the affinities of a placement.
type Affinity struct {
	// ClusterAffinity is about the clusters themselves.
	//
	// +optional
	ClusterAffinity *ClusterAffinity `json:"clusterAffinity,omitempty"`
}

// ClusterAffinity says what a cluster must have and what it should have.
type ClusterAffinity struct {
	// Required holds the terms of which a cluster must meet at least one when it is chosen. Later changes do not
	// unplace.
	//
	// +optional
	Required *ClusterSelector `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`

	// Preferred ranks the clusters of a PickN placement.
	//
	// +optional
	Preferred []PreferredClusterSelector `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// ClusterSelector is met by a cluster that meets any of its terms. Without terms it is met by every cluster.
type ClusterSelector struct {
	// +kubebuilder:validation:MaxItems=10
	ClusterSelectorTerms []ClusterSelectorTerm `json:"clusterSelectorTerms"`
}

// PreferredClusterSelector adds a weight to the clusters that meet a term.
type PreferredClusterSelector struct {
	// +kubebuilder:validation:Minimum=-100
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`

	Preference ClusterSelectorTerm `json:"preference"`
}

// ClusterSelectorTerm is met by a cluster that meets all its parts.
type ClusterSelectorTerm struct {
	// LabelSelector is about the labels of the MemberCluster.
	//
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`

	// PropertySelector is about the properties a cluster reports; only in required terms.
	//
	// +optional
	PropertySelector *PropertySelector `json:"propertySelector,omitempty"`

	// PropertySorter scales the weight by a property; only in preferred terms.
	//
	// +optional
	PropertySorter *PropertySorter `json:"propertySorter,omitempty"`
}

// PropertySelector is met by a cluster that meets all its expressions.
type PropertySelector struct {
	MatchExpressions []PropertySelectorRequirement `json:"matchExpressions"`
}

// PropertySelectorRequirement compares one property with one quantity.
type PropertySelectorRequirement struct {
	Name string `json:"name"`

	// +kubebuilder:validation:Enum=Gt;Ge;Eq;Ne;Lt;Le
	Operator string `json:"operator"`

	// +kubebuilder:validation:MaxItems=1
	Values []string `json:"values"`
}

// PropertySorter ranks clusters by one property.
type PropertySorter struct {
	Name string `json:"name"`

	// +kubebuilder:validation:Enum=Ascending;Descending
	SortOrder string `json:"sortOrder"`
}

// TopologySpreadConstraint bounds how unevenly a placement may be spread over the values of one cluster label.
type TopologySpreadConstraint struct {
	// MaxSkew is the largest allowed difference between two domains; 1 when absent.
	//
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxSkew *int32 `json:"maxSkew,omitempty"`

	// TopologyKey is the label whose values are the domains.
	TopologyKey string `json:"topologyKey"`

	// WhenUnsatisfiable is DoNotSchedule when absent.
	//
	// +kubebuilder:validation:Enum=DoNotSchedule;ScheduleAnyway
	// +optional
	WhenUnsatisfiable string `json:"whenUnsatisfiable,omitempty"`
}

// Toleration makes a placement accept clusters with a matching taint.
type Toleration struct {
	// +optional
	Key string `json:"key,omitempty"`

	// Operator is Equal when absent.
	//
	// +kubebuilder:validation:Enum=Equal;Exists
	// +optional
	Operator corev1.TolerationOperator `json:"operator,omitempty"`

	// +optional
	Value string `json:"value,omitempty"`

	// Effect is NoSchedule, or empty for every effect.
	//
	// +kubebuilder:validation:Enum=NoSchedule
	// +optional
	Effect corev1.TaintEffect `json:"effect,omitempty"`
}
