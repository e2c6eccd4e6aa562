package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
	"github.com/gitfleet/gitfleet/render"
)

// world is a fleet of members before a simulated Azure, and the loop that keeps both in step.
type world struct {
	t       *testing.T
	clock   *clock
	sim     *armsim.Server
	config  Config
	members map[string]*mcs.Observed
	taken   map[string][]render.Object
	options Options

	p     *Provider
	state mcs.State // nil after a start, until it was listed
	wire  *wire
	// mute is a process that lost its claim on members: it writes nothing there, and may not know yet.
	mute bool
	// deaf are members whose Services are not told of addresses.
	deaf map[string]bool

	resolver mcs.Resolver
	// frozen tells that members change by what they are told only, so that there is nothing to do about them while that is the same.
	frozen bool
	told   map[mcs.LoadBalancerKey][]mcs.Announcement
	last   mcs.Resolution
}

// wire is the way to the simulator. It can be made to end the process that uses it.
type wire struct {
	sim    http.RoundTripper
	sent   int
	puts   int
	dieAt  int  // the number of the exchange after which the process ends; 0 for never
	unsent bool // the last exchange does not arrive
	dead   bool
}

var errDead = errors.New("this process has ended")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.dead {
		return nil, errDead
	}
	w.sent++
	if r.Method == http.MethodPut {
		w.puts++
	}
	if w.dieAt == 0 || w.sent < w.dieAt {
		return w.sim.RoundTrip(r)
	}
	w.dead = true
	if !w.unsent {
		w.sim.RoundTrip(r)
	}
	return nil, errDead
}

// newWorld has members m1, m2 and m3 with two nodes each, where places says, by name, and else in the east.
func newWorld(t *testing.T, places map[string]string, o armsim.Options) *world {
	t.Helper()
	w := &world{t: t, clock: newClock(), config: testConfig(places), members: map[string]*mcs.Observed{}, taken: map[string][]render.Object{}}
	w.sim = newSim(w.clock, o)
	for i, name := range []string{"m1", "m2", "m3"} {
		w.addMember(name, byte(i+1))
	}
	w.start()
	return w
}

func (w *world) addMember(name string, number byte) {
	w.members[name] = &mcs.Observed{Cluster: name, Synced: true, Namespaces: []string{"shop"}}
	for n := range byte(2) {
		w.members[name].Nodes = append(w.members[name].Nodes, mcs.Node{Name: fmt.Sprintf("%s-node-%d", name, n+1), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 100, number, 4 + n})}})
	}
}

// start starts a process anew.
func (w *world) start() {
	w.t.Helper()
	w.wire = &wire{sim: w.sim.Client().Transport}
	o := w.options
	o.Config, o.Auth, o.Source, o.Client, o.Now = w.config, Auth{Method: methodNone, Endpoint: "http://localhost"}, "file:///fleet main", &http.Client{Transport: w.wire}, w.clock.Now
	p, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.p, w.state = p, nil
}

func (w *world) export(member, name string, endpoints int, ports ...mcs.Port) {
	if len(ports) == 0 {
		ports = []mcs.Port{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}
	}
	e := mcs.Export{Cluster: member, Namespace: "shop", Name: name, Created: w.clock.Now(),
		Service: &mcs.ExportedService{Type: corev1.ServiceTypeClusterIP, Ports: ports, Traits: mcs.Traits{IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}}
	for n := range endpoints {
		targets := map[string]int32{}
		for _, p := range ports {
			targets[p.Name] = 8080
		}
		e.Endpoints = append(e.Endpoints, mcs.Endpoint{Address: netip.AddrFrom4([4]byte{10, 100, 100 + member[1] - '0', byte(n + 1)}), Ports: targets, Ready: true, Serving: true, Slice: name + "-1"})
	}
	w.unexport(member, name)
	w.members[member].Exports = append(w.members[member].Exports, e)
}

func (w *world) unexport(member, name string) {
	o := w.members[member]
	o.Exports = slices.DeleteFunc(o.Exports, func(e mcs.Export) bool { return e.Name == name })
}

// ask makes a MultiClusterService of the same name as what it imports, or changes the annotations of one.
func (w *world) ask(member, name string, annotations map[string]string) {
	o := w.members[member]
	s := mcs.Service{Cluster: member, Namespace: "shop", Name: name, ImportName: name, Created: w.clock.Now()}
	if i := slices.IndexFunc(o.Services, func(s mcs.Service) bool { return s.Name == name }); i >= 0 {
		s = o.Services[i]
	}
	w.unask(member, name)
	s.Annotations = annotations
	o.Services = append(o.Services, s)
}

func (w *world) unask(member, name string) {
	o := w.members[member]
	o.Services = slices.DeleteFunc(o.Services, func(s mcs.Service) bool { return s.Name == name })
}

// web is shop/web, exported by m1 and m2, for which m1 asks.
func (w *world) web(annotations map[string]string) {
	w.export("m1", "web", 2)
	w.export("m2", "web", 1)
	w.ask("m1", "web", annotations)
}

func (w *world) resolve() mcs.Resolution {
	var observed []mcs.Observed
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		o := *w.members[name]
		o.Exports, o.Services, o.Derived = slices.Clone(o.Exports), slices.Clone(o.Services), slices.Clone(o.Derived)
		observed = append(observed, o)
	}
	return w.resolver.Resolve(observed, mcs.Terms{Properties: w.p.Properties()}, w.clock.Now())
}

// members takes in what is wanted on members and what statuses say; it tells whether anything changed.
func (w *world) bringMembers(r mcs.Resolution) bool {
	changed := false
	for _, write := range r.Statuses(w.state, w.clock.Now()) {
		switch status := write.Status.(type) {
		case networkingv1alpha1.MultiClusterServiceStatus:
			o := w.members[write.Cluster]
			o.Services = slices.Clone(o.Services)
			for i := range o.Services {
				if s := &o.Services[i]; s.Name == write.Name {
					s.Ingress = nil
					for _, at := range status.LoadBalancer.Ingress {
						s.Ingress = append(s.Ingress, at.IP)
					}
				}
			}
		case corev1.ServiceStatus:
			o := w.members[write.Cluster]
			if w.deaf[write.Cluster] {
				continue
			}
			for i := range o.Derived {
				if d := &o.Derived[i]; d.Name == write.Name {
					d.Ingress, changed = nil, true
					for _, at := range status.LoadBalancer.Ingress {
						d.Ingress = append(d.Ingress, at.IP)
					}
				}
			}
		}
	}
	objects := w.p.Objects(r)
	for name, o := range w.members {
		if !o.Synced || reflect.DeepEqual(w.taken[name], objects[name]) {
			continue
		}
		changed = true
		stood := o.Derived
		w.taken[name], o.Derived = objects[name], nil
		for _, object := range objects[name] {
			if object.GetKind() == "Service" {
				o.Derived = append(o.Derived, derived(name, object.Unstructured, stood))
			}
		}
	}
	return changed
}

func derived(member string, s *unstructured.Unstructured, stood []mcs.DerivedService) mcs.DerivedService {
	d := mcs.DerivedService{Cluster: member, Namespace: s.GetNamespace(), Name: s.GetName(), UID: types.UID("uid-" + s.GetName()), Balancer: s.GetLabels()[api.LabelDerived] == api.DerivedLoadBalancer}
	for _, before := range stood {
		if before.Name == d.Name {
			d.Ingress = before.Ingress
		}
	}
	ports, _, _ := unstructured.NestedSlice(s.Object, "spec", "ports")
	for _, p := range ports {
		fields := p.(map[string]any)
		portName, _ := fields["name"].(string)
		n, _ := fields["nodePort"].(int64)
		d.Ports = append(d.Ports, mcs.Port{Name: portName, Protocol: corev1.Protocol(fields["protocol"].(string)), Port: int32(fields["port"].(int64))})
		d.NodePorts = append(d.NodePorts, int32(n))
	}
	health, _, _ := unstructured.NestedInt64(s.Object, "spec", "healthCheckNodePort")
	d.HealthCheckNodePort = int32(health)
	return d
}

// turn is one turn of the loop. It returns when the next one is due, and false when nothing is left to do.
func (w *world) turn() (after time.Duration, more bool) {
	w.t.Helper()
	if w.state == nil {
		state, err := w.p.List(w.t.Context())
		if err != nil {
			if w.wire.dead {
				return 0, true
			}
			return time.Second, true
		}
		w.state = state
	}
	if w.frozen && w.state != nil && w.toldTheSame() {
		return w.act(w.last)
	}
	r := w.resolve()
	w.last = r
	if !w.mute && w.bringMembers(r) {
		return 0, true
	}
	return w.act(r)
}

// toldTheSame tells whether announcements are as at the last call.
func (w *world) toldTheSame() bool {
	told := map[mcs.LoadBalancerKey][]mcs.Announcement{}
	for key, installed := range w.state {
		told[key] = installed.Frontend.Announcements
	}
	before := w.told
	w.told = told
	return w.last.Members != nil && reflect.DeepEqual(told, before)
}

// act is the part of a turn that the provider does.
func (w *world) act(r mcs.Resolution) (after time.Duration, more bool) {
	w.t.Helper()
	plan := w.p.Plan(r, w.state)
	if len(plan.Changes) == 0 {
		return 0, false
	}
	state, err := w.p.Apply(w.t.Context(), plan)
	if err != nil {
		w.t.Fatalf("applying: %v", err)
	}
	w.state = state
	for _, installed := range state {
		if f := installed.Frontend; f.Retry && (after == 0 || f.After < after) {
			after = f.After
		}
	}
	return after, true
}

// settle takes turns until nothing is left to do but what waits for a person. A process that has ended is started again.
func (w *world) settle() {
	w.t.Helper()
	for range 2000 {
		after, more := w.turn()
		if w.wire.dead {
			w.start()
			continue
		}
		if !more || after >= time.Minute {
			w.look()
			return
		}
		if w.frozen {
			after = max(after, 10*time.Second) // turns are many and cost time
		}
		w.clock.advance(after)
	}
	w.t.Fatalf("it never comes to rest: %s", frontends(w.state))
}

// look tells the simulator what is on members, as wires would.
func (w *world) look() {
	var clusters []armsim.Cluster
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		o := w.members[name]
		c := armsim.Cluster{Name: name, Network: w.config.Members[name].VirtualNetwork, SecurityGroup: w.config.Members[name].NetworkSecurityGroup}
		for _, n := range o.Nodes {
			c.Nodes = append(c.Nodes, armsim.Node{Name: n.Name, Address: n.Addresses[0]})
		}
		for _, d := range o.Derived {
			s := armsim.Service{Name: d.Name, Addresses: addressesOf(d.Ingress)}
			for i, p := range d.Ports {
				s.Ports = append(s.Ports, armsim.ServicePort{Protocol: string(p.Protocol), Port: int(p.Port), NodePort: int(d.NodePorts[i])})
			}
			for _, e := range o.Exports {
				if Name(e.Key()) == d.Name {
					s.Endpoints = len(e.Endpoints)
				}
			}
			c.Services = append(c.Services, s)
		}
		clusters = append(clusters, c)
	}
	w.sim.SetClusters(clusters)
}

func addressesOf(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// frontend is what became of shop/name.
func (w *world) frontend(name string) mcs.Frontend {
	return w.state[mcs.LoadBalancerKey{Key: mcs.Key{Namespace: "shop", Name: name}}].Frontend
}

// address is where shop/name is reached, at one place.
func (w *world) address(name string) netip.Addr {
	w.t.Helper()
	f := w.frontend(name)
	if len(f.Addresses) != 1 || len(f.Problems) > 0 {
		w.t.Fatalf("%s is reached at %v, problems: %q", name, f.Addresses, f.Problems)
	}
	return f.Addresses[0]
}

// reaches wants shop/name at its port 80 to reach pods of clusters, and nothing to be lost.
func (w *world) reaches(name string, clusters ...string) {
	w.t.Helper()
	r := w.sim.Reach(w.address(name), 80, "tcp")
	if !slices.Equal(r.Clusters, clusters) || len(r.Lost) > 0 {
		w.t.Errorf("%s reaches %q, want %q; lost %q; closed %q", name, r.Clusters, clusters, r.Lost, r.Closed)
	}
}

// problem wants a problem of shop/name that has every part.
func (w *world) problem(name string, parts ...string) {
	w.t.Helper()
	problems := strings.Join(w.frontend(name).Problems, "\n")
	for _, part := range parts {
		if !strings.Contains(problems, part) {
			w.t.Errorf("%s has the problems %q, want one with %q", name, problems, part)
		}
	}
}

// writes are the requests so far that ask for a change.
func (w *world) writes() []string {
	var out []string
	for _, e := range w.sim.Exchanges() {
		if e.IsWrite() {
			out = append(out, fmt.Sprintf("%s %s %d", e.Method, lastOf(e.Path), e.Status))
		}
	}
	return out
}

// stands is everything in Azure as GETs show it, without what tells one write from another.
func (w *world) stands() map[string]any {
	out := map[string]any{}
	for _, kind := range []string{"loadBalancers", "publicIPAddresses"} {
		for _, id := range w.sim.IDs(kind) {
			out[at(id)] = bare(w.sim.Resource(id))
		}
	}
	return out
}

// bare leaves out ETags, and public addresses, which depend on the order of writes.
func bare(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range x {
			if text, ok := value.(string); key == "etag" || key == "fqdn" || key == "ipAddress" && ok && !netip.MustParseAddr(text).IsPrivate() {
				continue
			}
			out[key] = bare(value)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, value := range x {
			out[i] = bare(value)
		}
		return out
	}
	return v
}

type derivedService = mcs.DerivedService

// list2 is a list two fields deep in decoded JSON.
func list2(v any, first, second string) []any {
	m, _ := v.(map[string]any)
	inner, _ := m[first].(map[string]any)
	out, _ := inner[second].([]any)
	return out
}

// json is all that stands.
func (w *world) json() string {
	data, err := json.Marshal(w.stands())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}
