package azure

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

// TestStrangers: what has one of our names and not our tags is left as it is, whether it has none, those of another fleet, or those of
// the same fleet that follows another repository.
func TestStrangers(t *testing.T) {
	undisturbed := newWorld(t, nil, slow())
	undisturbed.web(nil)
	undisturbed.settle()
	ip := undisturbed.sim.IDs("publicIPAddresses")[0]
	for name, c := range map[string]struct {
		tags map[string]string
		want string
	}{
		"untagged":         {nil, "no tag of gitfleet's"},
		"another fleet":    {map[string]string{tagFleet: "others", tagService: "shop/web", tagSource: undisturbed.p.designer.owner.source}, "belongs to fleet others"},
		"another source":   {map[string]string{tagFleet: "test", tagService: "shop/web", tagSource: "x"}, "of another repository"},
		"nobody's service": {map[string]string{tagFleet: "test"}, "is not this fleet's"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, slow())
			w.sim.AddPublicIP(ip, "eastus", "Regional", c.tags)
			before := w.sim.Resource(ip)
			w.web(nil)
			w.settle()
			w.problem("web", c.want, "is left as it is")
			w.unask("m1", "web")
			w.settle()
			if diff := cmp.Diff(before, w.sim.Resource(ip)); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			if writes := w.writes(); len(writes) > 0 {
				t.Errorf("written is %q", writes)
			}
		})
	}
}

func TestTakeOver(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	was := w.address("web")
	id := w.sim.IDs("loadBalancers")[0]
	for _, id := range append(w.sim.IDs("loadBalancers"), w.sim.IDs("publicIPAddresses")...) {
		w.sim.Edit(id, func(_, tags map[string]any) { tags[tagSource] = "elsewhere" })
	}
	w.start()
	w.settle()
	w.problem("web", "of another repository: give each its own name")
	w.options.TakeOver = true
	w.start()
	w.settle()
	w.reaches("web", "m1", "m2")
	if now := w.address("web"); now != was {
		t.Errorf("taken over it is at %s, and was at %s", now, was)
	}
	if tag := w.sim.Resource(id)["tags"].(map[string]any)[tagSource]; tag != w.p.designer.owner.source {
		t.Errorf("the source is still %s", tag)
	}
}

// TestBroughtPublicIP: an address that the user made is used, never changed, and there when the service is gone.
func TestBroughtPublicIP(t *testing.T) {
	id := testConfig(nil).id("", "publicIPAddresses", "brought")
	other := strings.Replace(id, testGroup, "clusters", 1)
	for name, c := range map[string]struct {
		id          string
		annotations func(netip.Addr) map[string]string
	}{
		"by name": {id, func(netip.Addr) map[string]string { return map[string]string{prefix + "azure-pip-name": "brought"} }},
		"by name in a group": {other, func(netip.Addr) map[string]string {
			return map[string]string{prefix + "azure-pip-name": "brought", prefix + "azure-load-balancer-resource-group": "clusters"}
		}},
		"by address": {id, func(a netip.Addr) map[string]string {
			return map[string]string{prefix + "azure-load-balancer-ipv4": a.String()}
		}},
		"by address in group": {other, func(a netip.Addr) map[string]string {
			return map[string]string{prefix + "azure-load-balancer-ipv4": a.String(), prefix + "azure-load-balancer-resource-group": "clusters"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, slow())
			a := w.sim.AddPublicIP(c.id, "eastus", "Regional", map[string]string{"team": "network"})
			before := withoutUse(w.sim.Resource(c.id))
			w.web(c.annotations(a))
			w.settle()
			w.reaches("web", "m1", "m2")
			if at := w.address("web"); at != a {
				t.Errorf("it is at %s, want %s", at, a)
			}
			w.start()
			w.sim.Forget()
			w.settle()
			if writes := w.writes(); len(writes) > 0 {
				t.Errorf("a second pass writes %q", writes)
			}
			w.unask("m1", "web")
			w.settle()
			if diff := cmp.Diff(before, withoutUse(w.sim.Resource(c.id))); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			if left := w.sim.IDs("loadBalancers"); len(left) > 0 {
				t.Errorf("left is %q", left)
			}
		})
	}
	w := newWorld(t, nil, slow())
	w.web(map[string]string{prefix + "azure-pip-name": "brought"})
	w.settle()
	w.problem("web", "public IP brought is not there: make it")
	a := w.sim.AddPublicIP(id, "eastus", "Regional", nil)
	w.clock.advance(time.Minute)
	w.settle()
	if at := w.address("web"); at != a {
		t.Errorf("it is at %s, want %s", at, a)
	}
	w.export("m1", "two", 1)
	w.ask("m1", "two", map[string]string{prefix + "azure-pip-name": "brought"})
	w.settle()
	w.problem("two", "PublicIPAddressInUse")
	w.reaches("web", "m1", "m2")

	w = newWorld(t, nil, slow())
	w.sim.Inject(armsim.Fault{Method: "GET", Path: "/publicIPAddresses/brought", Status: 403, Code: "AuthorizationFailed", Times: 1000, Before: true})
	w.web(map[string]string{prefix + "azure-pip-name": "brought"})
	w.settle()
	w.problem("web", "public IP brought cannot be read: AuthorizationFailed")

	w = newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.sim.AddPublicIP(id, "westus", "Regional", nil)
	w.web(map[string]string{prefix + "azure-pip-name": "brought"})
	w.settle()
	w.problem("web", "is of tier Regional, and this load balancer needs one of tier Global")
}

// withoutUse leaves out what changes with who uses a public IP.
func withoutUse(ip map[string]any) any {
	ip = maps.Clone(ip)
	delete(ip, "etag")
	properties := maps.Clone(ip["properties"].(map[string]any))
	delete(properties, "ipConfiguration")
	ip["properties"] = properties
	return ip
}

// TestLosingSight: a member that cannot be seen keeps its nodes in pools, also by a process that never saw it.
func TestLosingSight(t *testing.T) {
	for name, remembers := range map[string]bool{"the same process": true, "another process": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, slow())
			w.web(nil)
			w.settle()
			w.look()
			seen := w.members["m2"]
			hidden := *seen
			hidden.Synced = false
			if !remembers {
				hidden = mcs.Observed{Cluster: "m2"}
				w.members["m1"].Imports = append(w.members["m1"].Imports, agreed("web", "m1", "m2"))
				w.start()
			}
			w.members["m2"] = &hidden
			w.settle()
			if _, there := w.ofCluster("m2"); there != 2 {
				t.Errorf("m2 is out of sight, and the pools have %d of its nodes", there)
			}
			w.export("m1", "web", 1)
			w.addNode("m1")
			w.settle()
			if down, there := w.ofCluster("m2"); there != 2 || down > 0 {
				t.Errorf("m2 is out of sight, m1 has changed, and the pools have %d of m2's nodes, %d down", there, down)
			}
			if _, there := w.ofCluster("m1"); there != 3 {
				t.Errorf("the pools have %d nodes of m1, want the new one, too", there)
			}
			w.members["m2"] = seen
			w.settle()
			w.reaches("web", "m1", "m2")
		})
	}
}

// TestPartialView: members come into sight one thing after the other, and one member after the other. What is not seen yet takes nothing away.
func TestPartialView(t *testing.T) {
	for name, places := range map[string]map[string]string{"one network": nil, "two networks": {"m2": "westus"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, places, slow())
			w.web(nil)
			w.ask("m2", "web", nil)
			w.settle()
			seen := w.members
			for _, first := range []string{"", "m1", "m2", "m3"} {
				for what, partly := range map[string]func(o mcs.Observed) mcs.Observed{
					"nothing": func(o mcs.Observed) mcs.Observed { return mcs.Observed{} },
					"nodes":   func(o mcs.Observed) mcs.Observed { return mcs.Observed{Nodes: o.Nodes} },
					"exports without endpoints": func(o mcs.Observed) mcs.Observed {
						o.Derived, o.Exports = nil, slices.Clone(o.Exports)
						for i := range o.Exports {
							o.Exports[i].Endpoints = nil
						}
						return o
					},
					"services, too": func(o mcs.Observed) mcs.Observed { o.Exports = nil; return o },
					"what asks": func(o mcs.Observed) mcs.Observed {
						return mcs.Observed{Nodes: o.Nodes, Services: o.Services, Derived: o.Derived}
					},
				} {
					w.members = map[string]*mcs.Observed{}
					for m, o := range seen {
						part := *o
						if m != first {
							part = partly(part)
							part.Cluster, part.Synced = m, false
						}
						w.members[m] = &part
					}
					w.start()
					w.sim.Forget()
					for range 8 {
						after, _ := w.turn()
						w.clock.advance(after)
					}
					if writes := w.writes(); len(writes) > 0 {
						t.Errorf("of all members but %q is seen %s, and written is %q", first, what, writes)
					}
				}
			}
			w.members = seen
			w.start()
			w.settle()
			w.reaches("web", "m1", "m2")
		})
	}
}

// TestColdStart: a process that sees no member yet takes nothing away.
func TestColdStart(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.web(nil)
	w.settle()
	want := w.stands()
	seen := maps.Clone(w.members)
	for name := range w.members {
		w.members[name] = &mcs.Observed{Cluster: name}
	}
	w.start()
	w.sim.Forget()
	for range 5 {
		w.turn()
		w.clock.advance(time.Hour)
	}
	if writes := w.writes(); len(writes) > 0 {
		t.Errorf("no member is seen, and written is %q", writes)
	}
	w.members = seen
	w.settle()
	if diff := cmp.Diff(want, w.stands()); diff != "" {
		t.Errorf("stands (-want +got):\n%s", diff)
	}
	w.reaches("web", "m1", "m2")
}

func (w *world) addNode(member string) {
	o := w.members[member]
	nodes := slices.Clone(o.Nodes)
	last := nodes[len(nodes)-1]
	o.Nodes = append(nodes, mcs.Node{Name: fmt.Sprintf("%s-node-%d", member, len(nodes)+1), Addresses: []netip.Addr{last.Addresses[0].Next()}})
}

// TestPlacesUnknown: a member of which it is not known where it lies loses nothing, and says what is missing.
func TestPlacesUnknown(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	delete(w.config.Members, "m2")
	w.start()
	w.settle()
	w.problem("web", "where member m2 lies is not known", LabelLocation)
	if _, there := w.ofCluster("m2"); there != 2 {
		t.Errorf("the pools have %d nodes of m2", there)
	}
	w.members["m2"].Labels = map[string]string{LabelLocation: "eastus"}
	w.settle()
	w.problem("web", "the virtual network of member m2 is not known", AnnotationVirtualNetwork)
	w.members["m2"].Annotations = map[string]string{AnnotationVirtualNetwork: networkID("east")}
	w.config.Members["m2"] = MemberLocation{} // for the simulator's eyes
	w.settle()
	if f := w.frontend("web"); len(f.Problems) > 0 {
		t.Errorf("problems are %q", f.Problems)
	}
}

// TestPlaceForgotten: a member of several networks whose place is not known any more takes nothing with it.
func TestPlaceForgotten(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.web(nil)
	w.settle()
	want, was := w.stands(), w.address("web")
	place := w.config.Members["m2"]
	delete(w.config.Members, "m2")
	w.start()
	w.settle()
	w.problem("web", "where member m2 lies is not known", "nothing of this service is changed")
	if diff := cmp.Diff(want, w.stands()); diff != "" || !slices.Equal(w.frontend("web").Addresses, []netip.Addr{was}) {
		t.Errorf("it is at %v, and was at %s; stands (-want +got):\n%s", w.frontend("web").Addresses, was, diff)
	}
	w.config.Members["m2"] = place
	w.start()
	w.settle()
	w.reaches("web", "m1", "m2")
	// One that was never in keeps nobody waiting.
	delete(w.config.Members, "m3")
	w.start()
	w.export("m3", "web", 1)
	w.addNode("m1")
	w.settle()
	if _, there := w.ofCluster("m1"); there != 3 {
		t.Errorf("the pools have %d nodes of m1, want the new one, too", there)
	}
}

// TestNotAtFirstSight: what nobody asks for stands for as long as draining takes, also when there is nothing to drain, and with it what
// stands before it.
func TestNotAtFirstSight(t *testing.T) {
	for name, endpoints := range map[string]int{"with endpoints": 1, "without": 0} {
		w := newWorld(t, map[string]string{"m2": "westus"}, slow())
		w.export("m1", "web", endpoints)
		w.export("m2", "web", endpoints)
		w.ask("m1", "web", nil)
		w.settle()
		w.unask("m1", "web")
		began := w.clock.Now()
		for len(w.stands()) == 6 {
			after, _ := w.turn()
			w.clock.advance(after)
		}
		if took := w.clock.Now().Sub(began); took < w.config.Drain.Duration {
			t.Errorf("%s: the first is gone after %s", name, took)
		}
	}
}

// TestForgottenByAll: while it cannot be seen whether somebody still asks, nothing is deleted, however the askers are kept.
func TestForgottenByAll(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	w.unask("m1", "web")
	w.members["m1"].Synced = false
	w.settle()
	w.start()
	w.settle()
	w.clock.advance(time.Hour)
	w.settle()
	if n := len(w.sim.IDs("loadBalancers")); n != 1 {
		t.Errorf("m1, which asked, cannot be seen, and %d load balancers stand", n)
	}
	w.members["m1"].Synced = true
	w.settle()
	if left := w.stands(); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// TestSecondThoughts: what nobody asks for any more is asked for again before it has gone.
func TestSecondThoughts(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	was := w.address("web")
	w.unask("m1", "web")
	for range 6 {
		after, _ := w.turn()
		w.clock.advance(after)
	}
	if n := len(w.sim.IDs("loadBalancers")); n != 1 {
		t.Fatalf("%d load balancers stand after %s of draining", n, w.clock.Now())
	}
	w.ask("m1", "web", nil)
	w.settle()
	w.reaches("web", "m1", "m2")
	if now := w.address("web"); now != was {
		t.Errorf("it is at %s, and was at %s", now, was)
	}
}

// TestPublicIPThatCannotGo: Azure may say for a while that it is still in use; it is asked again and not left behind.
func TestPublicIPThatCannotGo(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	w.sim.Inject(armsim.Fault{Method: "DELETE", Path: "/publicIPAddresses/", Status: 400, Code: "PublicIPAddressCannotBeDeleted", Times: 5, Before: true})
	w.unask("m1", "web")
	for range 10 {
		w.settle()
		w.clock.advance(time.Minute)
	}
	if left := w.stands(); len(left) > 0 {
		t.Errorf("left is %q", slices.Sorted(maps.Keys(left)))
	}
}
