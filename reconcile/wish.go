package reconcile

import (
	"maps"
	"slices"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
)

// wish is one rendered revision with what is prepared of it once, for all clusters and all events. It is immutable.
type wish struct {
	*render.Desired
	targets   map[string][]*apply.Target // by placement, each by ref
	rules     *apply.HealthRules         // how the health of its objects is judged
	awaited   []string                   // placements that another placement or an object depends on, sorted
	confirmed []string                   // plan digests that people confirmed in the commits up to this one
}

func newWish(d *render.Desired) *wish {
	w := &wish{Desired: d, targets: make(map[string][]*apply.Target, len(d.Placements))}
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
		for _, name := range p.Directives.DependsOn {
			awaited[name] = true
		}
	}
	w.awaited = slices.Sorted(maps.Keys(awaited))
	return w
}

// suspends tells whether the wish holds a placement of that name and nothing of it shall be changed.
func (w *wish) suspends(placement string) bool {
	return slices.ContainsFunc(w.Placements, func(p render.Placement) bool { return p.Key() == placement && p.Directives.Suspend })
}
