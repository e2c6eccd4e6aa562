package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/gitfleet/gitfleet/render"
)

// ManagedBy is the value of the label endpointslice.kubernetes.io/managed-by on the slices that gitfleet writes. They
// are imports, and never exported again.
const ManagedBy = "gitfleet"

// Annotations of the slices that gitfleet writes, by which it knows after a restart what a member that is out of sight had.
const (
	AnnotationImport = "gitfleet.dev/import"        // name of the service
	AnnotationOrigin = "gitfleet.dev/imported-from" // CLUSTER/SLICE
)

// maxEndpoints is how many endpoints the API server takes in one EndpointSlice.
const maxEndpoints = 1000

// SliceTarget says for whom EndpointSlices on a member are.
type SliceTarget struct {
	Service string // the Service that routes to them, in the import's namespace; empty when none does
	// Owner is what goes with them: a Service, or the ServiceImport. Without a UID they have no owner.
	Owner Owner
	// Imported tells that they are the slices of a ServiceImport, which DNS servers and gateways find by the standard's labels.
	Imported bool
	// From leaves out the endpoints of all clusters but one; empty takes all.
	From string
}

// Owner is an object on the same member and in the same namespace as what it owns.
type Owner struct {
	APIVersion string
	Kind       string
	Name       string
	UID        string
}

// EndpointSlices returns the EndpointSlices of the import of key for one Service: at least one for each source cluster, source
// slice and address family, so that a change of one source slice changes one of them. It returns none when there is no such import.
//
// What they hold is built once for all callers, and shared with what earlier resolutions returned while nothing changed: it
// is never to be modified.
func (r Resolution) EndpointSlices(key Key, to SliceTarget) []render.Object {
	b, ok := r.built[key]
	if !ok {
		n := slices.IndexFunc(r.Imports, func(i Import) bool { return i.Key() == key })
		if n < 0 {
			return nil
		}
		b = buildAfter(built{}, r.Imports[n])
	}
	return sliceObjects(key, b.parts, to)
}

// part is what one EndpointSlice holds, wherever it is written. It is immutable.
type part struct {
	source
	number    int // among those of one source
	endpoints []any
	ports     []any
}

// source is where endpoints come from. All that are written in one slice share it: an EndpointSlice keeps its address type.
type source struct {
	cluster string
	slice   string
	family  corev1.IPFamily
}

func compareSources(a, b source) int {
	return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.slice, b.slice), cmp.Compare(a.family, b.family))
}

// parts cuts i's endpoints into slices.
func (i Import) parts() []part {
	bySource := map[source][]ImportedEndpoint{}
	for _, e := range i.Endpoints {
		if weight, weighed := i.Weights[e.Cluster]; !e.Lapsed && !(weighed && weight == 0) {
			s := source{e.Cluster, e.Slice, FamilyOf(e.Address)}
			bySource[s] = append(bySource[s], e)
		}
	}
	conditions := map[[3]bool]map[string]any{}
	var out []part
	for _, s := range slices.SortedFunc(maps.Keys(bySource), compareSources) {
		for n, chunk := range chunks(bySource[s]) {
			p := part{source: s, number: n, ports: i.slicePorts(s.cluster, chunk[0].Ports)}
			for _, e := range chunk {
				p.endpoints = append(p.endpoints, endpointFields(e, conditions))
			}
			out = append(out, p)
		}
	}
	return out
}

// chunks cuts the endpoints of one source into those that fit into one slice: with the same target ports, and not too many.
// A source that is a slice by itself is one chunk.
func chunks(endpoints []ImportedEndpoint) [][]ImportedEndpoint {
	first := endpoints[0].Ports
	if slices.ContainsFunc(endpoints, func(e ImportedEndpoint) bool { return !maps.Equal(e.Ports, first) }) {
		slices.SortStableFunc(endpoints, func(a, b ImportedEndpoint) int {
			return strings.Compare(fmt.Sprint(a.Ports), fmt.Sprint(b.Ports)) // maps are printed in the order of their keys
		})
	}
	var out [][]ImportedEndpoint
	start := 0
	for n := 1; n <= len(endpoints); n++ {
		if n == len(endpoints) || n-start == maxEndpoints || !maps.Equal(endpoints[n].Ports, endpoints[start].Ports) {
			out = append(out, endpoints[start:n])
			start = n
		}
	}
	return out
}

// slicePorts lists target ports under the names that they have in the derived Service. A port that the service does not have is
// left out: its protocol is not known.
func (i Import) slicePorts(cluster string, targets map[string]int32) []any {
	ports, names := i.Ports, DerivedPorts(i.Ports)
	if i.Headless {
		ports = i.HeadlessPorts[cluster]
		names = ports // no Service stands between clients and endpoints
	}
	var out []any
	for n, p := range ports {
		target, ok := targets[p.Name]
		if !ok {
			continue
		}
		fields := map[string]any{"name": names[n].Name, "protocol": string(protocol(p)), "port": int64(target)}
		if p.AppProtocol != "" {
			fields["appProtocol"] = p.AppProtocol
		}
		out = append(out, fields)
	}
	return out
}

// endpointFields writes e down. conditions are those written before: there are at most eight.
func endpointFields(e ImportedEndpoint, conditions map[[3]bool]map[string]any) map[string]any {
	state := [3]bool{e.Ready, e.Serving, e.Terminating}
	if conditions[state] == nil {
		conditions[state] = map[string]any{"ready": e.Ready, "serving": e.Serving, "terminating": e.Terminating}
	}
	fields := map[string]any{"addresses": []any{e.Address.Unmap().String()}, "conditions": conditions[state]}
	for name, value := range map[string]string{"hostname": e.Hostname, "nodeName": e.NodeName, "zone": e.Zone} {
		if value != "" {
			fields[name] = value
		}
	}
	return fields
}

// sliceObjects writes parts down for one target on one member.
func sliceObjects(key Key, parts []part, to SliceTarget) []render.Object {
	out := make([]render.Object, 0, len(parts))
	for _, p := range parts {
		if to.From != "" && to.From != p.cluster {
			continue
		}
		labels := map[string]any{discoveryv1.LabelManagedBy: ManagedBy}
		if to.Service != "" {
			labels[discoveryv1.LabelServiceName] = to.Service
		}
		if to.Imported {
			labels[mcsv1beta1.LabelServiceName] = labelValue(key.Name)
			labels[mcsv1beta1.LabelSourceCluster] = labelValue(p.cluster)
		}
		more := map[string]any{"labels": labels, "annotations": map[string]any{AnnotationImport: key.Name, AnnotationOrigin: p.cluster + "/" + p.slice}}
		if to.Owner.UID != "" {
			more["ownerReferences"] = []any{map[string]any{"apiVersion": to.Owner.APIVersion, "kind": to.Owner.Kind,
				"name": to.Owner.Name, "uid": to.Owner.UID}}
		}
		o := object("discovery.k8s.io/v1", "EndpointSlice", nil, metadata(key.Namespace, p.name(key, to), more))
		o.Object["addressType"], o.Object["endpoints"] = string(p.family), p.endpoints
		if len(p.ports) > 0 {
			o.Object["ports"] = p.ports
		}
		out = append(out, o)
	}
	return out
}

// name tells people the service and the source cluster, and is distinct by its digest: none of what goes into that can
// contain a slash. Two targets of one import differ in their Service or in whether they are an import's.
func (p part) name(key Key, to SliceTarget) string {
	all := []string{strconv.FormatBool(to.Imported), to.Service, key.Namespace, key.Name, p.cluster, p.slice, string(p.family), strconv.Itoa(p.number)}
	if to.Imported {
		all[1] = "" // an import may turn headless and back
	}
	return cut(key.Name, validation.LabelValueMaxLength) + "-" + cut(p.cluster, validation.LabelValueMaxLength) + "-" +
		digest(strings.Join(all, "/"), 16)
}

// labelValue is name where a label may hold it, and else as much of it as fits, made distinct.
func labelValue(name string) string {
	if len(name) <= validation.LabelValueMaxLength {
		return name
	}
	return cut(name, validation.LabelValueMaxLength-derivedNameLength-1) + "-" + digest(name, derivedNameLength)
}

// cut returns the first n bytes of name, or fewer, so that it still ends in a letter or digit.
func cut(name string, n int) string {
	return strings.TrimRight(name[:min(n, len(name))], "-._")
}
