package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

// scheduleInput is what is to be scheduled, on what.
type scheduleInput struct {
	placements []placed
	members    []*clusterv1beta1.MemberCluster
	ignored    map[string]int // documents of other kinds, by kind
}

// placed is one placement and where it is now.
type placed struct {
	placement.Placement
	before placement.Assignment
}

// scheduleInputOf sorts out what was read. The error tells every mistake in it, besides those that reading has shown.
func scheduleInputOf(objects []render.Object, unread render.ManifestErrors) (scheduleInput, error) {
	in := scheduleInput{ignored: map[string]int{}}
	var fleet []render.Object
	for _, o := range objects {
		if schedulable(o) {
			fleet = append(fleet, o)
			continue
		}
		in.ignored[cmp.Or(o.GetKind(), "without a kind")]++
	}
	placements, members, errs := render.Schedulable(fleet)
	observed, untyped := observe(fleet)
	if errs = render.MergeErrors(unread, errs, untyped); len(errs) > 0 {
		return in, errs
	}
	for _, m := range members {
		member := m.MemberCluster.DeepCopy()
		member.Status, member.DeletionTimestamp = observed.members[m.Origin].Status, observed.members[m.Origin].Metadata.DeletionTimestamp
		in.members = append(in.members, member)
	}
	if len(placements) == 0 {
		return in, errors.New(strings.Join(append([]string{"no placement was found: name files with a ClusterResourcePlacement or " +
			"ResourcePlacement after -f"}, in.notices()...), "; "))
	}
	for _, p := range placements {
		in.placements = append(in.placements, placed{
			Placement: placement.Placement{Name: p.Name, Namespace: p.Namespace, Policy: p.Spec.Policy, UnplaceAfter: p.Directives.UnplaceAfter},
			before:    observed.placements[p.Origin].assignment(p.Kind, p.Spec.Policy),
		})
	}
	return in, nil
}

// alphaGroup is the API group of the version of 2022.
const alphaGroup = "fleet.azure.com"

// schedulable tells whether o is meant to be a placement or a member, in whatever version. One that lacks its apiVersion
// is, so that the lack is told.
func schedulable(o render.Object) bool {
	group, _, _ := strings.Cut(o.GetAPIVersion(), "/")
	switch group {
	case "", placementv1beta1.Group, clusterv1beta1.Group, alphaGroup:
		return slices.Contains([]string{"ClusterResourcePlacement", "ResourcePlacement", "MemberCluster"}, o.GetKind())
	}
	return false
}

// decide schedules every placement, in the order of namespace and name.
func (in scheduleInput) decide(now time.Time) []placement.Decision {
	candidates := make([]placement.Candidate, len(in.members))
	for i, m := range in.members {
		candidates[i] = placement.CandidateOf(m, now)
	}
	decisions := make([]placement.Decision, len(in.placements))
	for i, p := range in.placements {
		decisions[i] = placement.Decide(p.Placement, p.before, candidates, now)
	}
	slices.SortFunc(decisions, func(a, b placement.Decision) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return decisions
}

// notices says what in the input had no effect, or is probably missing.
func (in scheduleInput) notices() []string {
	var kinds, notices []string
	for _, kind := range slices.Sorted(maps.Keys(in.ignored)) {
		kinds = append(kinds, fmt.Sprintf("%s (%d)", kind, in.ignored[kind]))
	}
	if len(kinds) > 0 {
		notices = append(notices, "ignored, as neither a placement nor a MemberCluster: "+strings.Join(kinds, ", "))
	}
	if len(in.members) == 0 {
		notices = append(notices, "no MemberCluster was found, so there is nothing to choose from")
	}
	return notices
}
