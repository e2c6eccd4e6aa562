package azure

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

// TestFaults: whatever goes wrong on the way, in the end stands what an undisturbed process makes, and it was not asked for more often than
// the fault explains.
func TestFaults(t *testing.T) {
	undisturbed := newWorld(t, nil, slow())
	undisturbed.web(nil)
	undisturbed.settle()
	want, least := undisturbed.stands(), len(undisturbed.writes())
	lbs, ips, pools := "/loadBalancers/", "/publicIPAddresses/", "/backendAddressPools/"
	for name, c := range map[string]struct {
		faults []armsim.Fault
		more   int // writes beyond those of an undisturbed process
	}{
		"answer to the PUT of a public IP is lost":       {[]armsim.Fault{{Method: http.MethodPut, Path: ips, Drop: true}}, 0},
		"answer to the PUT of a load balancer is lost":   {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Drop: true}}, 0},
		"answer to the PUT of a pool is lost":            {[]armsim.Fault{{Method: http.MethodPut, Path: pools, Drop: true}}, 0},
		"answer to the PUT of a load balancer is cut":    {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Cut: true}}, 0},
		"a PUT of a load balancer does not arrive":       {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Drop: true, Before: true}}, 0},
		"500 after the write":                            {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Status: 500, Code: "InternalServerError"}}, 0},
		"a burst of 503":                                 {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Status: 503, Code: "ServiceUnavailable", Times: 6, Before: true}}, 0},
		"a page of HTML":                                 {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Status: 502, HTML: true, Before: true}}, 0},
		"reads fail":                                     {[]armsim.Fault{{Method: http.MethodGet, Path: lbs, Status: 500, Code: "InternalServerError", Times: 4, Before: true}}, 0},
		"asking how it goes fails":                       {[]armsim.Fault{{Method: http.MethodGet, Path: "/operations/", Status: 500, Code: "InternalServerError", Times: 4, Before: true}}, 0},
		"the record of an operation is gone":             {[]armsim.Fault{{Method: http.MethodGet, Path: "/operations/", Status: 404, Code: "OperationNotFound", Before: true}}, 0},
		"throttled shortly":                              {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Status: 429, Code: "TooManyRequests", After: "7", Before: true}}, 0},
		"throttled for long":                             {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Status: 429, Code: "SubscriptionRequestsThrottled", After: "300", Before: true}}, 0},
		"reads are throttled":                            {[]armsim.Fault{{Method: http.MethodGet, Path: lbs, Status: 429, Code: "TooManyRequests", After: "30", Before: true}}, 0},
		"busy":                                           {[]armsim.Fault{{Method: http.MethodPut, Path: lbs, Status: 429, Code: "RetryableError", Inner: "ReferencedResourceNotProvisioned", After: "10", Times: 3, Before: true}}, 0},
		"another operation is under way":                 {[]armsim.Fault{{Method: http.MethodPut, Path: pools, Status: 409, Code: "AnotherOperationInProgress", Times: 2, Before: true}}, 0},
		"another version stands":                         {[]armsim.Fault{{Method: http.MethodPut, Path: pools, Status: 412, Code: "PreconditionFailed", Times: 2, Before: true}}, 0},
		"a load balancer fails after it was accepted":    {[]armsim.Fault{{Late: true, Path: "/loadBalancers", Status: 200, Code: "Failed", Inner: "InternalServerError"}}, 1},
		"a public IP fails after it was accepted":        {[]armsim.Fault{{Late: true, Path: "/publicIPAddresses", Status: 200, Code: "Failed", Inner: "InternalServerError", Times: 2}}, 2},
		"a pool is overtaken":                            {[]armsim.Fault{{Late: true, Path: pools[:len(pools)-1], Status: 200, Code: "Canceled", Inner: "CanceledAndSupersededDueToAnotherOperation"}}, 1},
		"a false resource group not found while listing": {[]armsim.Fault{{Method: http.MethodGet, Path: "/loadBalancers", Status: 404, Code: "ResourceGroupNotFound", Before: true}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, slow())
			for _, f := range c.faults {
				w.sim.Inject(f)
			}
			w.web(nil)
			w.persist()
			if diff := cmp.Diff(want, w.stands()); diff != "" {
				t.Fatalf("stands (-want +got):\n%s", diff)
			}
			w.reaches("web", "m1", "m2")
			var arrived []string
			for _, write := range w.writes() {
				if strings.HasSuffix(write, " 200") || strings.HasSuffix(write, " 201") {
					arrived = append(arrived, write)
				}
			}
			if len(arrived) > least+c.more {
				t.Errorf("written is %q, undisturbed %q", arrived, undisturbed.writes())
			}
		})
	}
}

// persist settles, and again after each wait for a person or for long.
func (w *world) persist() {
	w.t.Helper()
	for range 30 {
		w.settle()
		if f := w.frontend("web"); !f.Retry && w.state != nil {
			return
		}
		w.clock.advance(time.Minute)
	}
	w.t.Fatalf("it never comes to rest: %s", frontends(w.state))
}

// TestThrottlingIsLocal: a service that Azure is busy with keeps no other one waiting, and one kind of request that is throttled no other kind.
func TestThrottlingIsLocal(t *testing.T) {
	w := newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.export("m1", "a", 1)
	w.ask("m1", "a", nil)
	w.export("m1", "b", 1)
	w.ask("m1", "b", nil)
	w.sim.Inject(armsim.Fault{Method: http.MethodPut, Path: "/loadBalancers/test-shop-a-", Status: 429, Code: "RetryableError", Inner: "ReferencedResourceNotProvisioned", Times: 1000, Before: true})
	for range 200 {
		after, _ := w.turn()
		w.clock.advance(after)
	}
	w.look()
	w.reaches("b", "m1")
	w.problem("a", "ReferencedResourceNotProvisioned")

	w = newWorld(t, map[string]string{"m2": "westus"}, slow())
	w.sim.Inject(armsim.Fault{Method: http.MethodPut, Path: "/publicIPAddresses/test-shop-east-", Status: 429, Code: "TooManyRequests", After: "3000", Before: true})
	w.export("m1", "east", 1)
	w.ask("m1", "east", nil)
	w.turn()
	w.export("m1", "other", 1)
	w.ask("m1", "other", nil)
	w.export("m2", "west", 1)
	w.ask("m1", "west", nil)
	for range 200 {
		after, _ := w.turn()
		w.clock.advance(min(after, 5*time.Second))
	}
	w.look()
	w.reaches("west", "m2")
	if f := w.frontend("other"); len(f.Addresses) > 0 || f.After == 0 {
		t.Errorf("writes in the region are throttled for 3000 s, and another service there is at %v, next look after %s", f.Addresses, f.After)
	}
}

// TestHangingOperation: one that never ends keeps its own service waiting and no other.
func TestHangingOperation(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.sim.Inject(armsim.Fault{Hang: true, Path: "test-shop-a-"})
	for _, name := range []string{"a", "b"} {
		w.export("m1", name, 1)
		w.ask("m1", name, nil)
	}
	for range 300 {
		after, _ := w.turn()
		w.clock.advance(after)
	}
	w.look()
	w.reaches("b", "m1")
	w.problem("a", "Azure is at work on test-shop-a-")
}

// TestRefusals: what only a person can mend is told in Azure's words and not asked again and again.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		fault armsim.Fault
		want  []string
	}{
		"quota":      {armsim.Fault{Method: http.MethodPut, Path: "/publicIPAddresses/", Status: 400, Code: "PublicIPCountLimitReached", Times: 1000, Before: true}, []string{"PublicIPCountLimitReached"}},
		"permission": {armsim.Fault{Method: http.MethodPut, Path: "/loadBalancers/", Status: 403, Code: "LinkedAuthorizationFailed", Times: 1000, Before: true}, []string{"LinkedAuthorizationFailed"}},
		"policy":     {armsim.Fault{Method: http.MethodPut, Path: "/loadBalancers/", Status: 403, Code: "RequestDisallowedByPolicy", Times: 1000, Before: true}, []string{"RequestDisallowedByPolicy"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, slow())
			w.sim.Inject(c.fault)
			w.web(nil)
			w.settle()
			w.problem("web", c.want...)
			began := w.clock.Now()
			w.sim.Forget()
			for w.clock.Now().Sub(began) < time.Hour {
				after, _ := w.turn()
				w.clock.advance(max(after, time.Second))
			}
			if n := len(w.writes()); n > 7 {
				t.Errorf("in an hour it is asked for %d times: %q", n, w.writes())
			}
		})
	}
}

// TestOthersWork: what somebody else does to what is ours is noticed at the next listing, told, and undone; and a write never overwrites
// what it has not seen.
func TestOthersWork(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	want := w.stands()
	id := w.sim.IDs("loadBalancers")[0]
	for name, edit := range map[string]func(properties, tags map[string]any){
		"a rule of theirs": func(p, _ map[string]any) {
			rule := p["loadBalancingRules"].([]any)[0].(map[string]any)
			theirs := map[string]any{"name": "theirs", "id": id + "/loadBalancingRules/theirs", "properties": map[string]any{}}
			for key, value := range rule["properties"].(map[string]any) {
				theirs["properties"].(map[string]any)[key] = value
			}
			theirs["properties"].(map[string]any)["frontendPort"] = float64(99)
			theirs["properties"].(map[string]any)["backendPort"] = float64(99)
			p["loadBalancingRules"] = append(p["loadBalancingRules"].([]any), theirs)
		},
		"a rule changed": func(p, _ map[string]any) {
			p["loadBalancingRules"].([]any)[0].(map[string]any)["properties"].(map[string]any)["idleTimeoutInMinutes"] = float64(30)
		},
		"outbound SNAT turned on": func(p, _ map[string]any) {
			p["loadBalancingRules"].([]any)[0].(map[string]any)["properties"].(map[string]any)["disableOutboundSnat"] = false
		},
		"the probe taken away": func(p, _ map[string]any) {
			delete(p["loadBalancingRules"].([]any)[0].(map[string]any)["properties"].(map[string]any), "probe")
			p["probes"] = []any{}
		},
		"an address taken out": func(p, _ map[string]any) {
			q := p["backendAddressPools"].([]any)[0].(map[string]any)["properties"].(map[string]any)
			q["loadBalancerBackendAddresses"] = q["loadBalancerBackendAddresses"].([]any)[1:]
		},
		"an inbound NAT rule": func(p, _ map[string]any) {
			p["inboundNatRules"] = []any{map[string]any{"name": "ssh", "properties": map[string]any{}}}
		},
		"a tag changed": func(_, tags map[string]any) { tags[tagAskedBy] = "nobody" },
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.sim.Edit(id, edit)
			state, err := w.p.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.state = state
			plan := w.p.Plan(w.resolve(), state)
			if len(plan.Changes) != 1 || !strings.Contains(plan.Changes[0].Reason, ": ") {
				t.Errorf("the plan is %+v", plan)
			}
			w.settle()
			if diff := cmp.Diff(want, w.stands()); diff != "" {
				t.Errorf("stands (-want +got):\n%s", diff)
			}
		})
	}
	// A tag of somebody else's stays.
	w.t = t
	w.sim.Edit(id, func(_, tags map[string]any) { tags["cost-center"] = "42" })
	w.export("m3", "web", 1)
	w.ask("m2", "web", nil) // changes our tags
	w.settle()
	if tags := w.sim.Resource(id)["tags"].(map[string]any); tags["cost-center"] != "42" || tags[tagAskedBy] != "m1 m2" {
		t.Errorf("tags are %v", tags)
	}
}

// TestTwoWriters: an old leader that does not know of its end and the new one work on the same load balancers. Nothing is lost, both come
// to rest, and what stands is what both want.
func TestTwoWriters(t *testing.T) {
	undisturbed := newWorld(t, nil, slow())
	undisturbed.web(nil)
	undisturbed.settle()
	for shift := range 12 {
		w := newWorld(t, nil, slow())
		w.web(nil)
		other := *w
		other.mute = true
		other.start()
		for range shift {
			after, _ := w.turn()
			w.clock.advance(after)
		}
		resting := 0
		for turn := 0; resting < 4; turn++ {
			if turn > 2000 {
				t.Fatalf("shifted by %d they never come to rest:\n%s\n%s", shift, frontends(w.state), frontends(other.state))
			}
			after, more := w.turn()
			after2, more2 := other.turn()
			if !more && !more2 {
				resting++
				for _, one := range []*world{w, &other} { // as the loop does from time to time
					one.state, _ = one.p.List(t.Context())
				}
			} else {
				resting = 0
			}
			w.clock.advance(max(min(after, after2), time.Second))
		}
		w.look()
		w.reaches("web", "m1", "m2")
		if diff := cmp.Diff(undisturbed.stands(), w.stands()); diff != "" {
			t.Errorf("shifted by %d stands (-want +got):\n%s", shift, diff)
		}
	}
}

// TestListIsWholeOrNothing: a list that fails on any page is no list.
func TestListIsWholeOrNothing(t *testing.T) {
	w := newWorld(t, nil, armsim.Options{})
	for n := range 60 {
		name := fmt.Sprintf("web-%02d", n)
		w.export("m1", name, 1)
		w.ask("m1", name, nil)
	}
	w.settle()
	for _, kind := range []string{"/loadBalancers", "/publicIPAddresses"} {
		for skip := range 2 {
			w.sim.Inject(armsim.Fault{Method: http.MethodGet, Path: kind, Skip: skip, Status: 500, Code: "InternalServerError", Before: true})
			w.start()
			state, err := w.p.List(t.Context())
			if err == nil || state != nil {
				t.Errorf("page %d of %s fails, and listed are %d load balancers, error %v", skip+1, kind, len(state), err)
			}
		}
	}
	w.settle()
	w.sim.Forget()
	w.settle()
	if writes := w.writes(); len(writes) > 0 {
		t.Errorf("after that is written %q", writes)
	}
}

// TestFaultsAreClassed reads errors as Azure writes them.
func TestFaultsAreClassed(t *testing.T) {
	classes := []cause{transient, gone, stale, overtaken, busy, throttled, refused, failedLate}
	seen := map[cause]bool{}
	for _, c := range []struct {
		status      int
		code, inner string
		want        cause
	}{
		{500, "InternalServerError", "", transient}, {408, "RequestTimeout", "", transient},
		{404, "ResourceNotFound", "", gone}, {404, "ResourceGroupNotFound", "", refused},
		{412, "PreconditionFailed", "PreconditionFailedEtagMismatch", stale},
		{429, "RetryableError", "ReferencedResourceNotProvisioned", busy}, {429, "RetryableErrorDueToAnotherOperation", "", busy},
		{409, "AnotherOperationInProgress", "", busy}, {400, "PublicIPAddressCannotBeDeleted", "", busy},
		{429, "TooManyRequests", "", throttled}, {429, "SubscriptionRequestsThrottled", "", throttled},
		{403, "AuthorizationFailed", "", refused}, {400, "DnsRecordInUse", "", refused}, {401, "InvalidAuthenticationToken", "", refused},
		{200, "Canceled", "CanceledAndSupersededDueToAnotherOperation", overtaken}, {200, "Failed", "InternalServerError", failedLate},
	} {
		w := newWorld(t, nil, armsim.Options{})
		w.sim.Inject(armsim.Fault{Method: http.MethodGet, Path: "/loadBalancers/x", Status: c.status, Code: c.code, Inner: c.inner, Before: true, After: "17"})
		_, err := w.p.client.getLB(t.Context(), w.config.id("", "loadBalancers", "x"))
		if c.status == 200 { // only an operation fails so: its body is the same
			f := w.late(t, c.code, c.inner)
			if f == nil || f.cause != c.want {
				t.Errorf("%d %s %s is %+v, want class %d", c.status, c.code, c.inner, f, c.want)
			}
			seen[c.want] = true
			continue
		}
		f := faultOf(err)
		if f == nil || f.cause != c.want || f.after != 17*time.Second || !strings.Contains(f.text, c.code) && !strings.Contains(f.text, c.inner) {
			t.Errorf("%d %s %s is %+v, want class %d", c.status, c.code, c.inner, f, c.want)
		}
		seen[c.want] = true
	}
	for _, class := range classes {
		if !seen[class] {
			t.Errorf("no case of class %d", class)
		}
	}
	if f := faultOf(nil); f != nil {
		t.Errorf("no error is %+v", f)
	}
}

// late returns the fault of a public IP that fails after it was accepted.
func (w *world) late(t *testing.T, code, inner string) *fault {
	w.sim.Inject(armsim.Fault{Late: true, Path: "/publicIPAddresses", Status: 200, Code: code, Inner: inner})
	op, err := w.p.client.putIP(t.Context(), publicIP{ID: w.config.id("", "publicIPAddresses", "x"), Region: "eastus"}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = op.poll(t.Context())
	return faultOf(err)
}

func TestWaitsDouble(t *testing.T) {
	var delays []time.Duration
	for n := range 12 {
		delays = append(delays, delay(n))
	}
	if !slices.IsSorted(delays) || delays[0] != firstDelay || delays[11] != lastDelay {
		t.Errorf("delays are %v", delays)
	}
}

// TestUnheeded: what Azure takes and does not do is told, and not written at the rate of the budget for ever.
func TestUnheeded(t *testing.T) {
	for _, path := range []string{"/publicIPAddresses/", "/loadBalancers/", "/backendAddressPools/"} {
		w := newWorld(t, nil, slow())
		w.sim.Inject(armsim.Fault{Method: http.MethodPut, Path: path, Status: 200, Code: "none", Times: 100000, Before: true})
		w.web(nil)
		began := w.clock.Now()
		for w.clock.Now().Sub(began) < time.Hour {
			after, _ := w.turn()
			w.clock.advance(max(after, time.Second))
		}
		w.problem("web", "Azure took it and does not show it")
		if n := w.wire.puts; n < 4 || n > 60 {
			t.Errorf("%s: in an hour it is written %d times", path, n)
		}
	}
}

// TestStaleReads: a list that lags behind takes nothing away, neither in Azure nor on members.
func TestStaleReads(t *testing.T) {
	for name, age := range map[string]time.Duration{"of a moment": time.Second, "of an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string]string{"m2": "westus"}, slow())
			if _, err := w.p.List(t.Context()); err != nil { // the first answers: nothing stands
				t.Fatal(err)
			}
			w.web(nil)
			w.settle()
			want := w.stands()
			w.clock.advance(age)
			w.sim.Inject(armsim.Fault{Method: http.MethodGet, Path: "/loadBalancers", Stale: true})
			w.sim.Inject(armsim.Fault{Method: http.MethodGet, Path: "/publicIPAddresses", Stale: true})
			w.sim.Forget()
			state, err := w.p.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.state = state
			w.reaches("web", "m1", "m2")
			w.settle()
			w.reaches("web", "m1", "m2")
			if diff := cmp.Diff(want, w.stands()); diff != "" || len(w.writes()) > 0 {
				t.Errorf("written is %q; stands (-want +got):\n%s", w.writes(), diff)
			}
		})
	}
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	if _, err := w.p.List(t.Context()); err != nil { // of which the next one is a copy
		t.Fatal(err)
	}
	w.unask("m1", "web")
	w.settle()
	w.sim.Inject(armsim.Fault{Method: http.MethodGet, Path: "/loadBalancers", Stale: true, Times: 2})
	w.sim.Forget()
	w.start()
	w.settle()
	if writes := w.writes(); len(w.stands()) > 0 || len(writes) > 0 {
		t.Errorf("what is gone is listed once more, and written is %q", writes)
	}
}
