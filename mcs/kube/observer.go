// Package kube is multi-cluster services on a member's API server: it observes what the member exports and asks for,
// and writes statuses there.
package kube

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/gitfleet/gitfleet/api"
	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
)

// Observer watches what one member shows of multi-cluster services, in both dialects. Services and EndpointSlices are watched
// only in namespaces where a ServiceExport exists: in most clusters they are the bulk of what changes. Of the others only
// those are watched that gitfleet derived. Its methods may be called from several goroutines.
type Observer struct {
	session  *fleet.Session
	always   []*fleet.Watch // all of the following
	exports  *fleet.Watch
	imports  *fleet.Watch
	services *fleet.Watch
	derived  *fleet.Watch
	known    *fleet.Watch // which namespaces there are

	mu         sync.Mutex
	imported   *fleet.Watch          // slices that gitfleet wrote; nil while nobody needs to know
	standard   *standard             // nil while the member does not serve the standard's API
	namespaces map[string]*namespace // with an export
}

// standard is the watches of the standard's API, which not every member serves.
type standard struct {
	exports, imports *fleet.Watch
}

// namespace is the watches in one namespace.
type namespace struct {
	services *fleet.Watch
	slices   *fleet.Watch
	known    bool // both were complete once, so what they hold is at least the last known
}

// NewObserver starts watching on s. The watches end with the session.
func NewObserver(s *fleet.Session) *Observer {
	o := &Observer{
		session:  s,
		exports:  s.Watch(fleet.WatchSpec{Key: "mcs/exports", Resource: networkingv1alpha1.ServiceExportGVR, Reduce: reduceExport}),
		imports:  s.Watch(fleet.WatchSpec{Key: "mcs/imports", Resource: networkingv1alpha1.ServiceImportGVR, Reduce: reduceImport}),
		services: s.Watch(fleet.WatchSpec{Key: "mcs/services", Resource: networkingv1alpha1.MultiClusterServiceGVR, Reduce: reduceMultiClusterService}),
		derived: s.Watch(fleet.WatchSpec{Key: "mcs/derived", Resource: corev1.SchemeGroupVersion.WithResource("services"),
			LabelSelector: api.LabelDerived, Reduce: reduceDerived}),
		known: s.Watch(fleet.WatchSpec{Key: "mcs/namespaces", Resource: corev1.SchemeGroupVersion.WithResource("namespaces"), Metadata: true,
			ReduceMetadata: reduceNamespace}),
		namespaces: map[string]*namespace{},
	}
	o.always = []*fleet.Watch{o.exports, o.imports, o.services, o.derived, o.known}
	return o
}

// The standard's resources. What serves the group serves this version of it, or is an error of the operator's (see apply/kube.CRDs).
var (
	standardExports = mcs.ServiceExportGVK.GroupVersion().WithResource(mcsv1beta1.ServiceExportPluralName)
	standardImports = mcs.ServiceImportGVK.GroupVersion().WithResource(mcsv1beta1.ServiceImportPluralName)
)

const (
	keyStandardExports = "mcs/standard-exports"
	keyStandardImports = "mcs/standard-imports"
	keyImported        = "mcs/imported"
)

// followStandard starts or ends the watches of the standard's API as it is defined or not. It returns why nobody knows which.
func (o *Observer) followStandard() error {
	_, exports, err := o.session.Definition(standardExports.GroupResource().String())
	_, imports, _ := o.session.Definition(standardImports.GroupResource().String())
	switch defined := exports && imports; {
	case defined && o.standard == nil:
		o.standard = &standard{
			exports: o.session.Watch(fleet.WatchSpec{Key: keyStandardExports, Resource: standardExports, Reduce: reduceExport}),
			imports: o.session.Watch(fleet.WatchSpec{Key: keyStandardImports, Resource: standardImports, Reduce: reduceStandardImport}),
		}
	case !defined && err == nil && o.standard != nil:
		o.session.Unwatch(keyStandardExports)
		o.session.Unwatch(keyStandardImports)
		o.standard = nil
	}
	return err
}

// followImported starts or ends the watch of the slices that gitfleet wrote here, which are as many as the fleet has: they are
// looked at only while a member may be known by nothing else.
func (o *Observer) followImported(recall bool) {
	switch {
	case recall && o.imported == nil:
		o.imported = o.session.Watch(fleet.WatchSpec{Key: keyImported, Resource: discoveryv1.SchemeGroupVersion.WithResource("endpointslices"),
			LabelSelector: discoveryv1.LabelManagedBy + "=" + mcs.ManagedBy, Reduce: reduceImported})
	case !recall && o.imported != nil:
		o.session.Unwatch(keyImported)
		o.imported = nil
	}
}

// watches are all but those of single namespaces.
func (o *Observer) watches() []*fleet.Watch {
	all := slices.Clone(o.always)
	if o.standard != nil {
		all = append(all, o.standard.exports, o.standard.imports)
	}
	if o.imported != nil {
		all = append(all, o.imported)
	}
	return all
}

// Observe returns what is known of the member now, and starts or ends the watches of namespaces as exports come and go;
// the session notifies when those have news. It makes no request and does not block. An export is left out until the
// Services and EndpointSlices beside it have been listed once; the value is not Synced until then.
//
// recall asks for the slices that gitfleet wrote on the member, too: they tell what other members had.
func (o *Observer) Observe(recall bool) mcs.Observed {
	o.mu.Lock()
	defer o.mu.Unlock()
	cluster := o.session.Name()
	// Whether the watches are synced is asked before their content: in between they may only become more current.
	unknown := o.followStandard()
	o.followImported(recall)
	out := mcs.Observed{Cluster: cluster, Standard: o.standard != nil,
		Synced: unknown == nil && !slices.ContainsFunc(o.watches(), func(w *fleet.Watch) bool { return !w.Synced() })}
	exports, imports := contents[mcs.Export](o.exports), contents[mcs.MemberImport](o.imports)
	if o.standard != nil {
		exports = append(exports, contents[mcs.Export](o.standard.exports)...)
		imports = append(imports, contents[mcs.MemberImport](o.standard.imports)...)
	}
	o.follow(exports)
	endpoints := map[string]map[string][]mcs.Endpoint{}
	for name, ns := range o.namespaces {
		if synced := ns.services.Synced() && ns.slices.Synced(); synced {
			ns.known = true
		} else {
			out.Synced = false
		}
		endpoints[name] = ns.endpoints()
	}
	for _, e := range exports {
		ns := o.namespaces[e.Namespace]
		if !ns.known {
			continue
		}
		e.Cluster = cluster
		if service, ok := ns.services.Get(e.Namespace, e.Name); ok {
			e.Service = service.(*mcs.ExportedService)
		}
		e.Endpoints = endpoints[e.Namespace][e.Name]
		out.Exports = append(out.Exports, e)
	}
	for _, i := range imports {
		i.Cluster = cluster
		out.Imports = append(out.Imports, i)
	}
	for _, s := range contents[mcs.Service](o.services) {
		s.Cluster = cluster
		out.Services = append(out.Services, s)
	}
	for _, d := range contents[mcs.DerivedService](o.derived) {
		d.Cluster = cluster
		out.Derived = append(out.Derived, d)
	}
	for _, n := range o.session.Nodes() {
		out.Nodes = append(out.Nodes, mcs.Node(n))
	}
	out.Namespaces = contents[string](o.known)
	if o.imported != nil {
		out.Slices = contents[mcs.ImportedSlice](o.imported)
	}
	return out
}

// contents returns what is kept of the objects of w, by namespace and name.
func contents[T any](w *fleet.Watch) []T {
	var out []T
	for _, kept := range w.Objects() {
		out = append(out, kept.(T))
	}
	return out
}

// Err returns why the last value of Observe was not Synced, or nil.
func (o *Observer) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.followStandard(); err != nil {
		return err
	}
	watches := o.watches()
	for _, ns := range o.namespaces {
		watches = append(watches, ns.services, ns.slices)
	}
	// One cause is enough: when a member is unreachable all of them say so.
	for _, w := range watches {
		if err := w.Err(); err != nil {
			return err
		}
	}
	return nil
}

// follow makes o.namespaces those of exports.
func (o *Observer) follow(exports []mcs.Export) {
	wanted := map[string]bool{}
	for _, e := range exports {
		name := e.Namespace
		wanted[name] = true
		if o.namespaces[name] == nil {
			o.namespaces[name] = &namespace{
				services: o.session.Watch(fleet.WatchSpec{Key: servicesKey(name), Namespace: name,
					Resource: corev1.SchemeGroupVersion.WithResource("services"), Reduce: reduceService}),
				slices: o.session.Watch(fleet.WatchSpec{Key: slicesKey(name), Namespace: name,
					Resource: discoveryv1.SchemeGroupVersion.WithResource("endpointslices"),
					// What another cluster exports is not this one's to export, whoever imported it.
					LabelSelector: discoveryv1.LabelServiceName + "," + discoveryv1.LabelManagedBy + "!=" + mcs.ManagedBy + ",!" + mcsv1beta1.LabelSourceCluster,
					Reduce:        reduceSlice}),
			}
		}
	}
	for name := range o.namespaces {
		if !wanted[name] {
			o.session.Unwatch(servicesKey(name))
			o.session.Unwatch(slicesKey(name))
			delete(o.namespaces, name)
		}
	}
}

func servicesKey(namespace string) string { return "mcs/services/" + namespace }
func slicesKey(namespace string) string   { return "mcs/slices/" + namespace }

// endpoints returns the endpoints in ns by Service, in the order of the slices' names.
func (ns *namespace) endpoints() map[string][]mcs.Endpoint {
	out := map[string][]mcs.Endpoint{}
	for _, kept := range ns.slices.Objects() {
		s := kept.(slice)
		out[s.service] = append(out[s.service], s.endpoints...)
	}
	return out
}
