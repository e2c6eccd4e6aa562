package reconcile

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

// wish is one rendered revision with what is prepared of it once, for all clusters and all events. It is immutable.
type wish struct {
	*render.Desired
	targets    map[string][]*apply.Target              // by placement, each by ref
	rules      *apply.HealthRules                      // how the health of its objects is judged
	policies   map[string]string                       // digest of the policy, by placement
	awaited    []string                                // placements that another placement or an object depends on, sorted
	selected   map[string][]v1beta1.ResourceIdentifier // by placement, in upstream's order
	checked    map[schema.GroupKind]bool               // kinds whose health a check of the commit tells
	picks      bool                                    // a placement of it goes to the best clusters only
	candidates []placement.Candidate                   // the members as Git registers them
	properties map[string]bool                         // of members that policies ask for
	confirmed  []string                                // plan digests that people confirmed in the commits up to this one
}

func newWish(d *render.Desired) *wish {
	w := &wish{Desired: d, candidates: gitCandidates(d), properties: propertiesOf(d.Placements),
		targets: make(map[string][]*apply.Target, len(d.Placements)), policies: make(map[string]string, len(d.Placements)),
		selected: make(map[string][]v1beta1.ResourceIdentifier, len(d.Placements)), checked: map[schema.GroupKind]bool{}}
	for _, c := range d.HealthChecks {
		w.checked[c.Kind] = true
	}
	awaited := map[string]bool{}
	for _, p := range d.Placements {
		targets := make([]*apply.Target, len(p.Selected))
		for i, o := range p.Selected {
			targets[i] = apply.NewTarget(o, p.Directives.IgnoreFields)
			for _, dep := range o.Directives.DependsOn {
				if dep.Placement != "" {
					awaited[dep.Placement] = true
				}
			}
		}
		slices.SortFunc(targets, func(a, b *apply.Target) int { return a.Ref.Compare(b.Ref) })
		w.targets[p.Key()] = targets
		w.selected[p.Key()] = p.SelectedResources()
		w.policies[p.Key()] = placement.PolicyDigest(p.Spec.Policy)
		for _, name := range p.Directives.DependsOn {
			awaited[name] = true
		}
	}
	w.picks = slices.ContainsFunc(d.Placements, picks)
	w.awaited = slices.Sorted(maps.Keys(awaited))
	return w
}
