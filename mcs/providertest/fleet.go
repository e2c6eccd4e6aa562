package providertest

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
)

// fleet is the members as they show themselves. It stands for their API servers and clouds: what is wanted on a member is
// there at once, and a Service of type LoadBalancer has an address.
type fleet struct {
	now     time.Time
	members map[string]*mcs.Observed
	taken   map[string][]render.Object
	given   map[string]string // address by member, namespace and name of a Service
}

func newFleet() *fleet {
	f := &fleet{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), members: map[string]*mcs.Observed{}, taken: map[string][]render.Object{}, given: map[string]string{}}
	for _, name := range []string{"m1", "m2", "m3"} {
		f.members[name] = &mcs.Observed{Cluster: name, Synced: true, Namespaces: []string{"shop"},
			Nodes: []mcs.Node{{Name: name + "-node", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 100, name[1] - '0', 4})}}}}
	}
	return f
}

func (f *fleet) observed() []mcs.Observed {
	var out []mcs.Observed
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		o := *f.members[name]
		o.Exports, o.Services, o.Derived = slices.Clone(o.Exports), slices.Clone(o.Services), slices.Clone(o.Derived)
		out = append(out, o)
	}
	return out
}

// port is what services of the suite listen on: high, so that anybody may.
func port(number int32) mcs.Port { return mcs.Port{Protocol: corev1.ProtocolTCP, Port: number} }

// export makes member export shop/name on ports, with endpoints that nothing listens at.
func (f *fleet) export(member, name string, endpoints int, ports ...mcs.Port) {
	e := mcs.Export{Cluster: member, Namespace: "shop", Name: name, Created: f.now,
		Service: &mcs.ExportedService{Type: corev1.ServiceTypeClusterIP, Ports: ports, Traits: mcs.Traits{IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}}
	for n := range endpoints {
		targets := map[string]int32{}
		for _, p := range ports {
			targets[p.Name] = 4242
		}
		e.Endpoints = append(e.Endpoints, mcs.Endpoint{Address: netip.AddrFrom4([4]byte{10, 254, member[1] - '0', byte(n + 1)}), Ports: targets,
			Ready: true, Serving: true, Slice: name + "-1"})
	}
	o := f.members[member]
	o.Exports = append(slices.DeleteFunc(o.Exports, func(have mcs.Export) bool { return have.Name == name }), e)
}

func (f *fleet) unexport(member, name string) {
	o := f.members[member]
	o.Exports = slices.DeleteFunc(o.Exports, func(e mcs.Export) bool { return e.Name == name })
}

// change edits the export of shop/name on member.
func (f *fleet) change(member, name string, edit func(*mcs.Export)) {
	o := f.members[member]
	i := slices.IndexFunc(o.Exports, func(e mcs.Export) bool { return e.Name == name })
	edit(&o.Exports[i])
}

// ask makes a MultiClusterService of the same name as what it imports.
func (f *fleet) ask(member, name string, annotations map[string]string) {
	o := f.members[member]
	f.unask(member, name)
	o.Services = append(o.Services, mcs.Service{Cluster: member, Namespace: "shop", Name: name, ImportName: name, Created: f.now, Annotations: annotations})
}

func (f *fleet) unask(member, name string) {
	o := f.members[member]
	o.Services = slices.DeleteFunc(o.Services, func(s mcs.Service) bool { return s.Name == name })
}

// cutOff makes a member show nothing, as one that this process has never reached.
func (f *fleet) cutOff(member string) { f.members[member] = &mcs.Observed{Cluster: member} }

// take puts objects on the members that can be seen, and tells whether that changed anything.
func (f *fleet) take(objects map[string][]render.Object) bool {
	changed := false
	for name, o := range f.members {
		if !o.Synced || len(objects[name]) == 0 && len(f.taken[name]) == 0 || reflect.DeepEqual(f.taken[name], objects[name]) {
			continue
		}
		changed = true
		f.taken[name] = objects[name]
		stood := o.Derived
		o.Derived = nil
		for _, object := range objects[name] {
			if object.GetKind() == "Service" {
				o.Derived = append(o.Derived, f.derived(name, object.Unstructured, stood))
			}
		}
	}
	return changed
}

// derived is Service s as member shows it: a cloud gives it an address, unless its class says that somebody else does, and then it keeps
// what its predecessor in stood was told.
func (f *fleet) derived(member string, s *unstructured.Unstructured, stood []mcs.DerivedService) mcs.DerivedService {
	at := fmt.Sprintf("%s/%s/%s", member, s.GetNamespace(), s.GetName())
	d := mcs.DerivedService{Cluster: member, Namespace: s.GetNamespace(), Name: s.GetName(), UID: types.UID("uid of " + at),
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}, Balancer: s.GetLabels()[api.LabelDerived] == api.DerivedLoadBalancer}
	ports, _, _ := unstructured.NestedSlice(s.Object, "spec", "ports")
	for _, p := range ports {
		fields := p.(map[string]any)
		name, _ := fields["name"].(string)
		protocol, _ := fields["protocol"].(string)
		number, _ := fields["port"].(int64)
		nodePort, _ := fields["nodePort"].(int64)
		d.Ports = append(d.Ports, mcs.Port{Name: name, Protocol: corev1.Protocol(protocol), Port: int32(number)})
		d.NodePorts = append(d.NodePorts, int32(nodePort))
	}
	if class, _, _ := unstructured.NestedString(s.Object, "spec", "loadBalancerClass"); class != "" {
		for _, before := range stood {
			if before.Namespace == d.Namespace && before.Name == d.Name {
				d.Ingress = before.Ingress
			}
		}
		return d
	}
	if f.given[at] == "" {
		f.given[at] = fmt.Sprintf("192.0.2.%d", len(f.given)+1)
	}
	d.Ingress = []string{f.given[at]}
	return d
}

// tell writes the statuses of Services, and returns whether that changed anything.
func (f *fleet) tell(writes []mcs.StatusWrite) bool {
	changed := false
	for _, w := range writes {
		status, ok := w.Status.(corev1.ServiceStatus)
		if !ok {
			continue
		}
		o := f.members[w.Cluster]
		o.Derived = slices.Clone(o.Derived)
		for i := range o.Derived {
			if d := &o.Derived[i]; d.Namespace == w.Namespace && d.Name == w.Name {
				d.Ingress, changed = nil, true
				for _, at := range status.LoadBalancer.Ingress {
					d.Ingress = append(d.Ingress, at.IP)
				}
			}
		}
	}
	return changed
}
