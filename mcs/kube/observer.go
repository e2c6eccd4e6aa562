// Package kube is multi-cluster services on a member's API server: it observes what the member exports and asks for,
// and writes statuses there.
package kube

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
)

// ManagedBy is the value of the label endpointslice.kubernetes.io/managed-by on the slices that gitfleet writes. They
// are imports, and never exported again.
const ManagedBy = "gitfleet"

// Observer watches what one member shows of multi-cluster services. Services and EndpointSlices are watched only in
// namespaces where a ServiceExport exists: in most clusters they are the bulk of what changes. Its methods may be called
// from several goroutines.
type Observer struct {
	session  *fleet.Session
	exports  *fleet.Watch
	imports  *fleet.Watch
	services *fleet.Watch

	mu         sync.Mutex
	namespaces map[string]*namespace // with an export
}

// namespace is the watches in one namespace.
type namespace struct {
	services *fleet.Watch
	slices   *fleet.Watch
	known    bool // both were complete once, so what they hold is at least the last known
}

// NewObserver starts watching on s. The watches end with the session.
func NewObserver(s *fleet.Session) *Observer {
	return &Observer{
		session:    s,
		exports:    s.Watch(fleet.WatchSpec{Key: "mcs/exports", Resource: networkingv1alpha1.ServiceExportGVR, Reduce: reduceExport}),
		imports:    s.Watch(fleet.WatchSpec{Key: "mcs/imports", Resource: networkingv1alpha1.ServiceImportGVR, Reduce: reduceImport}),
		services:   s.Watch(fleet.WatchSpec{Key: "mcs/services", Resource: networkingv1alpha1.MultiClusterServiceGVR, Reduce: reduceMultiClusterService}),
		namespaces: map[string]*namespace{},
	}
}

// Observe returns what is known of the member now, and starts or ends the watches of namespaces as exports come and go;
// the session notifies when those have news. It makes no request and does not block. An export is left out until the
// Services and EndpointSlices beside it have been listed once; the value is not Synced until then.
func (o *Observer) Observe() mcs.Observed {
	o.mu.Lock()
	defer o.mu.Unlock()
	cluster := o.session.Name()
	// Whether the watches are synced is asked before their content: in between they may only become more current.
	out := mcs.Observed{Cluster: cluster, Synced: o.exports.Synced() && o.imports.Synced() && o.services.Synced()}
	exports := o.exports.Objects()
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
	for _, kept := range exports {
		e := kept.(mcs.Export)
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
	for _, kept := range o.imports.Objects() {
		i := kept.(mcs.MemberImport)
		i.Cluster = cluster
		out.Imports = append(out.Imports, i)
	}
	for _, kept := range o.services.Objects() {
		s := kept.(mcs.Service)
		s.Cluster = cluster
		out.Services = append(out.Services, s)
	}
	return out
}

// Err returns why the last value of Observe was not Synced, or nil.
func (o *Observer) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	watches := []*fleet.Watch{o.exports, o.imports, o.services}
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
func (o *Observer) follow(exports []any) {
	wanted := map[string]bool{}
	for _, kept := range exports {
		name := kept.(mcs.Export).Namespace
		wanted[name] = true
		if o.namespaces[name] == nil {
			o.namespaces[name] = &namespace{
				services: o.session.Watch(fleet.WatchSpec{Key: servicesKey(name), Namespace: name,
					Resource: corev1.SchemeGroupVersion.WithResource("services"), Reduce: reduceService}),
				slices: o.session.Watch(fleet.WatchSpec{Key: slicesKey(name), Namespace: name,
					Resource:      discoveryv1.SchemeGroupVersion.WithResource("endpointslices"),
					LabelSelector: discoveryv1.LabelServiceName + "," + discoveryv1.LabelManagedBy + "!=" + ManagedBy,
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
