package mcs

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// export is a valid export of shop/web.
func export(cluster string, created time.Time, change func(*Export)) Export {
	e := Export{Cluster: cluster, Namespace: "shop", Name: "web", Created: created,
		Service: &ExportedService{Type: corev1.ServiceTypeClusterIP, Ports: []Port{{"http", corev1.ProtocolTCP, "", 80}}}}
	change(&e)
	return e
}

// resolve observes each export on a member of its own that has synced.
func resolve(exports ...Export) Resolution {
	var observed []Observed
	for _, e := range exports {
		observed = append(observed, Observed{Cluster: e.Cluster, Synced: true, Exports: []Export{e}})
	}
	return Resolve(observed, Terms{}, now)
}

// TestPorts sets two exports against each other: m1 is the older one. What m2 loses shows on both.
func TestPorts(t *testing.T) {
	http := Port{"http", corev1.ProtocolTCP, "", 80}
	tcp, udp, sctp := Port{"tcp", "TCP", "", 42}, Port{"udp", "UDP", "", 42}, Port{"stcp", "SCTP", "", 142}
	tests := map[string]struct {
		reason string
		m1, m2 []Port
		lost   string // what m2's message must say; empty when it loses nothing
		part   []Port // of m2
		union  []Port
		differ bool // the standard calls it a conflict
	}{
		"equal":       {"no difference", []Port{http}, []Port{http}, "", []Port{http}, []Port{http}, false},
		"order":       {"order does not matter", []Port{http, {"a", "TCP", "", 1}}, []Port{{"a", "TCP", "", 1}, http}, "", []Port{{"a", "TCP", "", 1}, http}, []Port{{"a", "TCP", "", 1}, http}, false},
		"number":      {"one name, two numbers", []Port{http}, []Port{{"http", "TCP", "", 81}}, `port "http" is 81/TCP here and 80/TCP there`, nil, []Port{http}, true},
		"protocol":    {"TCP is not UDP", []Port{http}, []Port{{"http", "UDP", "", 80}}, `port "http" is 80/UDP here and 80/TCP there`, nil, []Port{http}, true},
		"appProtocol": {"the application protocol is compared", []Port{http}, []Port{{"http", "TCP", "h2c", 80}}, `port "http" is 80/TCP (h2c) here and 80/TCP there`, nil, []Port{http}, true},
		"name":        {"one number cannot have two names", []Port{http}, []Port{{"web", "TCP", "", 80}}, `port "web" is 80/TCP here, which is port "http" there`, nil, []Port{http}, true},
		"name first":  {"a name counts before a number", []Port{http, {"x", "TCP", "", 81}}, []Port{{"http", "TCP", "", 81}}, `port "http" is 81/TCP here and 80/TCP there`, nil, []Port{http, {"x", "TCP", "", 81}}, true},
		"unnamed":     {"no name is a name", []Port{{"", "TCP", "", 80}}, []Port{{"", "TCP", "", 81}}, "the unnamed port is 81/TCP here and 80/TCP there", nil, []Port{{"", "TCP", "", 80}}, true},
		"more":        {"what only one has is united", []Port{http}, []Port{http, {"admin", "TCP", "", 9}}, "", []Port{{"admin", "TCP", "", 9}, http}, []Port{{"admin", "TCP", "", 9}, http}, true},
		"fewer":       {"what only one has is united", []Port{http, {"admin", "TCP", "", 9}}, []Port{http}, "", []Port{http}, []Port{{"admin", "TCP", "", 9}, http}, true},
		"disjoint":    {"nothing in common, nothing against each other", []Port{http}, []Port{{"admin", "TCP", "", 9}}, "", []Port{{"admin", "TCP", "", 9}}, []Port{{"admin", "TCP", "", 9}, http}, true},
		"both":        {"one is lost, one is united", []Port{http}, []Port{{"http", "TCP", "", 81}, {"admin", "TCP", "", 9}}, `port "http" is 81/TCP here`, []Port{{"admin", "TCP", "", 9}}, []Port{{"admin", "TCP", "", 9}, http}, true},
		"same number": {"one number for two protocols", []Port{udp, tcp}, []Port{tcp, udp}, "", []Port{tcp, udp}, []Port{tcp, udp}, false},
		"SCTP":        {"three protocols side by side", []Port{tcp, udp}, []Port{tcp, sctp}, "", []Port{sctp, tcp}, []Port{sctp, tcp, udp}, true},
		"decider":     {"the message says who decides, why, and of how many", []Port{http}, []Port{{"http", "TCP", "", 81}}, `in 1 of 2 exports the Service's ports differ from those in cluster "m1", whose export is the oldest (2026-03-01T12:00:00Z) and decides`, nil, []Port{http}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, dialect := range []Dialect{Azure, Standard} {
				m1 := export("m1", now, func(e *Export) { e.Service.Ports, e.Dialect = tt.m1, dialect })
				m2 := export("m2", now.Add(time.Second), func(e *Export) { e.Service.Ports, e.Dialect = tt.m2, dialect })
				r := resolve(m2, m1)
				conflict := tt.lost != "" || dialect == Standard && tt.differ
				for _, v := range r.Exports {
					if got := v.Conflict.Status == "True"; got != conflict {
						t.Errorf("%s: %q export in %s has conflict %s, want %t", tt.reason, dialect, v.Cluster, v.Conflict, conflict)
					}
					if dialect == Standard && conflict && v.Conflict.Reason != "PortConflict" {
						t.Errorf("%s: the standard's reason is %q", tt.reason, v.Conflict.Reason)
					}
				}
				if !strings.Contains(r.Exports[1].Conflict.Message, tt.lost) {
					t.Errorf("%s: m2 is told %q, want %q", tt.reason, r.Exports[1].Conflict.Message, tt.lost)
				}
				if diff := cmp.Diff(tt.part, r.Exports[1].Ports, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: ports that m2 takes part with (-want +got):\n%s", tt.reason, diff)
				}
				if diff := cmp.Diff(tt.union, r.Imports[0].Ports); diff != "" {
					t.Errorf("%s: ports of the import (-want +got):\n%s", tt.reason, diff)
				}
			}
		})
	}
}

// A port that an older export lacks is decided by the next one, and traffic to it goes only where it is.
func TestPortsAreDecidedOneByOne(t *testing.T) {
	ports := func(cluster string, age int, ports ...Port) Export {
		return export(cluster, now.Add(time.Duration(age)*time.Second), func(e *Export) {
			e.Service.Ports = ports
			e.Endpoints = []Endpoint{{Address: netip.MustParseAddr("10.0.0.1"), Ready: true, Ports: map[string]int32{"http": 1000, "admin": 2000}}}
		})
	}
	http, admin := Port{"http", "TCP", "", 80}, Port{"admin", "TCP", "", 9}
	r := resolve(ports("m1", 0, http), ports("m2", 1, http, admin), ports("m3", 2, http, Port{"admin", "TCP", "", 10}))
	if diff := cmp.Diff([]Port{admin, http}, r.Imports[0].Ports); diff != "" {
		t.Errorf("ports of the import (-want +got):\n%s", diff)
	}
	want := map[string]map[string]int32{"m1": {"http": 1000}, "m2": {"http": 1000, "admin": 2000}, "m3": {"http": 1000}}
	for _, ep := range r.Imports[0].Endpoints {
		if diff := cmp.Diff(want[ep.Cluster], ep.Ports); diff != "" {
			t.Errorf("target ports in %s (-want +got):\n%s", ep.Cluster, diff)
		}
	}
	messages := map[string]string{
		"m1": "in 1 of 3 exports (m3) the Service's ports differ from those in m2, whose export is older (2026-03-01T12:00:01Z) and decides; ports that",
		"m2": "in 1 of 3 exports (m3) the Service's ports differ from those in m2, whose export is older (2026-03-01T12:00:01Z) and decides; ports that",
		"m3": `in 1 of 3 exports the Service's ports differ from those in cluster "m2", whose export is older (2026-03-01T12:00:01Z) and decides: port "admin" is 10/TCP here and 9/TCP there; ports that`,
	}
	for _, v := range r.Exports {
		if v.Conflict.Status != "True" || !strings.HasPrefix(v.Conflict.Message, messages[v.Cluster]) {
			t.Errorf("%s has conflict %s, want one that begins with %q", v.Cluster, v.Conflict, messages[v.Cluster])
		}
	}
}

// A message stays far below what the API server accepts, however many disagree.
func TestMessagesAreBounded(t *testing.T) {
	exports := []Export{export("m0", now, func(e *Export) {})}
	for i := range 500 {
		exports = append(exports, export(fmt.Sprintf("m%03d", i+1), now.Add(time.Second), func(e *Export) {
			e.Service.Ports = nil
			for n := range int32(100) {
				e.Service.Ports = append(e.Service.Ports, Port{fmt.Sprintf("p%d", n), "TCP", "", n + 1 + int32(i%2)})
			}
		}))
	}
	for _, v := range resolve(exports...).Exports {
		if len(v.Conflict.Message) > 4096 {
			t.Fatalf("%d bytes: %s", len(v.Conflict.Message), v.Conflict.Message)
		}
	}
}

// The oldest wins, and of those of one second the first by name. Seniority is the creation time and nothing else: applying an
// export or its Service again, or recreating the Service, moves nothing.
func TestSeniority(t *testing.T) {
	number := func(cluster string, created time.Time, port int32, change func(*Export)) Export {
		return export(cluster, created, func(e *Export) { e.Service.Ports[0].Port = port; change(e) })
	}
	same := func(*Export) {}
	tests := map[string]struct {
		reason  string
		exports []Export
		want    int32
		why     string // of the loser
	}{
		"oldest": {"creation time decides", []Export{number("m1", now.Add(time.Second), 1, same), number("m2", now, 2, same)}, 2, "the oldest ("},
		"equal":  {"the name settles a tie", []Export{number("m2", now, 2, same), number("m1", now, 1, same)}, 1, "as old (2026-03-01T12:00:00Z), comes first by name"},
		"grain": {"timestamps are as fine as the API keeps them", []Export{number("m2", now.Add(time.Millisecond), 2, same),
			number("m1", now.Add(time.Millisecond*2), 1, same)}, 1, "comes first by name"},
		"applied again": {"generation, metadata and conditions are no age", []Export{number("m1", now.Add(time.Second), 1, same),
			number("m2", now, 2, func(e *Export) { e.Generation = 9; e.Conditions = []metav1.Condition{{Type: "Valid", Status: "False"}} })}, 2, "the oldest ("},
		"service was away": {"an export without Service decides nothing", []Export{number("m1", now.Add(time.Second), 1, same),
			number("m2", now, 2, func(e *Export) { e.Service = nil })}, 1, ""},
		"leaving": {"neither does one that is being deleted", []Export{number("m1", now.Add(time.Second), 1, same),
			number("m2", now, 2, func(e *Export) { e.Deleting = true })}, 1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := resolve(tt.exports...)
			if got := r.Imports[0].Ports[0].Port; got != tt.want {
				t.Errorf("%s: port %d decides, want %d", tt.reason, got, tt.want)
			}
			for _, v := range r.Exports {
				if lost := len(v.Ports) == 0 && v.Service != nil; lost && !strings.Contains(v.Conflict.Message, tt.why) {
					t.Errorf("%s: %s is told %q, want %q", tt.reason, v.Cluster, v.Conflict.Message, tt.why)
				}
			}
		})
	}
}

// Last-known content may be kept in a file, so it must survive being marshalled.
func TestObservedSurvivesJSON(t *testing.T) {
	before := Observed{Cluster: "m1", Synced: true,
		Exports: []Export{{Cluster: "m1", Namespace: "shop", Name: "web", Created: now, Dialect: Standard, ExportedLabels: map[string]string{"a": "b"},
			Service: &ExportedService{Ports: []Port{{Port: 80}}, Traits: Traits{IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol},
				SessionAffinity: corev1.ServiceAffinityClientIP, SessionAffinityConfig: timeout(10)}},
			Endpoints: []Endpoint{{Address: netip.MustParseAddr("fd00::1"), Ports: map[string]int32{"": 80}, Ready: true, Hostname: "web-0"}}}},
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
