package azure

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

const (
	internalKey = "service.beta.kubernetes.io/azure-load-balancer-internal"
	prefix      = "service.beta.kubernetes.io/"
)

func slow() armsim.Options { return armsim.Options{Latency: latencies()} }

func TestOneNetwork(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	w.reaches("web", "m1", "m2")
	w.export("m3", "web", 1)
	w.settle()
	w.reaches("web", "m1", "m2", "m3")
	w.export("m3", "web", 0)
	w.settle()
	w.reaches("web", "m1", "m2")
}

func TestTwoNetworks(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.web(nil)
	w.settle()
	w.reaches("web", "m1", "m2")
	if a := w.address("web"); a.As4()[0] != 4 {
		t.Errorf("it is reached at %s, which is not of tier Global", a)
	}
	w.unexport("m2", "web")
	w.settle()
	w.reaches("web", "m1")
	if lbs := w.sim.IDs("loadBalancers"); len(lbs) != 1 {
		t.Errorf("one network is left, and in place are %q", lbs)
	}
}

// TestFirstAddress: clients are told of the one address that stays, not of one on the way to it.
func TestFirstAddress(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.web(nil)
	for range 500 {
		after, more := w.turn()
		for _, a := range w.frontend("web").Addresses {
			if a.As4()[0] != 4 {
				t.Fatalf("it is said to be at %s, which is not of tier Global", a)
			}
		}
		if !more {
			break
		}
		w.clock.advance(after)
	}
	w.look()
	w.reaches("web", "m1", "m2")
}

// TestAnotherNetwork: an exporter in another network comes and goes, and the one that was there is reached all the time, where clients are
// told to go.
func TestAnotherNetwork(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.export("m1", "web", 1)
	w.ask("m1", "web", nil)
	w.settle()
	was := w.address("web")
	through := func(what string, lost bool) {
		for range 500 {
			after, more := w.turn()
			w.look()
			a := w.frontend("web").Addresses
			if len(a) != 1 {
				t.Fatalf("%s: it is at %v", what, a)
			}
			if r := w.sim.Reach(a[0], 80, "tcp"); !slices.Contains(r.Clusters, "m1") || len(r.Lost) > 0 && !lost {
				t.Fatalf("%s: %s reaches %+v", what, a[0], r)
			}
			if !more {
				return
			}
			w.clock.advance(after)
		}
		t.Fatalf("%s: it never comes to rest: %s", what, frontends(w.state))
	}
	w.export("m2", "web", 1)
	w.deaf = map[string]bool{"m1": true} // for a while it cannot be written to
	for range 60 {
		after, _ := w.turn()
		w.clock.advance(after)
	}
	w.look()
	if now := w.frontend("web").Addresses; len(now) != 1 || now[0] != was || !slices.Equal(w.sim.Reach(was, 80, "tcp").Clusters, []string{"m1"}) {
		t.Errorf("m1 does not know the new address yet, and clients are told of %v; the old one reaches %+v", now, w.sim.Reach(was, 80, "tcp"))
	}
	w.deaf = nil
	through("another network comes", false)
	w.reaches("web", "m1", "m2")
	if r := w.sim.Reach(was, 80, "tcp"); !slices.Contains(r.Clusters, "m1") {
		t.Errorf("who has the address from before reaches %+v", r)
	}
	w.unexport("m2", "web")
	through("it goes", true) // what comes to nodes of m2 before they are drained finds no pod
	if now := w.address("web"); now != was {
		t.Errorf("one network is left, and it is at %s; before it was at %s", now, was)
	}
}

// TestSecondPass: what is in place is written once, and read by a process that starts anew without any write.
func TestSecondPass(t *testing.T) {
	for name, places := range map[string]map[string]string{"one network": nil, "two networks": {"m2": "westus"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, places, slow())
			w.web(map[string]string{prefix + "azure-dns-label-name": "shop", prefix + "azure-pip-tags": "team=shop"})
			w.ask("m2", "web", nil)
			w.settle()
			w.sim.Forget()
			w.settle()
			if n := len(w.sim.Exchanges()); n > 0 {
				t.Errorf("a turn in which nothing changed makes %d requests", n)
			}
			state, err := w.p.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.state = state
			w.settle()
			w.start()
			w.settle()
			if writes := w.writes(); len(writes) > 0 {
				t.Errorf("everything is in place, and written is %q", writes)
			}
			if n := len(w.sim.Exchanges()); n > 12 {
				t.Errorf("listing twice makes %d requests", n)
			}
			w.reaches("web", "m1", "m2")
		})
	}
}

// TestCrashes ends the process after every exchange, whether that arrived or not. The next one must come to what an undisturbed one
// comes to, and leave nothing behind.
func TestCrashes(t *testing.T) {
	life := func(w *world) {
		w.web(nil)
		w.settle()
		w.unexport("m2", "web")
		w.export("m3", "web", 1)
		w.settle()
	}
	for name, places := range map[string]map[string]string{"one network": nil, "two networks": {"m2": "westus"}, "another two": {"m3": "westus"}} {
		t.Run(name, func(t *testing.T) {
			undisturbed := newWorld(t, places, slow())
			life(undisturbed)
			want := undisturbed.stands()
			for _, unsent := range []bool{false, true} {
				for k := 1; ; k++ {
					w := newWorld(t, places, slow())
					first := w.wire
					first.dieAt, first.unsent = k, unsent
					life(w)
					if diff := cmp.Diff(want, w.stands()); diff != "" {
						t.Fatalf("after an end at exchange %d (unsent %t) stands (-want +got):\n%s", k, unsent, diff)
					}
					w.reaches("web", "m1", "m3")
					w.unask("m1", "web")
					w.settle()
					if left := w.stands(); len(left) > 0 {
						t.Fatalf("after an end at exchange %d (unsent %t) and the deletion is left: %q", k, unsent, slices.Sorted(maps.Keys(left)))
					}
					if !first.dead {
						t.Logf("%d exchanges", k)
						break
					}
				}
			}
		})
	}
}

// TestCrashesWhileDeleting does the same while everything is taken away.
func TestCrashesWhileDeleting(t *testing.T) {
	for k := 1; ; k++ {
		w := newWorld(t, map[string]string{"m2": "westus"}, slow())
		w.web(nil)
		w.settle()
		w.start()
		wire := w.wire
		wire.dieAt = k
		w.unask("m1", "web")
		w.settle()
		if left := w.stands(); len(left) > 0 {
			t.Fatalf("after an end at exchange %d is left: %q", k, slices.Sorted(maps.Keys(left)))
		}
		for name, o := range w.members {
			if len(o.Derived) > 0 {
				t.Fatalf("after an end at exchange %d %s still has %v", k, name, o.Derived)
			}
		}
		if !wire.dead {
			break
		}
	}
}

// TestUnexportingEverything keeps the address for as long as the MultiClusterService stands.
func TestUnexportingEverything(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.web(nil)
	w.settle()
	before := w.address("web")
	ips := w.sim.IDs("publicIPAddresses")
	for _, m := range []string{"m1", "m2"} {
		w.unexport(m, "web")
	}
	w.settle()
	w.clock.advance(time.Hour)
	w.start()
	w.settle()
	if now := w.sim.IDs("publicIPAddresses"); !slices.Equal(now, ips) {
		t.Errorf("nothing is exported, and public IPs are %q, before %q", now, ips)
	}
	if r := w.sim.Reach(before, 80, "tcp"); len(r.Clusters)+len(r.Lost) > 0 {
		t.Errorf("nothing is exported, and packets go to %+v", r)
	}
	for name, o := range w.members {
		if len(o.Derived) > 0 {
			t.Errorf("%s still has %v", name, o.Derived)
		}
	}
	w.export("m2", "web", 1)
	w.export("m1", "web", 1)
	w.settle()
	w.reaches("web", "m1", "m2")
	if after := w.address("web"); after != before {
		t.Errorf("it comes back at %s, and was at %s", after, before)
	}
}

// TestBecomesInternal: what clients use is there before what they used is taken away, and the public address is kept.
func TestBecomesInternal(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	public := w.address("web")
	w.ask("m1", "web", map[string]string{internalKey: "true"})
	w.look()
	for range 500 {
		after, more := w.turn()
		w.look()
		if a := w.frontend("web").Addresses; len(a) != 1 || len(w.sim.Reach(a[0], 80, "tcp").Clusters) == 0 {
			t.Fatalf("it is said to be at %v, which reaches %+v", a, w.sim.Reach(public, 80, "tcp"))
		}
		if !more {
			break
		}
		w.clock.advance(after)
	}
	w.reaches("web", "m1", "m2")
	if a := w.address("web"); !a.IsPrivate() {
		t.Errorf("it is at %s", a)
	}
	if ips := w.sim.IDs("publicIPAddresses"); len(ips) != 1 {
		t.Errorf("public IPs: %q, want the one that there was", ips)
	}
	w.ask("m1", "web", nil)
	w.settle()
	if back := w.address("web"); back != public {
		t.Errorf("public again, it is at %s, and was at %s", back, public)
	}
	if lbs := w.sim.IDs("loadBalancers"); len(lbs) != 1 {
		t.Errorf("load balancers: %q", lbs)
	}
}

// TestDrain: what is taken out first takes no new connections, for as long as draining takes, and a member goes on taking in those it
// has; a node that is gone leaves at once.
func TestDrain(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	w.unexport("m2", "web")
	began := w.clock.Now()
	seenDown := false
	for range 500 {
		after, more := w.turn()
		down, there := w.ofCluster("m2")
		if down > 0 {
			seenDown = true
			if !slices.ContainsFunc(w.members["m2"].Derived, func(d derivedService) bool { return len(d.Ingress) > 0 }) {
				t.Fatal("addresses of m2 are being drained, and its Service does not take their connections in any more")
			}
		}
		if there == 0 {
			if took := w.clock.Now().Sub(began); !seenDown || took < w.config.Drain.Duration {
				t.Fatalf("addresses of m2 are gone after %s, drained: %t", took, seenDown)
			}
		}
		if !more {
			break
		}
		w.clock.advance(after)
	}
	if len(w.members["m2"].Derived) > 0 {
		t.Errorf("m2 still has %v", w.members["m2"].Derived)
	}
	w.members["m1"].Nodes = w.members["m1"].Nodes[:1]
	began = w.clock.Now()
	w.settle()
	if _, there := w.ofCluster("m1"); there != 1 || w.clock.Now().Sub(began) >= w.config.Drain.Duration {
		t.Errorf("a node is gone, and after %s the pool has %d of its cluster", w.clock.Now().Sub(began), there)
	}
}

// ofCluster counts the addresses of a cluster in all pools.
func (w *world) ofCluster(cluster string) (down, all int) {
	for _, id := range w.sim.IDs("loadBalancers") {
		for _, p := range list2(w.sim.Resource(id), "properties", "backendAddressPools") {
			for _, a := range list2(p, "properties", "loadBalancerBackendAddresses") {
				name, _ := a.(map[string]any)["name"].(string)
				if !strings.HasPrefix(name, cluster+"_") {
					continue
				}
				all++
				if properties := a.(map[string]any)["properties"].(map[string]any); properties["adminState"] == "Down" {
					down++
				}
			}
		}
	}
	return down, all
}

// TestDrainOrderOfRegions: a region first leaves the pool of tier Global, then its nodes are drained, and then its load balancer goes.
func TestDrainOrderOfRegions(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus", "m3": "northeurope"}, slow())
	w.web(nil)
	w.export("m3", "web", 1)
	w.settle()
	w.reaches("web", "m1", "m2", "m3")
	w.sim.Forget()
	began := w.clock.Now()
	w.unexport("m3", "web")
	w.settle()
	w.reaches("web", "m1", "m2")
	want := []string{"PUT regions", "PUT nodes", "DELETE"}
	var drained, gone time.Duration
	for _, e := range w.sim.Exchanges() {
		if !e.IsWrite() {
			continue
		}
		if write := e.Method + " " + lastOf(e.Path); len(want) == 0 || !strings.HasPrefix(write, want[0]) {
			t.Errorf("written is %q, next should be %q", write, want)
		} else {
			want = want[1:]
		}
		if strings.HasSuffix(e.Path, "/nodes") {
			drained = e.At.Sub(began)
		}
		gone = e.At.Sub(began)
	}
	if len(want) > 0 || gone-drained < w.config.Drain.Duration {
		t.Errorf("left to write is %q; nodes are drained after %s, and the load balancer goes after %s", want, drained, gone)
	}
	if n := len(w.sim.IDs("loadBalancers")); n != 3 {
		t.Errorf("%d load balancers stand, want two regional ones and the one of tier Global", n)
	}
}
