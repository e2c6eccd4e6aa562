package mcs

import (
	"cmp"
	"fmt"
	"slices"
)

// Rival is another controller of multi-cluster services that is at work on a member. Two of them would write over each other, so
// what is gitfleet's there stays as it is: no status, no object and no load balancer is written for the member. What it exports
// counts as ever, since to read it disturbs nobody.
type Rival struct {
	Cluster    string
	Object     string // where it was seen: kind, namespace and name
	Controller string // what it is known by: the writer of the status, or its finalizer
}

// String tells a person what is the matter, and what to do.
func (r Rival) String() string {
	return fmt.Sprintf("multi-cluster services of this member are left alone: %s of %s is another controller's of such services; when that one has ended, run once with --take-over",
		r.Controller, r.Object)
}

// findRivals notes one rival for each member that has any.
func (r *Resolution) findRivals(observed []Observed) {
	if r.terms.TakeOver {
		return
	}
	for _, o := range observed {
		var found []Rival
		for _, e := range o.Exports {
			if e.Rival != "" {
				found = append(found, Rival{o.Cluster, "ServiceExport " + e.Key().String(), e.Rival})
			}
		}
		for _, s := range o.Services {
			if s.Rival != "" {
				found = append(found, Rival{o.Cluster, "MultiClusterService " + s.Key().String(), s.Rival})
			}
		}
		if len(found) > 0 {
			r.Rivals = append(r.Rivals, slices.MinFunc(found, func(a, b Rival) int { return cmp.Compare(a.Object, b.Object) }))
		}
	}
}

// Rival returns the rival on a member, if there is one.
func (r Resolution) Rival(cluster string) (Rival, bool) {
	i, found := slices.BinarySearchFunc(r.Rivals, cluster, func(have Rival, c string) int { return cmp.Compare(have.Cluster, c) })
	if !found {
		return Rival{}, false
	}
	return r.Rivals[i], true
}

// writable tells whether statuses and objects of a member may be written.
func (r *Resolution) writable(cluster string) bool {
	_, rival := r.Rival(cluster)
	return !rival && !r.anyUnsynced([]string{cluster})
}

// Abandoned tells that a load balancer for which clusters asked is asked for by none of them now, if it is not among LoadBalancers:
// all of them can be seen. Where it is not known who asked, clusters is empty, and all members must be.
func (r Resolution) Abandoned(clusters []string) bool {
	if len(clusters) == 0 {
		return len(r.Unsynced) == 0 && len(r.Rivals) == 0
	}
	return r.allWritable(clusters)
}

// Asked tells whether a MultiClusterService of that name stands on some member, whether or not there is anything behind it.
func (r Resolution) Asked(key Key) bool {
	return slices.ContainsFunc(r.Services, func(v ServiceVerdict) bool { return v.Key() == key })
}

// allWritable is false when one of clusters may ask for what it cannot be seen to ask for. One that left the fleet asks for nothing.
func (r *Resolution) allWritable(clusters []string) bool {
	return !slices.ContainsFunc(clusters, func(c string) bool { return !r.writable(c) })
}
