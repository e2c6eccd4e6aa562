package local

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxChecks is how many backends of one port are checked at once.
const maxChecks = 16

// healthOptions tell when a backend is passed over.
type healthOptions struct {
	fall, rise int           // failures in a row that eject, successes in a row that bring back
	ejection   time.Duration // an ejected backend is tried again after it, even without a success
}

// health is what attempts to reach a backend have shown: those for clients and those of checks alike.
type health struct {
	failed, succeeded int // in a row
	until             time.Time
}

func (h *health) ejected(now time.Time) bool { return now.Before(h.until) }

func (h *health) note(ok bool, now time.Time, o healthOptions) {
	if !ok {
		h.succeeded = 0
		if h.failed++; h.failed >= o.fall {
			h.until = now.Add(o.ejection)
		}
		return
	}
	h.failed = 0
	if h.succeeded++; h.succeeded >= o.rise {
		h.until = time.Time{}
	}
}

// note takes in that b was reached, or not.
func (p *pool) note(b *backend, ok bool) {
	if !ok {
		b.failures.Add(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b.health.note(ok, p.now(), p.health)
}

// reached takes in the outcome of dialing b for somebody whose patience is ctx. That he left tells nothing about b.
func (p *pool) reached(ctx context.Context, b *backend, err error) {
	if err == nil || ctx.Err() == nil {
		p.note(b, err == nil)
	}
}

type dialFunc func(context.Context, netip.AddrPort) (*net.TCPConn, error)

// checkAlways checks every backend each interval until ctx ends.
func (p *pool) checkAlways(ctx context.Context, interval time.Duration, dial dialFunc) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.check(ctx, dial)
		}
	}
}

// check connects with each backend once. A connection that opens is reset: it leaves no TIME_WAIT behind.
func (p *pool) check(ctx context.Context, dial dialFunc) {
	p.mu.Lock()
	active := p.active
	p.mu.Unlock()
	var checks errgroup.Group
	checks.SetLimit(maxChecks)
	for _, b := range active {
		checks.Go(func() error {
			c, err := dial(ctx, b.target)
			if err == nil {
				reset(c)
			}
			p.reached(ctx, b, err)
			return nil // it is noted
		})
	}
	_ = checks.Wait() // never fails
}
