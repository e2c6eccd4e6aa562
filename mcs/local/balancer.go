package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

// balancer is one service's address and what listens there. It is guarded by Provider.mu.
type balancer struct {
	wanted   mcs.LoadBalancer
	address  netip.Addr
	fronts   map[uint16]*front // by port number
	frontend mcs.Frontend
}

// front is one open port.
type front struct {
	listener *net.TCPListener
	pool     *pool
}

// bring makes b what lb says, as far as the machine allows. It is called with mu held.
func (p *Provider) bring(b *balancer, lb mcs.LoadBalancer) {
	numbers, problems := servable(lb)
	b.wanted, b.frontend = lb, mcs.Frontend{Problems: problems}
	p.retire(b.without(numbers))

	opened, failed := p.open(b, slices.DeleteFunc(numbers, func(n uint16) bool { return b.fronts[n] != nil }))
	for _, err := range failed {
		b.frontend.Problems = append(b.frontend.Problems, err.Error())
		b.frontend.Retry = b.frontend.Retry || taken(err)
	}
	slices.Sort(b.frontend.Problems)
	for _, port := range lb.Ports {
		if port.Protocol != corev1.ProtocolTCP {
			continue
		}
		number := uint16(port.Port)
		if l := opened[number]; l != nil {
			b.fronts[number] = p.serve(l, targets(lb, port.Name))
		} else if f := b.fronts[number]; f != nil {
			f.pool.update(targets(lb, port.Name))
		}
	}
	if len(b.fronts) > 0 {
		b.frontend.Addresses = []netip.Addr{b.address}
	}
}

// without takes the fronts out of b whose port is not among numbers, and returns them.
func (b *balancer) without(numbers []uint16) map[uint16]*front {
	gone := maps.Clone(b.fronts)
	for _, n := range numbers {
		delete(gone, n)
	}
	for n := range gone {
		delete(b.fronts, n)
	}
	return gone
}

// servable returns the TCP ports of lb, and for each other port why it is not served.
func servable(lb mcs.LoadBalancer) (numbers []uint16, problems []string) {
	for _, p := range lb.Ports {
		switch {
		case p.Protocol != corev1.ProtocolTCP:
			problems = append(problems, fmt.Sprintf(
				"port %d/%s is not served: the local load balancer carries TCP only", p.Port, p.Protocol))
		case p.Port < 1 || p.Port > 65535:
			problems = append(problems, fmt.Sprintf("port %d/%s is not served: there is no such port", p.Port, p.Protocol))
		default:
			numbers = append(numbers, uint16(p.Port))
		}
	}
	return numbers, problems
}

// targets returns where connections to lb's port of that name may go, in the plan's order.
func targets(lb mcs.LoadBalancer, name string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, b := range lb.Backends {
		if b.Port == name {
			out = append(out, b.Target)
		}
	}
	return out
}

// open listens on numbers. A balancer that serves already keeps its address, even where one of numbers is taken there;
// one that does not gets the first candidate where none is.
func (p *Provider) open(b *balancer, numbers []uint16) (map[uint16]*net.TCPListener, []error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	if len(b.fronts) > 0 {
		return p.listen(b.address, numbers)
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
		var opened map[uint16]*net.TCPListener
		opened, failed = p.listen(address, numbers)
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

func (p *Provider) listen(address netip.Addr, numbers []uint16) (map[uint16]*net.TCPListener, []error) {
	config := net.ListenConfig{}
	config.SetMultipathTCP(false) // Go's default for listeners; nobody speaks it on loopback
	opened, failed := map[uint16]*net.TCPListener{}, []error{}
	for _, n := range numbers {
		l, err := config.Listen(p.ctx, "tcp4", netip.AddrPortFrom(address, n).String())
		if err != nil {
			failed = append(failed, fmt.Errorf("port %d/TCP is not served: %w", n, err))
			continue
		}
		opened[n] = l.(*net.TCPListener)
	}
	return opened, failed
}

// serve starts accepting on l. While there is no target, clients are turned away.
func (p *Provider) serve(l *net.TCPListener, targets []netip.AddrPort) *front {
	f := &front{listener: l, pool: newPool(p.dial, p.options.Drain)}
	f.pool.update(targets)
	limit := maxDials * p.options.DialTimeout
	p.work.Go(func() {
		acceptAll(p.ctx, l, func(client *net.TCPConn) {
			p.work.Go(func() {
				ctx, cancel := context.WithTimeout(p.ctx, limit)
				defer cancel()
				f.pool.carry(ctx, client)
			})
		})
	})
	return f
}

func (p *Provider) dial(ctx context.Context, target netip.AddrPort) (*net.TCPConn, error) {
	at, err := dialAddress(p.options.DialMap, target)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: p.options.DialTimeout}
	c, err := d.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
