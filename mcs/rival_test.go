package mcs

import (
	"net/netip"
	"strings"
	"testing"
)

// TestRival: where another controller is at work nothing is written and nothing is taken away, and everybody else goes on with what
// that member exports.
func TestRival(t *testing.T) {
	key := Key{Namespace: "shop", Name: "web"}
	theirs := func(e *Export) { e.Rival = `finalizer "networking.fleet.azure.com/svc-export-cleanup"` }
	m1, m2 := exporter("m1", "10.1.0.2", theirs), importer("m2")
	m1.Standard, m1.Namespaces, m1.Services = true, []string{"shop"}, []Service{{Cluster: "m1", Namespace: "shop", Name: "web", ImportName: "web", Created: now}}
	m2.Services = []Service{{Cluster: "m2", Namespace: "shop", Name: "other", ImportName: "web", Created: now}}
	observed := []Observed{m1, m2}
	stood := State{{Key: key}: Installed{LoadBalancer: LoadBalancer{Namespace: "shop", Name: "web", Clusters: []string{"m1"}}}}
	r := Resolve(observed, Terms{}, now)
	for _, w := range r.Statuses(stood, now) {
		if w.Cluster == "m1" {
			t.Errorf("a status is written on m1: %+v", w)
		}
	}
	if _, known := r.Objects["m1"]; known {
		t.Errorf("objects of m1 are decided on: %v", r.Objects["m1"])
	}
	if slices := slicesOf(t, r.Objects["m2"]); len(slices) != 1 {
		t.Errorf("m2 imports %d slices of m1, want 1", len(slices))
	}
	if len(r.LoadBalancers) != 1 || r.LoadBalancers[0].Name != "other" || r.LoadBalancers[0].Backends[0].Target != netip.MustParseAddrPort("10.1.0.2:8000") {
		t.Errorf("load balancers are %+v, want m2's alone", r.LoadBalancers)
	}
	for _, c := range Difference(r, stood).Changes {
		if c.Action == Delete {
			t.Errorf("what stood for m1 goes: %s", c.Reason)
		}
	}
	for _, s := range r.Services {
		if told := strings.Contains(s.Valid.Message, "--take-over"); told != (s.Cluster == "m1") {
			t.Errorf("the MultiClusterService of %s is %+v", s.Cluster, s.Valid)
		}
	}
	want := `multi-cluster services of this member are left alone: finalizer "networking.fleet.azure.com/svc-export-cleanup" of ServiceExport shop/web is another controller's`
	if len(r.Rivals) != 1 || !strings.HasPrefix(r.Rivals[0].String(), want) {
		t.Errorf("rivals are %v", r.Rivals)
	}
	asks := Observed{Cluster: "m3", Synced: true, Services: []Service{{Cluster: "m3", Namespace: "shop", Name: "web", ImportName: "web", Created: now, Rival: `the status by "another"`}}}
	if r := Resolve(append(observed, asks), Terms{}, now); len(r.Rivals) != 2 || r.Rivals[1].Object != "MultiClusterService shop/web" {
		t.Errorf("rivals are %v, want one more that shows at what m3 asks for", r.Rivals)
	}
	if r = Resolve(observed, Terms{TakeOver: true}, now); len(r.Rivals) > 0 || len(r.LoadBalancers) != 2 || r.Objects["m1"] == nil {
		t.Errorf("taken over, rivals are %v, load balancers %+v", r.Rivals, r.LoadBalancers)
	}
}
