package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// Targets returns what every cluster shall hold: for each selected cluster one Set a placement, the Sets by name and
// their Objects by ref. decisions holds at most one decision for each placement; a placement without one has no target.
// A placement that selects no object still gets its (empty) Set. A cluster that a placement left is not in the answer:
// only who knows the inventories can tell.
//
// One object that two placements bring to the same cluster is the author's mistake, because each would delete what the
// other applies. Then there are no targets at all, which must never be read as empty ones.
func Targets(d *render.Desired, decisions []placement.Decision) (map[string][]apply.Set, render.ManifestErrors) {
	w := newWish(d)
	byName := make(map[string]placement.Decision, len(decisions))
	for _, dec := range decisions {
		byName[dec.Key()] = dec
	}
	if errs, _ := doubleOwners(d, byName); len(errs) > 0 {
		return nil, errs
	}
	return assign(w, byName), nil
}

// assign returns the Sets of every cluster, whether or not two of them hold the same object.
func assign(w *wish, byName map[string]placement.Decision) map[string][]apply.Set {
	targets := map[string][]apply.Set{}
	for _, p := range w.Placements {
		dec, ok := byName[p.Key()]
		if !ok {
			continue
		}
		set := apply.Set{
			Name:         p.Key(),
			Revision:     w.Revision.Commit,
			PolicyDigest: dec.Assignment.PolicyDigest,
			Objects:      w.targets[p.Key()],
			Suspended:    p.Directives.Suspend || !settled(dec),
			Account:      p.Directives.ServiceAccount,
			DependsOn:    p.Directives.DependsOn,
		}
		for _, cluster := range holders(dec) {
			targets[cluster] = append(targets[cluster], set)
		}
	}
	for _, sets := range targets {
		slices.SortFunc(sets, func(a, b apply.Set) int { return strings.Compare(a.Name, b.Name) })
	}
	return targets
}

func sortedByRef(objects []render.Object) []render.Object {
	return slices.SortedFunc(slices.Values(objects), func(a, b render.Object) int {
		return api.RefOf(a.Unstructured).Compare(api.RefOf(b.Unstructured))
	})
}

// targetsDigest identifies what every registered cluster shall hold, whatever the commit and the files it came from: a
// squashed merge has the digest of the branch that was reviewed.
func targetsDigest(registered []string, targets map[string][]apply.Set) string {
	type set struct {
		Name    string   `json:"name"`
		Objects []string `json:"objects"` // digests
	}
	all := make(map[string][]set, len(registered))
	for _, cluster := range registered {
		all[cluster] = []set{}
		for _, t := range targets[cluster] {
			one := set{Name: t.Name, Objects: make([]string, len(t.Objects))}
			for i, o := range t.Objects {
				one.Objects[i] = o.Ref.String() + " " + o.Hash
			}
			all[cluster] = append(all[cluster], one)
		}
	}
	return "sha256:" + jsonDigest(all)
}

// contentsDigest is what a person confirms who wants the deletions of the plan of that digest to take along what gitfleet
// did not create.
func contentsDigest(digest string) string {
	return "sha256:" + jsonDigest(digest+" with what others made")
}

// overlap is what two placements would both own.
type overlap struct {
	first, second render.Placement
	clusters      []string
	objects       map[api.Ref]bool
}

// shared returns the objects, as the second placement selects them, by ref.
func (o *overlap) shared() []render.Object {
	list := slices.DeleteFunc(slices.Clone(o.second.Selected), func(obj render.Object) bool { return !o.objects[api.RefOf(obj.Unstructured)] })
	return sortedByRef(list)
}

// doubleOwners returns one error for each placement that brings to a cluster what an earlier one brings there, for each such
// earlier one, and those clusters. Of several that bring one object to a cluster, each is told of the first: telling every pair would
// take the square of what a hostile commit can hold.
func doubleOwners(d *render.Desired, decisions map[string]placement.Decision) (render.ManifestErrors, map[string]bool) {
	var errs render.ManifestErrors
	on := map[string]bool{}
	for _, o := range overlaps(d, decisions) {
		errs = append(errs, o.manifestError())
		for _, cluster := range o.clusters {
			on[cluster] = true
		}
	}
	slices.SortFunc(errs, func(a, b render.ManifestError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Message, b.Message))
	})
	return errs, on
}

// overlaps returns the pairs of placements that bring an object in common to the same cluster. It works from the objects, so it costs
// little where no object is shared, however many placements there are.
func overlaps(d *render.Desired, decisions map[string]placement.Decision) []*overlap {
	type pair [2]int
	found := map[pair]*overlap{}
	var order []*overlap
	for ref, owners := range owners(d) {
		first := map[string]int{} // owner, by cluster
		for _, i := range owners {
			for _, cluster := range decisions[d.Placements[i].Key()].Assignment.Clusters {
				j, taken := first[cluster]
				if !taken {
					first[cluster] = i
					continue
				}
				o := found[pair{j, i}]
				if o == nil {
					o = &overlap{first: d.Placements[j], second: d.Placements[i], objects: map[api.Ref]bool{}}
					found[pair{j, i}] = o
					order = append(order, o)
				}
				o.objects[ref] = true
				if !slices.Contains(o.clusters, cluster) {
					o.clusters = append(o.clusters, cluster)
				}
			}
		}
	}
	return order
}

// owners returns, of each object that several placements select, which.
func owners(d *render.Desired) map[api.Ref][]int {
	all := map[api.Ref][]int{}
	for i, p := range d.Placements {
		for _, obj := range p.Selected {
			ref := api.RefOf(obj.Unstructured)
			all[ref] = append(all[ref], i)
		}
	}
	maps.DeleteFunc(all, func(_ api.Ref, owners []int) bool { return len(owners) < 2 })
	return all
}

func (o *overlap) manifestError() render.ManifestError {
	return render.ManifestError{
		File:     o.second.Origin.File,
		Document: o.second.Origin.Document,
		Field:    "spec.resourceSelectors",
		Message: fmt.Sprintf("placement %q selects %s, which placement %q (%s, document %d) selects too, and both run on %s; "+
			"let only one of them select it, or keep them on different clusters",
			o.second.Key(), nameObjects(o.shared()), o.first.Key(), o.first.Origin.File, o.first.Origin.Document,
			report.NameClusters(slices.Sorted(slices.Values(o.clusters)))),
	}
}

// nameObjects names up to three objects with their files; a whole namespace shared by mistake should not fill the screen.
func nameObjects(objects []render.Object) string {
	const most = 3
	var names []string
	for i, obj := range objects {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(objects)-most))
			break
		}
		names = append(names, fmt.Sprintf("%s (%s, document %d)", api.RefOf(obj.Unstructured), obj.Origin.File, obj.Origin.Document))
	}
	return strings.Join(names, ", ")
}
