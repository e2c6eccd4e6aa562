package mcs

import (
	"slices"
	"time"
)

// Lease is for how long a member that is out of sight keeps its part in services.
type Lease struct {
	Cluster string
	Seen    time.Time // when it was last in sight; zero when nobody knows
	Until   time.Time // zero for ever
	Over    bool      // its endpoints count no more, where another member has some that are ready
}

// applyLeases finds the members that are out of sight and have a part in services, and marks the endpoints of those that
// were for too long. The last endpoints of a service that are known stay: an API server that cannot be reached says little
// about pods, and no endpoint at all helps nobody.
func (r *Resolution) applyLeases(observed []Observed, now time.Time) {
	over := map[string]bool{}
	for _, o := range observed {
		if o.Synced || len(o.Exports)+len(o.Services) == 0 && !r.holds(o.Cluster) {
			continue
		}
		l := Lease{Cluster: o.Cluster, Seen: o.Seen}
		if r.terms.Lease > 0 && !o.Seen.IsZero() {
			l.Until = o.Seen.Add(r.terms.Lease)
			l.Over = !now.Before(l.Until)
			if !l.Over && (r.Wake.IsZero() || l.Until.Before(r.Wake)) {
				r.Wake = l.Until
			}
		}
		over[l.Cluster] = l.Over
		r.Leases = append(r.Leases, l)
	}
	for n := range r.Imports {
		r.Imports[n].lapse(over)
	}
}

// holds tells whether a member is known to take part in a service by what others show.
func (r *Resolution) holds(cluster string) bool {
	return slices.ContainsFunc(r.Imports, func(i Import) bool { return slices.Contains(i.Held, cluster) })
}

func (i *Import) lapse(over map[string]bool) {
	ready := func(e ImportedEndpoint) bool { return e.Ready && !e.Terminating && !over[e.Cluster] }
	if !slices.ContainsFunc(i.Endpoints, ready) {
		return
	}
	for n := range i.Endpoints {
		i.Endpoints[n].Lapsed = over[i.Endpoints[n].Cluster]
	}
}
