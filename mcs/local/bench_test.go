package local

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// The benchmarks run everything twice: over a connection straight to the backend, which is the limit, and through the
// proxy.

func BenchmarkThroughput(b *testing.B) {
	discard := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	compare(b, discard, func(b *testing.B, at string) {
		c, err := net.Dial("tcp", at)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		chunk := make([]byte, 256<<10)
		b.SetBytes(int64(len(chunk)))
		for b.Loop() {
			if _, err := c.Write(chunk); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	compare(b, echo, func(b *testing.B, at string) {
		c, err := net.Dial("tcp", at)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		for b.Loop() {
			ping(b, c)
		}
	})
}

func BenchmarkConnect(b *testing.B) {
	compare(b, echo, func(b *testing.B, at string) {
		for b.Loop() {
			c, err := net.Dial("tcp", at)
			if err != nil {
				b.Fatal(err)
			}
			ping(b, c)
			reset(c.(*net.TCPConn)) // no TIME_WAIT: it would use up the ports
		}
	})
}

func ping(b *testing.B, c net.Conn) {
	var one [1]byte
	if _, err := c.Write(one[:]); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, one[:]); err != nil {
		b.Fatal(err)
	}
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// compare starts a backend that serves each connection with handle, and runs against it and against a proxy before it.
func compare(b *testing.B, handle func(net.Conn), run func(b *testing.B, at string)) {
	direct, proxy := benchPair(b, handle)
	b.Run("direct", func(b *testing.B) { run(b, direct) })
	b.Run("proxy", func(b *testing.B) { run(b, proxy) })
}

func benchPair(b *testing.B, handle func(net.Conn)) (direct, proxy string) {
	b.Helper()
	l, err := net.Listen("tcp4", "127.255.0.77:0")
	if err != nil {
		b.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { defer c.Close(); handle(c) })
		}
	})
	p := start(b, testOptions(b))
	b.Cleanup(func() { l.Close(); p.Close(); work.Wait() })
	at := l.Addr().(*net.TCPAddr)
	target := netip.AddrPortFrom(netip.MustParseAddr("10.255.0.77"), uint16(at.Port))
	return at.String(), address(b, p, balancerOf(freePort(b), &backendServer{target: target}))
}

// BenchmarkCopy compares copyStream with a copy that goes through this process whole, and with splicing throughout.
func BenchmarkCopy(b *testing.B) {
	ways := []struct {
		name string
		copy func(dst, src *net.TCPConn) error
	}{
		{"adaptive", func(dst, src *net.TCPConn) error { return copyStream(dst, src, new(atomic.Int64)) }},
		{"splice", func(dst, src *net.TCPConn) error { _, err := io.Copy(dst, src); return err }},
		{"wrapped", func(dst, src *net.TCPConn) error {
			_, err := io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src})
			return err
		}},
	}
	for _, way := range ways {
		for _, size := range []int{100, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%d", way.name, size), func(b *testing.B) { benchCopy(b, size, way.copy) })
		}
	}
}

// benchCopy sends messages of size bytes through one copy, each after the one before has arrived.
func benchCopy(b *testing.B, size int, way func(dst, src *net.TCPConn) error) {
	client, in := tcpPair(b)
	out, server := tcpPair(b)
	done := make(chan error, 1)
	go func() { done <- way(out, in) }()
	message, arrived := make([]byte, size), make([]byte, size)
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := client.Write(message); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(server, arrived); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
