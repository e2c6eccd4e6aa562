package azure

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestRequests shows every request of a service's life, but those that ask how a write goes.
func TestRequests(t *testing.T) {
	w := newWorld(t, nil, slow())
	phase := func(name string, change func()) {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.sim.Forget()
			change()
			w.settle()
			golden(t, name, w.requests())
		})
	}
	if _, err := w.p.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	phase("create", func() { w.web(nil) })
	phase("scale", func() { w.addNode("m1"); w.export("m3", "web", 1) })
	phase("drain", func() { w.unexport("m2", "web") })
	phase("delete", func() { w.unask("m1", "web") })
}

// requests are the exchanges as text.
func (w *world) requests() string {
	var out strings.Builder
	for _, e := range w.sim.Exchanges() {
		fmt.Fprintf(&out, "%s %s\n", e.Method, e.Path)
		if e.IfMatch != "" {
			fmt.Fprintf(&out, "If-Match: %s\n", e.IfMatch)
		}
		if e.Body != nil {
			data, err := json.MarshalIndent(e.Body, "", "  ")
			if err != nil {
				w.t.Fatal(err)
			}
			fmt.Fprintf(&out, "\n%s\n", data)
		}
		fmt.Fprintf(&out, "\n=> %d\n\n", e.Status)
	}
	return out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".http")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("requests (-want +got), go test -update writes them anew:\n%s", diff)
	}
}

// roles reads the role definitions that docs/azure.md tells users to assign.
func roles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/azure/role-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d role definitions, %v", len(files), err)
	}
	var actions []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var role struct{ Actions []string }
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&role); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		actions = append(actions, role.Actions...)
	}
	slices.Sort(actions)
	return actions
}

// TestRole: everything works with exactly the actions that are granted, and needs all of them.
func TestRole(t *testing.T) {
	granted := roles(t)
	group := "/subscriptions/" + testSubscription + "/resourceGroups/clusters/providers/Microsoft.Network/networkSecurityGroups/nodes"
	w := newWorld(t, map[string]string{"m2": "westus"}, armsim.Options{Latency: latencies(), Role: granted})
	w.sim.AddSecurityGroup(group, "eastus")
	for m, l := range w.config.Members {
		l.NetworkSecurityGroup = group
		w.config.Members[m] = l
	}
	w.start()
	w.web(map[string]string{prefix + "azure-pip-prefix-id": "/subscriptions/" + testSubscription + "/resourceGroups/x/providers/Microsoft.Network/publicIPPrefixes/y"})
	w.settle()
	w.reaches("web", "m1", "m2")
	w.export("m1", "in", 1)
	w.ask("m1", "in", map[string]string{internalKey: "true"})
	w.settle()
	w.reaches("in", "m1")
	w.ask("m2", "web", nil)
	w.settle()
	for _, name := range []string{"web", "in"} {
		w.unask("m1", name)
		w.unask("m2", name)
	}
	w.settle()
	if left := w.stands(); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
	if diff := cmp.Diff(granted, w.sim.Used()); diff != "" {
		t.Errorf("actions (-granted +needed):\n%s", diff)
	}
}

// TestMissingActions: an action that is missing is told by its name.
func TestMissingActions(t *testing.T) {
	for _, missing := range roles(t) {
		if strings.Contains(missing, "Prefixes") || strings.Contains(missing, "SecurityGroups") || strings.Contains(missing, "subnets") ||
			strings.HasSuffix(missing, "/delete") || strings.HasSuffix(missing, "locations/operations/read") || strings.Contains(missing, "frontendIPConfigurations") {
			continue // not needed for this
		}
		role := slices.DeleteFunc(roles(t), func(a string) bool { return a == missing })
		w := newWorld(t, nil, armsim.Options{Latency: latencies(), Role: role})
		w.web(nil)
		if _, err := w.p.List(t.Context()); err != nil {
			if !strings.Contains(err.Error(), missing) {
				t.Errorf("without %s: %v", missing, err)
			}
			continue
		}
		w.settle()
		w.problem("web", missing)
	}
}

// TestColdStartAtScale brings 200 services of 10 clusters in two networks up from nothing. The budget holds at every moment.
func TestColdStartAtScale(t *testing.T) {
	w := newWorld(t, nil, armsim.Options{Latency: latencies(), Throttle: true})
	for n := range byte(10) {
		name := fmt.Sprintf("c%d", n)
		w.addMember(name, n+10)
		place := MemberLocation{Region: "eastus", VirtualNetwork: networkID("east")}
		if n%2 == 1 {
			place = MemberLocation{Region: "westus", VirtualNetwork: networkID("westus")}
		}
		w.config.Members[name] = place
	}
	for _, m := range []string{"m1", "m2", "m3"} {
		delete(w.members, m)
	}
	w.start()
	for n := range 200 {
		name := fmt.Sprintf("web-%03d", n)
		for m := range w.members {
			w.export(m, name, 1)
		}
		w.ask("c0", name, nil)
	}
	for range 3 { // members take in what they need whatever stands in Azure
		w.turn()
	}
	w.frozen = true
	began := w.clock.Now()
	w.settle()
	w.frozen = false
	w.settle()
	took := w.clock.Now().Sub(began)
	reads, writes := 0, map[string][]time.Time{}
	for _, e := range w.sim.Exchanges() {
		if e.Status == 429 {
			t.Errorf("%s %s was throttled", e.Method, e.Path)
		}
		if !e.IsWrite() {
			reads++
			continue
		}
		body, _ := e.Body.(map[string]any)
		region, _ := body["location"].(string)
		if region == "" { // of a pool
			region, _ = w.sim.Resource(e.Path[:strings.Index(e.Path, "/backendAddressPools")])["location"].(string)
		}
		writes[region] = append(writes[region], e.At)
	}
	total := 0
	for region, times := range writes {
		total += len(times)
		if over := overdrawn(times, DefaultBudget()); over != "" {
			t.Errorf("writes in %s: %s", region, over)
		}
	}
	t.Logf("200 services of 10 clusters in two networks: %d writes, %d reads, %s", total, reads, took)
	if least := 200 * (2*3 + 2); total != least {
		t.Errorf("%d writes, want %d: a public IP, a load balancer and a pool for each network, and the two of tier Global", total, least)
	}
	for _, name := range []string{"web-000", "web-199"} {
		w.reaches(name, "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9")
	}
}

// overdrawn tells when more was written than a budget allows.
func overdrawn(times []time.Time, b Budget) string {
	for i := range times {
		for j := i; j < len(times); j++ {
			if allowed := float64(b.WriteBurst) + b.Writes*times[j].Sub(times[i]).Seconds(); float64(j-i+1) > allowed+1 {
				return fmt.Sprintf("%d within %s, allowed %.1f", j-i+1, times[j].Sub(times[i]), allowed)
			}
		}
	}
	return ""
}

// TestUrgency: what is taken away from where it is lost is written before everything else that a short budget could pay for.
func TestUrgency(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.options.Budget = Budget{Writes: 0.1, WriteBurst: 4, Reads: 100, ReadBurst: 1000, PollEvery: 2 * time.Second, LongestSlice: time.Minute}
	w.start()
	w.web(nil)
	w.settle()
	w.clock.advance(time.Hour)
	for n := range 10 {
		name := fmt.Sprintf("new-%d", n)
		w.export("m1", name, 1)
		w.ask("m1", name, nil)
	}
	w.members["m1"].Nodes = w.members["m1"].Nodes[:1]
	w.sim.Forget()
	for range 6 {
		after, _ := w.turn()
		w.clock.advance(after)
	}
	if writes := w.writes(); len(writes) == 0 || !strings.HasPrefix(writes[0], "PUT nodes") {
		t.Errorf("a node is gone, and written is %q", writes)
	}
}
