package cloud

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
)

// dialTimeout bounds an attempt to reach an endpoint: all are on this machine.
const dialTimeout = 2 * time.Second

// balancer answers for one Service. It is used by one goroutine at a time.
type balancer struct {
	address netip.Addr
	fronts  map[int32]*front // by port
}

// serve makes b answer on ports, with those behind each that its name has.
func (b *balancer) serve(ports []corev1.ServicePort, behind map[string][]netip.AddrPort) error {
	wanted := map[int32]bool{}
	var errs []error
	for _, p := range ports {
		if p.Protocol != corev1.ProtocolTCP {
			continue
		}
		wanted[p.Port] = true
		f := b.fronts[p.Port]
		if f == nil {
			at := netip.AddrPortFrom(netplan.Loopback(b.address), uint16(p.Port))
			listener, err := net.Listen("tcp", at.String())
			if err != nil {
				errs = append(errs, fmt.Errorf("port %d: %w", p.Port, err))
				continue
			}
			f = &front{listener: listener, open: map[net.Conn]bool{}}
			f.work.Go(f.accept)
			b.fronts[p.Port] = f
		}
		f.set(behind[p.Name])
	}
	for port, f := range b.fronts {
		if !wanted[port] {
			f.close()
			delete(b.fronts, port)
		}
	}
	return errors.Join(errs...)
}

func (b *balancer) close() {
	for _, f := range b.fronts {
		f.close()
	}
}

// front answers on one port.
type front struct {
	listener net.Listener
	work     sync.WaitGroup

	mu      sync.Mutex
	targets []netip.AddrPort
	turn    int
	open    map[net.Conn]bool
	closed  bool
}

func (f *front) set(targets []netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.targets = targets
}

// close ends the connections, too.
func (f *front) close() {
	f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.open {
		c.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
}

func (f *front) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		f.work.Go(func() { f.pass(client) })
	}
}

// keep notes an open connection; false when there shall be none any more.
func (f *front) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.open[c] = true
	}
	return !f.closed
}

func (f *front) end(c net.Conn) {
	f.mu.Lock()
	delete(f.open, c)
	f.mu.Unlock()
	c.Close()
}

// pass carries one connection. Without an endpoint that answers it is closed at once.
func (f *front) pass(client net.Conn) {
	defer f.end(client)
	server := f.dial()
	if server == nil {
		return
	}
	defer f.end(server)
	if !f.keep(client) || !f.keep(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { copyHalf(client, server) })
	copyHalf(server, client)
	back.Wait()
}

// dial connects to the endpoint whose turn it is, or the next that answers.
func (f *front) dial() net.Conn {
	f.mu.Lock()
	targets, turn := f.targets, f.turn
	f.turn++
	f.mu.Unlock()
	for i := range targets {
		at := targets[(turn+i)%len(targets)]
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(netplan.Loopback(at.Addr()), at.Port()).String(), dialTimeout)
		if err == nil {
			return c
		}
	}
	return nil
}

// copyHalf copies one direction and passes its end on.
func copyHalf(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close() // the other direction cannot end well either
		return
	}
	if c, ok := to.(*net.TCPConn); ok {
		c.CloseWrite()
	}
}
