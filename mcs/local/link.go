package local

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// link is one proxied connection. Both ends stay bare TCP connections: wrapped ones would lose splice(2), which moves the
// bytes without copying them to this process.
type link struct {
	client, server *net.TCPConn
	in, out        *atomic.Int64 // bytes from the client, and to it
}

// run copies both ways until both directions have ended. A half-closed direction is closed at the other end too, while
// the opposite direction goes on.
func (l *link) run() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.copy(l.server, l.client, l.in)
	}()
	l.copy(l.client, l.server, l.out)
	<-done
	l.client.Close()
	l.server.Close()
}

func (l *link) copy(dst, src *net.TCPConn, count *atomic.Int64) {
	if err := copyStream(dst, src, count); err != nil {
		l.abort()
		return
	}
	_ = dst.CloseWrite() // fails only when the other direction has failed, which ends the link
}

// abort resets both ends: a plain close could be taken for the proper end of an answer.
func (l *link) abort() {
	reset(l.client)
	reset(l.server)
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails when c is closed, and then there is nothing to reset
	c.Close()
}

// acceptor is what acceptAll needs of a *net.TCPListener.
type acceptor interface {
	AcceptTCP() (*net.TCPConn, error)
}

// acceptAll hands every connection to handle until the listener is closed or ctx ends. Running out of file descriptors
// passes: other errors than a closed listener are waited out, up to a second at a time.
func acceptAll(ctx context.Context, l acceptor, handle func(*net.TCPConn)) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		c, err := l.AcceptTCP()
		if err == nil {
			pause = shortest
			handle(c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, longest)
		}
	}
}
