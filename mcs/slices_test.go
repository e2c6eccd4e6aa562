package mcs

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// slicesOn returns the EndpointSlices on m2 of what m1 exports.
func slicesOn(t *testing.T, exports ...Export) []discoveryv1.EndpointSlice {
	t.Helper()
	observed := []Observed{inPlace("m2", nil, shopWeb)}
	for _, e := range exports {
		observed = append(observed, Observed{Cluster: e.Cluster, Synced: true, Exports: []Export{e}})
	}
	return typed[discoveryv1.EndpointSlice](t, Resolve(observed, Terms{}, now).Objects["m2"])
}

func TestSliceSaysEverything(t *testing.T) {
	h2c, yes, no := "h2c", true, false
	e := standard("m1", 0, func(e *Export) {
		e.Service.Ports[0].AppProtocol = h2c
		e.Endpoints = []Endpoint{
			{Address: netip.MustParseAddr("::ffff:10.1.0.2"), Terminating: true, Serving: true, Slice: "web-x", Ports: map[string]int32{"http": 8080, "debug": 1}},
			{Address: netip.MustParseAddr("10.1.0.1"), Ready: true, Serving: true, Slice: "web-x", Ports: map[string]int32{"http": 8080, "debug": 1}, Hostname: "web-0", NodeName: "node", Zone: "1"},
		}
	})
	got := slicesOn(t, e)
	if len(got) != 1 {
		t.Fatalf("%d slices, want 1", len(got))
	}
	name, port, protocol, host, node, zone := "http", int32(8080), corev1.ProtocolTCP, "web-0", "node", "1"
	want := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol, AppProtocol: &h2c}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.1.0.1"}, Hostname: &host, NodeName: &node, Zone: &zone, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}},
			{Addresses: []string{"10.1.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}}}}
	labels := map[string]string{mcsv1beta1.LabelServiceName: "web", mcsv1beta1.LabelSourceCluster: "m1",
		discoveryv1.LabelManagedBy: "gitfleet", discoveryv1.LabelServiceName: DerivedName(shopWeb)}
	if diff := cmp.Diff(labels, got[0].Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if o := got[0].OwnerReferences; len(o) != 1 || o[0].Kind != "ServiceImport" || o[0].Name != "web" || string(o[0].UID) != "uid-m2-web" || o[0].APIVersion != "multicluster.x-k8s.io/v1beta1" {
		t.Errorf("owners %+v", o)
	}
	got[0].TypeMeta, got[0].ObjectMeta = want.TypeMeta, want.ObjectMeta
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("slice (-want +got):\n%s", diff)
	}
}

// TestSlicesAreCut tells how many slices, by address type and number of endpoints, some endpoints come to.
func TestSlicesAreCut(t *testing.T) {
	at := func(slice string, port int32, addresses ...string) func(*Export) {
		return func(e *Export) {
			for _, a := range addresses {
				e.Endpoints = append(e.Endpoints, Endpoint{Address: netip.MustParseAddr(a), Slice: slice, Ports: map[string]int32{"http": port}})
			}
		}
	}
	var many []string
	for n := range 2001 {
		many = append(many, fmt.Sprintf("10.1.%d.%d", n/256, n%256))
	}
	all := func(list ...func(*Export)) func(*Export) {
		return func(e *Export) {
			for _, f := range list {
				f(e)
			}
		}
	}
	tests := map[string]struct {
		reason string
		change func(*Export)
		want   []string
	}{
		"one":      {"one source slice is one slice", at("a", 1, "10.1.0.1", "10.1.0.2"), []string{"IPv4 2"}},
		"sources":  {"each source slice has its own", all(at("a", 1, "10.1.0.1"), at("b", 1, "10.1.0.2")), []string{"IPv4 1", "IPv4 1"}},
		"families": {"a slice has one family", at("a", 1, "10.1.0.1", "fd00::1"), []string{"IPv4 1", "IPv6 1"}},
		"targets":  {"a slice has one set of target ports", all(at("a", 1, "10.1.0.1", "10.1.0.3"), at("a", 2, "10.1.0.2")), []string{"IPv4 2", "IPv4 1"}},
		"many":     {"the API server takes 1000 endpoints in one", at("a", 1, many...), []string{"IPv4 1000", "IPv4 1000", "IPv4 1"}},
		"none":     {"no endpoint, no slice", func(*Export) {}, nil},
		"foreign": {"a port that is not of the Service is none of the import", func(e *Export) {
			e.Endpoints = []Endpoint{{Address: netip.MustParseAddr("10.1.0.1"), Ports: map[string]int32{"debug": 1}}}
		}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			names := map[string]bool{}
			for _, s := range slicesOn(t, standard("m1", 0, tt.change)) {
				got = append(got, fmt.Sprintf("%s %d", s.AddressType, len(s.Endpoints)))
				names[s.Name] = true
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(names) != len(tt.want) {
				t.Errorf("%s, got %d names (-want +got):\n%s", tt.reason, len(names), diff)
			}
		})
	}
}

// A headless service has each exporter's own ports, and no Service in front of its slices.
func TestHeadlessSlices(t *testing.T) {
	headless := func(ports ...Port) func(*Export) {
		return func(e *Export) { e.Service.Headless, e.Service.Ports = true, ports }
	}
	got := slicesOn(t, standard("m1", 0, headless(Port{"http", "TCP", "h2c", 80}, Port{"", "UDP", "", 53}), "10.1.0.1"),
		standard("m3", 1, headless(Port{"http", "UDP", "", 80}), "10.3.0.1"), standard("m4", 2, headless(), "10.4.0.1"))
	want := map[string]string{"m1": "http TCP 8080", "m3": "http UDP 8080", "m4": ""}
	for _, s := range got {
		var ports []string
		for _, p := range s.Ports {
			ports = append(ports, fmt.Sprint(*p.Name, " ", *p.Protocol, " ", *p.Port))
		}
		cluster := s.Labels[mcsv1beta1.LabelSourceCluster]
		if text := strings.Join(ports, ", "); text != want[cluster] {
			t.Errorf("ports of %s are %q, want %q", cluster, text, want[cluster])
		}
		if service, ok := s.Labels[discoveryv1.LabelServiceName]; ok {
			t.Errorf("the slice of %s is for Service %q", cluster, service)
		}
		delete(want, cluster)
	}
	if len(want) > 0 {
		t.Errorf("no slices of %v", want)
	}
}

// Endpoints of a cluster whose lease is over are handed on no more.
func TestLapsedEndpointsAreLeftOut(t *testing.T) {
	i := Import{Namespace: "shop", Name: "web", Ports: []Port{{"http", "TCP", "", 80}}, Endpoints: []ImportedEndpoint{
		{Cluster: "m1", Endpoint: Endpoint{Address: netip.MustParseAddr("10.1.0.1"), Ports: map[string]int32{"http": 1}}, Lapsed: true},
		{Cluster: "m2", Endpoint: Endpoint{Address: netip.MustParseAddr("10.2.0.1"), Ports: map[string]int32{"http": 1}}}}}
	got := Resolution{Imports: []Import{i}}.EndpointSlices(shopWeb, SliceTarget{Imported: true})
	if len(got) != 1 || got[0].GetLabels()[mcsv1beta1.LabelSourceCluster] != "m2" {
		t.Errorf("slices %v", got)
	}
}

// The slices of a load balancer's Service have what the import's have under another name, and nothing that makes
// anybody take them for the import's.
func TestSlicesForAnotherService(t *testing.T) {
	m1 := inPlace("m1", nil, shopWeb)
	m1.Exports = []Export{standard("m1", 0, func(*Export) {}, "10.1.0.1")}
	r := Resolve([]Observed{m1}, Terms{}, now)
	own := typed[discoveryv1.EndpointSlice](t, r.Objects["m1"])[0]
	for _, owner := range []Owner{{}, {APIVersion: "v1", Kind: "Service", Name: "lb", UID: "u"}} {
		objects := r.EndpointSlices(shopWeb, SliceTarget{Service: "lb", Owner: owner})
		s := typed[discoveryv1.EndpointSlice](t, objects)[0]
		if s.Name == own.Name || len(s.OwnerReferences) > 0 != (owner.UID != "") {
			t.Errorf("slice %+v", s.ObjectMeta)
		}
		if diff := cmp.Diff(map[string]string{discoveryv1.LabelServiceName: "lb", discoveryv1.LabelManagedBy: ManagedBy}, s.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(own.Endpoints, s.Endpoints); diff != "" {
			t.Errorf("endpoints (-import +load balancer):\n%s", diff)
		}
	}
	if got := r.EndpointSlices(Key{Namespace: "shop", Name: "x"}, SliceTarget{}); got != nil {
		t.Errorf("slices of a service that nobody exports: %v", got)
	}
}

// No two slices share a name, whatever they are of; names and label values are valid, however long what they are made of.
func TestSliceNames(t *testing.T) {
	long := strings.Repeat("a", 62) + ".b"
	names := map[string]string{}
	for _, key := range []Key{{Namespace: "a-b", Name: "c"}, {Namespace: "a", Name: "b-c"}, {Namespace: "a", Name: strings.Repeat("w", 63)}} {
		for _, cluster := range []string{"c", "b-c", long + ".c", long + ".d", strings.Repeat("x", 253)} {
			for _, slice := range []string{"", "a", "a-b", strings.Repeat("s", 253)} {
				for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
					for _, to := range []SliceTarget{{Imported: true}, {Service: "lb"}, {Service: "lb2"}} {
						p := part{source: source{cluster, slice, family}}
						name, what := p.name(key, to), fmt.Sprint(key, cluster, slice, family, to)
						if other, taken := names[name]; taken {
							t.Errorf("%s is the slice of %s and of %s", name, other, what)
						}
						names[name] = what
						if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
							t.Errorf("%s: %v", name, problems)
						}
					}
				}
			}
			if problems := validation.IsValidLabelValue(labelValue(cluster)); len(problems) > 0 {
				t.Errorf("label %q: %v", labelValue(cluster), problems)
			}
		}
	}
	if labelValue(long+".c") == labelValue(long+".d") || labelValue("aks-member-1") != "aks-member-1" {
		t.Errorf("label values %q, %q, %q", labelValue(long+".c"), labelValue(long+".d"), labelValue("aks-member-1"))
	}
	turned := part{source: source{"m1", "web-x", corev1.IPv4Protocol}}
	if turned.name(shopWeb, SliceTarget{Imported: true}) != turned.name(shopWeb, SliceTarget{Imported: true, Service: "derived-x"}) {
		t.Error("an import that turns headless gets its slices anew")
	}
}
