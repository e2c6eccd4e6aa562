package local

import (
	"io"
	"net"
	"net/netip"
	"sync"
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
