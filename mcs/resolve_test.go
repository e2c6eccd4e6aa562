package mcs

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// TestConflictPairs sets two exports against each other: m1 is the older one.
func TestConflictPairs(t *testing.T) {
	http := Port{"http", corev1.ProtocolTCP, "", 80}
	tests := map[string]struct {
		reason   string
		m1, m2   []Port
		conflict string // what m2's message must say; empty for no conflict
		part     []Port // of m2
	}{
		"equal":         {"no difference", []Port{http}, []Port{http}, "", []Port{http}},
		"order":         {"order does not matter", []Port{http, {"a", "TCP", "", 1}}, []Port{{"a", "TCP", "", 1}, http}, "", []Port{{"a", "TCP", "", 1}, http}},
		"number":        {"one name, two numbers", []Port{http}, []Port{{"http", "TCP", "", 81}}, `port "http" is 81/TCP here and 80/TCP there`, nil},
		"protocol":      {"TCP is not UDP", []Port{http}, []Port{{"http", "UDP", "", 80}}, `port "http" is 80/UDP here and 80/TCP there`, nil},
		"appProtocol":   {"the application protocol is compared", []Port{http}, []Port{{"http", "TCP", "h2c", 80}}, `port "http" is 80/TCP (h2c) here and 80/TCP there`, nil},
		"name":          {"names are how ports are matched", []Port{http}, []Port{{"web", "TCP", "", 80}}, `port "web" is only here, as 80/TCP, port "http" is only there, as 80/TCP`, nil},
		"unnamed":       {"no name is a name", []Port{{"", "TCP", "", 80}}, []Port{{"", "TCP", "", 81}}, "the unnamed port is 81/TCP here and 80/TCP there", nil},
		"more":          {"what is agreed keeps its traffic", []Port{http}, []Port{http, {"admin", "TCP", "", 9}}, `port "admin" is only here, as 9/TCP`, []Port{http}},
		"fewer":         {"what is agreed keeps its traffic", []Port{http, {"admin", "TCP", "", 9}}, []Port{http}, `port "admin" is only there, as 9/TCP`, []Port{http}},
		"same number":   {"DNS has one number for two protocols", []Port{{"d", "UDP", "", 53}, {"t", "TCP", "", 53}}, []Port{{"t", "TCP", "", 53}, {"d", "UDP", "", 53}}, "", []Port{{"d", "UDP", "", 53}, {"t", "TCP", "", 53}}},
		"winner listed": {"the message says who decides", []Port{http}, []Port{{"http", "TCP", "", 81}}, `cluster "m1", whose export is the oldest (2026-03-01T12:00:00Z) and decides`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			export := func(cluster string, created time.Time, ports []Port) Observed {
				return Observed{Cluster: cluster, Synced: true, Exports: []Export{{Cluster: cluster, Namespace: "shop", Name: "web",
					Created: created, Service: &ExportedService{Ports: ports}}}}
			}
			r := Resolve([]Observed{export("m2", now.Add(time.Second), tt.m2), export("m1", now, tt.m1)})
			m1, m2 := r.Exports[0], r.Exports[1]
			if m1.Conflict.Reason != networkingv1alpha1.ReasonNoConflictFound {
				t.Errorf("%s: the oldest export has conflict %s", tt.reason, m1.Conflict)
			}
			if (m2.Conflict.Status == "True") != (tt.conflict != "") || !strings.Contains(m2.Conflict.Message, tt.conflict) {
				t.Errorf("%s: m2 has conflict %s, want %q", tt.reason, m2.Conflict, tt.conflict)
			}
			if diff := cmp.Diff(tt.part, m2.Ports, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: ports that m2 takes part with (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// Last-known content may be kept in a file, so it must survive being marshalled.
func TestObservedSurvivesJSON(t *testing.T) {
	before := Observed{Cluster: "m1", Synced: true,
		Exports: []Export{{Cluster: "m1", Namespace: "shop", Name: "web", Created: now, Service: &ExportedService{Ports: []Port{{Port: 80}}},
			Endpoints: []Endpoint{{Address: netip.MustParseAddr("fd00::1"), Ports: map[string]int32{"": 80}, Ready: true}}}},
		Services: []Service{{Namespace: "shop", Name: "web", Created: now, Annotations: map[string]string{"a": "b"}, Ingress: []string{"127.0.0.1"}}}}
	text, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	var after Observed
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("after marshalling (-before +after):\n%s", diff)
	}
}

// FuzzResolve: any order of any observation gives one answer, and the statuses written from it settle.
func FuzzResolve(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed+1)
	}
	f.Fuzz(func(t *testing.T, seed, order uint64) {
		observed := func() []Observed { return invent(rand.New(rand.NewPCG(seed, 0))) }
		want := describe(Resolve(observed()), nil)
		shuffled := observed()
		shuffle(shuffled, rand.New(rand.NewPCG(order, 0)))
		if diff := cmp.Diff(want, describe(Resolve(shuffled), nil)); diff != "" {
			t.Errorf("another order gives another answer (-before +shuffled):\n%s", diff)
		}
		settled := observed()
		write(settled, Resolve(settled).Statuses(nil, now))
		if writes := Resolve(settled).Statuses(nil, now); len(writes) > 0 {
			t.Errorf("written twice:\n%s", describeWrites(writes))
		}
	})
}

// invent makes up a fleet of four members with two services in a few variants.
func invent(r *rand.Rand) []Observed {
	clusters := []string{"m1", "m2", "m3", "m4"}
	var out []Observed
	for i, cluster := range clusters {
		o := Observed{Cluster: cluster, Synced: r.IntN(4) > 0}
		for _, name := range []string{"web", "api"} {
			if r.IntN(4) > 0 {
				o.Exports = append(o.Exports, inventExport(r, cluster, name, byte(i)))
			}
			if r.IntN(2) > 0 {
				s := Service{Cluster: cluster, Namespace: "shop", Name: name, Created: now.Add(time.Duration(r.IntN(3)) * time.Second),
					ImportName: []string{"web", "api"}[r.IntN(2)]}
				if r.IntN(2) > 0 {
					s.Annotations = map[string]string{networkingv1alpha1.AnnotationAzureInternal: []string{"true", "false", "?"}[r.IntN(3)]}
				}
				o.Services = append(o.Services, s)
			}
		}
		if r.IntN(2) > 0 {
			o.Imports = []MemberImport{{Cluster: cluster, Namespace: "shop", Name: "web", Status: networkingv1alpha1.ServiceImportStatus{
				Ports:    []networkingv1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}},
				Clusters: []networkingv1alpha1.ClusterStatus{{Cluster: clusters[r.IntN(4)]}, {Cluster: "left"}}}}}
		}
		out = append(out, o)
	}
	return out
}

func inventExport(r *rand.Rand, cluster, name string, i byte) Export {
	e := Export{Cluster: cluster, Namespace: "shop", Name: name, Created: now.Add(time.Duration(r.IntN(3)) * time.Second), Deleting: r.IntN(8) == 0}
	if r.IntN(8) > 0 {
		e.Service = &ExportedService{Headless: r.IntN(8) == 0, Ports: []Port{{Protocol: corev1.ProtocolTCP, Port: 80 + int32(r.IntN(2))}}}
	}
	for n := range r.IntN(3) {
		e.Endpoints = append(e.Endpoints, Endpoint{Address: netip.AddrFrom4([4]byte{10, i, 0, byte(n)}), Ready: r.IntN(3) > 0,
			Ports: map[string]int32{"": 8000}, Terminating: r.IntN(4) == 0})
	}
	return e
}
