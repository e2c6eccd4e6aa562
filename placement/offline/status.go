package offline

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

// observations is what documents say of the state of things, by their origin. A commit carries none of it.
type observations struct {
	placements map[render.Origin]observedPlacement
	members    map[render.Origin]observedMember
}

// observe decodes the metadata and status of placements and members, as strictly as their specs.
func observe(fleet []render.Object) (observations, render.ManifestErrors) {
	all := observations{placements: map[render.Origin]observedPlacement{}, members: map[render.Origin]observedMember{}}
	var errs render.ManifestErrors
	for _, o := range fleet {
		state := &unstructured.Unstructured{Object: map[string]any{}}
		for _, key := range []string{"metadata", "status"} {
			if part, ok := o.Object[key]; ok {
				state.Object[key] = part
			}
		}
		var err error
		switch {
		case o.GetKind() == clusterv1beta1.MemberClusterGVK.Kind:
			var m observedMember
			err = api.DecodeStrict(state, &m)
			all.members[o.Origin] = m
		case o.GroupVersionKind().Group == alphaGroup:
			var p observedAlpha
			err = api.DecodeStrict(state, &p)
			all.placements[o.Origin] = p.placement()
		default:
			var p observedPlacement
			err = api.DecodeStrict(state, &p)
			all.placements[o.Origin] = p
		}
		errs = append(errs, mistakesIn(o.Origin, err)...)
	}
	return all, errs
}

func mistakesIn(at render.Origin, err error) render.ManifestErrors {
	var fields api.FieldErrors
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &fields):
		fields = api.FieldErrors{{Message: err.Error()}}
	}
	var errs render.ManifestErrors
	for _, f := range fields {
		field := strings.Trim(at.Field+"."+f.Field, ".")
		errs = append(errs, render.ManifestError{File: at.File, Document: at.Document, Field: field, Message: f.Message})
	}
	return errs
}

type observedPlacement struct {
	Metadata metav1.ObjectMeta                `json:"metadata"`
	Status   placementv1beta1.PlacementStatus `json:"status"`
}

// observedAlpha is a placement of the version of 2022.
type observedAlpha struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Status   struct {
		Conditions        []metav1.Condition `json:"conditions"`
		TargetClusters    []string           `json:"targetClusters"`
		SelectedResources any                `json:"selectedResources"`
		FailedPlacements  any                `json:"failedPlacements"`
	} `json:"status"`
}

// placement returns what counts of p in the present form.
func (p observedAlpha) placement() observedPlacement {
	out := observedPlacement{Metadata: p.Metadata}
	for _, name := range p.Status.TargetClusters {
		out.Status.PlacementStatuses = append(out.Status.PlacementStatuses, placementv1beta1.ClusterStatus{ClusterName: name})
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, "Scheduled"); c != nil {
		scheduled := *c
		scheduled.Type = placementv1beta1.ConditionScheduled
		out.Status.Conditions = []metav1.Condition{scheduled}
	}
	return out
}

type observedMember struct {
	Metadata metav1.ObjectMeta                  `json:"metadata"`
	Status   clusterv1beta1.MemberClusterStatus `json:"status"`
}

// assignment is where the status says that the placement is. The spec that chose those clusters is not in the document:
// it is taken to be the present one if that is what the Scheduled condition is about, and an older one otherwise.
func (p observedPlacement) assignment(kind string, policy *placementv1beta1.PlacementPolicy) placement.Assignment {
	clusters := map[string]bool{}
	for _, c := range p.Status.PlacementStatuses {
		if c.ClusterName != "" { // an unfilled slot has none
			clusters[c.ClusterName] = true
		}
	}
	names := slices.Sorted(maps.Keys(clusters))
	scheduled := meta.FindStatusCondition(p.Status.Conditions, kind+"Scheduled")
	if scheduled != nil && scheduled.ObservedGeneration == p.Metadata.Generation {
		return placement.Assignment{Clusters: names, PolicyDigest: placement.PolicyDigest(policy)}
	}
	return placement.Assignment{Obsolete: names}
}
