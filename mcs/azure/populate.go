package azure

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gitfleet/gitfleet/mcs"
)

// populate fills the pool of part i with the nodes of its clusters that take connections now.
func (c designer) populate(d *design, i int, lb mcs.LoadBalancer, s settings, sites []mcs.Site, f found) {
	p := &d.Parts[i]
	p.Unknown = slices.Clone(d.Unseen)
	to := &p.LB.Pools[0]
	for _, site := range sites {
		if site.Unseen {
			continue
		}
		if len(site.Nodes) == 0 {
			p.Unknown = append(p.Unknown, site.Name)
			continue
		}
		for _, n := range site.Nodes {
			if a, ok := first4(n); ok {
				p.Present[backendName(site.Name, a.String())] = true
			}
		}
		if w, weighed := lb.Weights[site.Name]; site.Endpoints == 0 || weighed && w == 0 {
			continue // as it was asked for
		}
		if why := c.out(*d, *p, lb, s, site, f); why != "" {
			d.Waiting = true
			d.Notes = append(d.Notes, fmt.Sprintf("cluster %s takes no connections: %s", site.Name, why))
			alone := *d
			alone.Global = nil
			if d.Global == nil || !f.holds(*p, site.Name) || c.out(alone, *p, lb, s, site, f) != "" {
				continue
			}
			d.Unaware = true // all that its nodes do not know is the global address, which is new: they go on
			d.Notes[len(d.Notes)-1] = fmt.Sprintf("cluster %s takes no connections to the global address yet", site.Name)
		}
		for _, a := range c.targets(lb, s, site) {
			to.Backends = append(to.Backends, backend{Name: backendName(site.Name, a.String()), Address: a})
			p.Present[backendName(site.Name, a.String())] = true
		}
	}
	slices.SortFunc(to.Backends, func(a, b backend) int { return cmp.Compare(a.Name, b.Name) })
}

// holds tells whether a part's pool has nodes of a cluster that take connections.
func (f found) holds(p part, cluster string) bool {
	return slices.ContainsFunc(f.LBs[at(p.LB.ID)].Pools, func(to pool) bool {
		return slices.ContainsFunc(to.Backends, func(b backend) bool { return !b.Down && ownerOf(b.Name) == cluster })
	})
}

// targets are the addresses of a site that go into a pool.
func (c designer) targets(lb mcs.LoadBalancer, s settings, site mcs.Site) []netip.Addr {
	var out []netip.Addr
	if c.mode(s) == ModePod {
		for _, b := range lb.Backends {
			if b.Cluster == site.Name && b.Target.Addr().Is4() {
				out = append(out, b.Target.Addr())
			}
		}
	} else {
		for _, n := range site.Nodes {
			if a, ok := first4(n); ok && !n.Excluded {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// out says why no connection may go to a site yet that shall take some; nothing when it may. A cluster is in only when its nodes are known to take in what comes
// to the address: a pool with an address that drops connections would be worse than one without.
func (c designer) out(d design, p part, lb mcs.LoadBalancer, s settings, site mcs.Site, f found) string {
	if c.mode(s) == ModePod {
		return c.podsOut(lb, site)
	}
	service := site.Service
	if service == nil || service.Deleting {
		return fmt.Sprintf("its Service %s/%s is not there yet", lb.Namespace, Name(lb.Key().Key))
	}
	if lb.LocalTraffic && service.HealthCheckNodePort != healthCheckPort(lb.Sites) {
		return fmt.Sprintf("its Service %s has health check port %d, and others have %d: delete it, and it is made again", service.Name, service.HealthCheckNodePort, healthCheckPort(lb.Sites))
	}
	for _, port := range lb.Ports {
		if want, have := nodePort(port, lb.Sites), nodePortOf(service, port); c.mode(s) == ModeNodePort && want != have {
			return fmt.Sprintf("its Service %s has node port %d for port %d, and others have %d", service.Name, have, port.Port, want)
		}
	}
	for _, a := range d.vips(p, f) {
		if !slices.Contains(service.Ingress, a.String()) {
			return fmt.Sprintf("its Service %s does not show %s yet", service.Name, a)
		}
	}
	if len(d.vips(p, f)) == 0 {
		return "the load balancer has no address yet"
	}
	return ""
}

// podsOut says why pods of a site cannot be in a pool.
func (c designer) podsOut(lb mcs.LoadBalancer, site mcs.Site) string {
	if l, err := c.locate(site.Member); err != nil || l.PodNetwork != "flat" {
		return fmt.Sprintf("mode pod takes pods with addresses of the virtual network: if they have such, set members.%s.podNetwork to flat in the provider file", site.Name)
	}
	for _, p := range lb.Ports {
		if targetPort(lb, p) == 0 {
			return fmt.Sprintf("the pods behind port %d do not all listen on the same port", p.Port)
		}
	}
	return ""
}

// vips are the addresses that packets to a part's nodes may have as their destination: its own, and that of the global frontend.
func (d design) vips(p part, f found) []netip.Addr {
	var out []netip.Addr
	if a := f.addressOf(p); a.IsValid() {
		out = append(out, a)
	}
	if d.Global != nil {
		if a := f.addressOf(*d.Global); a.IsValid() {
			out = append(out, a)
		} else {
			return nil // clients come to that one first
		}
	}
	return out
}

// addressOf is where a part's frontend is reached, once that is known: a public one as soon as its address is there.
func (f found) addressOf(p part) netip.Addr {
	front := p.LB.Frontends[0]
	if p.ByIP.IsValid() {
		return p.ByIP
	}
	if front.PublicIP != "" {
		return f.IPs[at(front.PublicIP)].Address
	}
	for _, have := range f.LBs[at(p.LB.ID)].Frontends {
		if same(have.Name, front.Name) && same(have.Subnet, front.Subnet) {
			return have.Address
		}
	}
	return netip.Addr{}
}
