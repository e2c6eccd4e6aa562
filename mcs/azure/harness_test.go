package azure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

const (
	testSubscription = "00000000-0000-0000-0000-00000000f1ee"
	testGroup        = "fleet-lb"
)

// clock is one that only moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func networkID(name string) string {
	return "/subscriptions/" + testSubscription + "/resourceGroups/clusters/providers/Microsoft.Network/virtualNetworks/" + name
}

// testConfig has all members in one network, but for those that elsewhere says, by name: region/network.
func testConfig(elsewhere map[string]string) Config {
	c, err := ParseConfig([]byte(fmt.Sprintf("fleet: test\nsubscription: %s\nresourceGroup: %s\nglobalRegion: westus\n", testSubscription, testGroup)))
	if err != nil {
		panic(err)
	}
	c.Members = map[string]MemberLocation{}
	for _, m := range []string{"m1", "m2", "m3"} {
		c.Members[m] = MemberLocation{Region: "eastus", VirtualNetwork: networkID("east"), Subnet: "lb"}
	}
	for m, network := range elsewhere {
		c.Members[m] = MemberLocation{Region: network, VirtualNetwork: networkID(network), Subnet: "lb"}
	}
	return c
}

// newSim returns a simulator with the resource groups and networks of testConfig.
func newSim(c *clock, o armsim.Options) *armsim.Server {
	o.Now = c.Now
	sim := armsim.New(o)
	sim.AddGroup(testSubscription, testGroup)
	sim.AddGroup(testSubscription, "clusters")
	sim.AddNetwork(networkID("east"), "eastus", "10.100.0.0/16", "lb")
	sim.AddNetwork(networkID("westus"), "westus", "10.101.0.0/16", "lb")
	sim.AddNetwork(networkID("northeurope"), "northeurope", "10.102.0.0/16", "lb")
	return sim
}

// open starts a provider on sim as a process that has just been started.
func open(t *testing.T, sim *armsim.Server, c *clock, config Config) *Provider {
	t.Helper()
	p, err := New(Options{Config: config, Auth: Auth{Method: methodNone, Endpoint: "http://localhost"}, Source: "file:///fleet main", Client: sim.Client(), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// patient is a provider that is applied again until nothing is on its way, as the loop does, in no time.
type patient struct {
	*Provider
	clock *clock
}

func (p patient) Apply(ctx context.Context, plan mcs.Plan) (mcs.State, error) {
	var last mcs.State
	for range 200 {
		state, err := p.Provider.Apply(ctx, plan)
		after := time.Duration(0)
		for _, installed := range state {
			if f := installed.Frontend; f.Retry && (after == 0 || f.After < after) {
				after = f.After
			}
		}
		if err != nil || after == 0 || after >= time.Minute {
			return state, err
		}
		last = state
		p.clock.advance(after)
	}
	return nil, fmt.Errorf("it never comes to rest: %s", frontends(last))
}

// frontends prints what became of load balancers.
func frontends(s mcs.State) string {
	var out []string
	for key, installed := range s {
		out = append(out, fmt.Sprintf("%s: %+v", key, installed.Frontend))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
