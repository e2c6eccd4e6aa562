package armsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Cluster is a Kubernetes cluster in a virtual network, as far as packets care.
type Cluster struct {
	Name          string
	Network       string // ID
	SecurityGroup string // ID of the network security group before its nodes; empty for one that lets everything in
	Nodes         []Node
	Services      []Service
}

// Node is a machine with a kube-proxy.
type Node struct {
	Name    string
	Address netip.Addr
	Down    bool // nothing answers
}

// Service is what the kube-proxies of a cluster know of one Service.
type Service struct {
	Name      string
	Addresses []netip.Addr // status.loadBalancer.ingress
	Ports     []ServicePort
	Endpoints int // ready ones
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Protocol string // TCP, UDP
	Port     int
	NodePort int // 0 for none
}

// SetClusters tells where machines are. Azure never asks.
func (s *Server) SetClusters(clusters []Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters = clusters
}

// Reach is what becomes of new connections to an address.
type Reach struct {
	// Clusters are those whose pods answer, sorted.
	Clusters []string
	// Nodes are the nodes that connections come to and are answered from, sorted.
	Nodes []string
	// Lost are the ways that end nowhere although connections go there, each with its reason, sorted.
	Lost []string
	// Closed is why there is no way at all; empty when there is one.
	Closed string
}

// packet is what a client sends.
type packet struct {
	source   string // Internet, or VirtualNetwork
	to       netip.Addr
	port     int
	protocol string // Tcp, Udp
}

// Reach tells where new connections to address and port end up. A client of an internal frontend is in its virtual network, one of
// a public frontend is on the Internet.
func (s *Server) Reach(address netip.Addr, port int, protocol string) Reach {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	return s.reach(address, port, strings.ToUpper(protocol[:1])+strings.ToLower(protocol[1:]))
}

func (s *Server) reach(address netip.Addr, port int, protocol string) Reach {
	var out Reach
	p := packet{to: address, port: port, protocol: protocol}
	lb, front := s.frontendAt(address)
	if lb == nil {
		out.Closed = "no frontend has this address"
		return out
	}
	p.source = "Internet"
	if object(object(front, "properties"), "publicIPAddress") == nil {
		p.source = "VirtualNetwork"
	}
	if text(lb.sku, "tier") == "Global" {
		s.throughGlobal(lb, front, p, &out)
	} else {
		s.throughRegional(lb, front, p, &out)
	}
	slices.Sort(out.Clusters)
	out.Clusters = slices.Compact(out.Clusters)
	slices.Sort(out.Nodes)
	slices.Sort(out.Lost)
	return out
}

// frontendAt returns the frontend that has an address.
func (s *Server) frontendAt(a netip.Addr) (*resource, any) {
	for _, lb := range s.resources {
		for _, f := range items(lb.properties, "frontendIPConfigurations") {
			if s.addressOf(f) == a.String() {
				return lb, f
			}
		}
	}
	return nil, nil
}

func (s *Server) addressOf(frontend any) string {
	p := object(frontend, "properties")
	if ip := s.resources[strings.ToLower(text(object(p, "publicIPAddress"), "id"))]; ip != nil {
		return text(ip.properties, "ipAddress")
	}
	return text(p, "privateIPAddress")
}

// ruleFor returns the rule that takes a packet at a frontend.
func ruleFor(lb *resource, front any, port int, protocol string) map[string]any {
	for _, r := range items(lb.properties, "loadBalancingRules") {
		p := object(r, "properties")
		if strings.EqualFold(text(object(p, "frontendIPConfiguration"), "id"), text(front, "id")) &&
			(text(p, "protocol") == "All" || number(p, "frontendPort") == port && text(p, "protocol") == protocol) {
			return p
		}
	}
	return nil
}

func poolOf(lb *resource, rule map[string]any) map[string]any {
	for _, to := range items(lb.properties, "backendAddressPools") {
		if strings.EqualFold(text(to, "id"), text(object(rule, "backendAddressPool"), "id")) {
			return object(to, "properties")
		}
	}
	return nil
}

func (s *Server) throughGlobal(lb *resource, front any, p packet, out *Reach) {
	rule := ruleFor(lb, front, p.port, p.protocol)
	if rule == nil {
		out.Closed = fmt.Sprintf("no rule takes %s %d", p.protocol, p.port)
		return
	}
	for _, a := range items(poolOf(lb, rule), "loadBalancerBackendAddresses") {
		id := text(object(object(a, "properties"), "loadBalancerFrontendIPConfiguration"), "id")
		regional, to := s.frontend(id)
		if to == nil {
			out.Lost = append(out.Lost, id+" is not there")
			continue
		}
		next := p
		if !truth(rule, "enableFloatingIP") {
			next.to = netip.MustParseAddr(s.addressOf(to))
		}
		s.throughRegional(regional, to, next, out)
	}
}

func (s *Server) throughRegional(lb *resource, front any, p packet, out *Reach) {
	rule := ruleFor(lb, front, p.port, p.protocol)
	if rule == nil {
		out.Closed = fmt.Sprintf("no rule takes %s %d", p.protocol, p.port)
		return
	}
	probed := text(object(rule, "probe"), "id") != ""
	to := poolOf(lb, rule)
	for _, a := range items(to, "loadBalancerBackendAddresses") {
		q := object(a, "properties")
		if text(q, "adminState") == "Down" && probed {
			continue
		}
		s.toNode(text(object(to, "virtualNetwork"), "id"), text(q, "ipAddress"), rule, p, out)
	}
	if len(out.Nodes)+len(out.Lost) == 0 {
		out.Closed = "no backend takes new connections"
	}
}

// toNode follows a packet to one address of a pool.
func (s *Server) toNode(network, address string, rule map[string]any, p packet, out *Reach) {
	lost := func(format string, args ...any) {
		out.Lost = append(out.Lost, address+": "+fmt.Sprintf(format, args...))
	}
	probed := text(object(rule, "probe"), "id") != ""
	for _, c := range s.clusters {
		for _, n := range c.Nodes {
			if n.Address.String() != address || !strings.EqualFold(c.Network, network) {
				continue
			}
			if n.Down {
				if !probed {
					lost("the node is down, and no probe finds out")
				}
				return
			}
			if truth(rule, "enableFloatingIP") {
				s.toService(c, n, p, func(svc Service, port ServicePort) bool {
					return port.Port == p.port && slices.Contains(svc.Addresses, p.to)
				}, lost, out)
				return
			}
			p.to, p.port = n.Address, number(rule, "backendPort")
			s.toService(c, n, p, func(_ Service, port ServicePort) bool { return port.NodePort == p.port }, lost, out)
			return
		}
	}
	lost("no machine in %s has this address", network)
}

func (s *Server) toService(c Cluster, n Node, p packet, match func(Service, ServicePort) bool, lost func(string, ...any), out *Reach) {
	if c.SecurityGroup != "" && !s.letsIn(c.SecurityGroup, p) {
		lost("the network security group lets %s %d to %s from %s not in", p.protocol, p.port, p.to, p.source)
		return
	}
	for _, svc := range c.Services {
		for _, port := range svc.Ports {
			if !strings.EqualFold(port.Protocol, p.protocol) || !match(svc, port) {
				continue
			}
			if svc.Endpoints == 0 {
				lost("Service %s of cluster %s has no endpoint", svc.Name, c.Name)
				return
			}
			out.Clusters, out.Nodes = append(out.Clusters, c.Name), append(out.Nodes, c.Name+"/"+n.Name)
			return
		}
	}
	lost("no Service of cluster %s takes %s %d to %s", c.Name, p.protocol, p.port, p.to)
}

// letsIn evaluates a network security group, and then Azure's default rules: what comes from the virtual network may in, and nothing else.
func (s *Server) letsIn(group string, p packet) bool {
	res := s.resources[strings.ToLower(group)]
	if res == nil {
		return true
	}
	rules := slices.Clone(items(res.properties, "securityRules"))
	slices.SortFunc(rules, func(a, b any) int {
		return number(object(a, "properties"), "priority") - number(object(b, "properties"), "priority")
	})
	for _, r := range rules {
		q := object(r, "properties")
		if text(q, "direction") == "Inbound" && (text(q, "protocol") == "*" || text(q, "protocol") == p.protocol) &&
			matches(q, "sourceAddressPrefix", p.source) && matches(q, "destinationAddressPrefix", p.to.String()) && matches(q, "destinationPortRange", fmt.Sprint(p.port)) {
			return text(q, "access") == "Allow"
		}
	}
	return p.source == "VirtualNetwork"
}

// matches tells whether a field of a rule, or its list, holds value.
func matches(q map[string]any, field, value string) bool {
	list := []string{text(q, field)}
	for _, plural := range []string{field + "es", field + "s"} {
		for _, v := range items(q, plural) {
			list = append(list, fmt.Sprint(v))
		}
	}
	return slices.Contains(list, "*") || slices.Contains(list, value)
}

// serveOwn answers what Azure does not have: GET /armsim/reach?to=ADDRESS:PORT[&protocol=udp], and PUT /armsim/clusters with a list of
// Cluster.
func (s *Server) serveOwn(w http.ResponseWriter, r *http.Request, body any) {
	w.Header().Set("Content-Type", "application/json")
	switch r.Method + " " + r.URL.Path {
	case "GET /armsim/reach":
		to, err := netip.ParseAddrPort(r.URL.Query().Get("to"))
		if err != nil {
			http.Error(w, "to: want ADDRESS:PORT", http.StatusBadRequest)
			return
		}
		protocol := "Tcp"
		if strings.EqualFold(r.URL.Query().Get("protocol"), "udp") {
			protocol = "Udp"
		}
		json.NewEncoder(w).Encode(s.reach(to.Addr(), int(to.Port()), protocol))
	case "PUT /armsim/clusters":
		data, _ := json.Marshal(body)
		var clusters []Cluster
		if err := json.Unmarshal(data, &clusters); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.clusters = clusters
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "want GET /armsim/reach or PUT /armsim/clusters", http.StatusNotFound)
	}
}
