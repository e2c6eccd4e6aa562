package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. It is never waited for when things work.
const patience = 10 * time.Second

// Backends of the tests are at 10.255.0.N and listen on 127.255.0.N, as pods of a local fleet do.
func testOptions(t testing.TB) Options {
	t.Helper()
	dialMap, err := ParseDialMap("10.0.0.0/8=127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Range: netip.MustParsePrefix("127.255.128.0/17"), DialMap: dialMap}
}

func start(t testing.TB, o Options) *Provider {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// bring runs one cycle with the load balancers as everything that is wanted.
func bring(t testing.TB, p *Provider, wanted ...mcs.LoadBalancer) mcs.State {
	t.Helper()
	state, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, err = p.Apply(t.Context(), p.Plan(mcs.Resolution{LoadBalancers: wanted}, state))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// address brings one load balancer about and returns where its only port is.
func address(t testing.TB, p *Provider, lb mcs.LoadBalancer) string {
	t.Helper()
	f := bring(t, p, lb)[lb.Key()].Frontend
	if len(f.Addresses) != 1 || len(f.Problems) > 0 {
		t.Fatalf("load balancer is not served: %+v", f)
	}
	return netip.AddrPortFrom(f.Addresses[0], uint16(lb.Ports[0].Port)).String()
}

// balancerOf is a load balancer with one unnamed port. Backends must be sorted by the caller.
func balancerOf(port int32, backends ...*backendServer) mcs.LoadBalancer {
	lb := mcs.LoadBalancer{Namespace: "shop", Name: "web", Ports: []mcs.Port{{Protocol: corev1.ProtocolTCP, Port: port}}}
	for _, b := range backends {
		lb.Backends = append(lb.Backends, mcs.Backend{Cluster: "m1", Target: b.target})
	}
	return lb
}

// freePort returns a port that nothing listens on. Tests use addresses that nothing else does, so it stays free.
func freePort(t testing.TB) int32 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.255.0.254:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// backendServer says its name on every connection and then echoes.
type backendServer struct {
	name     string
	target   netip.AddrPort // where a load balancer finds it: 10.x
	listener net.Listener
	mu       sync.Mutex
	accepted []net.Conn
	work     sync.WaitGroup
}

// startBackend listens on 127.255.0.n.
func startBackend(t testing.TB, n byte) *backendServer {
	t.Helper()
	return startBackendAt(t, n, 0)
}

func startBackendAt(t testing.TB, n byte, number uint16) *backendServer {
	t.Helper()
	at := netip.AddrFrom4([4]byte{127, 255, 0, n})
	l, err := net.Listen("tcp4", netip.AddrPortFrom(at, number).String())
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	b := &backendServer{name: fmt.Sprintf("b%d", n), listener: l,
		target: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 0, n}), port)}
	b.work.Go(b.serve)
	t.Cleanup(b.stop)
	return b
}

// at127 makes b's target the address that it really listens on, for providers without a dial map.
func (b *backendServer) at127() *backendServer {
	b.target = netip.MustParseAddrPort(b.listener.Addr().String())
	return b
}

func (b *backendServer) serve() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.accepted = append(b.accepted, c)
		b.mu.Unlock()
		b.work.Go(func() {
			defer c.Close()
			if _, err := io.WriteString(c, b.name+"\n"); err == nil {
				_, _ = io.Copy(c, c) // an error here is for the client's side of the test to notice
			}
		})
	}
}

func (b *backendServer) stop() {
	b.listener.Close()
	b.mu.Lock()
	for _, c := range b.accepted {
		c.Close()
	}
	b.mu.Unlock()
	b.work.Wait()
}

func (b *backendServer) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accepted)
}

// client is one connection through a load balancer.
type client struct {
	*net.TCPConn
	in     *bufio.Reader
	server string // the name of the backend that answered
}

func connect(t testing.TB, at string) *client {
	t.Helper()
	c, err := tryConnect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tryConnect(ctx context.Context, at string) (*client, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	c := &client{TCPConn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	name, err := c.in.ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.server = strings.TrimSpace(name)
	return c, nil
}

// echo proves that the connection is alive in both directions.
func (c *client) echo(text string) error {
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		return err
	}
	got, err := c.in.ReadString('\n')
	if err == nil && got != text+"\n" {
		err = fmt.Errorf("sent %q, got back %q", text, got)
	}
	return err
}

// names connects n times and counts who answered.
func names(t testing.TB, at string, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		c := connect(t, at)
		out[c.server]++
		c.Close()
	}
	return out
}

// await looks until ok. What it waits for has no notification that a test could listen to.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

// tcpPair returns both ends of a connection.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.255.0.78:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near.(*net.TCPConn), far.(*net.TCPConn)
}
