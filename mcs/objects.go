package mcs

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/render"
)

func (i Import) equal(other Import) bool {
	if !slices.EqualFunc(i.Endpoints, other.Endpoints, sameEndpoint) {
		return false
	}
	i.Endpoints, other.Endpoints = nil, nil
	return reflect.DeepEqual(i, other)
}

// sameEndpoint is reflect.DeepEqual, in a tenth of its time: this is asked of every endpoint of the fleet at every change.
func sameEndpoint(a, b ImportedEndpoint) bool {
	return a.Address == b.Address && a.Cluster == b.Cluster && a.Slice == b.Slice && a.Lapsed == b.Lapsed &&
		a.Ready == b.Ready && a.Serving == b.Serving && a.Terminating == b.Terminating &&
		a.Hostname == b.Hostname && a.NodeName == b.NodeName && a.Zone == b.Zone && maps.Equal(a.Ports, b.Ports)
}

// place is all of a member that its objects for one import are made of.
type place struct {
	owner types.UID    // of the ServiceImport; empty while it is not there
	ips   []netip.Addr // of the derived Service
}

// built is what was made of one import. It is immutable: the next resolution takes over what did not change.
type built struct {
	content Import
	parts   []part
	members map[string]onMember // by cluster
}

type onMember struct {
	place
	objects []render.Object
}

// buildAfter returns what is to be made of i: before, where that was made of the same.
func buildAfter(before built, i Import) built {
	if before.content.equal(i) {
		return before
	}
	return built{content: i, parts: i.parts()}
}

// buildObjects fills in what each synced member needs, taking over what was built before.
func (r *Resolution) buildObjects(observed []Observed, before map[Key]built) {
	r.built = make(map[Key]built, len(r.Imports))
	uids := map[string]map[Key]types.UID{}
	for _, o := range observed {
		if r.writable(o.Cluster) {
			r.Objects[o.Cluster] = azureImports(o)
			uids[o.Cluster] = importUIDs(o)
		}
	}
	for _, i := range r.Imports {
		key := i.Key()
		b := buildAfter(before[key], i)
		had := b.members
		b.members = make(map[string]onMember, len(observed))
		for _, o := range observed {
			if _, exists := slices.BinarySearch(o.Namespaces, i.Namespace); !r.writable(o.Cluster) || !o.Standard || !exists {
				continue
			}
			d, _ := r.Derived(o.Cluster, Key{Namespace: i.Namespace, Name: DerivedName(key)})
			at := place{owner: uids[o.Cluster][key], ips: d.ClusterIPs}
			m, ok := had[o.Cluster]
			if !ok || m.owner != at.owner || !slices.Equal(m.ips, at.ips) {
				m = onMember{at, b.objects(at)}
			}
			b.members[o.Cluster] = m
			r.Objects[o.Cluster] = append(r.Objects[o.Cluster], m.objects...)
		}
		r.built[key] = b
	}
}

// importUIDs returns the identities of the ServiceImports on a member that may own something.
func importUIDs(o Observed) map[Key]types.UID {
	out := make(map[Key]types.UID, len(o.Imports))
	for _, i := range o.Imports {
		if i.Dialect == Standard && !i.Deleting {
			out[Key{Namespace: i.Namespace, Name: i.Name}] = i.UID
		}
	}
	return out
}

// objects returns what b's import needs on one member. EndpointSlices wait for their owner: without it nothing would
// take them away on a member that left the fleet.
func (b built) objects(at place) []render.Object {
	i := b.content
	out := []render.Object{serviceImport(i, at.ips)}
	to := SliceTarget{Imported: true, Owner: Owner{mcsv1beta1.GroupVersion.String(), mcsv1beta1.ServiceImportKindName, i.Name, string(at.owner)}}
	if !i.Headless && len(i.Ports) > 0 {
		out = append(out, derivedService(i))
		to.Service = DerivedName(i.Key())
	}
	if at.owner != "" {
		out = append(out, sliceObjects(i.Key(), b.parts, to)...)
	}
	return out
}

// serviceImport returns the ServiceImport of KEP-1645 for i, on a member whose derived Service has clusterIPs.
func serviceImport(i Import, clusterIPs []netip.Addr) render.Object {
	spec := map[string]any{"type": string(importType(i.Headless)), "ports": servicePorts(i.Ports)}
	i.addTraits(spec)
	annotations, _ := exported(i.Annotations, annotationProblem)
	if !i.Headless {
		annotations[AnnotationDerivedService] = DerivedName(i.Key())
	}
	families, ips := i.Align(clusterIPs)
	if len(families) > 0 {
		spec["ipFamilies"] = texts(families, func(f corev1.IPFamily) string { return string(f) })
	}
	if len(ips) > 0 {
		spec["ips"] = texts(ips, netip.Addr.String)
	}
	more := map[string]any{}
	if len(annotations) > 0 {
		more["annotations"] = annotations
	}
	if labels, _ := exported(i.Labels, labelProblem); len(labels) > 0 {
		more["labels"] = labels
	}
	return object(mcsv1beta1.GroupVersion.String(), mcsv1beta1.ServiceImportKindName, spec, metadata(i.Namespace, i.Name, more))
}

// azureImports returns the ServiceImports of networking.fleet.azure.com that the services of o need. They depend on that member
// alone, so what other members show or hide can never prune one.
func azureImports(o Observed) []render.Object {
	var names []Key
	for _, s := range o.Services {
		if !s.Deleting && s.ImportName != "" {
			names = append(names, s.Import())
		}
	}
	slices.SortFunc(names, compareKeys)
	objects := []render.Object{}
	gvk := networkingv1alpha1.ServiceImportGVK
	for _, key := range slices.Compact(names) {
		objects = append(objects, object(gvk.GroupVersion().String(), gvk.Kind, nil, metadata(key.Namespace, key.Name, nil)))
	}
	return objects
}

// object returns an object without a field spec when that is nil.
func object(apiVersion, kind string, spec, metadata map[string]any) render.Object {
	fields := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
	if spec != nil {
		fields["spec"] = spec
	}
	return render.Object{Unstructured: &unstructured.Unstructured{Object: fields}}
}

func texts[T any](list []T, text func(T) string) []any {
	out := make([]any, len(list))
	for n, x := range list {
		out[n] = text(x)
	}
	return out
}

func metadata(namespace, name string, more map[string]any) map[string]any {
	out := map[string]any{"namespace": namespace, "name": name}
	maps.Copy(out, more)
	return out
}
