package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// probeKey marks the context of a probe: the one request that is sent while the member is unreachable.
type probeKey struct{}

// streamKey holds the observer of a watch request in its context.
type streamKey struct{}

// observer learns what becomes of a watch request.
type observer interface {
	opened()
	broken(err error)
}

// guard is the transport under all clients of a session. It fails at once while the member is unreachable, limits how
// long a request may take, and tells the link of whatever looks like trouble.
type guard struct {
	link *link
	wire *wire
	host string // what the clients call the member
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	isProbe := req.Context().Value(probeKey{}) != nil
	if !isProbe {
		if err := g.link.refused(); err != nil {
			if req.Body != nil {
				_ = req.Body.Close() // RoundTrip must close it and has nothing to read from it
			}
			return nil, err
		}
	}
	x := &exchange{link: g.link, caller: req.Context(), probe: isProbe}
	x.stream, _ = req.Context().Value(streamKey{}).(observer)
	ctx, cancel := context.WithCancelCause(req.Context())
	x.cancel = cancel
	limit := g.link.timing.request
	isWatch := req.URL.Query().Get("watch") == "true" || req.URL.Query().Get("watch") == "1"
	if isWatch {
		limit = g.link.timing.header
	}
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("no complete answer within %s", limit)) })
	l := g.wire.take()
	resp, err := l.roundTrip(req.WithContext(ctx), g.host)
	if err != nil {
		g.wire.give(l)
		timer.Stop()
		return nil, x.failed(ctx, err)
	}
	g.link.seen()
	x.answered(resp.StatusCode)
	if isWatch {
		timer.Stop()
	}
	resp.Body = &body{ReadCloser: resp.Body, exchange: x, ctx: ctx, timer: timer, over: func() { g.wire.give(l) }}
	return resp, nil
}

// exchange is one request and its answer.
type exchange struct {
	link   *link
	caller context.Context // the caller's own; when it ends the failure is the caller's wish
	cancel context.CancelCauseFunc
	stream observer
	probe  bool
}

// failed reports a transport error and returns it, told as what it is when our own time limit caused it.
func (x *exchange) failed(ctx context.Context, err error) error {
	defer x.cancel(nil)
	if x.caller.Err() != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if x.stream != nil {
		x.stream.broken(err)
	}
	if !x.probe {
		x.link.suspicion()
	}
	return err
}

// answered looks at the status of an answer: some tell of the server as a whole.
func (x *exchange) answered(code int) {
	switch code {
	case http.StatusOK:
		if x.stream != nil {
			x.stream.opened()
		}
	case http.StatusUnauthorized, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if !x.probe {
			x.link.suspicion()
		}
	}
}

// body is an answer's body. It notes signs of life and cuts.
type body struct {
	io.ReadCloser
	exchange *exchange
	ctx      context.Context
	timer    *time.Timer
	over     func() // called once
	closed   atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.exchange.link.seen()
	}
	if err == nil {
		return n, nil
	}
	b.timer.Stop()
	if errors.Is(err, io.EOF) || b.closed.Load() {
		return n, err
	}
	return n, b.exchange.failed(b.ctx, err)
}

// Close implements io.Closer.
func (b *body) Close() error {
	again := b.closed.Swap(true)
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.exchange.cancel(nil)
	if !again {
		b.over()
	}
	return err
}
