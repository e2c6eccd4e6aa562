package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs/azure/armsim"
)

const simulatedSubscription = "00000000-0000-0000-0000-00000000f1ee"

// azureWorld is members before a simulated Azure: the first two in one network, the third in another.
type azureWorld struct {
	*clusterset
	sim      *armsim.Server
	flags    []string
	networks map[string]string // IDs, by member
}

func newAzureWorld(t *testing.T) *azureWorld {
	t.Helper()
	w := newWorld(t, 3)
	a := &azureWorld{sim: armsim.New(armsim.Options{Throttle: true, Latency: map[string]time.Duration{"publicIPAddresses": 300 * time.Millisecond,
		"loadBalancers": 500 * time.Millisecond, "backendAddressPools": 500 * time.Millisecond}}), networks: map[string]string{}}
	server := httptest.NewServer(a.sim)
	t.Cleanup(server.Close)
	a.sim.AddGroup(simulatedSubscription, "fleet-lb")
	config := "fleet: test\nsubscription: " + simulatedSubscription + "\nresourceGroup: fleet-lb\nglobalRegion: westus\ndrain: 2s\nmembers:\n"
	for i, m := range w.fleet.Members {
		region := []string{"eastus", "eastus", "westus"}[i]
		id := "/subscriptions/" + simulatedSubscription + "/resourceGroups/clusters/providers/Microsoft.Network/virtualNetworks/" + region
		a.networks[m] = id
		a.sim.AddNetwork(id, region, "10.0.0.0/8", "lb")
		config += fmt.Sprintf("  %s: {region: %s, virtualNetwork: %s, subnet: lb}\n", m, region, id)
	}
	file := filepath.Join(t.TempDir(), "azure.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	a.flags = []string{"--load-balancer", "azure", "--local-dial-map", "", "--azure-config", file, "--azure-auth", "none", "--azure-endpoint", server.URL}
	a.clusterset = newClusterset(t, w, w.startServices(a.flags...), "azure")
	return a
}

// reach is where packets to an address end up, as the API servers show the members.
func (a *azureWorld) reach(to netip.Addr) armsim.Reach {
	a.t.Helper()
	var clusters []armsim.Cluster
	for _, m := range a.w.fleet.Members {
		var lists [3][]byte
		for i, gvr := range []schema.GroupVersionResource{{Version: "v1", Resource: "nodes"}, services, {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}} {
			list, err := a.w.client(m).Resource(gvr).List(a.t.Context(), metav1.ListOptions{})
			if err != nil {
				a.t.Fatal(err)
			}
			if lists[i], err = json.Marshal(list); err != nil {
				a.t.Fatal(err)
			}
		}
		c, err := armsim.ClusterOf(m, a.networks[m], lists[0], lists[1], lists[2])
		if err != nil {
			a.t.Fatal(err)
		}
		clusters = append(clusters, c)
	}
	a.sim.SetClusters(clusters)
	return a.sim.Reach(to, 42, "tcp")
}

// awaitReach waits until name on the first member reaches pods of the members on, and loses nothing.
func (a *azureWorld) awaitReach(name string, on ...int) (at netip.Addr) {
	a.t.Helper()
	var want []string
	for _, i := range on {
		want = append(want, a.member(i))
	}
	a.await(name+" reaches "+strings.Join(want, ", "), func() (err error) {
		s, ok := read[networkingv1alpha1.MultiClusterService](a.clusterset, 0, fleetMultiple, name)
		if !ok || len(s.Status.LoadBalancer.Ingress) != 1 {
			return fmt.Errorf("its status is %+v", s.Status)
		}
		if at, err = netip.ParseAddr(s.Status.LoadBalancer.Ingress[0].IP); err != nil {
			return err
		}
		if r := a.reach(at); !slices.Equal(r.Clusters, want) || len(r.Lost) > 0 {
			return fmt.Errorf("%s reaches %+v", at, r)
		}
		return nil
	})
	return at
}

// says waits until the condition of name on the first member says text.
func (a *azureWorld) says(name, text string) {
	a.t.Helper()
	a.await(name+" says "+text, func() error {
		s, _ := read[networkingv1alpha1.MultiClusterService](a.clusterset, 0, fleetMultiple, name)
		for _, c := range s.Status.Conditions {
			if strings.Contains(c.Message, text) {
				return nil
			}
		}
		return fmt.Errorf("conditions are %+v", s.Status.Conditions)
	})
}

// writes are the requests so far that ask for a change.
func (a *azureWorld) writes() (out []string) {
	for _, e := range a.sim.Exchanges() {
		if e.IsWrite() {
			out = append(out, e.Method+" "+e.Path)
		}
	}
	return out
}

// TestAzure is fleet-owned load balancers on real API servers and a simulated Azure.
func TestAzure(t *testing.T) {
	a := newAzureWorld(t)
	for i := range 3 {
		a.hello(i, "", tcp)
		a.apply(i, export(a.ns, "hello"))
	}
	a.apply(0, multiClusterService(a.ns, "hello"))
	was := a.awaitReach("hello", 0, 1, 2)

	a.p.kill()
	a.sim.Forget()
	a.p = a.w.start(a.flags...)
	a.await("a new process lists and writes nothing", func() error {
		if len(a.sim.Exchanges()) < 2 {
			return errors.New("it has not listed yet")
		}
		return nil
	})
	if now := a.awaitReach("hello", 0, 1, 2); now != was || len(a.writes()) > 0 {
		t.Errorf("after kill -9 it is at %s, and was at %s; written is %q", now, was, a.writes())
	}

	a.delete(1, fleetExports, "hello")
	a.awaitReach("hello", 0, 2)
	a.await("the Service of who does not export any more goes", func() error {
		if u := a.w.find(a.member(1), services, a.ns, "gitfleet.dev/derived=load-balancer"); u != nil {
			return fmt.Errorf("%s is still there", u.GetName())
		}
		return nil
	})

	a.apply(0, strings.Replace(multiClusterService(a.ns, "hello"), "metadata: {", `metadata: {annotations: {networking.fleet.azure.com/azure-load-balancer-internal: "true"}, `, 1))
	a.says("hello", "an internal load balancer of Azure reaches one virtual network")
	a.apply(0, strings.Replace(multiClusterService(a.ns, "hello"), "metadata: {", `metadata: {annotations: {service.beta.kubernetes.io/azure-disable-load-balancer-floating-ip: "true"}, `, 1))
	a.await("node ports that are the same", func() error { return a.samePorts(func(s corev1.Service) int32 { return s.Spec.Ports[0].NodePort }) })
	if now := a.awaitReach("hello", 0, 2); now != was {
		t.Errorf("it is at %s, and was at %s", now, was)
	}
	for _, i := range []int{0, 2} {
		a.hello(i, ", type: NodePort, externalTrafficPolicy: Local", tcp)
	}
	a.await("health check ports that are the same", func() error { return a.samePorts(func(s corev1.Service) int32 { return s.Spec.HealthCheckNodePort }) })
	a.awaitReach("hello", 0, 2)

	a.delete(0, fleetMultiple, "hello")
	a.await("nothing is left", func() error {
		if left := append(a.sim.IDs("loadBalancers"), a.sim.IDs("publicIPAddresses")...); len(left) > 0 {
			return fmt.Errorf("in Azure stands %q", left)
		}
		for i := range 3 {
			if u := a.w.find(a.member(i), services, a.ns, "gitfleet.dev/derived=load-balancer"); u != nil {
				return fmt.Errorf("%s has %s", a.member(i), u.GetName())
			}
		}
		return nil
	})

	a.p.stop()
	a.apply(0, multiClusterService(a.ns, "hello"))
	if code, out, errs := a.w.once(a.flags...); code != 0 {
		t.Errorf("one pass exits %d: %s%s", code, out, errs)
	}
	s, _ := read[networkingv1alpha1.MultiClusterService](a.clusterset, 0, fleetMultiple, "hello")
	if len(s.Status.LoadBalancer.Ingress) != 1 || len(a.sim.IDs("loadBalancers")) != 3 {
		t.Errorf("one pass is over, the status is %+v, in Azure stands %q", s.Status, a.sim.IDs("loadBalancers"))
	}
}

// samePorts wants the Services that take in traffic on the first and third member to have the same port.
func (a *azureWorld) samePorts(port func(corev1.Service) int32) error {
	var ports []int32
	for _, i := range []int{0, 2} {
		u := a.w.find(a.member(i), services, a.ns, "gitfleet.dev/derived=load-balancer")
		if u == nil {
			return errors.New("there is no Service")
		}
		s, _ := read[corev1.Service](a.clusterset, i, services, u.GetName())
		ports = append(ports, port(s))
	}
	if ports[0] == 0 || ports[0] != ports[1] {
		return fmt.Errorf("they are %v", ports)
	}
	return nil
}

// TestAzureFlags: what is wrong is told before anything is begun.
func TestAzureFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "azure.yaml")
	if err := os.WriteFile(file, []byte("fleet: test\nsubscription: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := []string{"run", "--repo", t.TempDir(), "--kubeconfig", "x", "--state-dir", t.TempDir()}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--load-balancer", "azure"}, "--azure-config FILE"},
		{[]string{"--load-balancer", "azure", "--azure-config", file}, "--azure-auth"},
		{[]string{"--load-balancer", "azure", "--azure-config", file, "--azure-auth", "magic"}, "workload-identity"},
		{[]string{"--azure-auth", "azure-cli"}, "need --load-balancer azure"},
	} {
		code, _, errs := command(append(slices.Clone(run), c.args...)...)
		if code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit %d, %s; want %s", c.args, code, errs, c.want)
		}
	}
	o := azureOptions{config: file}
	if _, err := o.open("x", false); err == nil || !strings.Contains(err.Error(), "subscription:") || !strings.Contains(err.Error(), file) {
		t.Errorf("a wrong provider file: %v", err)
	}
}
