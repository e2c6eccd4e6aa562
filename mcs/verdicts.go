package mcs

import (
	"fmt"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EndpointVerdict tells whether an endpoint of an exporter gets connections, and else why not.
type EndpointVerdict struct {
	Cluster string
	Address netip.Addr
	Out     string // for a person; empty when it is in
}

// Endpoints returns a verdict on every endpoint that exporters of the service of key have, by cluster and as their slices list them.
func (r Resolution) Endpoints(key Key) []EndpointVerdict {
	imported := Import{}
	if n := slices.IndexFunc(r.Imports, func(i Import) bool { return i.Key() == key }); n >= 0 {
		imported = r.Imports[n]
	}
	var out []EndpointVerdict
	seen := map[string]bool{} // clusters: one may have an export in each dialect
	add := func(e ImportedEndpoint, why string) {
		if why == "" {
			why = imported.out(e)
		}
		out = append(out, EndpointVerdict{Cluster: e.Cluster, Address: e.Address, Out: why})
	}
	for _, v := range r.Exports {
		if v.Key() != key || seen[v.Cluster] || !v.TakesPart && r.takesPart(v) {
			continue
		}
		seen[v.Cluster] = true
		why := ""
		switch {
		case v.TakesPart:
		case v.Valid.Status != metav1.ConditionTrue:
			why = "the export is not valid"
		default:
			why = "no port of its cluster takes part: see the conflict"
		}
		for _, e := range v.Endpoints {
			add(ImportedEndpoint{Cluster: v.Cluster, Endpoint: e, Lapsed: imported.lapsed(v.Cluster)}, why)
		}
	}
	for _, e := range imported.Endpoints {
		if !seen[e.Cluster] { // what was recalled
			add(e, "")
		}
	}
	return out
}

// takesPart tells whether another export of the same service and cluster does.
func (r Resolution) takesPart(v ExportVerdict) bool {
	return slices.ContainsFunc(r.Exports, func(o ExportVerdict) bool {
		return o.TakesPart && o.Cluster == v.Cluster && o.Key() == v.Key()
	})
}

func (i Import) lapsed(cluster string) bool {
	return slices.ContainsFunc(i.Endpoints, func(e ImportedEndpoint) bool { return e.Cluster == cluster && e.Lapsed })
}

// out says why e gets no new connection; nothing when it does.
func (i Import) out(e ImportedEndpoint) string {
	weight, weighed := i.Weights[e.Cluster]
	switch {
	case e.Terminating:
		return "it is terminating"
	case !e.Ready:
		return "it is not ready"
	case e.Lapsed:
		return "its cluster is out of sight and its lease is over, and others have endpoints that are ready"
	case weighed && weight == 0:
		return fmt.Sprintf("the weight of %s is 0", e.Cluster)
	}
	return ""
}

// ClusterSetIPs returns the addresses that the import of key has, by member, as the members show them.
func (r Resolution) ClusterSetIPs(key Key) map[string][]string {
	out := map[string][]string{}
	for _, m := range r.memberImports {
		if m.Dialect == Standard && m.Namespace == key.Namespace && m.Name == key.Name && !m.Deleting {
			out[m.Cluster] = m.Status.IPs
		}
	}
	return out
}
