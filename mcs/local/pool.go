package local

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxDials times the dial timeout is how long a client waits for any backend at all.
const maxDials = 5

type dialFunc func(context.Context, netip.AddrPort) (*net.TCPConn, error)

// pool is the backends of one port and the connections to them.
type pool struct {
	dial  dialFunc
	drain time.Duration

	mu       sync.Mutex
	active   []*backend // replaced as a whole, never changed
	next     int        // counts connections: round robin
	draining map[netip.AddrPort]*backend
	closed   bool
}

// backend is one target. Guarded by pool.mu, but for target.
type backend struct {
	target netip.AddrPort
	links  map[*link]struct{}
	limit  *time.Timer // runs while draining
	gone   bool        // drained, or out of time: takes no connection any more
}

func newPool(dial dialFunc, drain time.Duration) *pool {
	return &pool{dial: dial, drain: drain, draining: map[netip.AddrPort]*backend{}}
}

// update makes targets the only ones that get new connections. Connections to those that remain go on; connections to
// the others have until the drain limit. A target that comes back while it drains just goes on.
func (p *pool) update(targets []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := make(map[netip.AddrPort]*backend, len(p.active))
	for _, b := range p.active {
		before[b.target] = b
	}
	active := make([]*backend, 0, len(targets))
	listed := make(map[netip.AddrPort]bool, len(targets))
	for _, t := range targets {
		if listed[t] { // clusters may share an address range; it is one endpoint from here
			continue
		}
		listed[t] = true
		b := before[t]
		delete(before, t)
		if b == nil {
			b = p.revive(t)
		}
		active = append(active, b)
	}
	p.active = active
	for _, b := range before {
		p.startDraining(b)
	}
}

// revive returns the draining backend for t, or a new one.
func (p *pool) revive(t netip.AddrPort) *backend {
	b := p.draining[t]
	if b == nil {
		return &backend{target: t, links: map[*link]struct{}{}}
	}
	b.limit.Stop()
	delete(p.draining, t)
	return b
}

func (p *pool) startDraining(b *backend) {
	if len(b.links) == 0 {
		b.gone = true
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

// cut ends every connection of b.
func (p *pool) cut(b *backend) {
	b.gone = true
	delete(p.draining, b.target)
	for l := range b.links {
		l.abort()
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

// carry connects client with a backend and returns when the connection has ended. A client for whom there is no backend
// is reset, as a refused connection would be. ctx bounds only the dialing.
func (p *pool) carry(ctx context.Context, client *net.TCPConn) {
	l, b := p.connect(ctx, client)
	if l == nil {
		reset(client)
		return
	}
	l.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(b.links, l)
	if p.draining[b.target] == b && len(b.links) == 0 {
		b.limit.Stop()
		b.gone = true
		delete(p.draining, b.target)
	}
}

// connect tries each backend once, starting with the one whose turn it is. A failed dial is invisible to the client.
func (p *pool) connect(ctx context.Context, client *net.TCPConn) (*link, *backend) {
	p.mu.Lock()
	active, start := p.active, p.next
	p.next++
	p.mu.Unlock()
	for i := range active {
		if ctx.Err() != nil {
			return nil, nil
		}
		b := active[(start+i)%len(active)]
		server, err := p.dial(ctx, b.target)
		if err != nil {
			continue
		}
		l := &link{client: client, server: server}
		if p.register(b, l) {
			return l, b
		}
		reset(server)
	}
	return nil, nil
}

// register notes that l goes to b, unless b was taken away while it was dialed.
func (p *pool) register(b *backend, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || b.gone {
		return false
	}
	b.links[l] = struct{}{}
	return true
}
