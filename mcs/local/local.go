// Package local is a load balancer for one machine: an embedded TCP and UDP proxy that gives every multi-cluster service a
// loopback address of its own. It is chosen explicitly, for trying gitfleet out and for tests; its load balancers live
// and die with the process. All its addresses are internal, whatever a load balancer asks for, and of IPv4, of which loopback
// has many and of IPv6 one; endpoints are of either family.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
)

// Options of the local load balancer. The zero value of a field is its default.
type Options struct {
	// Range is where services get their addresses from; 127.255.0.0/16 unless set. It lies within 127.0.0.0/8, all of
	// which a Linux program may listen on.
	Range netip.Prefix

	// DialMap tells where endpoints really are. When it is not empty, endpoints outside of it are not dialed.
	DialMap []Mapping

	// Drain is how long connections to an endpoint that is no longer wanted may go on; 30 s unless set, which is how
	// long Kubernetes lets a pod take to end.
	Drain time.Duration

	// DialTimeout is how long one endpoint may take to accept a connection before the next is tried; 2 s unless set.
	DialTimeout time.Duration

	// CheckInterval is how often it is checked that endpoints of TCP ports accept connections; every 5 s unless set.
	CheckInterval time.Duration

	// CheckFall is how many failures in a row, of checks and of connections for clients, eject an endpoint; 3 unless set.
	// CheckRise is how many successes in a row bring it back; 2 unless set.
	CheckFall, CheckRise int

	// Ejection is how long an ejected endpoint is passed over after its last failure; 30 s unless set. While all endpoints
	// are ejected all are tried.
	Ejection time.Duration

	// UDPIdle is how long a UDP session outlives its last datagram; 2 min unless set, as in the kernel's connection
	// tracking.
	UDPIdle time.Duration
}

// Defaults of Options that flags name.
const (
	DefaultDrain         = 30 * time.Second
	DefaultCheckInterval = 5 * time.Second
)

// DefaultRange is where services get their addresses from unless Options say otherwise.
func DefaultRange() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 255, 0, 0}), 16)
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	if !o.Range.IsValid() {
		o.Range = DefaultRange()
	}
	o.Drain = cmp.Or(o.Drain, DefaultDrain)
	o.DialTimeout = cmp.Or(o.DialTimeout, 2*time.Second)
	o.CheckInterval = cmp.Or(o.CheckInterval, DefaultCheckInterval)
	o.CheckFall = cmp.Or(o.CheckFall, 3)
	o.CheckRise = cmp.Or(o.CheckRise, 2)
	o.Ejection = cmp.Or(o.Ejection, 30*time.Second)
	o.UDPIdle = cmp.Or(o.UDPIdle, 2*time.Minute)
	return o
}

// Provider is an mcs.Provider. Its methods may be called from several goroutines.
type Provider struct {
	options Options
	ctx     context.Context // ends with Close; connections hang on it, so it cannot be an argument
	cancel  context.CancelFunc
	work    sync.WaitGroup // every goroutine that serves

	mu        sync.Mutex
	balancers map[mcs.LoadBalancerKey]*balancer
	retired   []*pool // of ports that are gone but may still drain
}

var _ mcs.Provider = (*Provider)(nil)

// New returns a provider without any load balancer. It listens on nothing until Apply, and must be closed.
func New(o Options) (*Provider, error) {
	o = o.withDefaults()
	if err := checkRange(o.Range); err != nil {
		return nil, fmt.Errorf("local load balancer: address range: %w", err)
	}
	for _, m := range o.DialMap {
		if err := m.validate(); err != nil {
			return nil, fmt.Errorf("local load balancer: dial map: %w", err)
		}
	}
	p := &Provider{options: o, balancers: map[mcs.LoadBalancerKey]*balancer{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Properties implements mcs.Provider: the proxy tries every endpoint itself.
func (p *Provider) Properties() mcs.Properties { return mcs.Properties{Probes: true} }

// Objects implements mcs.Provider: the proxy needs nothing on members.
func (p *Provider) Objects(mcs.Resolution) map[string][]render.Object { return nil }

// List reports the load balancers of this process. It never fails.
func (p *Provider) List(context.Context) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state(), nil
}

// Plan is mcs.Difference.
func (p *Provider) Plan(r mcs.Resolution, in mcs.State) mcs.Plan { return mcs.Difference(r, in) }

// Apply opens, changes and closes listeners as the plan says. Connections to endpoints that remain are not touched. Ports
// that cannot be served are Problems of their load balancer.
func (p *Provider) Apply(ctx context.Context, plan mcs.Plan) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return p.state(), errors.New("local load balancer: closed")
	}
	p.forgetDrained()
	for _, c := range plan.Changes {
		if err := ctx.Err(); err != nil {
			return p.state(), err
		}
		key := c.LoadBalancer.Key()
		b := p.balancers[key]
		if c.Action == mcs.Delete {
			if b != nil {
				p.retire(b.fronts)
				delete(p.balancers, key)
			}
			continue
		}
		if b == nil {
			b = &balancer{fronts: map[socket]*front{}}
			p.balancers[key] = b
		}
		p.bring(b, c.LoadBalancer)
	}
	return p.state(), nil
}

// Close stops listening, cuts every connection and waits for the goroutines behind them.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.cancel()
	for _, b := range p.balancers {
		p.retire(b.fronts)
	}
	clear(p.balancers)
	for _, pool := range p.retired {
		pool.close()
	}
	p.retired = nil
	p.mu.Unlock()
	p.work.Wait()
	return nil
}

// state is called with mu held.
func (p *Provider) state() mcs.State {
	out := make(mcs.State, len(p.balancers))
	for key, b := range p.balancers {
		out[key] = mcs.Installed{LoadBalancer: b.wanted, Frontend: b.frontend}
	}
	return out
}

// retire closes the listeners of fronts and lets their connections drain. It is called with mu held.
func (p *Provider) retire(fronts map[socket]*front) {
	for _, f := range fronts {
		f.listener.Close() // its only error is that it is closed already
		f.stop()
		f.pool.update(wish{})
		p.retired = append(p.retired, f.pool)
	}
}

// forgetDrained is called with mu held.
func (p *Provider) forgetDrained() {
	kept := p.retired[:0]
	for _, pool := range p.retired {
		if !pool.drained() {
			kept = append(kept, pool)
		}
	}
	clear(p.retired[len(kept):])
	p.retired = kept
}
