package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

// What the simulated Azure has before gitfleet comes.
const (
	azureSubscription = "00000000-0000-0000-0000-00000000f1ee"
	azureGroup        = "fleet-lb"
)

// simulated is an Azure on this machine.
type simulated struct {
	sim     *armsim.Server
	server  *http.Server
	url     string
	members map[string]string // network IDs, by member
}

// walkAzure does the tutorial with load balancers of a simulated Azure.
func walkAzure(ctx context.Context, o options, dir string) error {
	s, err := newStage(o, dir, "kuard")
	if err != nil {
		return err
	}
	a := &simulated{members: map[string]string{}}
	defer func() {
		if a.server != nil {
			a.server.Close()
		}
	}()
	s.loadBalancer = a.flags(s)
	steps := s.tutorial()
	steps[6] = step{"step 7: where requests would end up", func(ctx context.Context) error { return a.reach(ctx, s) }}
	start := step{"start the simulator of Azure", func(ctx context.Context) error { return a.start(ctx, s) }}
	steps = slices.Insert(steps, 2, start)
	steps = append(steps, step{"step 8: an internal address", func(ctx context.Context) error { return a.internal(ctx, s) }},
		step{"the service is deleted: so is everything of it in Azure", func(ctx context.Context) error { return a.leave(ctx, s) }})
	if err := play(ctx, "azure", steps); err != nil {
		return err
	}
	if !o.check {
		fmt.Printf("\nEverything stays up until you press Ctrl-C. The simulator answers at %s; GET /armsim/reach?to=ADDRESS:PORT tells where packets go.\n", a.url)
		<-ctx.Done()
		return errStayedUp
	}
	if err := play(ctx, "azure", []step{{"stop", s.stop}}); err != nil {
		return err
	}
	fmt.Println("\nOK: every step did what it should")
	return nil
}

// flags are those of gitfleet; the endpoint is known once the simulator serves.
func (a *simulated) flags(s *stage) func() []string {
	return func() []string {
		return []string{"--load-balancer", "azure", "--azure-config", filepath.Join(s.dir, "azure.yaml"), "--azure-auth", "none", "--azure-endpoint", a.url}
	}
}

// start serves a simulator with a network for each location, and writes the provider file.
func (a *simulated) start(ctx context.Context, s *stage) error {
	a.sim = armsim.New(armsim.Options{Throttle: true, Latency: map[string]time.Duration{
		"publicIPAddresses": time.Second, "loadBalancers": 2 * time.Second, "backendAddressPools": 2 * time.Second, "securityRules": time.Second}})
	a.sim.AddGroup(azureSubscription, azureGroup)
	config := fmt.Sprintf("fleet: demo\nsubscription: %s\nresourceGroup: %s\nglobalRegion: westus\ndrain: 5s\nmembers:\n", azureSubscription, azureGroup)
	for _, m := range append(slices.Clone(s.Members), s.Others...) {
		region := "eastus"
		if slices.Contains(s.Others, m) {
			region = "westus"
		}
		id := fmt.Sprintf("/subscriptions/%s/resourceGroups/clusters/providers/Microsoft.Network/virtualNetworks/%s", azureSubscription, region)
		a.members[m] = id
		a.sim.AddNetwork(id, region, "10.0.0.0/8", "load-balancers")
		config += fmt.Sprintf("  %s:\n    virtualNetwork: %s\n    subnet: load-balancers\n", m, id)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "azure.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a.url = "http://" + listener.Addr().String()
	a.server = &http.Server{Handler: a.sim, ReadHeaderTimeout: 10 * time.Second}
	go a.server.Serve(listener)
	fmt.Println("(it serves at " + a.url + ")")
	_, err = s.show(ctx, "cat ../azure.yaml")
	return err
}

// look tells the simulator where machines are and what they know, as wires would.
func (a *simulated) look(ctx context.Context, s *stage) error {
	var clusters []armsim.Cluster
	for m, network := range a.members {
		var lists [3][]byte
		for i, kind := range []string{"nodes", "services", "endpointslices"} {
			out, err := s.quiet(ctx, fmt.Sprintf("kubectl --context %s get %s --all-namespaces --output json", m, kind))
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			lists[i] = []byte(out)
		}
		c, err := armsim.ClusterOf(m, network, lists[0], lists[1], lists[2])
		if err != nil {
			return err
		}
		clusters = append(clusters, c)
	}
	a.sim.SetClusters(clusters)
	return nil
}

// reach wants packets to every port of every service to end up in pods of all members, and nowhere else.
func (a *simulated) reach(ctx context.Context, s *stage) error {
	for _, svc := range s.Services {
		for _, port := range svc.Ports {
			var to netip.AddrPort
			err := s.until(ctx, "packets reach pods of all members", time.Minute, func(ctx context.Context) error {
				address, err := s.addressOf(ctx, svc)
				if err != nil {
					return err
				}
				if err := a.look(ctx, s); err != nil {
					return err
				}
				to = netip.AddrPortFrom(address, uint16(port))
				r := a.sim.Reach(address, port, "tcp")
				if !slices.Equal(r.Clusters, s.Members) || len(r.Lost) > 0 {
					return fmt.Errorf("they reach clusters %s; lost: %s%s", strings.Join(r.Clusters, ", "), strings.Join(r.Lost, "; "), r.Closed)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if err := a.print(ctx, s, svc, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// print shows what a person would look at.
func (a *simulated) print(ctx context.Context, s *stage, svc service, to netip.AddrPort) error {
	data, err := json.MarshalIndent(a.sim.Reach(to.Addr(), int(to.Port()), "tcp"), "", "  ")
	if err != nil {
		return err
	}
	printCommand(fmt.Sprintf("curl -s '%s/armsim/reach?to=%s'", a.url, to), string(data))
	for _, line := range []string{
		s.getService(svc),
		fmt.Sprintf("kubectl --context %s get services -n %s", svc.Member, s.Namespace),
		s.get("multiclusterservices"),
	} {
		if _, err := s.show(ctx, line); err != nil {
			return err
		}
	}
	fmt.Println("\nin Azure:")
	for _, kind := range []string{"publicIPAddresses", "loadBalancers"} {
		for _, id := range a.sim.IDs(kind) {
			fmt.Println("  " + id)
		}
	}
	return nil
}

// internal asks for an internal address: another load balancer is made, and the public address is kept.
func (a *simulated) internal(ctx context.Context, s *stage) error {
	svc := s.Services[0]
	line := fmt.Sprintf("kubectl --context %s annotate multiclusterservice %s -n %s %s=true", svc.Member, svc.Name, s.Namespace, azureInternal)
	if _, err := s.show(ctx, line); err != nil {
		return err
	}
	err := s.showUntil(ctx, s.getService(svc), time.Minute, func(out string) error {
		address, err := svc.address(out)
		if err == nil && !address.IsPrivate() {
			return fmt.Errorf("%s is public", address)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.reach(ctx, s); err != nil {
		return err
	}
	if n := len(a.sim.IDs("publicIPAddresses")); n != 1 {
		return fmt.Errorf("%d public IPs stand, want the one that there was: somebody may have told its address to others", n)
	}
	return nil
}

// leave deletes the service and waits until nothing of it stands in Azure.
func (a *simulated) leave(ctx context.Context, s *stage) error {
	svc := s.Services[0]
	if _, err := s.show(ctx, fmt.Sprintf("kubectl --context %s delete multiclusterservice %s -n %s", svc.Member, svc.Name, s.Namespace)); err != nil {
		return err
	}
	return s.until(ctx, "nothing stands in Azure", time.Minute, func(ctx context.Context) error {
		if left := append(a.sim.IDs("loadBalancers"), a.sim.IDs("publicIPAddresses")...); len(left) > 0 {
			return fmt.Errorf("in Azure stands %s", strings.Join(left, ", "))
		}
		out, err := s.quiet(ctx, fmt.Sprintf("kubectl --context %s get services -n %s --output name", s.Members[1], s.Namespace))
		if err == nil && strings.Contains(out, "-azure-") {
			err = fmt.Errorf("%s has %s", s.Members[1], strings.TrimSpace(out))
		}
		return err
	})
}
