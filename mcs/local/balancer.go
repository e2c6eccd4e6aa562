package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

// balancer is one service's address and what listens there. It is guarded by Provider.mu.
type balancer struct {
	wanted   mcs.LoadBalancer
	address  netip.Addr
	fronts   map[socket]*front
	frontend mcs.Frontend
}

// socket is what a port of a load balancer listens on. TCP and UDP may have the same number.
type socket struct {
	protocol corev1.Protocol
	number   uint16
}

// front is one open port.
type front struct {
	listener io.Closer
	pool     *pool
	stop     context.CancelFunc // ends the checks
}

// bring makes b what lb says, as far as the machine allows. It is called with mu held.
func (p *Provider) bring(b *balancer, lb mcs.LoadBalancer) {
	sockets, problems := servable(lb)
	b.wanted, b.frontend = lb, mcs.Frontend{Problems: problems}
	p.retire(b.without(sockets))

	opened, failed := p.open(b, slices.DeleteFunc(slices.Clone(sockets), func(s socket) bool { return b.fronts[s] != nil }))
	for _, err := range failed {
		b.frontend.Problems = append(b.frontend.Problems, err.Error())
		b.frontend.Retry = b.frontend.Retry || taken(err)
	}
	slices.Sort(b.frontend.Problems)
	for _, port := range lb.Ports {
		at := socket{port.Protocol, uint16(port.Port)}
		if l := opened[at]; l != nil {
			b.fronts[at] = p.serve(l)
		}
		if f := b.fronts[at]; f != nil {
			f.pool.update(wishFor(lb, port.Name))
		}
	}
	if len(b.fronts) > 0 {
		b.frontend.Addresses = []netip.Addr{b.address}
	}
}

// without takes the fronts out of b that are not among sockets, and returns them.
func (b *balancer) without(sockets []socket) map[socket]*front {
	gone := maps.Clone(b.fronts)
	for _, s := range sockets {
		delete(gone, s)
	}
	for s := range gone {
		delete(b.fronts, s)
	}
	return gone
}

// servable returns what lb listens on, and for each port that is not served why.
func servable(lb mcs.LoadBalancer) (sockets []socket, problems []string) {
	for _, p := range lb.Ports {
		switch {
		case p.Protocol != corev1.ProtocolTCP && p.Protocol != corev1.ProtocolUDP:
			problems = append(problems, fmt.Sprintf(
				"port %d/%s is not served: the local load balancer carries TCP and UDP only", p.Port, p.Protocol))
		case p.Port < 1 || p.Port > 65535:
			problems = append(problems, fmt.Sprintf("port %d/%s is not served: there is no such port", p.Port, p.Protocol))
		default:
			sockets = append(sockets, socket{p.Protocol, uint16(p.Port)})
		}
	}
	return sockets, problems
}

// wishFor returns what lb says about its port of that name, backends in the plan's order.
func wishFor(lb mcs.LoadBalancer, name string) wish {
	w := wish{weights: lb.Weights, affinity: lb.ClientAffinity}
	for _, b := range lb.Backends {
		if b.Port == name {
			w.backends = append(w.backends, b)
		}
	}
	return w
}

// open listens on sockets. A balancer that serves already keeps its address, even where one of sockets is taken there;
// one that does not gets the first candidate where none is.
func (p *Provider) open(b *balancer, sockets []socket) (map[socket]io.Closer, []error) {
	if len(sockets) == 0 {
		return nil, nil
	}
	if len(b.fronts) > 0 {
		return p.listen(b.address, sockets)
	}
	var failed []error
	tried := 0
	for address := range candidates(p.options.Range, b.wanted, b.address) {
		if p.inUse(address, b) {
			continue
		}
		if tried++; tried > maxCandidates {
			break
		}
		var opened map[socket]io.Closer
		opened, failed = p.listen(address, sockets)
		if !slices.ContainsFunc(failed, taken) {
			b.address = address
			return opened, failed
		}
		for _, l := range opened {
			l.Close()
		}
	}
	return nil, append(failed, fmt.Errorf(
		"no address of %s has its ports free; look for a program that listens on all addresses, or choose another range", p.options.Range))
}

// inUse tells whether another service of this process has address.
func (p *Provider) inUse(address netip.Addr, except *balancer) bool {
	for _, b := range p.balancers {
		if b != except && len(b.fronts) > 0 && b.address == address {
			return true
		}
	}
	return false
}

// taken is true where another address may help. EADDRNOTAVAIL is what systems other than Linux answer for most of 127/8.
func taken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// listen opens what it can. What it opens is a *net.TCPListener or *net.UDPConn.
func (p *Provider) listen(address netip.Addr, sockets []socket) (map[socket]io.Closer, []error) {
	config := net.ListenConfig{}
	config.SetMultipathTCP(false) // Go's default for listeners; nobody speaks it on loopback
	opened, failed := map[socket]io.Closer{}, []error{}
	for _, s := range sockets {
		var l io.Closer
		var err error
		if at := netip.AddrPortFrom(address, s.number).String(); s.protocol == corev1.ProtocolUDP {
			l, err = config.ListenPacket(p.ctx, "udp4", at)
		} else {
			l, err = config.Listen(p.ctx, "tcp4", at)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("port %d/%s is not served: %w", s.number, s.protocol, err))
			continue
		}
		opened[s] = l
	}
	return opened, failed
}

// serve starts accepting on l. While there is no target, clients are turned away.
func (p *Provider) serve(l io.Closer) *front {
	health := healthOptions{fall: p.options.CheckFall, rise: p.options.CheckRise, ejection: p.options.Ejection}
	ctx, stop := context.WithCancel(p.ctx)
	f := &front{listener: l, stop: stop}
	if udp, ok := l.(*net.UDPConn); ok {
		f.pool = newPool(0, health, time.Now) // a UDP client does not notice that it moves
		table := &sessions{front: udp, pool: f.pool, dial: p.dialUDP, idle: p.options.UDPIdle, max: maxSessions,
			work: &p.work, byClient: map[netip.AddrPort]*session{}}
		p.work.Go(table.serve)
		return f
	}
	f.pool = newPool(p.options.Drain, health, time.Now)
	p.work.Go(func() { f.pool.checkAlways(ctx, p.options.CheckInterval, p.dialTCP) })
	p.work.Go(func() { p.accept(l.(*net.TCPListener), f.pool) })
	return f
}

// accept carries the clients of l until it is closed.
func (p *Provider) accept(l *net.TCPListener, to *pool) {
	acceptAll(p.ctx, l, func(client *net.TCPConn) {
		p.work.Go(func() {
			ctx, cancel := context.WithTimeout(p.ctx, maxDials*p.options.DialTimeout)
			defer cancel()
			to.carry(ctx, client, p.dialTCP)
		})
	})
}
