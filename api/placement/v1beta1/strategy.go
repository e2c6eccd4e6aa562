package v1beta1

import (
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RolloutStrategy is how changes reach the chosen clusters and how they are applied there.
type RolloutStrategy struct {
	// Type is RollingUpdate when absent; External leaves the rollout to staged update runs.
	//
	// +kubebuilder:validation:Enum=RollingUpdate;External
	// +optional
	Type RolloutStrategyType `json:"type,omitempty"`

	// RollingUpdate bounds a rolling update; not with External.
	//
	// +optional
	RollingUpdate *RollingUpdateConfig `json:"rollingUpdate,omitempty"`

	// ApplyStrategy is how objects are written on members.
	//
	// +optional
	ApplyStrategy *ApplyStrategy `json:"applyStrategy,omitempty"`

	// DeleteStrategy is what happens to placed objects when the placement goes.
	//
	// +optional
	DeleteStrategy *DeleteStrategy `json:"deleteStrategy,omitempty"`

	// ReportBackStrategy is whether members' statuses are copied back.
	//
	// +optional
	ReportBackStrategy *ReportBackStrategy `json:"reportBackStrategy,omitempty"`
}

// RolloutStrategyType names who paces a rollout.
type RolloutStrategyType string

// The rollout strategy types; absent means RollingUpdate.
const (
	RollingUpdate RolloutStrategyType = "RollingUpdate"
	External      RolloutStrategyType = "External"
)

// RollingUpdateConfig bounds a rolling update over clusters.
type RollingUpdateConfig struct {
	// MaxUnavailable is a number or percentage of clusters; 25% when absent.
	//
	// +kubebuilder:validation:XIntOrString
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// MaxSurge is a number or percentage of clusters; 25% when absent.
	//
	// +kubebuilder:validation:XIntOrString
	// +optional
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`

	// UnavailablePeriodSeconds is how long to wait for kinds whose readiness cannot be seen; 60 when absent.
	//
	// +kubebuilder:validation:Minimum=0
	// +optional
	UnavailablePeriodSeconds *int32 `json:"unavailablePeriodSeconds,omitempty"`
}

// ApplyStrategy is how objects are written on members.
type ApplyStrategy struct {
	// ComparisonOption is PartialComparison when absent.
	//
	// +kubebuilder:validation:Enum=PartialComparison;FullComparison
	// +optional
	ComparisonOption string `json:"comparisonOption,omitempty"`

	// WhenToApply is Always when absent.
	//
	// +kubebuilder:validation:Enum=Always;IfNotDrifted
	// +optional
	WhenToApply string `json:"whenToApply,omitempty"`

	// Type is ClientSideApply when absent.
	//
	// +kubebuilder:validation:Enum=ClientSideApply;ServerSideApply;ReportDiff
	// +optional
	Type string `json:"type,omitempty"`

	// AllowCoOwnership lets an object have other owners beside this placement.
	//
	// +optional
	AllowCoOwnership bool `json:"allowCoOwnership,omitempty"`

	// ServerSideApplyConfig is only for ServerSideApply.
	//
	// +optional
	ServerSideApplyConfig *ServerSideApplyConfig `json:"serverSideApplyConfig,omitempty"`

	// WhenToTakeOver is Always when absent.
	//
	// +kubebuilder:validation:Enum=Always;IfNoDiff;Never
	// +optional
	WhenToTakeOver string `json:"whenToTakeOver,omitempty"`
}

// ServerSideApplyConfig configures server-side apply.
type ServerSideApplyConfig struct {
	// Force takes fields over from other managers.
	//
	// +optional
	Force bool `json:"force,omitempty"`
}

// DeleteStrategy is what happens to placed objects when the placement goes.
type DeleteStrategy struct {
	// PropagationPolicy is Delete when absent.
	//
	// +kubebuilder:validation:Enum=Delete;Abandon
	// +optional
	PropagationPolicy string `json:"propagationPolicy,omitempty"`
}

// ReportBackStrategy is whether members' statuses are copied back, and to where.
type ReportBackStrategy struct {
	// Type is Disabled when absent.
	//
	// +kubebuilder:validation:Enum=Disabled;Mirror
	// +optional
	Type string `json:"type,omitempty"`

	// Destination is only for Mirror.
	//
	// +kubebuilder:validation:Enum=OriginalResource;WorkAPI
	// +optional
	Destination *string `json:"destination,omitempty"`
}
