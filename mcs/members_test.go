package mcs

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/render"
)

// backend is a ready endpoint in the slice web-1.
func backend(address string) Endpoint {
	return Endpoint{Address: netip.MustParseAddr(address), Ports: map[string]int32{"http": 8000}, Ready: true, Serving: true, Slice: "web-1"}
}

// exporter is a synced member that exports shop/web with one endpoint.
func exporter(cluster, address string, change func(*Export)) Observed {
	e := export(cluster, now, func(e *Export) { e.Endpoints = []Endpoint{backend(address)} })
	change(&e)
	return Observed{Cluster: cluster, Synced: true, Exports: []Export{e}}
}

func same(*Export) {}

// importer is a synced member where the import of shop/web stands.
func importer(cluster string, clusters ...string) Observed {
	i := MemberImport{Cluster: cluster, Namespace: "shop", Name: "web", Dialect: Standard, UID: "u1", Status: networkingv1alpha1.ServiceImportStatus{
		Type: "ClusterSetIP", Ports: []networkingv1alpha1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80}}}}
	for _, c := range clusters {
		i.Status.Clusters = append(i.Status.Clusters, clusterStatus{Cluster: c})
	}
	return Observed{Cluster: cluster, Synced: true, Standard: true, Namespaces: []string{"shop"}, Imports: []MemberImport{i}}
}

func slicesOf(t *testing.T, objects []render.Object) map[string]discoveryv1.EndpointSlice {
	t.Helper()
	out := map[string]discoveryv1.EndpointSlice{}
	for _, o := range objects {
		if o.GetKind() != "EndpointSlice" {
			continue
		}
		var s discoveryv1.EndpointSlice
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &s); err != nil {
			t.Fatal(err)
		}
		out[s.Name] = s
	}
	return out
}

// TestRecall: after a restart, what a member out of sight exported stands only where it was imported. It stays there, to the letter.
func TestRecall(t *testing.T) {
	m1, m2, away := exporter("m1", "10.1.0.2", same), importer("m2", "m1"), Observed{Cluster: "m1"}
	before := slicesOf(t, Resolve([]Observed{m1, m2}, Terms{}, now).Objects["m2"])
	if len(before) != 1 {
		t.Fatalf("one endpoint came to %d slices", len(before))
	}
	if forgotten := slicesOf(t, Resolve([]Observed{away, m2}, Terms{}, now).Objects["m2"]); len(forgotten) > 0 {
		t.Fatalf("without a memory nobody can know of %v", forgotten)
	}
	for name, s := range before {
		if got := s.Annotations[AnnotationImport] + " " + s.Annotations[AnnotationOrigin]; got != "web m1/web-1" {
			t.Errorf("%s tells that it is of %q", name, got)
		}
		m2.Slices = append(m2.Slices, ImportedSlice{Namespace: "shop", Import: "web", Source: "m1", Endpoints: []Endpoint{backend("10.1.0.2")}})
	}
	m3 := importer("m3", "m1") // has a copy of the same
	m3.Slices = m2.Slices
	after := Resolve([]Observed{away, m2, m3}, Terms{}, now)
	if diff := cmp.Diff(before, slicesOf(t, after.Objects["m2"])); diff != "" {
		t.Errorf("while m1 is out of sight (-before +after):\n%s", diff)
	}
	if n := len(after.Imports[0].Endpoints); n != 1 {
		t.Errorf("two copies of one endpoint came to %d", n)
	}
	// What m1 shows itself counts more than what others had of it.
	back := Resolve([]Observed{exporter("m1", "10.1.0.9", same), m2}, Terms{}, now)
	if got := back.Imports[0].Endpoints; len(got) != 1 || got[0].Address.String() != "10.1.0.9" {
		t.Errorf("m1 is back and shows 10.1.0.9, and its endpoints are %v", got)
	}
}

func TestLeases(t *testing.T) {
	gone := exporter("m1", "10.1.0.2", same)
	gone.Synced, gone.Seen = false, now
	there := exporter("m2", "10.2.0.2", same)
	unready := exporter("m2", "10.2.0.2", func(e *Export) { e.Endpoints[0].Ready = false })
	lb := Service{Cluster: "m2", Namespace: "shop", Name: "web", ImportName: "web"}
	tests := map[string]struct {
		reason   string
		terms    Terms
		other    Observed
		after    time.Duration
		over     bool
		backends []string
		wake     time.Duration // after now; 0 for never
	}{
		"runs":     {"what was known is handed on", Terms{Lease: time.Minute}, there, 59 * time.Second, false, []string{"10.1.0.2:8000", "10.2.0.2:8000"}, time.Minute},
		"over":     {"another member has an endpoint that is ready", Terms{Lease: time.Minute}, there, time.Minute, true, []string{"10.2.0.2:8000"}, 0},
		"last":     {"no endpoint is worse than one that may be gone", Terms{Lease: time.Minute}, unready, time.Minute, true, []string{"10.1.0.2:8000"}, 0},
		"for ever": {"no lease, no end", Terms{}, there, 1000 * time.Hour, false, []string{"10.1.0.2:8000", "10.2.0.2:8000"}, 0},
		"probed":   {"who tries endpoints knows better", Terms{Lease: time.Minute, Properties: Properties{Probes: true}}, there, time.Hour, true, []string{"10.1.0.2:8000", "10.2.0.2:8000"}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			other := tt.other
			other.Services = []Service{lb}
			r := Resolve([]Observed{gone, other}, tt.terms, now.Add(tt.after))
			var got []string
			for _, b := range r.LoadBalancers[0].Backends {
				got = append(got, b.Target.String())
			}
			if !slices.Equal(got, tt.backends) {
				t.Errorf("%s: backends %v, want %v", tt.reason, got, tt.backends)
			}
			want := []Lease{{Cluster: "m1", Seen: now, Over: tt.over}}
			if tt.terms.Lease > 0 {
				want[0].Until = now.Add(tt.terms.Lease)
			}
			if diff := cmp.Diff(want, r.Leases); diff != "" {
				t.Errorf("leases (-want +got):\n%s", diff)
			}
			if wake := now.Add(tt.wake); tt.wake > 0 && !r.Wake.Equal(wake) || tt.wake == 0 && !r.Wake.IsZero() {
				t.Errorf("something is due at %s", r.Wake)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	service := Service{Cluster: "m1", Namespace: "shop", Name: "web", ImportName: "web"}
	tests := map[string]struct {
		reason, m1, m2 string
		weights        map[string]int
		valid          string // of m1
		imported       int    // endpoints in slices
	}{
		"none":    {"nobody asked", "", "", nil, "True ServiceIsValid", 2},
		"one":     {"the other has the default", "3", "", map[string]int{"m1": 3}, "True ServiceIsValid", 2},
		"zero":    {"it takes nothing, and is valid", "0", "1000", map[string]int{"m1": 0, "m2": 1000}, "True ServiceIsValid", 1},
		"text":    {"it keeps its traffic", "much", "2", map[string]int{"m2": 2}, "False ServiceExportInvalidWeightAnnotation", 2},
		"above":   {"1000 is the most", "1001", "", nil, "False ServiceExportInvalidWeightAnnotation", 2},
		"below":   {"0 is the least", "-1", "", nil, "False ServiceExportInvalidWeightAnnotation", 2},
		"decimal": {"whole numbers only", "1.5", "", nil, "False ServiceExportInvalidWeightAnnotation", 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m1 := exporter("m1", "10.1.0.2", func(e *Export) { e.Weight = tt.m1 })
			m1.Services = []Service{service}
			m2 := exporter("m2", "10.2.0.2", func(e *Export) { e.Weight = tt.m2 })
			r := Resolve([]Observed{m1, m2, importer("m3", "m1", "m2")}, Terms{}, now)
			if diff := cmp.Diff(tt.weights, r.LoadBalancers[0].Weights); diff != "" {
				t.Errorf("%s: weights (-want +got):\n%s", tt.reason, diff)
			}
			if v := r.Exports[0].Valid; string(v.Status)+" "+v.Reason != tt.valid {
				t.Errorf("%s: Valid is %s", tt.reason, v)
			}
			if n := len(r.LoadBalancers[0].Backends); n != 2 {
				t.Errorf("%s: the load balancer has %d backends; with weight 0 they drain", tt.reason, n)
			}
			if n := len(slicesOf(t, r.Objects["m3"])); n != tt.imported {
				t.Errorf("%s: %d slices are imported, want %d", tt.reason, n, tt.imported)
			}
		})
	}
}

// TestDialectPairs: a member that has an export in both dialects exports once, and each object hears of it in its own words.
func TestDialectPairs(t *testing.T) {
	azure := export("m1", now.Add(-time.Hour), func(e *Export) { e.Endpoints = []Endpoint{backend("10.1.0.2")} })
	standard := azure
	standard.Dialect, standard.Created, standard.ExportedLabels = Standard, now, map[string]string{"team": "a"}
	rival := export("m2", now.Add(-time.Minute), func(e *Export) { e.Service.Ports[0].Port = 81 })
	r := Resolve([]Observed{{Cluster: "m1", Synced: true, Exports: []Export{standard, azure}}, {Cluster: "m2", Synced: true, Exports: []Export{rival}}}, Terms{}, now)
	want := []string{
		"m1 : True ServiceIsValid, True ConflictFound", "m1 KEP-1645: True Valid, True PortConflict, True Exported", "m2 : True ServiceIsValid, True ConflictFound",
	}
	var got []string
	for _, v := range r.Exports {
		text := v.Cluster + " " + string(v.Dialect) + ": " + string(v.Valid.Status) + " " + v.Valid.Reason + ", " + string(v.Conflict.Status) + " " + v.Conflict.Reason
		if v.Dialect == Standard {
			text += ", " + string(v.Ready.Status) + " " + v.Ready.Reason
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if i := r.Imports[0]; len(i.Endpoints) != 1 || !slices.Equal(i.Clusters, []string{"m1"}) || i.Ports[0].Port != 80 || i.Labels["team"] != "a" {
		t.Errorf("the pair is as old as its older half, and exported once; the import is %+v", i)
	}
	for _, weighed := range []*Export{&azure, &standard} {
		weighed.Weight = "3"
		r = Resolve([]Observed{{Cluster: "m1", Synced: true, Exports: []Export{azure, standard}}}, Terms{}, now)
		if w := r.Imports[0].Weights["m1"]; w != 3 {
			t.Errorf("one of the pair asks for weight 3, the cluster has %d", w)
		}
		weighed.Weight = ""
	}
	azure.Service, standard.Service = &ExportedService{Headless: true}, &ExportedService{Headless: true}
	r = Resolve([]Observed{{Cluster: "m1", Synced: true, Exports: []Export{standard, azure}}}, Terms{}, now)
	if a, s := r.Exports[0], r.Exports[1]; a.Valid.Status != "False" || s.Valid.Status != "True" || !r.Imports[0].Headless {
		t.Errorf("a headless Service: Azure's export says %s, the standard's %s, imports %+v", a.Valid, s.Valid, r.Imports)
	}
}

// TestPerMember: with a load balancer for each member, members do not disturb each other.
func TestPerMember(t *testing.T) {
	internal := map[string]string{networkingv1alpha1.AnnotationFleetInternal: "true", "example.org/tier": "gold"}
	m1, m2 := exporter("m1", "10.1.0.2", same), Observed{Cluster: "m2", Synced: true}
	m1.Services = []Service{{Cluster: "m1", Namespace: "shop", Name: "web", ImportName: "web", Created: now}}
	m2.Services = []Service{{Cluster: "m2", Namespace: "shop", Name: "web", ImportName: "web", Created: now.Add(time.Hour), Annotations: internal}}
	observed := []Observed{m1, m2, {Cluster: "m3"}}
	r := Resolve(observed, Terms{Properties: Properties{PerMember: true}}, now)
	want := []LoadBalancer{{Member: "m1", Clusters: []string{"m1"}}, {Member: "m2", Clusters: []string{"m2"}, Internal: true, Annotations: internal}}
	for i := range want {
		want[i].Import = Key{Namespace: "shop", Name: "web"}
		want[i].Namespace, want[i].Name, want[i].Ports = "shop", "web", []Port{{"http", "TCP", "", 80}}
		want[i].Backends = []Backend{{Cluster: "m1", Port: "http", Target: netip.MustParseAddrPort("10.1.0.2:8000")}}
	}
	if diff := cmp.Diff(want, r.LoadBalancers, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("load balancers (-want +got):\n%s", diff)
	}
	state := State{{Member: "m2", Key: Key{Namespace: "shop", Name: "web"}}: {Frontend: Frontend{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")}, Hostnames: []string{"lb.example.org"}}}}
	for _, w := range r.Statuses(state, now) {
		s, ok := w.Status.(networkingv1alpha1.MultiClusterServiceStatus)
		if !ok {
			continue
		}
		text := ""
		for _, at := range s.LoadBalancer.Ingress {
			text += at.IP + "|" + at.Hostname + " "
		}
		if want := map[string]string{"m1": "", "m2": "192.0.2.7| |lb.example.org "}[w.Cluster]; text != want {
			t.Errorf("the status on %s shows %q, want %q", w.Cluster, text, want)
		}
	}
}
