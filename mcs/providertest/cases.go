package providertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/mcs"
)

// web is shop/web, exported by m1 and m2, for which m1 asks.
func (w *world) web() {
	w.export("m1", "web", 2, port(18080))
	w.export("m2", "web", 1, port(18080))
	w.ask("m1", "web", nil)
}

// key is the load balancer of shop/name for which member asks.
func (w *world) key(member, name string) mcs.LoadBalancerKey {
	k := mcs.LoadBalancerKey{Key: mcs.Key{Namespace: "shop", Name: name}}
	if w.p.Properties().PerMember {
		k.Member = member
	}
	return k
}

// served returns the frontend of a load balancer that must have an address.
func (w *world) served(state mcs.State, key mcs.LoadBalancerKey) mcs.Frontend {
	w.t.Helper()
	installed, ok := state[key]
	if !ok {
		w.t.Fatalf("%s is not in place", key)
	}
	if f := installed.Frontend; len(f.Addresses)+len(f.Hostnames) == 0 || len(f.Problems) > 0 {
		w.t.Fatalf("%s is not served: %+v", key, f)
	}
	return installed.Frontend
}

func nothingWanted(t *testing.T, w *world) {
	w.export("m1", "web", 2, port(18080)) // nobody asks for it
	state, done := w.converge()
	if len(state)+len(done) > 0 {
		t.Errorf("in place is %+v after %v; nobody asks for anything", state, done)
	}
	for member, objects := range w.taken {
		if len(objects) > 0 {
			t.Errorf("%s has %v; nobody asks for anything", member, objects)
		}
	}
}

func comesChangesGoes(t *testing.T, w *world) {
	w.web()
	state, done := w.converge()
	before := w.served(state, w.key("m1", "web"))
	if done[0].Action != mcs.Create {
		t.Errorf("the first step is %s", done[0].Action)
	}
	w.export("m2", "web", 3, port(18080))
	state, done = w.converge()
	for _, c := range done {
		if c.Action != mcs.Update {
			t.Errorf("endpoints came, and %s: %s", c.Action, c.Reason)
		}
	}
	if after := w.served(state, w.key("m1", "web")); !reflect.DeepEqual(before, after) {
		t.Errorf("reached at %+v, and at %+v before endpoints came", after, before)
	}
	w.unask("m1", "web")
	state, done = w.converge()
	if len(state) > 0 || len(done) != 1 || done[0].Action != mcs.Delete {
		t.Errorf("nobody asks any more: %v leaves %+v", done, state)
	}
	if len(w.taken["m1"]) > 0 {
		t.Errorf("m1 still has %v", w.taken["m1"])
	}
}

// changesConverge changes everything that a load balancer can be told, one after the other. Each change is known to have
// reached the provider: what it has in place is what is asked for.
func changesConverge(t *testing.T, w *world) {
	w.web()
	w.converge()
	weight := func(text string) func(*mcs.Export) { return func(e *mcs.Export) { e.Weight = text } }
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"an endpoint goes", func() { w.export("m1", "web", 1, port(18080)) }},
		{"all endpoints go", func() { w.export("m1", "web", 0, port(18080)); w.export("m2", "web", 0, port(18080)) }},
		{"they come back", func() { w.export("m1", "web", 2, port(18080)); w.export("m2", "web", 2, port(18080)) }},
		{"a cluster is withdrawn", func() { w.change("m2", "web", weight("0")) }},
		{"clusters are weighed", func() { w.change("m2", "web", weight("3")) }},
		{"weights end", func() { w.change("m2", "web", weight("")) }},
		{"clients stay where they are", func() {
			for _, m := range []string{"m1", "m2"} {
				w.change(m, "web", func(e *mcs.Export) { e.Service.SessionAffinity = corev1.ServiceAffinityClientIP })
			}
		}},
		{"another port", func() { w.export("m1", "web", 2, port(18081)); w.export("m2", "web", 2, port(18081)) }},
		{"a port for UDP", func() {
			both := []mcs.Port{{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: 18081}, {Name: "udp", Protocol: corev1.ProtocolUDP, Port: 18081}}
			w.export("m1", "web", 2, both...)
			w.export("m2", "web", 2, both...)
		}},
		{"an exporter goes", func() { w.unexport("m1", "web") }},
		{"internal", func() {
			w.ask("m1", "web", map[string]string{"networking.fleet.azure.com/azure-load-balancer-internal": "true"})
		}},
		{"an annotation", func() { w.ask("m1", "web", map[string]string{"example.org/tier": "gold"}) }},
		{"none", func() { w.ask("m1", "web", nil) }},
	} {
		change.do()
		state, done := w.converge()
		if len(done) == 0 {
			t.Errorf("%s: nothing is planned", change.what)
		}
		want := w.resolve().LoadBalancers[0]
		have := state[want.Key()].LoadBalancer
		if !slices.Equal(have.Backends, want.Backends) || !slices.Equal(have.Ports, want.Ports) || !maps.Equal(have.Weights, want.Weights) || have.ClientAffinity != want.ClientAffinity ||
			have.Internal != want.Internal || !maps.Equal(have.Annotations, want.Annotations) {
			t.Errorf("%s: in place is %+v, wanted %+v", change.what, have, want)
		}
	}
}

func onlyWhatDiffers(t *testing.T, w *world) {
	w.web()
	w.export("m1", "other", 1, port(18090))
	w.ask("m1", "other", nil)
	w.converge()
	w.export("m2", "web", 3, port(18080))
	for _, c := range w.plan().Changes {
		if c.LoadBalancer.Name != "web" {
			t.Errorf("%s %s: %s; it did not change", c.Action, c.LoadBalancer.Key(), c.Reason)
		}
	}
}

func planIsPure(t *testing.T, w *world) {
	w.web()
	w.converge()
	w.export("m2", "web", 3, port(18080))
	r, state := w.resolve(), w.list()
	printed := func() string { return fmt.Sprintf("%+v %+v", r.LoadBalancers, state) }
	before := printed()
	first, second := w.p.Plan(r, state), w.p.Plan(r, state)
	if !reflect.DeepEqual(first, second) {
		t.Errorf("planned %s, and then %s", words(first), words(second))
	}
	if after := printed(); after != before {
		t.Errorf("planning changed what it was given:\n%s\n%s", before, after)
	}
	if listed := w.list(); !reflect.DeepEqual(listed, state) {
		t.Errorf("planning changed what is in place from %+v to %+v", state, listed)
	}
	one, two := w.p.Objects(r), w.p.Objects(r)
	if !reflect.DeepEqual(one, two) {
		t.Errorf("objects are %v, and then %v", one, two)
	}
}

func applyTwice(t *testing.T, w *world) {
	w.web()
	plan := w.plan()
	if len(plan.Changes) == 0 {
		t.Fatal("nothing is planned for a new load balancer")
	}
	first := w.apply(plan)
	if second := w.apply(plan); !reflect.DeepEqual(first, second) {
		t.Errorf("the first time gave %+v, the second %+v", first, second)
	}
	w.converge()
	w.unask("m1", "web")
	plan = w.plan()
	w.apply(plan)
	if left := w.apply(plan); len(left) > 0 {
		t.Errorf("deleted twice, and still there: %+v", left)
	}
}

func stateIsTheCallersOwn(t *testing.T, w *world) {
	w.web()
	state, _ := w.converge()
	clear(state)
	if len(w.list()) != 1 {
		t.Error("a caller's copy of the state is the provider's own")
	}
}

// servedOrTold asks for protocols and ports of all kinds: each load balancer is in place, and what is wrong with one is told
// and leaves the others alone.
func servedOrTold(t *testing.T, w *world) {
	w.web()
	w.export("m1", "sctp", 1, mcs.Port{Protocol: corev1.ProtocolSCTP, Port: 18082})
	w.ask("m1", "sctp", nil)
	w.export("m1", "none", 0, port(18083))
	w.ask("m1", "none", nil)
	state, _ := w.converge()
	w.served(state, w.key("m1", "web"))
	w.served(state, w.key("m1", "none"))
	f := state[w.key("m1", "sctp")].Frontend
	if len(f.Addresses)+len(f.Hostnames)+len(f.Problems) == 0 {
		t.Errorf("a service of SCTP is neither served nor is told why not: %+v", f)
	}
	for _, problem := range f.Problems {
		if strings.ContainsAny(problem, "\n\r") || problem == "" {
			t.Errorf("a problem is not a line: %q", problem)
		}
	}
}

// namesakes have names that a careless separator would mix up, and the same port.
func namesakes(t *testing.T, w *world) {
	names := []string{"a", "a-b", "b", strings.Repeat("a", 63), strings.Repeat("a", 62) + "b"}
	for _, name := range names {
		w.export("m1", name, 1, port(18084))
		w.ask("m1", name, nil)
	}
	state, _ := w.converge()
	seen := map[string]string{}
	for _, name := range names {
		for _, a := range w.served(state, w.key("m1", name)).Addresses {
			if other, taken := seen[a.String()]; taken {
				t.Errorf("%s and %s are both at %s, on the same port", name, other, a)
			}
			seen[a.String()] = name
		}
	}
}

func losingSight(t *testing.T, w *world) {
	w.web()
	before, _ := w.converge()
	seen := w.members["m1"]
	w.cutOff("m1")
	if _, done := w.converge(); len(done) > 0 {
		for _, c := range done {
			if c.Action == mcs.Delete {
				t.Errorf("m1 cannot be seen, and its load balancer goes: %s", c.Reason)
			}
		}
	}
	w.members["m1"] = seen
	after, _ := w.converge()
	key := w.key("m1", "web")
	if !reflect.DeepEqual(before[key].Frontend, after[key].Frontend) {
		t.Errorf("m1 is back, and reached is %+v instead of %+v", after[key].Frontend, before[key].Frontend)
	}
}

func memberLeaves(t *testing.T, w *world) {
	w.web()
	w.ask("m2", "web", nil)
	w.converge()
	delete(w.members, "m1")
	state, _ := w.converge()
	w.served(state, w.key("m2", "web"))
	if len(state) != 1 {
		t.Errorf("m1 has left: %d load balancers are in place, want m2's alone", len(state))
	}
	delete(w.members, "m2")
	if state, _ = w.converge(); len(state) > 0 {
		t.Errorf("nobody who asked is in the fleet any more, in place is %+v", state)
	}
}

// restart: another process finds what is in place or makes it again, at the same address: the statuses on members tell it.
func restart(t *testing.T, w *world) {
	w.web()
	before, _ := w.converge()
	f := w.served(before, w.key("m1", "web"))
	for _, a := range f.Addresses {
		w.members["m1"].Services[0].Ingress = append(w.members["m1"].Services[0].Ingress, a.String())
	}
	w.restart()
	after, done := w.converge()
	if again := w.served(after, w.key("m1", "web")); !reflect.DeepEqual(again, f) {
		t.Errorf("after a restart it is reached at %+v, before at %+v", again, f)
	}
	for _, c := range done {
		if c.Action == mcs.Delete {
			t.Errorf("a restart deletes %s: %s", c.LoadBalancer.Key(), c.Reason)
		}
	}
}

// canceledApply: what a canceled Apply did or left undone is found out by the next cycle.
func canceledApply(t *testing.T, w *world) {
	w.web()
	plan := w.plan()
	if state, err := w.p.Apply(canceled(), plan); err == nil && len(state) != len(plan.Changes) {
		t.Errorf("a canceled Apply says that all is well and has %d of %d in place", len(state), len(plan.Changes))
	}
	state, _ := w.converge()
	w.served(state, w.key("m1", "web"))
}

// manyAtOnce is for the race detector: the status page lists while the loop plans and applies.
func manyAtOnce(t *testing.T, w *world) {
	for n := range 20 {
		name := fmt.Sprintf("web-%02d", n)
		w.export("m1", name, 2, port(18085))
		w.ask("m1", name, nil)
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	r := w.resolve()
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				state, err := w.p.List(t.Context())
				if err != nil {
					t.Errorf("listing: %v", err)
					return
				}
				w.p.Plan(r, state)
			}
		})
	}
	state, _ := w.converge()
	close(stop)
	readers.Wait()
	if len(state) != 20 {
		t.Errorf("%d of 20 are in place", len(state))
	}
}

// objectsFit wants objects that an API server takes, next to what asks for them, for visible members only.
func objectsFit(t *testing.T, w *world) {
	w.web()
	w.ask("m2", "web", nil)
	w.export("m1", strings.Repeat("a", 63), 1, port(18086))
	w.ask("m3", strings.Repeat("a", 63), nil)
	w.converge()
	for member, objects := range w.taken {
		names := map[string]bool{}
		for _, o := range objects {
			id := o.GetKind() + "/" + o.GetName()
			if names[id] {
				t.Errorf("%s: two objects are %s", member, id)
			}
			names[id] = true
			if o.GetNamespace() != "shop" {
				t.Errorf("%s: %s is in namespace %q, asked for it was in shop", member, id, o.GetNamespace())
			}
			if problems := validation.IsDNS1123Subdomain(o.GetName()); len(problems) > 0 {
				t.Errorf("%s: %s: %v", member, id, problems)
			}
			for key, value := range o.GetLabels() {
				if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
					t.Errorf("%s: %s has label %s=%q: %v", member, id, key, value, problems)
				}
			}
			if _, err := json.Marshal(o.Object); err != nil {
				t.Errorf("%s: %s cannot be sent: %v", member, id, err)
			}
		}
	}
}
