package azure

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs"
)

// agreed is the import of shop/name as a member shows it.
func agreed(name string, clusters ...string) mcs.MemberImport {
	i := mcs.MemberImport{Cluster: "m1", Namespace: "shop", Name: name, Dialect: mcs.Azure, UID: "u"}
	i.Status.Type = networkingv1alpha1.ClusterSetIP
	for _, c := range clusters {
		i.Status.Clusters = append(i.Status.Clusters, networkingv1alpha1.ClusterStatus{Cluster: c})
	}
	i.Status.Ports = []networkingv1alpha1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}
	return i
}

// TestWhatAzureCannotDo is refused before Azure is asked, with the reason and what to do instead.
func TestWhatAzureCannotDo(t *testing.T) {
	many := func(n int) []mcs.Port {
		var out []mcs.Port
		for i := range n {
			out = append(out, mcs.Port{Name: fmt.Sprint("p", i), Protocol: corev1.ProtocolTCP, Port: int32(1000 + i)})
		}
		return out
	}
	for name, c := range map[string]struct {
		places      map[string]string
		annotations map[string]string
		change      func(*world)
		want        []string
	}{
		"internal over two networks": {map[string]string{"m2": "westus"}, map[string]string{internalKey: "true"}, nil, []string{"one virtual network", "east in eastus, westus in westus", "--load-balancer service"}},
		"no home region":             {map[string]string{"m2": "westus"}, nil, func(w *world) { w.config.GlobalRegion = ""; w.start() }, []string{"globalRegion"}},
		"internal keys disagree":     {nil, map[string]string{internalKey: "true", networkingv1alpha1.AnnotationFleetInternal: "false"}, nil, []string{"contradict each other"}},
		"internal is no boolean":     {nil, map[string]string{internalKey: "maybe"}, nil, []string{internalKey, `"maybe"`, "true or false"}},
		"private link":               {nil, map[string]string{prefix + "azure-pls-create": "true"}, nil, []string{"azure-pls-create", "Private Link Service", "--load-balancer service"}},
		"IPv6 address":               {nil, map[string]string{prefix + "azure-load-balancer-ipv6": "2001:db8::1"}, nil, []string{"azure-load-balancer-ipv6", "IPv4"}},
		"SCTP": {nil, nil, func(w *world) {
			w.export("m1", "web", 1, mcs.Port{Protocol: corev1.ProtocolSCTP, Port: 80})
			w.unexport("m2", "web")
		}, []string{"port 80: SCTP"}},
		"UDP 3 over regions": {map[string]string{"m2": "westus"}, nil, func(w *world) {
			for _, m := range []string{"m1", "m2"} {
				w.export(m, "web", 1, mcs.Port{Protocol: corev1.ProtocolUDP, Port: 3})
			}
		}, []string{"port 3", "tier Global"}},
		"all ports in public":      {nil, map[string]string{prefix + "azure-load-balancer-enable-high-availability-ports": "true"}, nil, []string{"only internal"}},
		"private address, public":  {nil, map[string]string{prefix + "azure-load-balancer-ipv4": "10.0.0.9"}, nil, []string{"10.0.0.9 is no address for a public"}},
		"public address, internal": {nil, map[string]string{prefix + "azure-load-balancer-ipv4": "20.1.2.3", internalKey: "true"}, nil, []string{"20.1.2.3 is no address for an internal"}},
		"public IP of an internal": {nil, map[string]string{prefix + "azure-pip-name": "x", internalKey: "true"}, nil, []string{"are about public addresses"}},
		"ranges without a group":   {nil, map[string]string{prefix + "azure-allowed-ip-ranges": "203.0.113.0/24"}, nil, []string{"members.m1.networkSecurityGroup"}},
		"probe too slow":           {nil, map[string]string{prefix + "azure-load-balancer-health-probe-interval": "60", prefix + "azure-load-balancer-health-probe-num-of-probe": "2"}, nil, []string{"2 times 60 s", "120 s"}},
		"probe path without port":  {nil, map[string]string{prefix + "azure-load-balancer-health-probe-request-path": "/ready"}, nil, []string{"takes a port that nodes answer at"}},
		"too many rules": {nil, nil, func(w *world) {
			for _, m := range []string{"m1", "m2"} {
				w.export(m, "web", 1, many(301)...)
			}
		}, []string{"301 rules", "Azure allows 300"}},
		"too many rules times nodes": {nil, nil, func(w *world) {
			for _, m := range []string{"m1", "m2"} {
				w.export(m, "web", 1, many(100)...)
			}
			for n := range 120 {
				w.members["m1"].Nodes = append(w.members["m1"].Nodes, mcs.Node{Name: fmt.Sprint("more-", n), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 100, 50, byte(n)})}})
			}
		}, []string{"rules times addresses", "10000"}},
		"pods of an overlay": {nil, nil, func(w *world) { w.config.Mode = ModePod; w.start() }, []string{"members.m1.podNetwork", "members.m2.podNetwork"}},
		"pods on several ports": {nil, nil, func(w *world) {
			w.config.Mode = ModePod
			for m, l := range w.config.Members {
				l.PodNetwork = "flat"
				w.config.Members[m] = l
			}
			w.start()
			for i := range w.members["m2"].Exports[0].Endpoints {
				w.members["m2"].Exports[0].Endpoints[i].Ports = map[string]int32{"http": 9090}
			}
		}, []string{"do not all listen on the same port"}},
		"no subnet": {nil, map[string]string{internalKey: "true"}, func(w *world) {
			for m, l := range w.config.Members {
				l.Subnet = ""
				w.config.Members[m] = l
			}
			w.start()
		}, []string{"no subnet", "azure-load-balancer-internal-subnet"}},
		"one network in two regions": {nil, nil, func(w *world) {
			l := w.config.Members["m2"]
			l.Region = "westus"
			w.config.Members["m2"] = l
			w.start()
		}, []string{"a network is in one region"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.places, slow())
			w.web(c.annotations)
			if c.change != nil {
				c.change(w)
			}
			w.settle()
			w.problem("web", c.want...)
			for _, write := range w.writes() {
				if strings.Contains(write, "PUT") && !strings.Contains(name, "rules times") && !strings.HasPrefix(name, "pods") {
					t.Errorf("written is %q", w.writes())
					break
				}
			}
		})
	}
}

// TestRefusalKeepsWhatStands: an annotation that turns wrong takes nothing away.
func TestRefusalKeepsWhatStands(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	want, was := len(w.stands()), w.address("web")
	w.ask("m1", "web", map[string]string{prefix + "azure-load-balancer-tcp-idle-timeout": "2"})
	w.settle()
	w.problem("web", "azure-load-balancer-tcp-idle-timeout", `"2"`, "from 4 to 100")
	if f := w.frontend("web"); len(w.stands()) != want || len(f.Addresses) != 1 || f.Addresses[0] != was {
		t.Errorf("it is at %v, and was at %s", f.Addresses, was)
	}
	if r := w.sim.Reach(was, 80, "tcp"); !slices.Equal(r.Clusters, []string{"m1", "m2"}) {
		t.Errorf("it reaches %+v", r)
	}
}

// TestAnnotations: what annotations ask for is what stands.
func TestAnnotations(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        string // in the JSON of what stands; not in it after a !
	}{
		"idle timeout":   {map[string]string{"azure-load-balancer-tcp-idle-timeout": "30"}, `"idleTimeoutInMinutes":30`},
		"no reset":       {map[string]string{"azure-load-balancer-disable-tcp-reset": "true"}, `"enableTcpReset":false`},
		"label":          {map[string]string{"azure-dns-label-name": "Shop"}, `"domainNameLabel":"shop"`},
		"tags":           {map[string]string{"azure-pip-tags": "a=b, c=d"}, `"a":"b","c":"d"`},
		"IP tags":        {map[string]string{"azure-pip-ip-tags": "RoutingPreference=Internet"}, `"ipTagType":"RoutingPreference"`},
		"prefix":         {map[string]string{"azure-pip-prefix-id": "/subscriptions/" + testSubscription + "/resourceGroups/x/providers/Microsoft.Network/publicIPPrefixes/y"}, `"publicIPPrefix":{"id":`},
		"probe":          {map[string]string{"azure-load-balancer-health-probe-interval": "10", "azure-load-balancer-health-probe-num-of-probe": "3"}, `"intervalInSeconds":10,"numberOfProbes":3,"port":10256,"probeThreshold":3`},
		"probed port":    {map[string]string{"port_80_health-probe_port": "9000", "port_80_health-probe_protocol": "https", "port_80_health-probe_request-path": "/ready"}, `"port":9000,"probeThreshold":2,"protocol":"Https"`},
		"no probe":       {map[string]string{"port_80_no_probe_rule": "true"}, `!"probe":`},
		"internal":       {map[string]string{"azure-load-balancer-internal": "true"}, `"privateIPAllocationMethod":"Dynamic"`},
		"static":         {map[string]string{"azure-load-balancer-internal": "true", "azure-load-balancer-ipv4": "10.100.0.99"}, `"privateIPAddress":"10.100.0.99"`},
		"subnet by name": {map[string]string{"azure-load-balancer-internal": "true", "azure-load-balancer-internal-subnet": "lb"}, `/virtualNetworks/east/subnets/lb`},
		"all ports":      {map[string]string{"azure-load-balancer-internal": "true", "azure-load-balancer-enable-high-availability-ports": "true"}, `"protocol":"All"`},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			for key, value := range c.annotations {
				annotations[prefix+key] = value
			}
			w := newWorld(t, nil, slow())
			w.web(annotations)
			w.settle()
			unwanted, not := strings.CutPrefix(c.want, "!")
			if json := w.json(); strings.Contains(json, unwanted) == not {
				t.Errorf("want %s in\n%s", c.want, json)
			}
			w.reaches("web", "m1", "m2")
			w.start()
			w.sim.Forget()
			w.settle()
			if writes := w.writes(); len(writes) > 0 {
				t.Errorf("a second pass writes %q", writes)
			}
			w.web(nil)
			w.settle() // what can be taken back is
			for range 3 {
				w.clock.advance(time.Minute)
				w.settle()
			}
			if f := w.frontend("web"); len(f.Addresses) != 1 {
				t.Errorf("without them it is at %v: %q", f.Addresses, f.Problems)
			}
		})
	}
	w := newWorld(t, nil, slow())
	w.web(map[string]string{prefix + "azure-dns-label-name": "shop"})
	w.settle()
	w.ask("m1", "web", nil)
	w.settle()
	if !strings.Contains(w.json(), `"domainNameLabel":"shop"`) {
		t.Error("nobody asks for another label, and it is gone")
	}
	w.ask("m1", "web", map[string]string{prefix + "azure-dns-label-name": ""})
	w.settle()
	if strings.Contains(w.json(), `"domainNameLabel":"shop"`) {
		t.Error("nobody wants a label, and it stands")
	}
}

// TestCreationTimeChoices: what Azure decides when an address is made is not changed by giving the address up.
func TestCreationTimeChoices(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	w.settle()
	was := w.address("web")
	w.ask("m1", "web", map[string]string{prefix + "azure-pip-ip-tags": "RoutingPreference=Internet"})
	w.settle()
	w.problem("web", "keeps its IP tags", "would take a new address")
	if f := w.frontend("web"); len(f.Addresses) != 1 || f.Addresses[0] != was {
		t.Errorf("it is at %v, and was at %s", f.Addresses, was)
	}
}

func TestLabelTaken(t *testing.T) {
	w := newWorld(t, nil, slow())
	for _, name := range []string{"a", "b"} {
		w.export("m1", name, 1)
		w.ask("m1", name, map[string]string{prefix + "azure-dns-label-name": "shop"})
		w.settle()
	}
	w.problem("b", "DnsRecordInUse")
	w.reaches("a", "m1")
}

// TestNodePorts: without floating IP all members have the same node ports, and one that does not is left out and told.
func TestNodePorts(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(map[string]string{prefix + "azure-disable-load-balancer-floating-ip": "true"})
	w.settle()
	w.reaches("web", "m1", "m2")
	port := w.members["m1"].Derived[0].NodePorts[0]
	if port < nodePortsFirst || port >= nodePortsDynamic || w.members["m2"].Derived[0].NodePorts[0] != port {
		t.Errorf("node ports are %d and %d", port, w.members["m2"].Derived[0].NodePorts[0])
	}
	w.ask("m1", "web", map[string]string{prefix + "azure-disable-load-balancer-floating-ip": "true", prefix + "azure-load-balancer-health-probe-protocol": "tcp"})
	w.settle()
	if json := w.json(); !strings.Contains(json, fmt.Sprintf(`"port":%d,"probeThreshold":2,"protocol":"Tcp"`, port)) {
		t.Errorf("the probe is not of the node port: %s", json)
	}
	w.members["m2"].Derived[0].NodePorts = []int32{port + 1}
	w.turn()
	w.turn()
	w.problem("web", fmt.Sprintf("has node port %d for port 80, and others have %d", port+1, port))
	for n := range 100 { // more services than the static band has ports: none gets another's
		name := fmt.Sprintf("np-%02d", n)
		w.export("m1", name, 1)
		w.ask("m1", name, map[string]string{prefix + "azure-disable-load-balancer-floating-ip": "true"})
	}
	seen := map[int32]string{}
	w.bringMembers(w.resolve())
	for _, d := range w.members["m1"].Derived {
		if other := seen[d.NodePorts[0]]; other != "" {
			t.Errorf("%s and %s have node port %d", other, d.Name, d.NodePorts[0])
		}
		seen[d.NodePorts[0]] = d.Name
	}
}

// TestLocalTraffic: when all exporters want clients to stay on the node they came to, nodes tell at one port whether they have pods.
func TestLocalTraffic(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	for _, m := range []string{"m1", "m2"} {
		w.members[m].Exports[0].Service.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	w.settle()
	w.reaches("web", "m1", "m2")
	port := w.members["m1"].Derived[0].HealthCheckNodePort
	if port == 0 || port != w.members["m2"].Derived[0].HealthCheckNodePort || !strings.Contains(w.json(), fmt.Sprintf(`"port":%d,"probeThreshold"`, port)) {
		t.Errorf("health check ports are %d and %d, in place is %s", port, w.members["m2"].Derived[0].HealthCheckNodePort, w.json())
	}
	w.members["m2"].Derived[0].HealthCheckNodePort = port + 1
	w.turn()
	w.problem("web", fmt.Sprintf("has health check port %d, and others have %d", port+1, port))
	w.members["m2"].Derived[0].HealthCheckNodePort = port
	w.members["m2"].Exports[0].Service.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	w.settle()
	if d := w.members["m1"].Derived[0]; d.HealthCheckNodePort != 0 || !strings.Contains(w.json(), `"port":10256`) {
		t.Errorf("m2 wants no such thing, and in place is %+v, %s", d, w.json())
	}
}

// TestPods is the experiment: pods of a flat network in the pool.
func TestPods(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.config.Mode = ModePod
	for m, l := range w.config.Members {
		l.PodNetwork = "flat"
		w.config.Members[m] = l
	}
	w.start()
	w.web(nil)
	w.settle()
	if json := w.json(); !strings.Contains(json, `"ipAddress":"10.100.101.1"`) || !strings.Contains(json, `"backendPort":8080`) {
		t.Errorf("in place is %s", json)
	}
	for name, o := range w.members {
		if len(o.Derived) > 0 {
			t.Errorf("%s has %v", name, o.Derived)
		}
	}
}

func TestUDPBesideTCP(t *testing.T) {
	w := newWorld(t, nil, slow())
	both := []mcs.Port{{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: 80}, {Name: "udp", Protocol: corev1.ProtocolUDP, Port: 80}}
	w.export("m1", "web", 1, both...)
	w.ask("m1", "web", nil)
	w.settle()
	w.reaches("web", "m1")
	if r := w.sim.Reach(w.address("web"), 80, "udp"); !slices.Equal(r.Clusters, []string{"m1"}) {
		t.Errorf("UDP reaches %+v", r)
	}
}

func TestAffinityAndWeights(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.web(nil)
	for _, m := range []string{"m1", "m2"} {
		w.members[m].Exports[0].Service.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	w.members["m2"].Exports[0].Weight = "0"
	w.settle()
	w.reaches("web", "m1")
	if !strings.Contains(w.json(), `"loadDistribution":"SourceIP"`) {
		t.Errorf("in place is %s", w.json())
	}
	w.members["m2"].Exports[0].Weight = "3"
	w.settle()
	w.problem("web", "weights other than 0 have no effect")
}

// TestExcludedNodes: what load balancers are to pass over is passed over.
func TestExcludedNodes(t *testing.T) {
	w := newWorld(t, nil, slow())
	w.members["m1"].Nodes[0].Excluded = true
	w.web(nil)
	w.settle()
	if _, there := w.ofCluster("m1"); there != 1 {
		t.Errorf("the pools have %d nodes of m1", there)
	}
}

// TestSecurityGroups: clients are let in by rules of ours only, those that are allowed, and all of it goes with the service.
func TestSecurityGroups(t *testing.T) {
	group := "/subscriptions/" + testSubscription + "/resourceGroups/clusters/providers/Microsoft.Network/networkSecurityGroups/nodes"
	w := newWorld(t, nil, slow())
	for m, l := range w.config.Members {
		l.NetworkSecurityGroup = group
		w.config.Members[m] = l
	}
	w.start()
	w.sim.AddSecurityGroup(group, "eastus")
	theirs := map[string]any{"name": "theirs", "properties": map[string]any{"priority": float64(2000), "direction": "Inbound", "access": "Deny", "protocol": "*",
		"sourceAddressPrefix": "10.9.9.9", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}}
	w.sim.AddRule(group, theirs)
	w.web(nil)
	w.settle()
	w.reaches("web", "m1", "m2")
	w.ask("m1", "web", map[string]string{prefix + "azure-allowed-ip-ranges": "203.0.113.0/24,198.51.100.0/24", prefix + "azure-allowed-service-tags": "AzureCloud", prefix + "azure-deny-all-except-load-balancer-source-ranges": "true"})
	w.settle()
	rules := fmt.Sprint(w.sim.Resource(group))
	for _, want := range []string{"203.0.113.0/24", "AzureCloud", "Deny", "theirs"} {
		if !strings.Contains(rules, want) {
			t.Errorf("want %s in %s", want, rules)
		}
	}
	if r := w.sim.Reach(w.address("web"), 80, "tcp"); len(r.Clusters) > 0 {
		t.Errorf("who is not allowed reaches %+v", r)
	}
	w.start()
	w.sim.Forget()
	w.settle()
	if writes := w.writes(); len(writes) > 0 {
		t.Errorf("a second pass writes %q", writes)
	}
	w.ask("m1", "web", map[string]string{prefix + "azure-disable-load-balancer-nsg-rule": "true"})
	w.settle()
	if n := len(list2(w.sim.Resource(group), "properties", "securityRules")); n != 1 {
		t.Errorf("%d rules stand, want theirs alone", n)
	}
	w.ask("m1", "web", nil)
	w.settle()
	w.unask("m1", "web")
	w.settle()
	left := list2(w.sim.Resource(group), "properties", "securityRules")
	if len(left) != 1 || left[0].(map[string]any)["name"] != "theirs" {
		t.Errorf("left is %v", left)
	}
}

// TestSecurityGroupOfOthers: what somebody else is writing in a security group is not overtaken.
func TestSecurityGroupOfOthers(t *testing.T) {
	group := "/subscriptions/" + testSubscription + "/resourceGroups/clusters/providers/Microsoft.Network/networkSecurityGroups/nodes"
	w := newWorld(t, nil, slow())
	for m, l := range w.config.Members {
		l.NetworkSecurityGroup = group
		w.config.Members[m] = l
	}
	w.start()
	w.sim.AddSecurityGroup(group, "eastus")
	w.web(nil)
	theirs := securityRule{Description: "theirs", Protocol: "Tcp", Sources: []string{"Internet"}, Destination: []string{"10.9.9.9"}, Ports: []string{"22"}, Priority: 100}
	wrote := false
	for range 200 {
		after, more := w.turn()
		if !more {
			break
		}
		if !wrote && len(w.sim.IDs("publicIPAddresses")) == 1 && w.clock.Now().After(newClock().now.Add(2*time.Second)) {
			if _, err := w.p.client.putRule(t.Context(), group+"/securityRules/theirs", theirs, ""); err != nil {
				t.Fatal(err)
			}
			wrote = true
		}
		w.clock.advance(after)
	}
	var last time.Time
	for _, e := range w.sim.Exchanges() {
		if e.Method == "PUT" && strings.Contains(e.Path, "/securityRules/") {
			if !last.IsZero() && e.At.Sub(last) < latencies()["securityRules"] {
				t.Errorf("%s is written %s after another rule, which takes %s", lastOf(e.Path), e.At.Sub(last), latencies()["securityRules"])
			}
			last = e.At
		}
	}
	w.look()
	w.reaches("web", "m1", "m2")
	if !wrote {
		t.Error("they wrote nothing")
	}
}

// TestConfig reads provider files.
func TestConfig(t *testing.T) {
	good := "fleet: prod\nsubscription: " + testSubscription + "\nresourceGroup: fleet-lb\n"
	if c, err := ParseConfig([]byte(good)); err != nil || c.Mode != ModeVIP || c.Drain != (metav1.Duration{Duration: defaultDrain}) || c.SecurityRulePriorities != defaultPriorities {
		t.Errorf("%+v, %v", c, err)
	}
	for what, c := range map[string]struct{ text, want string }{
		"typo":          {good + "globlRegion: westus\n", `"globlRegion"`},
		"no fleet":      {strings.Replace(good, "prod", `""`, 1), "fleet:"},
		"fleet's name":  {strings.Replace(good, "prod", "Prod_1", 1), "fleet:"},
		"subscription":  {strings.Replace(good, testSubscription, "mine", 1), "subscription:"},
		"group":         {strings.Replace(good, "fleet-lb", `""`, 1), "resourceGroup:"},
		"MC group":      {strings.Replace(good, "fleet-lb", "MC_rg_aks_eastus", 1), "belongs to a cluster"},
		"mode":          {good + "mode: magic\n", "mode:"},
		"drain":         {good + "drain: -1s\n", "drain:"},
		"priorities":    {good + "securityRulePriorities: [10, 20]\n", "securityRulePriorities:"},
		"network":       {good + "members:\n  m1:\n    virtualNetwork: vnet\n", "members.m1.virtualNetwork:"},
		"group's ID":    {good + "members:\n  m1:\n    networkSecurityGroup: nsg\n", "members.m1.networkSecurityGroup:"},
		"subnet":        {good + "members:\n  m1:\n    subnet: /a/b\n", "members.m1.subnet:"},
		"pods' network": {good + "members:\n  m1:\n    podNetwork: deep\n", "members.m1.podNetwork:"},
	} {
		if _, err := ParseConfig([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to name %s", what, err, c.want)
		}
	}
}

// TestWrongAnnotations: each value that is not one is told with its key and what it may be.
func TestWrongAnnotations(t *testing.T) {
	for key, value := range map[string]string{
		"azure-load-balancer-internal-subnet": "", "azure-load-balancer-ipv4": "here", "azure-pip-name": "a/b", "azure-pip-prefix-id": "mine", "azure-pip-tags": "a",
		"azure-pip-ip-tags": "=", "azure-dns-label-name": "-x", "azure-allowed-ip-ranges": "10.0.0.0", "azure-allowed-service-tags": "a b", "azure-load-balancer-tcp-idle-timeout": "3",
		"azure-deny-all-except-load-balancer-source-ranges": "yes", "azure-disable-load-balancer-nsg-rule": "no", "azure-load-balancer-disable-tcp-reset": "1 ",
		"azure-disable-load-balancer-floating-ip": "on", "azure-load-balancer-enable-high-availability-ports": "off", "azure-load-balancer-health-probe-protocol": "icmp",
		"azure-load-balancer-health-probe-request-path": "x", "azure-load-balancer-health-probe-interval": "4", "azure-load-balancer-health-probe-num-of-probe": "0",
		"port_80_no_lb_rule": "x", "port_80_no_probe_rule": "x", "port_80_health-probe_protocol": "x", "port_80_health-probe_port": "", "port_80_health-probe_interval": "x",
		"port_80_health-probe_num-of-probe": "x", "port_80_health-probe_request-path": "x", "port_99999_no_lb_rule": "true", "port_80_magic": "x",
	} {
		_, problems, _ := readSettings(map[string]string{prefix + key: value})
		if len(problems) != 1 || !strings.Contains(problems[0], prefix+key+": ") {
			t.Errorf("%s=%q: %q", key, value, problems)
		}
	}
	for key := range setters {
		if _, problems, notes := readSettings(map[string]string{prefix + key: "\x00"}); len(problems)+len(notes) == 0 && key != "azure-load-balancer-resource-group" && key != "azure-load-balancer-internal-subnet" {
			t.Errorf("%s takes anything", key)
		}
	}
	for _, key := range []string{"azure-load-balancer-mode", "azure-shared-securityrule", "azure-additional-public-ips", "azure-load-balancer-tpyo"} {
		if _, problems, notes := readSettings(map[string]string{prefix + key: "x"}); len(problems) > 0 || len(notes) != 1 || !strings.Contains(notes[0], key) {
			t.Errorf("%s: %q, %q", key, problems, notes)
		}
	}
	if _, problems, notes := readSettings(map[string]string{"example.com/azure-pip-name": "/", prefix + "aws-load-balancer-type": "x"}); len(problems)+len(notes) > 0 {
		t.Errorf("other's annotations: %q, %q", problems, notes)
	}
}

// TestAnotherSubscription: nodes of a network in another subscription are reached through a pool that says so.
func TestAnotherSubscription(t *testing.T) {
	other := strings.Replace(networkID("east"), testSubscription, "00000000-0000-0000-0000-000000000002", 1)
	w := newWorld(t, nil, slow())
	w.sim.AddNetwork(other, "eastus", "10.100.0.0/16", "lb")
	for m, l := range w.config.Members {
		l.VirtualNetwork = other
		w.config.Members[m] = l
	}
	w.start()
	w.web(nil)
	w.settle()
	w.reaches("web", "m1", "m2")
	if !strings.Contains(w.json(), `"syncMode":"Manual"`) {
		t.Errorf("in place is %s", w.json())
	}
	w.start()
	w.sim.Forget()
	w.settle()
	if writes := w.writes(); len(writes) > 0 {
		t.Errorf("a second pass writes %q", writes)
	}
}
