package local

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

// startUDPBackend answers every datagram with its name and the datagram, on 127.255.0.n.
func startUDPBackend(t *testing.T, n byte) (mcs.Backend, *net.UDPConn) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 255, 0, n)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, maxDatagram)
		for {
			size, from, err := c.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(fmt.Appendf(nil, "b%d %s", n, buffer[:size]), from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	return mcs.Backend{Cluster: "m1", Target: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 0, n}), port)}, c
}

func udpBalancer(port int32, backends ...mcs.Backend) mcs.LoadBalancer {
	return mcs.LoadBalancer{Namespace: "shop", Name: "dns", Backends: backends,
		Ports: []mcs.Port{{Protocol: corev1.ProtocolUDP, Port: port}}}
}

// udpClient is connected, so that it only receives what comes from the address it sends to.
func udpClient(t *testing.T, at string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// ask sends until an answer comes, as UDP clients do, and returns who answered.
func ask(t *testing.T, c *net.UDPConn, text string) string {
	t.Helper()
	buffer := make([]byte, maxDatagram)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, err := c.Read(buffer)
			if err != nil {
				break
			}
			if who, what, _ := strings.Cut(string(buffer[:n]), " "); what == text {
				return who
			}
		}
	}
	t.Fatalf("no answer to %d bytes", len(text))
	return ""
}

func TestUDPSessions(t *testing.T) {
	a, _ := startUDPBackend(t, 1)
	b, _ := startUDPBackend(t, 2)
	p, port := start(t, testOptions(t)), freePort(t)
	at := address(t, p, udpBalancer(port, a, b))
	one, two := udpClient(t, at), udpClient(t, at)
	for i := range 3 {
		if x, y := ask(t, one, fmt.Sprint("x", i)), ask(t, two, fmt.Sprint("y", i)); x != "b1" || y != "b2" {
			t.Fatalf("datagrams %d of two clients went to %s and %s, want b1 and b2 always", i, x, y)
		}
	}
	if got := ask(t, one, strings.Repeat("z", 60000)); got != "b1" {
		t.Errorf("a large datagram went to %s", got)
	}
	bring(t, p, udpBalancer(port, b))
	if x, y := ask(t, one, "after"), ask(t, two, "after"); x != "b2" || y != "b2" {
		t.Errorf("with b1 gone datagrams went to %s and %s, want b2", x, y)
	}
}

// A port may be TCP and UDP, as that of DNS.
func TestSameNumberForTCPAndUDP(t *testing.T) {
	u, _ := startUDPBackend(t, 1)
	u.Port = "udp"
	s := startBackend(t, 2)
	p, lb := start(t, testOptions(t)), balancerOf(freePort(t), s)
	lb.Ports = append(lb.Ports, mcs.Port{Name: "udp", Protocol: corev1.ProtocolUDP, Port: lb.Ports[0].Port})
	lb.Backends = append(lb.Backends, u)
	at := address(t, p, lb)
	if got := ask(t, udpClient(t, at), "x"); got != "b1" {
		t.Errorf("UDP was answered by %s, want b1", got)
	}
	if got := connect(t, at).server; got != "b2" {
		t.Errorf("TCP was answered by %s, want b2", got)
	}
}

// Nothing listens at the first backend any more: the kernel says so, and the client gets to the other.
func TestUDPRefusalMovesTheClient(t *testing.T) {
	a, listener := startUDPBackend(t, 1)
	b, _ := startUDPBackend(t, 2)
	p := start(t, testOptions(t))
	c := udpClient(t, address(t, p, udpBalancer(freePort(t), a, b)))
	if got := ask(t, c, "before"); got != "b1" {
		t.Fatalf("answered by %s, want b1", got)
	}
	listener.Close()
	if got := ask(t, c, "after"); got != "b2" {
		t.Errorf("answered by %s, want b2", got)
	}
	if m := p.Metrics(); m[0].Failures == 0 {
		t.Errorf("the refusal is not counted: %+v", m[0])
	}
}

func TestUDPSessionsEndWhenIdle(t *testing.T) {
	a, _ := startUDPBackend(t, 1)
	o := testOptions(t)
	o.UDPIdle = 20 * time.Millisecond
	p := start(t, o)
	ask(t, udpClient(t, address(t, p, udpBalancer(freePort(t), a))), "x")
	await(t, "the session has ended", func() bool { return p.Metrics()[0].Open == 0 })
	if m := p.Metrics()[0]; m.Opened == 0 || m.BytesIn == 0 || m.BytesOut <= m.BytesIn || m.Failures > 0 {
		t.Errorf("figures %+v; want a session, more bytes out than in, and no failure for being idle", m)
	}
}

func TestUDPSessionsAreBounded(t *testing.T) {
	a, _ := startUDPBackend(t, 1)
	p := start(t, testOptions(t))
	pool, _ := newTestPool(wish{backends: []mcs.Backend{a}})
	pool.drain = 0
	table := &sessions{pool: pool, dial: p.dialUDP, idle: time.Hour, max: 2, work: &p.work, byClient: map[netip.AddrPort]*session{}}
	client := func(n uint16) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), n) }
	first := table.of(client(1))
	if first == nil || table.of(client(2)) == nil || table.of(client(3)) != nil {
		t.Error("want sessions for two clients and none for the third")
	}
	if table.of(client(1)) != first {
		t.Error("a full table lost a session that it had")
	}
	pool.close()
	await(t, "room again", func() bool {
		table.mu.Lock()
		defer table.mu.Unlock()
		return len(table.byClient) == 0
	})
}

// The datagram right after an endpoint went is not lost with the session that it ended.
func TestUDPSessionsMoveAtOnce(t *testing.T) {
	a, _ := startUDPBackend(t, 1)
	b, _ := startUDPBackend(t, 2)
	p := start(t, testOptions(t))
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 255, 0, 79)})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	c := udpClient(t, front.LocalAddr().String())
	from := c.LocalAddr().(*net.UDPAddr).AddrPort()
	pool, _ := newTestPool(wish{backends: []mcs.Backend{a, b}})
	pool.drain = 0
	table := &sessions{front: front, pool: pool, dial: p.dialUDP, idle: time.Hour, max: 9, work: &p.work,
		byClient: map[netip.AddrPort]*session{}}
	defer pool.close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 100)
	for _, step := range []struct {
		backends []mcs.Backend
		want     string
	}{{[]mcs.Backend{a, b}, "b1 x"}, {[]mcs.Backend{b}, "b2 x"}, {[]mcs.Backend{a}, "b1 x"}} {
		pool.update(wish{backends: step.backends})
		table.forward(from, []byte("x"))
		if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != step.want {
			t.Fatalf("one datagram was answered with %q, %v; want %q", buffer[:n], err, step.want)
		}
	}
}
