package report

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// importOf returns the NAMESPACE/NAME of what the MultiClusterService of that name imports; the name itself when there is none.
func (x *explainer) importOf(name string) string {
	for _, s := range x.r.Services {
		if s.Namespace+"/"+s.Name == name {
			return s.Namespace + "/" + s.Import
		}
	}
	return name
}

// service explains the multi-cluster service imported, and, where it comes from Git, the object kind/name that was asked about.
func (x *explainer) service(kind, name, imported string) error {
	object := x.object(kind, name)
	known := x.tellService(imported)
	if !errors.Is(object, ErrNothingToExplain) {
		return object
	}
	if known {
		return nil
	}
	return fmt.Errorf("%s %s: %w, neither in the commit in force nor among the services of the members; see 'gitfleet get serviceexports'", kind, name, ErrNothingToExplain)
}

// tellService tells whether there is anything to tell.
func (x *explainer) tellService(name string) bool {
	of := func(namespace, own string) bool { return namespace+"/"+own == name }
	exports := slices.DeleteFunc(slices.Clone(x.r.Exports), func(e Export) bool { return !of(e.Namespace, e.Name) })
	balancers := slices.DeleteFunc(slices.Clone(x.r.Services), func(s Service) bool { return !of(s.Namespace, s.Import) })
	n := slices.IndexFunc(x.r.Imports, func(i Import) bool { return of(i.Namespace, i.Name) })
	if len(exports)+len(balancers) == 0 && n < 0 {
		return false
	}
	x.row("Service " + name)
	if n >= 0 {
		x.tellImport(x.r.Imports[n])
	} else {
		x.fact("imported", "nowhere: there is no valid export")
	}
	x.tellExports(exports)
	x.tellBalancers(balancers)
	if n >= 0 {
		x.tellEndpointsOut(x.r.Imports[n])
	}
	return true
}

func (x *explainer) tellImport(i Import) {
	x.fact("type", "%s", i.Type)
	x.fact("ports", "%s", strings.Join(i.Ports, ", "))
	x.fact("exported by", "%s", strings.Join(i.Clusters, ", "))
	for _, l := range x.r.Leases {
		if slices.Contains(i.Clusters, l.Cluster) {
			x.fact("out of sight", "%s", x.lease(l))
		}
	}
	x.fact("endpoints", "%d, of which %d get connections", max(i.Endpoints, i.In+len(i.Out)), i.In)
	for _, on := range i.On {
		x.fact("imported on", "%s %s", on.Cluster, strings.Join(on.IPs, ", "))
	}
}

// lease says what becomes of a member that is out of sight.
func (x *explainer) lease(l Lease) string {
	seen := l.Cluster
	if !l.Seen.IsZero() {
		seen = fmt.Sprintf("%s, last seen %s ago", l.Cluster, age(l.Seen, x.now))
	}
	switch {
	case l.Over:
		return seen + "; its lease is over: its endpoints count where no other cluster has one that is ready"
	case l.Until.IsZero():
		return seen + "; its endpoints are handed on"
	}
	return fmt.Sprintf("%s; its endpoints are handed on for another %s", seen, age(x.now, l.Until))
}

func (x *explainer) tellExports(exports []Export) {
	if len(exports) == 0 {
		return
	}
	x.row("")
	x.row("EXPORTED-BY", "API", "AGE", "VALID", "CONFLICT", "PORTS", "WEIGHT", "ENDPOINTS", "MESSAGE")
	for _, e := range exports {
		x.row(e.Cluster, orNone(e.API), age(e.Created, x.now), e.Valid, e.Conflicted, joined(e.Ports), orNone(e.Weight), strconv.Itoa(e.Endpoints), e.Message)
	}
}

func (x *explainer) tellBalancers(balancers []Service) {
	if len(balancers) == 0 {
		return
	}
	x.row("")
	x.row("MULTI-CLUSTER-SERVICE", "ON", "ADDRESS", "INTERNAL", "VALID", "MESSAGE")
	for _, s := range balancers {
		x.row(s.Namespace+"/"+s.Name, s.Cluster, orNone(s.ExternalIP), strconv.FormatBool(s.Internal), s.Valid, s.Message)
	}
}

func (x *explainer) tellEndpointsOut(i Import) {
	if len(i.Out) == 0 {
		return
	}
	x.row("")
	x.row("ENDPOINT-OUT", "OF", "WHY")
	for _, e := range i.Out {
		x.row(e.Address, e.Cluster, e.Reason)
	}
	if len(i.Out) == MostOut {
		x.row("…", "", fmt.Sprintf("no more than %d are listed", MostOut))
	}
}
