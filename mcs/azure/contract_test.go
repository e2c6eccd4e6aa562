package azure

import (
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
	"github.com/gitfleet/gitfleet/mcs/providertest"
)

// latencies are about those that recordings show.
func latencies() map[string]time.Duration {
	return map[string]time.Duration{"publicIPAddresses": 3 * time.Second, "loadBalancers": 10 * time.Second, "backendAddressPools": 8 * time.Second, "securityRules": 5 * time.Second}
}

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name    string
		options armsim.Options
		places  map[string]string
	}{
		{"AtOnce", armsim.Options{}, nil},
		{"Slow", armsim.Options{Latency: latencies()}, nil},
		{"TwoNetworks", armsim.Options{Latency: latencies()}, map[string]string{"m2": "westus"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sims := map[*testing.T]*armsim.Server{} // what stands outlives a process
			clocks := map[*testing.T]*clock{}
			providertest.Run(t, providertest.Subject{Open: func(t *testing.T) mcs.Provider {
				if sims[t] == nil {
					clocks[t] = newClock()
					sims[t] = newSim(clocks[t], c.options)
				}
				return patient{open(t, sims[t], clocks[t], testConfig(c.places)), clocks[t]}
			}})
		})
	}
}
