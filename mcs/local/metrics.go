package local

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

// BackendMetrics are the figures of one backend of one port. Counters begin when the backend comes.
type BackendMetrics struct {
	Service  mcs.Key
	Port     uint16
	Protocol corev1.Protocol
	Cluster  string
	Target   netip.AddrPort

	Open     int    // connections, or UDP sessions, now
	Opened   uint64 // in all
	BytesIn  uint64 // from clients
	BytesOut uint64 // to clients
	Failures uint64 // attempts to reach it, for clients and by checks
	Ejected  bool
	Draining bool
}

// Metrics returns the figures of every backend behind an open port, sorted by service, port, protocol and target.
func (p *Provider) Metrics() []BackendMetrics {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []BackendMetrics
	for key, b := range p.balancers {
		for at, f := range b.fronts {
			for _, m := range f.pool.metrics() {
				m.Service, m.Port, m.Protocol = key.Key, at.number, at.protocol
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b BackendMetrics) int {
		return cmp.Or(cmp.Compare(a.Service.String(), b.Service.String()), cmp.Compare(a.Port, b.Port),
			cmp.Compare(a.Protocol, b.Protocol), a.Target.Compare(b.Target))
	})
	return out
}

func (p *pool) metrics() []BackendMetrics {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]BackendMetrics, 0, len(p.active)+len(p.draining))
	for _, b := range p.active {
		out = append(out, p.metricsOf(b))
	}
	for _, b := range p.draining {
		m := p.metricsOf(b)
		m.Draining = true
		out = append(out, m)
	}
	return out
}

// metricsOf is called with mu held.
func (p *pool) metricsOf(b *backend) BackendMetrics {
	return BackendMetrics{Cluster: b.cluster, Target: b.target, Open: len(b.flows), Opened: b.opened.Load(),
		BytesIn: uint64(b.in.Load()), BytesOut: uint64(b.out.Load()),
		Failures: b.failures.Load(), Ejected: b.health.ejected(p.now())}
}
