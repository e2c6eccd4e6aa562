package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gitfleet/gitfleet/test/tcpserver"
)

const (
	runTime      = time.Second
	requestSize  = 100  // bytes
	responseSize = 1000 // bytes
	chunkSize    = 256 << 10
)

// A load uses addr until end.
type load struct {
	name string // of its figures, with the number of connections
	unit string // of what work counts
	// latency tells that the time of a request is that of the way through the proxy. That of a connection is the kernel's, mostly.
	latency bool
	// work does it on one connection at a time, and returns how much it did and how long each request took.
	work func(ctx context.Context, addr string, end time.Time) (done float64, took []time.Duration, err error)
}

// keepAlive sends requests over a connection that stays.
func keepAlive() load { return load{"keepalive", "requests", true, requests(false)} }

// connect makes a connection for each request.
func connect() load { return load{"connect", "requests", false, requests(true)} }

// requests sends one request after the other, each on a connection of its own if anew is set.
func requests(anew bool) func(ctx context.Context, addr string, end time.Time) (float64, []time.Duration, error) {
	return func(ctx context.Context, addr string, end time.Time) (done float64, took []time.Duration, err error) {
		var conn net.Conn
		defer func() {
			if conn != nil {
				err = errors.Join(err, conn.Close())
			}
		}()
		buffer := make([]byte, responseSize)
		for began := time.Now(); ctx.Err() == nil && began.Before(end); {
			if conn == nil {
				if conn, err = dial(ctx, addr); err != nil {
					return 0, nil, err
				}
			}
			if err := exchange(conn, buffer); err != nil {
				return 0, nil, err
			}
			if anew {
				err, conn = conn.Close(), nil
				if err != nil {
					return 0, nil, err
				}
			}
			now := time.Now()
			took = append(took, now.Sub(began))
			began = now
		}
		return float64(len(took)), took, nil
	}
}

// bulk sends a stream.
func bulk() load {
	return load{"bulk", "MB", false, func(ctx context.Context, addr string, end time.Time) (done float64, took []time.Duration, err error) {
		conn, err := dial(ctx, addr)
		if err != nil {
			return 0, nil, err
		}
		defer conn.Close()
		for chunk := make([]byte, chunkSize); ctx.Err() == nil && time.Now().Before(end); done += chunkSize / 1e6 {
			if _, err := conn.Write(chunk); err != nil {
				return 0, nil, err
			}
		}
		return done, nil, nil
	}}
}

// proxySuite measures a load over so many connections: straight to a server, through the local load balancer, and through its
// peers, in turns.
func proxySuite(l load, connections int, serve func(net.Conn)) suite {
	name := fmt.Sprintf("proxy-%s-%d", l.name, connections)
	names := []string{name, name + "-per-core"}
	if l.latency {
		names = append(names, name+"-added-p50", name+"-added-p99")
	}
	return suite{names: names, measure: func(ctx context.Context, notes *notebook) (err error) {
		server, err := tcpserver.Listen("127.0.0.1:0", serve)
		if err != nil {
			return err
		}
		defer server.Close()
		all, err := contestants(ctx, server.Addr(), l.unit != "requests")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stopAll(all)) }()
		for range runs {
			results := make([]result, len(all))
			for i, c := range all {
				if c.addr == "" {
					continue
				}
				if results[i], err = contest(ctx, l, connections, c); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			note(notes, name, l, all, results)
		}
		return nil
	}}
}

// result is what one contestant did in one run.
type result struct {
	rate     float64 // a second
	perCore  float64 // a second of the contestant's processor time
	p50, p99 time.Duration
}

// note compares the local load balancer, which is the second, with direct connections, which are the first, and the peers.
func note(notes *notebook, name string, l load, all []contestant, results []result) {
	direct, local := results[0], results[1]
	notes.add(name, local.rate, l.unit+"/s", "direct", direct.rate)
	for i, peer := range all[2:] {
		if peer.addr == "" {
			for _, figure := range []string{"-per-core", "-added-p50", "-added-p99"} {
				notes.absent(name+figure, peer.name)
			}
			continue
		}
		theirs := results[2+i]
		notes.add(name+"-per-core", local.perCore, l.unit+"/CPU-s", peer.name, theirs.perCore)
		if l.latency {
			notes.addTime(name+"-added-p50", local.p50-direct.p50, peer.name, theirs.p50-direct.p50)
			notes.addTime(name+"-added-p99", local.p99-direct.p99, peer.name, theirs.p99-direct.p99)
		}
	}
}

// contest puts a load on one contestant.
func contest(ctx context.Context, l load, connections int, c contestant) (result, error) {
	used := func() (time.Duration, error) {
		if c.pid == 0 {
			return 0, nil
		}
		own, _, err := processorTime(c.pid)
		return own, err
	}
	before, err := used()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	var mu sync.Mutex
	var done float64
	var took []float64
	group, within := errgroup.WithContext(ctx)
	for range connections {
		group.Go(func() error {
			amount, times, err := l.work(within, c.addr, start.Add(runTime))
			mu.Lock()
			defer mu.Unlock()
			done += amount
			for _, t := range times {
				took = append(took, float64(t))
			}
			return err
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return result{}, err
	}
	elapsed := time.Since(start)
	after, err := used()
	if err != nil {
		return result{}, err
	}
	r := result{rate: done / elapsed.Seconds()}
	if c.pid != 0 {
		r.perCore = done / (after - before).Seconds()
	}
	if len(took) > 0 {
		slices.Sort(took)
		r.p50, r.p99 = time.Duration(quantile(took, 0.5)), time.Duration(quantile(took, 0.99))
	}
	return r, nil
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

// answer gives responseSize bytes for every requestSize bytes, until the client goes.
func answer(conn net.Conn) {
	for buffer := make([]byte, responseSize); ; {
		if _, err := io.ReadFull(conn, buffer[:requestSize]); err != nil {
			return
		}
		if _, err := conn.Write(buffer); err != nil {
			return
		}
	}
}

// swallow reads until the client goes.
func swallow(conn net.Conn) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, conn, make([]byte, chunkSize))
}
