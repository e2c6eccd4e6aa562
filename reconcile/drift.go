package reconcile

import (
	"cmp"
	"slices"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/report"
)

// driftKept bounds how many drifted objects are remembered; the ones that drifted longest ago go first.
const driftKept = 200

// driftKey names one object of the fleet.
type driftKey struct {
	cluster string
	ref     api.Ref
}

// recordDrift remembers what an execution put back, and tells the log.
func (l *Loop) recordDrift(m *member, result apply.Result) {
	for set, outcomes := range result.Outcomes {
		for _, o := range outcomes {
			if o.Drift == nil || o.Err != nil {
				continue
			}
			key := driftKey{m.name, o.Ref}
			d := report.Drift{Drift: *o.Drift, Cluster: m.name, Placement: set, Count: l.drift[key].Count + 1, First: l.drift[key].First}
			if d.First.IsZero() {
				d.First = d.Time
			}
			l.drift[key] = d
			l.opt.Log.Info("drift put back", "member", m.name, "object", o.Ref, "what", d.String(), "times", d.Count)
		}
	}
	if over := len(l.drift) - driftKept; over > 0 {
		for _, d := range l.newestDrift()[driftKept:] {
			delete(l.drift, driftKey{d.Cluster, d.Ref})
		}
	}
}

// newestDrift returns what drifted, newest first.
func (l *Loop) newestDrift() []report.Drift {
	list := make([]report.Drift, 0, len(l.drift))
	for _, d := range l.drift {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b report.Drift) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Cluster, b.Cluster), a.Ref.Compare(b.Ref))
	})
	return list
}
