// Package tcpserver is a TCP server for tests and benchmarks, which can end as a killed process does.
package tcpserver

import (
	"net"
	"net/netip"
	"sync"
)

// Server serves each connection with a function.
type Server struct {
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	open   map[*net.TCPConn]bool
	killed bool
}

// Listen serves at an address of IPv4, whose port may be 0. A connection is closed when serve returns.
func Listen(address string, serve func(net.Conn)) (*Server, error) {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener, open: map[*net.TCPConn]bool{}}
	s.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			s.work.Go(func() { s.carry(conn.(*net.TCPConn), serve) })
		}
	})
	return s, nil
}

func (s *Server) carry(conn *net.TCPConn, serve func(net.Conn)) {
	s.mu.Lock()
	s.open[conn] = true
	if s.killed { // while it was accepted
		reset(conn)
	}
	s.mu.Unlock()
	serve(conn)
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	_ = conn.Close() // killed, or done with
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails when it has ended by itself
	_ = conn.Close()
}

// Addr returns where s listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Close stops listening and waits until every connection has been served.
func (s *Server) Close() {
	_ = s.listener.Close() // its only error is that it is closed already
	s.work.Wait()
}

// Kill stops listening and resets every connection.
func (s *Server) Kill() {
	_ = s.listener.Close() // as in Close
	s.mu.Lock()
	s.killed = true
	for conn := range s.open {
		reset(conn)
	}
	s.mu.Unlock()
	s.work.Wait()
}
