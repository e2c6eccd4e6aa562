package mcs

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/render"
)

// Provider drives load balancers of one kind. A cycle is List, Plan, Apply; a reviewer's plan stops before Apply.
type Provider interface {
	// Properties says what load balancers of this kind are like. They never change.
	Properties() Properties

	// Objects returns the objects that the load balancers of r need on members, by cluster; they are applied and pruned with
	// everything else that services need there. It is pure. A provider that needs none returns nil.
	Objects(r Resolution) map[string][]render.Object

	// List reports what is in place now. It may block on the provider's API. An answer that is not complete is an
	// error, never a shorter State.
	List(ctx context.Context) (State, error)

	// Plan compares what r wants with what is in place. It is pure: no request, no clock.
	Plan(r Resolution, in State) Plan

	// Apply carries out p and reports everything that is in place then, p's load balancers and all others. One load
	// balancer that fails is a Problem of its Frontend and does not stop the others; the error is for failures of the
	// provider as a whole. Applying a plan twice is harmless.
	Apply(ctx context.Context, p Plan) (State, error)
}

// Properties is what resolution must know of a provider.
type Properties struct {
	// PerMember tells that each member that asks for a load balancer gets one of its own. Else the same namespace and name on
	// several members is one, about which the oldest decides.
	PerMember bool
	// Probes tells that load balancers find out for themselves which backends answer. Then a member that is out of sight
	// keeps its backends, whatever its lease.
	Probes bool
	// Announces tells that members learn from gitfleet where load balancers are reached: the statuses of the Services that stand
	// for them there are what Frontend.Announcements say.
	Announces bool
	// Refresh is how often what is in place is listed anew, as others may have changed it; 0 is never.
	Refresh time.Duration
}

// State is every load balancer that a provider has in place.
type State map[LoadBalancerKey]Installed

// Installed is one load balancer as it was last asked for, and what became of it.
type Installed struct {
	LoadBalancer LoadBalancer
	Frontend     Frontend
	Detail       any // what only the provider itself understands of it, for its Plan; immutable
}

// Frontend is where clients reach a load balancer.
type Frontend struct {
	Addresses []netip.Addr
	Hostnames []string // of load balancers that have names in place of addresses
	Problems  []string // for a person, sorted: what is not served, why, and the remedy
	Retry     bool     // trying again without any change may solve a problem
	// After is how long to wait before it is tried again: what was begun is then further. 0 leaves that to the caller.
	After time.Duration
	// Announcements tell members where it is reached, of providers that announce: a Service that is not named is told of nothing.
	Announcements []Announcement
	// Undecided is the name of Services whose statuses are left as they are until it is known what is asked for.
	Undecided Key
}

// Announcement is what one Service on a member is to show as the addresses of its load balancer.
type Announcement struct {
	Cluster   string
	Service   Key
	Addresses []netip.Addr
}

// Action is what happens to one load balancer, as a word that is printed.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is one step of a plan. For Delete, LoadBalancer is what stood there.
type Change struct {
	Action       Action
	LoadBalancer LoadBalancer
	Reason       string // for a person
}

// Plan is everything that a provider is about to do, sorted by namespace and name. An empty plan makes no request.
type Plan struct {
	Changes []Change
}

// Difference is the plan of a provider for which a load balancer is exactly what LoadBalancer says. A load balancer
// that nobody wants any more goes only when every member that asked for it has been seen not to: losing sight of a
// member is not losing its services.
func Difference(r Resolution, in State) Plan {
	var p Plan
	wanted := make(map[LoadBalancerKey]bool, len(r.LoadBalancers))
	for _, lb := range r.LoadBalancers {
		wanted[lb.Key()] = true
		have, ok := in[lb.Key()]
		if !ok {
			p.Changes = append(p.Changes, Change{Create, lb, "new"})
			continue
		}
		if reason := lb.DifferenceFrom(have.LoadBalancer); reason != "" {
			p.Changes = append(p.Changes, Change{Update, lb, reason})
		} else if have.Frontend.Retry {
			p.Changes = append(p.Changes, Change{Update, lb, "retry: " + strings.Join(have.Frontend.Problems, "; ")})
		}
	}
	for key, have := range in {
		if !wanted[key] && r.allWritable(have.LoadBalancer.Clusters) {
			p.Changes = append(p.Changes, Change{Delete, have.LoadBalancer, "no MultiClusterService asks for it"})
		}
	}
	slices.SortFunc(p.Changes, func(a, b Change) int { return compareLoadBalancers(a.LoadBalancer.Key(), b.LoadBalancer.Key()) })
	return p
}

// DifferenceFrom says what makes lb differ from have, or "". Previous is not compared: it is a consequence. Neither are the Sites:
// what they come to is their provider's affair.
func (lb LoadBalancer) DifferenceFrom(have LoadBalancer) string {
	var reasons []string
	switch {
	case lb.Internal && !have.Internal:
		reasons = append(reasons, "becomes internal")
	case !lb.Internal && have.Internal:
		reasons = append(reasons, "becomes public")
	}
	if !slices.Equal(lb.Ports, have.Ports) {
		reasons = append(reasons, "ports change")
	}
	if lb.ClientAffinity != have.ClientAffinity {
		reasons = append(reasons, "client affinity changes")
	}
	if !slices.Equal(lb.Given, have.Given) {
		reasons = append(reasons, "its address changes")
	}
	if !maps.Equal(lb.Annotations, have.Annotations) {
		reasons = append(reasons, "annotations change")
	}
	if !maps.Equal(lb.Weights, have.Weights) {
		reasons = append(reasons, "weights change")
	}
	if lb.Import != have.Import {
		reasons = append(reasons, "stands for "+lb.Import.String())
	}
	if lb.LocalTraffic != have.LocalTraffic {
		reasons = append(reasons, "external traffic policy changes")
	}
	added, removed := subtract(lb.Backends, have.Backends), subtract(have.Backends, lb.Backends)
	if added+removed > 0 {
		reasons = append(reasons, fmt.Sprintf("backends change: %d added, %d removed", added, removed))
	}
	if !slices.Equal(lb.Clusters, have.Clusters) {
		reasons = append(reasons, "asked for on "+strings.Join(lb.Clusters, ", "))
	}
	return strings.Join(reasons, "; ")
}

// subtract counts the elements of a that are not in b.
func subtract(a, b []Backend) int {
	n := 0
	for _, x := range a {
		if _, found := slices.BinarySearchFunc(b, x, compareBackends); !found {
			n++
		}
	}
	return n
}
