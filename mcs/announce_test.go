package mcs

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// TestAnnouncements: Services that stand for load balancers show what the provider says, and nothing is written while it says nothing.
func TestAnnouncements(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := Key{Namespace: "shop", Name: "web-lb"}
	at := netip.MustParseAddr("192.0.2.1")
	stands := func(ingress ...string) DerivedService {
		return DerivedService{Cluster: "m1", Namespace: key.Namespace, Name: key.Name, Balancer: true, Ingress: ingress}
	}
	in := func(f Frontend) State {
		return State{{Key: Key{Namespace: "shop", Name: "web"}}: {Frontend: f}}
	}
	told := in(Frontend{Announcements: []Announcement{{"m1", key, []netip.Addr{at}}}})
	deleting, clusterIP := stands(), stands()
	deleting.Deleting, clusterIP.Balancer = true, false
	for name, c := range map[string]struct {
		service DerivedService
		state   State
		hidden  bool
		silent  bool // the provider announces nothing to members
		want    []string
	}{
		"new":                      {service: stands(), state: told, want: []string{"[192.0.2.1]"}},
		"known":                    {service: stands("192.0.2.1"), state: told},
		"another":                  {service: stands("192.0.2.9"), state: told, want: []string{"[192.0.2.1]"}},
		"taken back":               {service: stands("192.0.2.1"), state: State{}, want: []string{"[]"}},
		"nothing was listed":       {service: stands("192.0.2.1"), state: nil},
		"undecided":                {service: stands("192.0.2.1"), state: in(Frontend{Undecided: key})},
		"being deleted":            {service: deleting, state: told},
		"an import's":              {service: clusterIP, state: told},
		"of another provider":      {service: stands("192.0.2.9"), state: told, silent: true},
		"on a member out of sight": {service: stands(), state: told, hidden: true},
	} {
		observed := []Observed{{Cluster: "m1", Synced: !c.hidden, Derived: []DerivedService{c.service}}}
		r := Resolve(observed, Terms{Properties: Properties{Announces: !c.silent}}, now)
		var got []string
		for _, w := range r.Statuses(c.state, now) {
			if s, ok := w.Status.(corev1.ServiceStatus); ok {
				text := "["
				for _, i := range s.LoadBalancer.Ingress {
					if text += i.IP; *i.IPMode != corev1.LoadBalancerIPModeVIP {
						t.Errorf("%s: mode %s", name, *i.IPMode)
					}
				}
				got = append(got, text+"]")
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: written (-want +got):\n%s", name, diff)
		}
	}
}

// TestAbandoned: nobody asks only when all that may ask can be seen.
func TestAbandoned(t *testing.T) {
	r := Resolve([]Observed{{Cluster: "m1", Synced: true}, {Cluster: "m2"}, {Cluster: "m3", Synced: true, Services: []Service{{Cluster: "m3", Namespace: "shop", Name: "web"}}}}, Terms{}, time.Time{})
	for name, c := range map[string]struct {
		clusters []string
		want     bool
	}{"seen": {[]string{"m1"}, true}, "one hidden": {[]string{"m1", "m2"}, false}, "left the fleet": {[]string{"gone"}, true}, "nobody knows who": {nil, false}} {
		if got := r.Abandoned(c.clusters); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if all := Resolve([]Observed{{Cluster: "m1", Synced: true}}, Terms{}, time.Time{}); !all.Abandoned(nil) {
		t.Error("all are seen, nobody asks, and it is not abandoned")
	}
	if web := (Key{Namespace: "shop", Name: "web"}); !r.Asked(web) || r.Asked(Key{Namespace: "shop", Name: "other"}) {
		t.Error("asked for is shop/web, and nothing else")
	}
}

// TestLocalTraffic: one exporter that does not want it is enough.
func TestLocalTraffic(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		a, b corev1.ServiceExternalTrafficPolicy
		want bool
	}{{"Local", "Local", true}, {"Local", "Cluster", false}, {"Local", "", false}, {"", "", false}} {
		var observed []Observed
		for name, policy := range map[string]corev1.ServiceExternalTrafficPolicy{"m1": c.a, "m2": c.b} {
			e := Export{Cluster: name, Namespace: "shop", Name: "web", Created: now, Service: &ExportedService{Type: "NodePort", Ports: []Port{{"http", "TCP", "", 80}}, Traits: Traits{ExternalTrafficPolicy: policy}}}
			observed = append(observed, Observed{Cluster: name, Synced: true, Exports: []Export{e}, Services: []Service{{Cluster: name, Namespace: "shop", Name: "web", ImportName: "web", Created: now}}})
		}
		r := Resolve(observed, Terms{}, now)
		if len(r.LoadBalancers) != 1 || r.LoadBalancers[0].LocalTraffic != c.want {
			t.Errorf("%q and %q: %+v", c.a, c.b, r.LoadBalancers)
		}
	}
}

// TestSlicesFromOneCluster: a Service that takes in a cluster's own traffic has that cluster's endpoints alone.
func TestSlicesFromOneCluster(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var observed []Observed
	for i, name := range []string{"m1", "m2"} {
		e := Export{Cluster: name, Namespace: "shop", Name: "web", Created: now, Service: &ExportedService{Type: "ClusterIP", Ports: []Port{{"http", "TCP", "", 80}}},
			Endpoints: []Endpoint{{Address: netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), Ports: map[string]int32{"http": 8080}, Ready: true, Slice: "web-1"}}}
		observed = append(observed, Observed{Cluster: name, Synced: true, Exports: []Export{e}})
	}
	r := Resolve(observed, Terms{}, now)
	key := Key{Namespace: "shop", Name: "web"}
	if n := len(r.EndpointSlices(key, SliceTarget{Service: "web-lb"})); n != 2 {
		t.Errorf("all are %d", n)
	}
	if one := r.EndpointSlices(key, SliceTarget{Service: "web-lb", From: "m2"}); len(one) != 1 || one[0].GetAnnotations()[AnnotationOrigin] != "m2/web-1" {
		t.Errorf("m2's are %v", one)
	}
}
