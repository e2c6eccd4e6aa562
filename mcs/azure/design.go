package azure

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

// design is everything that shall stand for one service, given what stands. It is a value: nothing is asked for it.
type design struct {
	Key     mcs.Key
	Parts   []part // the regional ones, by place
	Global  *part
	Rules   []securityRule
	Groups  []string // IDs of the security groups that Rules are about, also those from which all go
	Refused []string // why nothing is written, for a person, with the remedy
	Notes   []string // what has no effect, or is left out, and why
	// Keep tells that nothing is exported now: what stands stays, with nothing behind it.
	Keep bool
	// Unseen are members that cannot be seen: what pools have of them stays.
	Unseen []string
	// Waiting tells that a cluster is not yet in that shall be: what is to be replaced stays until it is.
	Waiting bool
	// Unaware tells that nodes in pools do not know the global address yet: what comes to that would be lost there.
	Unaware bool
}

// part is one load balancer with its address.
type part struct {
	Place    string // where it is, for a person
	LB       loadBalancer
	IP       *publicIP       // ours; nil when the frontend is internal, or the address was brought
	Brought  string          // ID of a public IP that a user made
	ByIP     netip.Addr      // address of one that a user made; its ID is found when it is needed
	Clusters []string        // that have nodes here, or may
	Unknown  []string        // clusters whose nodes are not known: what the pool has of them stays
	Present  map[string]bool // by backendName: nodes that are there, whether or not they take connections
}

// place is what one pool can span: one network. Regions are those of networks.
type place struct{ region, network string }

func (p place) String() string { return lastOf(p.network) + " in " + p.region }

// Limits of Azure that a design is checked against: https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#load-balancer
const (
	mostRules       = 1500  // of a load balancer
	mostPool        = 5000  // addresses of a pool
	mostGlobalPool  = 300   // frontends of a pool of tier Global
	mostConfigs     = 10000 // rules times addresses, of one frontend
	mostRulesOfNode = 300   // over all load balancers that a node is behind
	longestProbe    = 120   // seconds: interval times threshold stays below
)

// What is written where nobody asks for anything else, and the names of what each load balancer has one of.
const (
	healthzPort       = 10256 // kube-proxy's
	healthzPath       = "/healthz"
	defaultIdle       = 4 // minutes
	defaultInterval   = 5 // seconds
	defaultThreshold  = 2
	frontendName      = "frontend"
	poolName          = "nodes"
	regionalPool      = "regions"
	distribution5     = "Default"
	distributionBySrc = "SourceIP"
)

// designer makes designs.
type designer struct {
	Config
	owner owner
}

// design returns what shall stand for lb while f stands.
func (c designer) design(lb mcs.LoadBalancer, f found) design {
	d := design{Key: lb.Key().Key}
	for _, s := range lb.Sites {
		if s.Unseen {
			d.Unseen = append(d.Unseen, s.Name)
		}
	}
	if len(lb.Ports) == 0 {
		d.Keep = true
		return d
	}
	s, problems, notes := readSettings(lb.Annotations)
	d.Refused, d.Notes = problems, notes
	sites := c.place(lb, &d, f)
	places := slices.SortedFunc(maps.Keys(sites), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.region, b.region), cmp.Compare(at(a.network), at(b.network)))
	})
	if len(d.Refused) == 0 {
		d.Refused = c.refusals(lb, s, places)
	}
	if len(d.Refused) > 0 {
		return d
	}
	if len(places) == 0 { // where the exporters lie is not known: what stands stays
		d.Refused = append(d.Refused, "no member that exports "+lb.Import.String()+" has a known place")
		return d
	}
	if weighed(lb.Weights) {
		d.Notes = append(d.Notes, "weights other than 0 have no effect: load balancers of Azure have none")
	}
	spans := len(places) > 1
	for _, p := range places {
		d.Parts = append(d.Parts, c.regional(lb, s, p, sites[p], spans))
	}
	if spans {
		d.Global = c.global(lb, s, d.Parts)
	}
	for i := range d.Parts {
		c.populate(&d, i, lb, s, sites[places[i]], f)
	}
	c.secure(&d, lb, s, sites, places, f)
	d.Refused = append(d.Refused, d.exceeded()...)
	slices.Sort(d.Notes)
	return d
}

// place groups the sites by network. One that lies nobody knows where is left out, unless it was in before: then nothing may change.
func (c designer) place(lb mcs.LoadBalancer, d *design, f found) map[place][]mcs.Site {
	sites := map[place][]mcs.Site{}
	networks := map[string]place{}
	for _, s := range lb.Sites {
		if s.Unseen && !f.has(s.Name) {
			continue // there is nothing of it, and nothing can be told of it
		}
		l, err := c.locate(s.Member)
		if err != nil {
			if f.has(s.Name) {
				d.Refused = append(d.Refused, err.Error()+"; until then nothing of this service is changed")
			} else {
				d.Notes = append(d.Notes, err.Error())
			}
			continue
		}
		p, known := networks[at(l.VirtualNetwork)]
		if !known {
			p = place{l.Region, l.VirtualNetwork}
			networks[at(l.VirtualNetwork)] = p
		}
		if p.region != l.Region {
			d.Refused = append(d.Refused, fmt.Sprintf("member %s is said to be in %s, and its network %s in %s: a network is in one region", s.Name, l.Region, lastOf(l.VirtualNetwork), p.region))
		}
		sites[p] = append(sites[p], s)
	}
	return sites
}

const useService = "use --load-balancer service, which has each member's own load balancer carry it over the peered networks"

// refusals tell what Azure cannot do.
func (c designer) refusals(lb mcs.LoadBalancer, s settings, places []place) []string {
	var out []string
	refuse := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if lb.Internal && len(places) > 1 {
		refuse("an internal load balancer of Azure reaches one virtual network, and the exporters are in %s: %s", listed(places), useService)
	}
	if !lb.Internal && len(places) > 1 && c.GlobalRegion == "" {
		refuse("the exporters are in %s, which takes a load balancer of tier Global: set globalRegion in the provider file", listed(places))
	}
	if lb.Internal && (s.IP != "" || s.Prefix != "" || !s.AnyLabel || len(s.IPTags) > 0) {
		refuse("annotations azure-pip-* and azure-dns-label-name are about public addresses, and the load balancer is internal: remove either")
	}
	if s.AllPorts && !lb.Internal {
		refuse("annotation azure-load-balancer-enable-high-availability-ports: only internal load balancers have such a rule")
	}
	for _, p := range lb.Ports {
		if p.Protocol == corev1.ProtocolSCTP && !(s.AllPorts && lb.Internal) {
			refuse("port %d: SCTP is carried by internal load balancers with the annotation azure-load-balancer-enable-high-availability-ports only", p.Port)
		}
		if p.Protocol == corev1.ProtocolUDP && p.Port == 3 && len(places) > 1 {
			refuse("port 3: load balancers of tier Global do not carry UDP on it")
		}
	}
	if v := s.Address; v.IsValid() && v.IsPrivate() != lb.Internal {
		refuse("annotation azure-load-balancer-ipv4: %s is no address for %s load balancer", v, map[bool]string{true: "an internal", false: "a public"}[lb.Internal])
	}
	if len(s.Sources)+len(s.ServiceTags) > 0 {
		for _, site := range lb.Sites {
			if l, err := c.locate(site.Member); err == nil && l.NetworkSecurityGroup == "" {
				refuse("annotations azure-allowed-ip-ranges and azure-allowed-service-tags take a network security group, and member %s has none in the provider file: set members.%s.networkSecurityGroup", site.Name, site.Name)
			}
		}
	}
	return append(out, c.probeRefusals(s)...)
}

func (c designer) probeRefusals(s settings) []string {
	var out []string
	check := func(where string, p probeSettings, inherited probeSettings) {
		interval, threshold := cmp.Or(p.Interval, inherited.Interval, defaultInterval), cmp.Or(p.Threshold, inherited.Threshold, defaultThreshold)
		if interval*threshold >= longestProbe {
			out = append(out, fmt.Sprintf("health probe%s: %d times %d s is not below the %d s that Azure allows", where, threshold, interval, longestProbe))
		}
		if (p.Protocol != "" || p.Path != "") && p.Port == "" && c.mode(s) == ModeVIP {
			out = append(out, fmt.Sprintf("health probe%s: a protocol or path takes a port that nodes answer at: set port_N_health-probe_port, or azure-disable-load-balancer-floating-ip", where))
		}
	}
	check("", s.Probe, probeSettings{})
	for _, port := range slices.Sorted(maps.Keys(s.Ports)) {
		check(fmt.Sprintf(" of port %d", port), s.Ports[port].Probe, s.Probe)
	}
	return out
}

// mode is how connections get to pods.
func (c designer) mode(s settings) Mode {
	if s.NodePort && c.Mode == ModeVIP {
		return ModeNodePort
	}
	return c.Mode
}

// regional is the load balancer of lb in one network, without what is in its pool.
func (c designer) regional(lb mcs.LoadBalancer, s settings, p place, sites []mcs.Site, spans bool) part {
	key := lb.Key().Key
	exposure := map[bool]string{true: "internal", false: "public"}[lb.Internal]
	name := c.owner.resourceNameOf(key, p.region, at(p.network), exposure)
	tags := c.owner.tags(key, lb.Clusters, nil)
	out := part{Place: p.String(), LB: loadBalancer{ID: c.id("", "loadBalancers", name), Region: p.region, Tags: tags}, Present: map[string]bool{}}
	for _, site := range sites {
		out.Clusters = append(out.Clusters, site.Name)
	}
	front := frontend{Name: frontendName}
	if lb.Internal {
		front.Subnet = c.subnet(s, p, sites)
		front.Address, front.Static = s.Address, s.Address.IsValid()
	} else {
		front.PublicIP = c.publicFrontend(&out, key, lb, s, p.region, name, !spans)
	}
	out.LB.Frontends = []frontend{front}
	out.LB.Pools = []pool{{Name: poolName, Network: p.network, Manual: !same(subscriptionOf(p.network), c.Subscription)}}
	c.addRules(&out, lb, s)
	return out
}

// subnet is where an internal frontend gets its address.
func (c designer) subnet(s settings, p place, sites []mcs.Site) string {
	subnet := s.Subnet
	for _, site := range sites {
		if l, err := c.locate(site.Member); err == nil && subnet == "" {
			subnet = l.Subnet
		}
	}
	if subnet != "" && !strings.Contains(subnet, "/") {
		subnet = p.network + "/subnets/" + subnet
	}
	return subnet
}

// publicFrontend says which public IP a frontend has, and returns its ID. What annotations say of the address is about the one that
// clients use.
func (c designer) publicFrontend(out *part, key mcs.Key, lb mcs.LoadBalancer, s settings, region, name string, forClients bool) string {
	if forClients && s.IP != "" {
		out.Brought = c.id(s.Group, "publicIPAddresses", s.IP)
		return out.Brought
	}
	if forClients && s.Address.IsValid() {
		out.ByIP = s.Address // the ID is filled in when it is found
		return ""
	}
	group := ""
	ip := &publicIP{Region: region, Zones: c.Zones[region], AnyLabel: true, Tags: c.owner.tags(key, lb.Clusters, s.Tags)}
	if forClients {
		group = s.Group
		ip.Prefix, ip.IPTags, ip.Label, ip.AnyLabel = s.Prefix, s.IPTags, s.Label, s.AnyLabel
	}
	ip.ID = c.id(group, "publicIPAddresses", name)
	out.IP = ip
	return ip.ID
}

// addRules adds the rules of lb's ports and the probes behind them.
func (c designer) addRules(out *part, lb mcs.LoadBalancer, s settings) {
	mode := c.mode(s)
	base := rule{Frontend: frontendName, Pool: poolName, FloatingIP: mode == ModeVIP, Idle: cmp.Or(s.Idle, defaultIdle), Distribution: distribution5}
	if lb.ClientAffinity > 0 {
		base.Distribution = distributionBySrc
	}
	if s.AllPorts {
		r := base
		r.Name, r.Protocol, r.FloatingIP = "all", "All", true
		r.Probe = out.addProbe(c.probe(lb, s, mcs.Port{}, 0))
		out.LB.Rules = append(out.LB.Rules, r)
		return
	}
	for _, p := range lb.Ports {
		if s.Ports[p.Port].NoRule {
			continue
		}
		r := base
		r.Name, r.FrontendPort = ruleName(p), p.Port
		r.Protocol = map[bool]string{true: "Udp", false: "Tcp"}[p.Protocol == corev1.ProtocolUDP]
		r.Reset = r.Protocol == "Tcp" && !s.NoReset
		r.BackendPort = c.backendPort(mode, lb, p)
		if !s.Ports[p.Port].NoProbe {
			r.Probe = out.addProbe(c.probe(lb, s, p, r.BackendPort))
		}
		if r.BackendPort > 0 && (!lb.LocalTraffic || healthCheckPort(lb.Sites) > 0) { // else it is not known yet
			out.LB.Rules = append(out.LB.Rules, r)
		}
	}
	slices.SortFunc(out.LB.Rules, func(a, b rule) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.LB.Probes, func(a, b probe) int { return cmp.Compare(a.Name, b.Name) })
}

func ruleName(p mcs.Port) string {
	return strings.ToLower(string(cmp.Or(p.Protocol, corev1.ProtocolTCP))) + "-" + fmt.Sprint(p.Port)
}

// addProbe returns the name of a probe, which rules that ask for the same share.
func (p *part) addProbe(want probe) string {
	want.Name = strings.ToLower(want.Protocol) + "-" + fmt.Sprint(want.Port)
	if want.Path != "" || want.Interval != defaultInterval || want.Threshold != defaultThreshold {
		want.Name += "-" + digest(digestLength, want.Path, fmt.Sprint(want.Interval), fmt.Sprint(want.Threshold))
	}
	if !slices.Contains(p.LB.Probes, want) {
		p.LB.Probes = append(p.LB.Probes, want)
	}
	return want.Name
}

// probe is what finds out whether a node takes connections for a port. kube-proxy tells at healthzPort whether it works at all, and for a
// Service with external traffic policy Local, at its own port, whether the node has pods of it (KEP-3458, KEP-3836).
func (c designer) probe(lb mcs.LoadBalancer, s settings, p mcs.Port, backendPort int32) probe {
	of := s.Ports[p.Port].Probe
	out := probe{Protocol: "Http", Port: healthzPort, Path: healthzPath,
		Interval: cmp.Or(of.Interval, s.Probe.Interval, defaultInterval), Threshold: cmp.Or(of.Threshold, s.Probe.Threshold, defaultThreshold)}
	if lb.LocalTraffic {
		out.Port = healthCheckPort(lb.Sites)
	}
	if c.mode(s) == ModePod && backendPort > 0 {
		out.Protocol, out.Port, out.Path = "Tcp", backendPort, ""
	}
	protocol, path := cmp.Or(of.Protocol, s.Probe.Protocol), cmp.Or(of.Path, s.Probe.Path)
	if port := probedPort(of.Port, lb); port > 0 {
		out.Protocol, out.Port, out.Path = "Tcp", port, ""
	} else if protocol != "" && backendPort > 0 {
		out.Protocol, out.Port, out.Path = "Tcp", backendPort, ""
	}
	if protocol != "" {
		out.Protocol = protocol
	}
	if out.Protocol == "Tcp" {
		out.Path = ""
	} else if out.Path = cmp.Or(path, out.Path); out.Path == "" {
		out.Path = "/"
	}
	return out
}

// probedPort reads a port by its number, or by the name of one of the service's, which stands for its node port.
func probedPort(text string, lb mcs.LoadBalancer) int32 {
	if n, err := within(text, 1, 65535); err == nil {
		return n
	}
	for _, p := range lb.Ports {
		if text != "" && p.Name == text {
			return nodePort(p, lb.Sites)
		}
	}
	return 0
}

// backendPort is where a rule sends connections to; 0 while that is not known.
func (c designer) backendPort(mode Mode, lb mcs.LoadBalancer, p mcs.Port) int32 {
	switch mode {
	case ModeNodePort:
		return nodePort(p, lb.Sites)
	case ModePod:
		return targetPort(lb, p)
	}
	return p.Port
}

// nodePort is the node port that the members' Services have for p.
func nodePort(p mcs.Port, sites []mcs.Site) int32 {
	for _, s := range sites {
		if s.Service == nil {
			continue
		}
		if n := nodePortOf(s.Service, p); n > 0 {
			return n
		}
	}
	return 0
}

// healthCheckPort is where nodes tell whether they have pods of a load balancer, as the first member that has such a port says; 0 while
// none has.
func healthCheckPort(sites []mcs.Site) int32 {
	for _, s := range sites {
		if s.Service != nil && s.Service.HealthCheckNodePort > 0 {
			return s.Service.HealthCheckNodePort
		}
	}
	return 0
}

// targetPort is the port that all endpoints of p listen on; 0 when they do not agree.
func targetPort(lb mcs.LoadBalancer, p mcs.Port) int32 {
	var port uint16
	for _, b := range lb.Backends {
		if b.Port == p.Name {
			if port != 0 && port != b.Target.Port() {
				return 0
			}
			port = b.Target.Port()
		}
	}
	return int32(port)
}

// global is the load balancer in front of parts.
func (c designer) global(lb mcs.LoadBalancer, s settings, parts []part) *part {
	key := lb.Key().Key
	name := c.owner.resourceNameOf(key, "global")
	out := part{Place: "tier Global in " + c.GlobalRegion, LB: loadBalancer{ID: c.id("", "loadBalancers", name), Region: c.GlobalRegion, Global: true,
		Tags: c.owner.tags(key, lb.Clusters, nil)}, Present: map[string]bool{}}
	front := frontend{Name: frontendName, PublicIP: c.publicFrontend(&out, key, lb, s, c.GlobalRegion, name, true)}
	if out.IP != nil {
		out.IP.Global, out.IP.Zones = true, nil
	}
	out.LB.Frontends = []frontend{front}
	to := pool{Name: regionalPool}
	for _, p := range parts {
		id := p.LB.ID + "/frontendIPConfigurations/" + frontendName
		to.Backends = append(to.Backends, backend{Name: backendName(p.LB.Region, lastOf(p.LB.ID)), Frontend: id})
	}
	slices.SortFunc(to.Backends, func(a, b backend) int { return cmp.Compare(a.Name, b.Name) })
	out.LB.Pools = []pool{to}
	// Its backend port is the frontend port of the regional rule, and it has no probe: it reads the health of the regional ones.
	for _, r := range parts[0].LB.Rules {
		r.Pool, r.Probe, r.BackendPort = regionalPool, "", r.FrontendPort
		out.LB.Rules = append(out.LB.Rules, r)
	}
	return &out
}

func listed(places []place) string {
	var out []string
	for _, p := range places {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

func subscriptionOf(id string) string {
	parts := strings.Split(id, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// weighed tells whether weights ask for more than leaving clusters out.
func weighed(weights map[string]int) bool {
	shares := map[int]bool{}
	for _, w := range weights {
		if w > 0 {
			shares[w] = true
		}
	}
	return len(shares) > 1 || len(shares) == 1 && !shares[1]
}

// exceeded tells which limits of Azure the design goes beyond, before Azure does.
func (d design) exceeded() []string {
	var out []string
	exceed := func(p part, what string, have, most int) {
		if have > most {
			out = append(out, fmt.Sprintf("%s would have %d %s, and Azure allows %d", p.Place, have, what, most))
		}
	}
	parts := d.Parts
	if d.Global != nil {
		parts = append(parts[:len(parts):len(parts)], *d.Global)
	}
	for _, p := range parts {
		n, most := len(p.LB.Pools[0].Backends), mostPool
		if p.LB.Global {
			most = mostGlobalPool
		}
		exceed(p, "rules", len(p.LB.Rules), min(mostRules, mostRulesOfNode))
		exceed(p, "addresses in its pool", n, most)
		exceed(p, "rules times addresses", n*len(p.LB.Rules), mostConfigs)
	}
	return out
}
