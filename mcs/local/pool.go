package local

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
)

// flow is a TCP connection or UDP session that goes to one backend.
type flow interface {
	// abort ends the flow at once. It is called with pool.mu held.
	abort()
}

// pool is the backends of one port and the flows to them.
type pool struct {
	drain  time.Duration // 0 cuts the flows of a backend that is not wanted any more
	health healthOptions
	now    func() time.Time

	mu       sync.Mutex
	active   []*backend // in the plan's order; replaced as a whole, never changed
	draining map[netip.AddrPort]*backend
	closed   bool
	clusters map[string]*share // nil while clusters are not weighed
	turns    uint64            // counts picks: round robin
	sticky   affinity
}

// backend is one target. Guarded by pool.mu, but for what is atomic and never changes.
type backend struct {
	target  netip.AddrPort
	cluster string // the first that lists the target
	figures

	flows  map[flow]struct{}
	limit  *time.Timer // runs while draining
	gone   bool        // drained, or out of time: takes no flow any more
	turn   uint64      // of the last pick
	health health
}

// figures are counted since the backend came.
type figures struct {
	opened, failures atomic.Uint64
	in, out          atomic.Int64 // bytes from clients, and to them
}

// wish is what a load balancer says about one of its ports.
type wish struct {
	backends []mcs.Backend
	weights  map[string]int
	affinity time.Duration
}

func newPool(drain time.Duration, health healthOptions, now func() time.Time) *pool {
	return &pool{drain: drain, health: health, now: now, draining: map[netip.AddrPort]*backend{}}
}

// update makes the backends of w the only ones that get new flows. Flows to those that remain go on; flows to the others
// have until the drain limit. A target that comes back while it drains just goes on.
func (p *pool) update(w wish) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := make(map[netip.AddrPort]*backend, len(p.active))
	for _, b := range p.active {
		before[b.target] = b
	}
	active := make([]*backend, 0, len(w.backends))
	listed := make(map[netip.AddrPort]bool, len(w.backends))
	for _, wanted := range w.backends {
		t := wanted.Target
		if listed[t] { // clusters may share an address range; it is one endpoint from here
			continue
		}
		listed[t] = true
		b := before[t]
		delete(before, t)
		if b == nil {
			b = p.revive(t)
		}
		b.cluster = wanted.Cluster
		active = append(active, b)
	}
	p.active = active
	p.weigh(w.weights)
	p.sticky.setTimeout(w.affinity)
	for _, b := range before {
		p.startDraining(b)
	}
}

// revive returns the draining backend for t, or a new one.
func (p *pool) revive(t netip.AddrPort) *backend {
	b := p.draining[t]
	if b == nil {
		return &backend{target: t, flows: map[flow]struct{}{}}
	}
	b.limit.Stop()
	delete(p.draining, t)
	return b
}

func (p *pool) startDraining(b *backend) {
	if len(b.flows) == 0 || p.drain == 0 {
		p.cut(b)
		return
	}
	p.draining[b.target] = b
	var limit *time.Timer
	limit = time.AfterFunc(p.drain, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.draining[b.target] == b && b.limit == limit { // it may have come back while this waited for the lock
			p.cut(b)
		}
	})
	b.limit = limit
}

// cut ends every flow of b.
func (p *pool) cut(b *backend) {
	b.gone = true
	delete(p.draining, b.target)
	for f := range b.flows {
		f.abort()
	}
}

// drained tells whether nothing is left of a pool without targets.
func (p *pool) drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.active) == 0 && len(p.draining) == 0
}

// close cuts everything, and whatever is still being dialed.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, b := range p.draining {
		b.limit.Stop()
		p.cut(b)
	}
	for _, b := range p.active {
		p.cut(b)
	}
	p.active = nil
}

// register notes that f goes to b, unless b was taken away while it was dialed.
func (p *pool) register(b *backend, f flow) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || b.gone {
		return false
	}
	b.flows[f] = struct{}{}
	b.opened.Add(1)
	return true
}

// unregister notes that f has ended.
func (p *pool) unregister(b *backend, f flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(b.flows, f)
	if p.draining[b.target] == b && len(b.flows) == 0 {
		b.limit.Stop()
		b.gone = true
		delete(p.draining, b.target)
	}
}
