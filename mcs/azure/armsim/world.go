package armsim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// network is a virtual network with its subnets.
type network struct {
	id      string
	region  string
	prefix  netip.Prefix
	subnets map[string]netip.Prefix // by lower-cased name
}

// AddGroup makes a resource group.
func (s *Server) AddGroup(subscription, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[strings.ToLower("/subscriptions/"+subscription+"/resourceGroups/"+name)] = true
}

// AddNetwork makes a virtual network with one subnet that is all of it.
func (s *Server) AddNetwork(id, region, prefix, subnet string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := netip.MustParsePrefix(prefix)
	s.networks[strings.ToLower(id)] = &network{id: id, region: region, prefix: p, subnets: map[string]netip.Prefix{strings.ToLower(subnet): p}}
}

// AddSecurityGroup makes a network security group without rules of its own.
func (s *Server) AddSecurityGroup(id, region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, _ := parsePath(id)
	res := &resource{id: id, kind: "networkSecurityGroups", name: p.name, region: region, properties: map[string]any{"securityRules": []any{}}, state: "Succeeded", etag: s.newETag()}
	s.resources[strings.ToLower(id)] = res
}

// AddPublicIP makes a public IP that nobody has tagged, and returns its address.
func (s *Server) AddPublicIP(id, region, tier string, tags map[string]string) netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, _ := parsePath(id)
	res := &resource{id: id, kind: "publicIPAddresses", name: p.name, region: region, sku: map[string]any{"name": "Standard", "tier": tier}, tags: map[string]any{},
		properties: map[string]any{"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}, state: "Succeeded", etag: s.newETag()}
	for key, value := range tags {
		res.tags[key] = value
	}
	res.properties["ipAddress"] = s.allocatePublic(res)
	s.resources[strings.ToLower(id)] = res
	return netip.MustParseAddr(text(res.properties, "ipAddress"))
}

// AddRule writes a rule into a network security group, as somebody else would.
func (s *Server) AddRule(group string, rule map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	res := s.resources[strings.ToLower(group)]
	res.properties["securityRules"] = append(items(res.properties, "securityRules"), clone(rule))
	res.etag = s.newETag()
}

// Edit changes the properties and tags of a resource, as somebody else would; nothing is checked.
func (s *Server) Edit(id string, edit func(properties, tags map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	res := s.resources[strings.ToLower(id)]
	if res == nil {
		panic("armsim: there is no " + id)
	}
	res.tags = orEmpty(res.tags)
	edit(res.properties, res.tags)
	res.etag = s.newETag()
}

// IDs returns the resources of a kind that stand, sorted.
func (s *Server) IDs(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var out []string
	for _, res := range s.resources {
		if res.kind == kind {
			out = append(out, res.id)
		}
	}
	slices.Sort(out)
	return out
}

// Resource returns a resource as a GET would answer it; nil when there is none.
func (s *Server) Resource(id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	if res := s.resources[strings.ToLower(id)]; res != nil {
		return res.json()
	}
	return nil
}

// allocatePublic gives a public address that nobody had before.
func (s *Server) allocatePublic(res *resource) string {
	s.counter++
	n := s.counter
	first := 20
	if text(res.sku, "tier") == "Global" {
		first = 4
	}
	return fmt.Sprintf("%d.%d.%d.%d", first, 50+n/64516%100, n/254%254+1, n%254+1)
}

// subnetOf returns the network and the prefix of a subnet.
func (s *Server) subnetOf(id string) (*network, netip.Prefix, bool) {
	i := strings.LastIndex(strings.ToLower(id), "/subnets/")
	if i < 0 {
		return nil, netip.Prefix{}, false
	}
	n := s.networks[strings.ToLower(id[:i])]
	if n == nil {
		return nil, netip.Prefix{}, false
	}
	p, ok := n.subnets[strings.ToLower(id[i+len("/subnets/"):])]
	return n, p, ok
}

// privateInUse returns the load balancer that has an address of a network.
func (s *Server) privateInUse(n *network, a netip.Addr) string {
	for _, res := range s.resources {
		for _, f := range items(res.properties, "frontendIPConfigurations") {
			of, _, ok := s.subnetOf(text(object(object(f, "properties"), "subnet"), "id"))
			if ok && of == n && text(object(f, "properties"), "privateIPAddress") == a.String() {
				return res.id
			}
		}
	}
	for _, c := range s.clusters {
		if strings.EqualFold(c.Network, n.id) && slices.ContainsFunc(c.Nodes, func(node Node) bool { return node.Address == a }) {
			return "a machine"
		}
	}
	return ""
}

// allocatePrivate gives an address of a subnet from its end.
func (s *Server) allocatePrivate(n *network, p netip.Prefix) string {
	bytes := p.Masked().Addr().As4()
	size := uint32(1) << (32 - p.Bits())
	base := uint32(bytes[0])<<24 | uint32(bytes[1])<<16 | uint32(bytes[2])<<8 | uint32(bytes[3])
	for i := size - 2; i > 3; i-- { // Azure keeps the first four addresses and the last
		v := base + i
		a := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		if s.privateInUse(n, a) == "" {
			return a.String()
		}
	}
	return ""
}
