package local

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gitfleet/gitfleet/mcs"
)

func TestMetrics(t *testing.T) {
	a, b := startBackend(t, 1), startBackend(t, 2)
	p, port := start(t, testOptions(t)), freePort(t)
	lb := balancerOf(port, a, b)
	at := address(t, p, lb)
	one, two := connect(t, at), connect(t, at)
	for _, c := range []*client{one, two} {
		if err := c.echo("12345"); err != nil {
			t.Fatal(err)
		}
	}
	three := connect(t, at)
	three.Close()
	await(t, "the third connection has ended", func() bool { return p.Metrics()[0].Open == 1 })
	bring(t, p, balancerOf(port, a))
	figures := func(of *backendServer) BackendMetrics {
		return BackendMetrics{Service: lb.Key().Key, Port: uint16(port), Protocol: "TCP", Cluster: "m1", Target: of.target,
			Open: 1, Opened: 1, BytesIn: 6, BytesOut: 9}
	}
	first, second := figures(a), figures(b)
	first.Opened, first.BytesOut, second.Draining = 2, 12, true // the third connection got the name of b1
	want := []BackendMetrics{first, second}
	less := cmpopts.SortSlices(func(x, y BackendMetrics) bool { return x.Target.Compare(y.Target) < 0 })
	for deadline := time.Now().Add(patience); ; { // bytes are counted when they have been written
		diff := cmp.Diff(want, p.Metrics(), less, cmpopts.EquateComparable(netip.AddrPort{}))
		if diff == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("metrics (-want +got):\n%s", diff)
		}
	}
}

// A backend that dies is ejected by checks alone, and comes back when it listens again.
func TestChecksEjectAndBringBack(t *testing.T) {
	a, b := startBackend(t, 1), startBackend(t, 2)
	o := testOptions(t)
	o.CheckInterval = 5 * time.Millisecond
	o.Ejection = time.Hour // only successes bring back
	p := start(t, o)
	at := address(t, p, balancerOf(freePort(t), a, b))
	ejected := func(n int) func() bool {
		return func() bool {
			count := 0
			for _, m := range p.Metrics() {
				if m.Ejected {
					count++
				}
			}
			return count == n
		}
	}
	a.stop()
	await(t, "the dead backend is ejected", ejected(1))
	if got := names(t, at, 4); got["b2"] != 4 {
		t.Errorf("connections went to %v, want four to b2", got)
	}
	restarted := startBackendAt(t, 1, a.target.Port())
	await(t, "the backend is back", ejected(0))
	if got := names(t, at, 4); got[restarted.name] != 2 {
		t.Errorf("connections went to %v, want two to %s", got, restarted.name)
	}
}

// The weight and affinity of the plan reach the port, also when nothing else changes.
func TestWeightsAndAffinityOfThePlan(t *testing.T) {
	a, b := startBackend(t, 1), startBackend(t, 2)
	p, lb := start(t, testOptions(t)), balancerOf(freePort(t), a, b)
	lb.Backends[1].Cluster = "m2"
	at := address(t, p, lb)
	stays := connect(t, at)
	lb.Weights = map[string]int{"m1": 0}
	bring(t, p, lb)
	if diff := cmp.Diff(map[string]int{"b2": 4}, names(t, at, 4)); diff != "" {
		t.Errorf("with m1 withdrawn (-want +got):\n%s", diff)
	}
	if err := stays.echo("still here"); err != nil || stays.server != "b1" {
		t.Errorf("the connection to %s of the withdrawn cluster was disturbed: %v", stays.server, err)
	}
	lb.Weights, lb.ClientAffinity = nil, time.Hour
	bring(t, p, lb)
	if got := names(t, at, 6); len(got) != 1 {
		t.Errorf("with affinity one client's connections went to %v, want one backend", got)
	}
	if plan := p.Plan(mcs.Resolution{LoadBalancers: []mcs.LoadBalancer{lb}}, p.state()); len(plan.Changes) > 0 {
		t.Errorf("planned again: %+v", plan.Changes)
	}
}
