// Package offline schedules placements from documents alone: nothing is asked, and what is observed is read from the status of
// the same documents. This package is pure.
package offline

import (
	"cmp"
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

// Input is what is to be scheduled, on what.
type Input struct {
	Placements []Placement                     // sorted by namespace and name
	Members    []*clusterv1beta1.MemberCluster // sorted by name

	ignored map[string]int // documents of other kinds, by kind
}

// Placement is one placement and where it is now.
type Placement struct {
	placement.Placement
	Before placement.Assignment
}

// Read sorts out documents, the items of lists among them. The error, if any, is a render.ManifestErrors that tells every mistake
// in them, with those that showed when they were read.
func Read(documents []render.Object, unread render.ManifestErrors) (Input, error) {
	in := Input{ignored: map[string]int{}}
	fleet, errs := in.sort(documents)
	placements, members, invalid := render.Schedulable(fleet)
	observed, untyped := observe(fleet)
	if errs = render.MergeErrors(unread, errs, invalid, untyped); len(errs) > 0 {
		return Input{}, errs
	}
	for _, m := range members {
		member := m.MemberCluster.DeepCopy()
		member.Status, member.DeletionTimestamp = observed.members[m.Origin].Status, observed.members[m.Origin].Metadata.DeletionTimestamp
		in.Members = append(in.Members, member)
	}
	for _, p := range placements {
		in.Placements = append(in.Placements, Placement{
			Placement: placement.Placement{Name: p.Name, Namespace: p.Namespace, Policy: p.Spec.Policy, UnplaceAfter: p.Directives.UnplaceAfter},
			Before:    observed.placements[p.Origin].assignment(p.Kind, p.Spec.Policy),
		})
	}
	slices.SortFunc(in.Placements, func(a, b Placement) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return in, nil
}

// sort returns the placements and members among documents and counts the others.
func (in *Input) sort(documents []render.Object) ([]render.Object, render.ManifestErrors) {
	var fleet []render.Object
	var errs render.ManifestErrors
	for _, d := range documents {
		items, wrong := render.Expand(d)
		errs = append(errs, wrong...)
		for _, o := range items {
			if schedulable(o) {
				fleet = append(fleet, o)
			} else if m := render.Misspelled(o); m != nil {
				errs = append(errs, *m)
			} else {
				in.ignored[cmp.Or(o.GetKind(), "without a kind")]++
			}
		}
	}
	return fleet, errs
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

// Decide schedules every placement at the time now, in their order.
func (in Input) Decide(now time.Time) []placement.Decision {
	candidates := make([]placement.Candidate, len(in.Members))
	for i, m := range in.Members {
		candidates[i] = placement.CandidateOf(m, now)
	}
	decisions := make([]placement.Decision, len(in.Placements))
	for i, p := range in.Placements {
		decisions[i] = placement.Decide(p.Placement, p.Before, candidates, now)
	}
	return decisions
}

// Notices says what in the input had no effect, or is probably missing.
func (in Input) Notices() []string {
	var kinds, notices []string
	for _, kind := range slices.Sorted(maps.Keys(in.ignored)) {
		kinds = append(kinds, fmt.Sprintf("%s (%d)", kind, in.ignored[kind]))
	}
	if len(kinds) > 0 {
		notices = append(notices, "ignored, as neither a placement nor a MemberCluster: "+strings.Join(kinds, ", "))
	}
	if len(in.Members) == 0 {
		notices = append(notices, "no MemberCluster was found, so there is nothing to choose from")
	}
	return notices
}
