package memfleet

import (
	"maps"
	"net"
	"slices"
	"sync"
)

// gate is a listener that can be shut: connections that are open or come are closed.
type gate struct {
	net.Listener
	mu   sync.Mutex
	down bool
	open map[net.Conn]struct{}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if gated := g.admit(conn); gated != nil {
			return gated, nil
		}
	}
}

func (g *gate) admit(conn net.Conn) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		_ = conn.Close() // closing it is the fault that was asked for
		return nil
	}
	gated := &gatedConn{Conn: conn, gate: g}
	g.open[gated] = struct{}{}
	return gated
}

func (g *gate) shut(down bool) {
	g.mu.Lock()
	g.down = down
	g.mu.Unlock()
	if down {
		g.hangUp()
	}
}

// hangUp closes the connections that are open.
func (g *gate) hangUp() {
	g.mu.Lock()
	open := slices.Collect(maps.Keys(g.open))
	g.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close() // as in admit
	}
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.open, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
