package local

import (
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// starved fails like a listener of a process without file descriptors, and then recovers.
type starved struct {
	failures atomic.Int32
	conns    chan *net.TCPConn
}

func (s *starved) AcceptTCP() (*net.TCPConn, error) {
	if s.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	if c, ok := <-s.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func TestAcceptSurvivesRunningOutOfDescriptors(t *testing.T) {
	s := &starved{conns: make(chan *net.TCPConn, 1)}
	s.failures.Store(3)
	s.conns <- &net.TCPConn{}
	close(s.conns)
	handled := 0
	acceptAll(t.Context(), s, func(*net.TCPConn) { handled++ })
	if handled != 1 {
		t.Errorf("after three failures %d connections were handled, want 1", handled)
	}
}
