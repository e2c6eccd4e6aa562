package apply

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
)

// The stages of an apply. Objects of one stage are applied concurrently, a stage begins when the one before has ended, and
// pruning goes the other way. The order is the one users know from kustomize, Helm and Flux.
const (
	stageFoundation = iota // what other objects live in, or are instances of
	stagePolicy            // what admission and scheduling of others look at
	stageConfig            // what pods mount, and who may do what
	stageRest              // services, workloads, custom resources, anything unknown
	stageAdmission         // what can refuse everything else; its backends must run first
)

// Stages is how many stages there are.
const Stages = stageAdmission + 1

var stageOfKind = map[schema.GroupKind]int{
	{Kind: "Namespace"}: stageFoundation,
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: stageFoundation,

	{Kind: "ResourceQuota"}:                                   stagePolicy,
	{Kind: "LimitRange"}:                                      stagePolicy,
	{Kind: "ServiceAccount"}:                                  stagePolicy,
	{Group: "rbac.authorization.k8s.io", Kind: "Role"}:        stagePolicy,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}: stagePolicy,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:       stagePolicy,
	{Group: "policy", Kind: "PodDisruptionBudget"}:            stagePolicy,

	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        stageConfig,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: stageConfig,
	{Kind: "ConfigMap"}:             stageConfig,
	{Kind: "Secret"}:                stageConfig,
	{Kind: "PersistentVolume"}:      stageConfig,
	{Kind: "PersistentVolumeClaim"}: stageConfig,

	{Group: "apiregistration.k8s.io", Kind: "APIService"}: stageAdmission,
}

// StageOf returns the stage in which objects of gk are applied, counted from 0.
func StageOf(gk schema.GroupKind) int {
	if stage, ok := stageOfKind[gk]; ok {
		return stage
	}
	switch {
	case gk.Group == "admissionregistration.k8s.io":
		return stageAdmission
	case strings.HasSuffix(gk.Kind, "Class") && strings.HasSuffix(gk.Group, ".k8s.io"):
		return stagePolicy // StorageClass, PriorityClass, IngressClass, GatewayClass …
	}
	return stageRest
}

func compareInOrder(a, b api.Ref) int {
	return cmp.Or(cmp.Compare(StageOf(a.GroupKind()), StageOf(b.GroupKind())), a.Compare(b))
}

// staged splits changes into stages, without empty ones, each sorted.
func staged(changes []Change) [][]Change {
	slices.SortFunc(changes, func(a, b Change) int { return compareInOrder(a.Ref, b.Ref) })
	var out [][]Change
	for i, c := range changes {
		if i == 0 || StageOf(c.Ref.GroupKind()) != StageOf(changes[i-1].Ref.GroupKind()) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], c)
	}
	return out
}
