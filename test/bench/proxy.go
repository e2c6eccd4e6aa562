package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/local"
)

const (
	runTime      = 2 * time.Second
	requestSize  = 100  // bytes
	responseSize = 1000 // bytes
)

// keepAlive counts requests per second over connections that stay, through the local load balancer and directly.
type keepAlive struct{ connections int }

func (k keepAlive) load(ctx context.Context, addr string, end time.Time) (int64, error) {
	return inParallel(ctx, k.connections, func(ctx context.Context, count *atomic.Int64) error {
		conn, err := dial(ctx, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		for buffer := make([]byte, responseSize); ctx.Err() == nil && time.Now().Before(end); count.Add(1) {
			if err := exchange(conn, buffer); err != nil {
				return err
			}
		}
		return nil
	})
}

// connect does the same with a connection for each request.
type connect struct{ clients int }

func (c connect) load(ctx context.Context, addr string, end time.Time) (int64, error) {
	return inParallel(ctx, c.clients, func(ctx context.Context, count *atomic.Int64) error {
		for buffer := make([]byte, responseSize); ctx.Err() == nil && time.Now().Before(end); count.Add(1) {
			conn, err := dial(ctx, addr)
			if err != nil {
				return err
			}
			err = exchange(conn, buffer)
			if err := errors.Join(err, conn.Close()); err != nil {
				return err
			}
		}
		return nil
	})
}

// A load keeps asking addr until end and returns the number of answers.
type load func(ctx context.Context, addr string, end time.Time) (int64, error)

// proxySuite measures a load against a server behind the load balancer and against the server itself, in turns.
func proxySuite(name string, l load) suite {
	return suite{names: []string{name}, measure: func(ctx context.Context, notes *notebook) error {
		server, err := serve()
		if err != nil {
			return err
		}
		defer server.close()
		provider, proxied, err := balance(ctx, server.addr())
		if err != nil {
			return err
		}
		defer provider.Close()
		for range runs {
			direct, err := rate(ctx, l, server.addr().String())
			if err != nil {
				return fmt.Errorf("direct: %w", err)
			}
			value, err := rate(ctx, l, proxied)
			if err != nil {
				return fmt.Errorf("through the load balancer: %w", err)
			}
			notes.add(name, value, "requests/s", "direct", direct)
		}
		return nil
	}}
}

// rate returns how many answers a second l gets.
func rate(ctx context.Context, l load, addr string) (float64, error) {
	start := time.Now()
	answers, err := l(ctx, addr, start.Add(runTime))
	if err := errors.Join(err, ctx.Err()); err != nil {
		return 0, err
	}
	return float64(answers) / time.Since(start).Seconds(), nil
}

// balance puts a load balancer in front of one endpoint and returns where it listens.
func balance(ctx context.Context, target netip.AddrPort) (*local.Provider, string, error) {
	provider, err := local.New(local.Options{})
	if err != nil {
		return nil, "", err
	}
	lb := mcs.LoadBalancer{
		Namespace: "bench", Name: "proxy",
		Ports:    []mcs.Port{{Protocol: corev1.ProtocolTCP, Port: int32(target.Port())}},
		Backends: []mcs.Backend{{Cluster: "bench", Target: target}},
	}
	state, err := provider.Apply(ctx, mcs.Plan{Changes: []mcs.Change{{Action: mcs.Create, LoadBalancer: lb}}})
	front := state[lb.Key()].Frontend
	if err == nil && (len(front.Addresses) == 0 || len(front.Problems) > 0) {
		err = fmt.Errorf("the load balancer does not serve: %v", front.Problems)
	}
	if err != nil {
		return nil, "", errors.Join(err, provider.Close())
	}
	return provider, net.JoinHostPort(front.Addresses[0].String(), strconv.Itoa(int(target.Port()))), nil
}

// inParallel does work n times at once and returns what all of them counted.
func inParallel(ctx context.Context, n int, work func(context.Context, *atomic.Int64) error) (int64, error) {
	var count atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range n {
		group.Go(func() error { return work(ctx, &count) })
	}
	err := group.Wait()
	return count.Load(), err
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// exchange sends one request and reads its answer.
func exchange(conn net.Conn, buffer []byte) error {
	if _, err := conn.Write(buffer[:requestSize]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, buffer[:responseSize])
	return err
}

// A server answers every request of requestSize bytes with responseSize bytes.
type server struct {
	listener net.Listener
	work     sync.WaitGroup
}

func serve() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{listener: listener}
	s.work.Go(s.accept)
	return s, nil
}

func (s *server) addr() netip.AddrPort {
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.work.Go(func() {
			defer conn.Close()
			for buffer := make([]byte, responseSize); ; {
				if _, err := io.ReadFull(conn, buffer[:requestSize]); err != nil {
					return // the client has gone
				}
				if _, err := conn.Write(buffer); err != nil {
					return
				}
			}
		})
	}
}

// close stops the server. Its clients must have gone.
func (s *server) close() {
	_ = s.listener.Close()
	s.work.Wait()
}
