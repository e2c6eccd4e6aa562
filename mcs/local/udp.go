package local

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxSessions bounds the sessions of one port: each has a socket, a goroutine and a buffer of maxDatagram bytes. Clients
	// beyond it are not served until others have gone idle.
	maxSessions = 1024

	// maxDatagram is more than UDP can carry.
	maxDatagram = 1 << 16
)

// sessions carries the datagrams of one UDP port. A client address has one session and one backend, for as long as the
// backend is there and neither has been silent for the idle time.
type sessions struct {
	front *net.UDPConn // bound to one address, so that answers leave from where clients sent to
	pool  *pool
	dial  func(netip.AddrPort) (*net.UDPConn, error)
	idle  time.Duration
	max   int
	work  *sync.WaitGroup

	mu       sync.Mutex
	byClient map[netip.AddrPort]*session
}

// session is one client's socket towards its backend.
type session struct {
	client  netip.AddrPort
	server  *net.UDPConn
	backend *backend
}

// abort closes the socket; the session's goroutine takes it out of the table.
func (s *session) abort() { s.server.Close() }

// serve hands on what clients send until the front is closed.
func (t *sessions) serve() {
	buffer := make([]byte, maxDatagram)
	for {
		n, client, err := t.front.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // anything else concerns a datagram sent before
			t.forward(client, buffer[:n])
		}
	}
}

// forward sends one datagram on. When its session turns out to have ended, or an earlier datagram to have been refused, the
// kernel has not sent this one, and a new session does. As with any UDP, other loss is the sender's to notice.
func (t *sessions) forward(client netip.AddrPort, datagram []byte) {
	for range 2 {
		s := t.of(client)
		if s == nil {
			return
		}
		if _, err := s.server.Write(datagram); err != nil {
			t.refused(s, err)
			t.forget(s)
			continue
		}
		s.backend.in.Add(int64(len(datagram)))
		_ = s.server.SetReadDeadline(time.Now().Add(t.idle)) // fails when the session has ended
		return
	}
}

// of returns the session of client, a new one if need be. It is called by one goroutine only.
func (t *sessions) of(client netip.AddrPort) *session {
	t.mu.Lock()
	s, full := t.byClient[client], len(t.byClient) >= t.max
	t.mu.Unlock()
	if s != nil || full {
		return s
	}
	var tried []*backend
	for {
		b := t.pool.pick(client.Addr().Unmap(), tried)
		if b == nil {
			return nil
		}
		tried = append(tried, b)
		server, err := t.dial(b.target)
		if err != nil {
			t.pool.note(b, false)
			continue
		}
		s := &session{client: client, server: server, backend: b}
		if !t.pool.register(b, s) {
			server.Close()
			continue
		}
		t.mu.Lock()
		t.byClient[client] = s
		t.mu.Unlock()
		_ = server.SetReadDeadline(time.Now().Add(t.idle))
		t.work.Go(func() { t.answer(s) })
		return s
	}
}

// answer hands back what the backend sends, until the session is idle, aborted or refused.
func (t *sessions) answer(s *session) {
	defer t.end(s)
	buffer := make([]byte, maxDatagram)
	for answered := false; ; {
		n, err := s.server.Read(buffer)
		if err != nil {
			t.refused(s, err)
			return
		}
		if !answered {
			answered = true
			t.pool.note(s.backend, true)
		}
		if _, err := t.front.WriteToUDPAddrPort(buffer[:n], s.client); err == nil {
			s.backend.out.Add(int64(n))
		}
		_ = s.server.SetReadDeadline(time.Now().Add(t.idle))
	}
}

// refused ends s unless it was ended already or is idle. Its client's next datagram makes a new session, perhaps with
// another backend: nothing listens there any more when the kernel reports an earlier datagram as refused.
func (t *sessions) refused(s *session, err error) {
	var timeout net.Error
	if errors.Is(err, net.ErrClosed) || errors.As(err, &timeout) && timeout.Timeout() {
		return
	}
	t.pool.note(s.backend, false)
	s.server.Close()
}

func (t *sessions) end(s *session) {
	s.server.Close()
	t.forget(s)
	t.pool.unregister(s.backend, s)
}

func (t *sessions) forget(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byClient[s.client] == s {
		delete(t.byClient, s.client)
	}
}

func (p *Provider) dialUDP(target netip.AddrPort) (*net.UDPConn, error) {
	at, err := dialAddress(p.options.DialMap, target)
	if err != nil {
		return nil, err
	}
	return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
}
