package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// OfflinePlan returns what going from base to head would change in the fleet, from the two revisions alone: base is taken
// to be in force on all its clusters, and head is scheduled on top of that, as sticky as ever. A nil base compares with
// nothing. An object that two placements of head bring to one cluster, and a change of what may not change, stand in Errors, and then
// no object is planned.
func OfflinePlan(base, head *render.Desired, now time.Time) report.Plan {
	return OfflinePlanWithin(apply.Threshold{}, base, head, now)
}

// OfflinePlanWithin is OfflinePlan for a gitfleet that deletes no more than limit without a person's word.
func OfflinePlanWithin(limit apply.Threshold, base, head *render.Desired, now time.Time) report.Plan {
	if base == nil {
		base = &render.Desired{}
	}
	before := foresee(base, nil, now)
	after := foresee(head, before.decisions, now)
	after.threshold = limit
	plan, _ := planFromGit(context.Background(), before, after, render.CheckUpdate(base.Placements, head.Placements)) // which never ends
	return plan
}

// planFromGit compares two revisions in their places. updates are the changes of placements that may not be made; the error is that
// of ctx.
func planFromGit(ctx context.Context, before, after outlook, updates render.ManifestErrors) (report.Plan, error) {
	plan := compare(before, after)
	plan.Errors = render.MergeErrors(after.errs, updates)
	if len(plan.Errors) == 0 {
		var err error
		plan.Digest = after.digest()
		if plan.Changes, err = changes(ctx, before, after); err != nil {
			return report.Plan{}, err
		}
		plan.Services = serviceChanges(before, after)
	}
	plan.Risks = risks(before, after, plan.Changes, nil)
	return plan, nil
}

// compare begins a plan with where the placements go.
func compare(before, after outlook) report.Plan {
	plan := report.Plan{
		Base:       before.Revision.Commit,
		Head:       after.Revision.Commit,
		Placements: slices.Collect(maps.Values(after.decisions)),
		Moves:      moves(before, after),
	}
	slices.SortFunc(plan.Placements, func(a, b placement.Decision) int { return cmp.Compare(a.Key(), b.Key()) })
	return plan
}

// outlook is one revision with everything in its place.
type outlook struct {
	*render.Desired
	rendered   map[api.Ref]bool // placed or not
	registered map[string]bool
	decisions  map[string]placement.Decision // by placement
	targets    map[string][]apply.Set        // by cluster; nil with errs
	errs       render.ManifestErrors
	seen       bool            // it was scheduled by what members report, not from Git alone
	threshold  apply.Threshold // above which deleting waits for a person
	// listed is how many objects the inventories on a cluster list, where they were seen.
	listed map[string]int
}

// foresee schedules d on what held before, by placement.
func foresee(d *render.Desired, held map[string]placement.Decision, now time.Time) outlook {
	decisions, _ := decideAll(context.Background(), d, gitCandidates(d), func(p render.Placement, members *placement.Fleet) placement.Decision {
		return members.Decide(subject(p), held[p.Key()].Assignment, now)
	})
	s := newOutlook(d, decisions)
	s.targets, s.errs = Targets(d, decisions)
	return s
}

// newOutlook returns the outlook of d without its targets.
func newOutlook(d *render.Desired, decisions []placement.Decision) outlook {
	s := outlook{Desired: d, rendered: map[api.Ref]bool{}, registered: map[string]bool{}, decisions: map[string]placement.Decision{}}
	for _, o := range d.Objects {
		s.rendered[api.RefOf(o.Unstructured)] = true
	}
	for _, m := range d.Members {
		s.registered[m.Name] = true
	}
	for _, decision := range decisions {
		s.decisions[decision.Key()] = decision
	}
	return s
}

// digest identifies what every cluster shall hold.
func (s outlook) digest() string {
	return targetsDigest(slices.Collect(maps.Keys(s.registered)), s.targets)
}

// on tells whether placement runs on cluster, and why or why not.
func (s outlook) on(placement, cluster string) (bool, string) {
	for _, v := range s.decisions[placement].Verdicts {
		if v.Cluster == cluster {
			return v.Selected, v.Reason
		}
	}
	return false, ""
}

// owned is one object on one cluster with the placement that brings it.
type owned struct {
	placement string
	render.Object
}

// holdings returns what cluster shall hold, by ref.
func (s outlook) holdings(cluster string) map[api.Ref]owned {
	held := map[api.Ref]owned{}
	for _, set := range s.targets[cluster] {
		for _, o := range set.Objects {
			held[o.Ref] = owned{placement: set.Name, Object: o.Object}
		}
	}
	return held
}

// changes compares cluster by cluster. One that head does not register any more keeps what it has. The error is that of ctx.
func changes(ctx context.Context, before, after outlook) ([]report.Change, error) {
	diff := differ(before, after)
	var list []report.Change
	for _, cluster := range slices.Sorted(maps.Keys(after.registered)) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		list = append(list, changesOn(cluster, before, after, diff)...)
	}
	return list, nil
}

// changesOn compares what one cluster held with what it shall hold.
func changesOn(cluster string, before, after outlook, diff func(was, is owned) string) []report.Change {
	var list []report.Change
	old, wanted := before.holdings(cluster), after.holdings(cluster)
	if after.SuspendsMember(cluster) {
		return nil
	}
	for _, ref := range sortedRefs(old, wanted) {
		was, had := old[ref]
		is, has := wanted[ref]
		switch {
		case has && after.Suspends(is.placement), !has && after.Suspends(was.placement):
		case !had:
			list = append(list, change(cluster, apply.Create, is, createReason(before, after, cluster, is)))
		case !has:
			list = append(list, change(cluster, apply.Delete, was, deleteReason(after, cluster, was)))
		case was.placement != is.placement || diff(was, is) != "":
			c := change(cluster, apply.Update, is, updateReason(was, is))
			c.Diff = diff(was, is)
			list = append(list, c)
		}
	}
	return list
}

// differ returns a function that compares an object of before with one of after. Clusters share their objects, so each
// pair is compared once, however large the fleet.
func differ(before, after outlook) func(was, is owned) string {
	type pair [2]*unstructured.Unstructured
	mask := report.NewMask(before.Objects, after.Objects)
	known := map[pair]string{}
	return func(was, is owned) string {
		p := pair{was.Unstructured, is.Unstructured}
		if _, ok := known[p]; !ok {
			known[p] = mask.Diff(was.Unstructured, is.Unstructured)
		}
		return known[p]
	}
}

func sortedRefs(a, b map[api.Ref]owned) []api.Ref {
	refs := maps.Clone(a)
	maps.Copy(refs, b)
	return slices.SortedFunc(maps.Keys(refs), api.Ref.Compare)
}

func change(cluster string, action apply.Action, o owned, reason string) report.Change {
	return report.Change{
		Cluster:    cluster,
		Action:     action,
		APIVersion: o.GetAPIVersion(),
		Kind:       o.GetKind(),
		Namespace:  o.GetNamespace(),
		Name:       o.GetName(),
		Placement:  o.placement,
		Source:     fmt.Sprintf("%s#%d", o.Origin.File, o.Origin.Document),
		Reason:     reason,
	}
}

func createReason(before, after outlook, cluster string, o owned) string {
	if _, known := before.decisions[o.placement]; !known {
		return "the placement is new"
	}
	if on, _ := before.on(o.placement, cluster); !on {
		_, why := after.on(o.placement, cluster)
		return "the placement comes to this cluster: " + why
	}
	if before.rendered[api.RefOf(o.Unstructured)] {
		return "now selected by the placement"
	}
	return "new object"
}

func deleteReason(after outlook, cluster string, o owned) string {
	if !after.rendered[api.RefOf(o.Unstructured)] {
		return "no longer rendered"
	}
	if _, known := after.decisions[o.placement]; !known {
		return "the placement is removed"
	}
	if on, why := after.on(o.placement, cluster); !on {
		return "the placement leaves this cluster: " + why
	}
	return "no longer selected by the placement"
}

func updateReason(was, is owned) string {
	if was.placement != is.placement {
		return fmt.Sprintf("handed over from placement %s, which leaves it", was.placement)
	}
	return "changed"
}

// moves returns the clusters that placements come to and go from, by placement and cluster.
func moves(before, after outlook) []report.Move {
	names := maps.Clone(before.decisions)
	maps.Copy(names, after.decisions)
	var list []report.Move
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, now := before.decisions[name].Assignment.Clusters, after.decisions[name].Assignment.Clusters
		for _, cluster := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(old, now)))) {
			had, has := slices.Contains(old, cluster), slices.Contains(now, cluster)
			_, why := after.on(name, cluster)
			switch {
			case has && !had:
				list = append(list, report.Move{Placement: name, Cluster: cluster, Action: report.Gain, Reason: why})
			case had && !has:
				list = append(list, report.Move{Placement: name, Cluster: cluster, Action: report.Lose, Reason: after.lossReason(name, cluster)})
			}
		}
	}
	return list
}

func (s outlook) lossReason(placement, cluster string) string {
	if !s.registered[cluster] {
		return "the cluster is no longer registered; its objects stay where they are"
	}
	if _, known := s.decisions[placement]; !known {
		return "the placement is removed"
	}
	_, why := s.on(placement, cluster)
	return why
}

// jsonDigest returns the SHA-256 of v as JSON, in which maps are sorted by key. v came from YAML, so it encodes.
func jsonDigest(v any) string {
	hash := sha256.New()
	if err := json.NewEncoder(hash).Encode(v); err != nil {
		panic(fmt.Sprintf("bug: %T does not encode as JSON: %v", v, err))
	}
	return hex.EncodeToString(hash.Sum(nil))
}
