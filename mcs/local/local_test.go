package local

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

func TestConnectionsGoRound(t *testing.T) {
	a, b, c := startBackend(t, 1), startBackend(t, 2), startBackend(t, 3)
	at := address(t, start(t, testOptions(t)), balancerOf(freePort(t), a, b, c))
	if diff := cmp.Diff(map[string]int{"b1": 4, "b2": 4, "b3": 4}, names(t, at, 12)); diff != "" {
		t.Errorf("12 connections over three backends (-want +got):\n%s", diff)
	}
}

// A client may finish sending and still wait for the answer, as "nc -N" and HTTP/1.0 clients do.
func TestHalfClose(t *testing.T) {
	at := address(t, start(t, testOptions(t)), balancerOf(freePort(t), startBackend(t, 1)))
	c := connect(t, at)
	if _, err := io.WriteString(c, "last words"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c.in); err != nil || string(got) != "last words" {
		t.Errorf("after half-close got %q, %v; want the echo and the end", got, err)
	}
}

func TestBytesArriveUnchangedOver64Connections(t *testing.T) {
	at := address(t, start(t, testOptions(t)), balancerOf(freePort(t), startBackend(t, 1), startBackend(t, 2)))
	payload := make([]byte, 1<<20)
	if _, err := rand.Read(payload); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range 64 {
		work.Go(func() {
			c, err := tryConnect(t.Context(), at)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			work.Go(func() {
				if _, err := c.Write(payload); err != nil {
					t.Errorf("sending: %v", err)
				}
				if err := c.CloseWrite(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			if got, err := io.ReadAll(c.in); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(payload))
			}
		})
	}
	work.Wait()
}

// One endpoint stays, one goes, one comes, while connections to the first two are open.
func TestEndpointChangesUnderOpenConnections(t *testing.T) {
	a, b, c := startBackend(t, 1), startBackend(t, 2), startBackend(t, 3)
	o := testOptions(t)
	o.Drain = 300 * time.Millisecond
	p, port := start(t, o), freePort(t)
	at := address(t, p, balancerOf(port, a, b))
	stays, goes := connect(t, at), connect(t, at)
	if stays.server != "b1" || goes.server != "b2" {
		t.Fatalf("connected with %s and %s, want b1 and b2", stays.server, goes.server)
	}
	began := time.Now()
	bring(t, p, balancerOf(port, a, c))
	if got := names(t, at, 4); got["b1"] != 2 || got["b3"] != 2 {
		t.Errorf("new connections went to %v, want only b1 and b3", got)
	}
	if err := goes.echo("draining"); err != nil && time.Since(began) < o.Drain {
		t.Errorf("connection to a removed endpoint was cut before the drain limit: %v", err)
	}
	if _, err := goes.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("past the drain limit the connection ended with %v, want a reset", err)
	}
	if took := time.Since(began); took < o.Drain {
		t.Errorf("cut after %s, drain limit is %s", took, o.Drain)
	}
	if err := stays.echo("still here"); err != nil {
		t.Errorf("connection to an endpoint that remained was disturbed: %v", err)
	}
}

// The connection to b2, which never came back, shows when the drain limit has passed.
func TestEndpointThatComesBackKeepsItsConnections(t *testing.T) {
	a, b := startBackend(t, 1), startBackend(t, 2)
	o := testOptions(t)
	o.Drain = 200 * time.Millisecond
	p, port := start(t, o), freePort(t)
	at := address(t, p, balancerOf(port, a, b))
	back, gone := connect(t, at), connect(t, at)
	bring(t, p, balancerOf(port))
	bring(t, p, balancerOf(port, a))
	if _, err := gone.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("connection to the endpoint that stayed away ended with %v, want a reset", err)
	}
	if err := back.echo("back"); err != nil {
		t.Errorf("connection to the endpoint that came back: %v", err)
	}
}

func TestFailedDialsAreInvisible(t *testing.T) {
	dead, alive := startBackend(t, 1), startBackend(t, 2)
	dead.stop()
	at := address(t, start(t, testOptions(t)), balancerOf(freePort(t), dead, alive))
	if got := names(t, at, 10); got["b2"] != 10 {
		t.Errorf("answers came from %v, want ten from b2", got)
	}
}

func TestNoBackendIsAReset(t *testing.T) {
	dead := startBackend(t, 1)
	dead.stop()
	for name, lb := range map[string]mcs.LoadBalancer{"none": balancerOf(freePort(t)), "none that answers": balancerOf(freePort(t), dead)} {
		at := address(t, start(t, testOptions(t)), lb)
		if _, err := tryConnect(t.Context(), at); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: connecting gave %v, want a reset", name, err)
		}
	}
}

// Clients speak IPv4 to the proxy; what endpoints speak is their own affair.
func TestEndpointsOfIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	b := &backendServer{name: "six", listener: l, target: netip.MustParseAddrPort(l.Addr().String())}
	b.work.Go(b.serve)
	t.Cleanup(b.stop)
	at := address(t, start(t, Options{Range: testOptions(t).Range}), balancerOf(freePort(t), b, startBackend(t, 1).at127()))
	if diff := cmp.Diff(map[string]int{"six": 2, "b1": 2}, names(t, at, 4)); diff != "" {
		t.Errorf("connections over endpoints of both families (-want +got):\n%s", diff)
	}
}

func TestUnmappedAddressesAreNotDialed(t *testing.T) {
	b := startBackend(t, 1)
	at := address(t, start(t, testOptions(t)), balancerOf(freePort(t), b.at127())) // reachable, but outside of the map's 10/8
	if _, err := tryConnect(t.Context(), at); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connecting gave %v, want a reset", err)
	}
	if n := b.connections(); n > 0 {
		t.Errorf("an endpoint outside of the dial map was dialed %d times", n)
	}
}

func TestResetsTravel(t *testing.T) {
	b := startBackend(t, 1)
	at := address(t, start(t, testOptions(t)), balancerOf(freePort(t), b))
	c := connect(t, at)
	b.mu.Lock()
	reset(b.accepted[0].(*net.TCPConn))
	b.mu.Unlock()
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the backend reset the connection, the client saw %v", err)
	}
}

func TestPortsChange(t *testing.T) {
	b := startBackend(t, 1)
	p, before, after := start(t, testOptions(t)), freePort(t), freePort(t)
	old := address(t, p, balancerOf(before, b))
	open := connect(t, old)
	now := address(t, p, balancerOf(after, b))
	if oldHost, _, _ := net.SplitHostPort(old); !strings.HasPrefix(now, oldHost+":") {
		t.Errorf("the address changed from %s to %s with the port", old, now)
	}
	if _, err := tryConnect(t.Context(), old); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the port that went: connecting gave %v, want refused", err)
	}
	if err := open.echo("old port"); err != nil {
		t.Errorf("an open connection through the port that went must drain: %v", err)
	}
	if got := names(t, now, 1); got["b1"] != 1 {
		t.Errorf("the port that came is answered by %v", got)
	}
}

func TestDeleteStopsListening(t *testing.T) {
	p := start(t, testOptions(t))
	at := address(t, p, balancerOf(freePort(t), startBackend(t, 1)))
	if state := bring(t, p); len(state) > 0 {
		t.Errorf("state after everything was deleted: %v", state)
	}
	if _, err := tryConnect(t.Context(), at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting gave %v, want refused", err)
	}
}

// Two fleets on one machine have a service of the same name and port. The second gets another address, and has it again
// after a restart, although its first choice is free by then.
func TestPortTakenAndRestart(t *testing.T) {
	b, port := startBackend(t, 1), freePort(t)
	first, second := start(t, testOptions(t)), start(t, testOptions(t))
	lb := balancerOf(port, b)
	one, two := address(t, first, lb), address(t, second, lb)
	if one == two {
		t.Fatalf("both fleets serve on %s", one)
	}
	first.Close()
	second.Close()
	lb.Previous = []netip.Addr{netip.MustParseAddr("20.1.2.3"), netip.MustParseAddrPort(two).Addr()}
	if again := address(t, start(t, testOptions(t)), lb); again != two {
		t.Errorf("after a restart the service moved from %s to %s", two, again)
	}
	lb.Previous = nil
	if fresh := address(t, start(t, testOptions(t)), lb); fresh != one {
		t.Errorf("a fresh start chose %s, and %s before", fresh, one)
	}
}

func TestServicesDoNotShareAnAddress(t *testing.T) {
	b, port := startBackend(t, 1), freePort(t)
	o := testOptions(t)
	o.Range = netip.MustParsePrefix("127.255.200.8/29")
	p := start(t, o)
	var wanted []mcs.LoadBalancer
	for i := range 8 {
		lb := balancerOf(port, b)
		lb.Name = fmt.Sprintf("web%d", i)
		wanted = append(wanted, lb)
	}
	seen := map[netip.Addr]bool{}
	for key, installed := range bring(t, p, wanted...) {
		for _, a := range installed.Frontend.Addresses {
			if seen[a] || !o.Range.Contains(a) {
				t.Errorf("%s has %s, which is another's or out of range", key, a)
			}
			seen[a] = true
		}
	}
	if len(seen) != 8 {
		t.Errorf("8 services got %d addresses of a range of 8", len(seen))
	}
}

func TestPortTakenEverywhereIsRetried(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	p, lb := start(t, testOptions(t)), balancerOf(int32(l.Addr().(*net.TCPAddr).Port), startBackend(t, 1))
	f := bring(t, p, lb)[lb.Key()].Frontend
	if len(f.Addresses) > 0 || !f.Retry || !strings.Contains(strings.Join(f.Problems, "\n"), "no address of 127.255.128.0/17 has its ports free") {
		t.Fatalf("with the port taken on every address the frontend is %+v", f)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, address(t, p, lb), 1); got["b1"] != 1 {
		t.Errorf("after the port was freed the service is answered by %v", got)
	}
}

func TestSCTPIsNotServed(t *testing.T) {
	p, lb := start(t, testOptions(t)), balancerOf(freePort(t), startBackend(t, 1))
	lb.Ports = append(lb.Ports, mcs.Port{Name: "sig", Protocol: corev1.ProtocolSCTP, Port: 54})
	f := bring(t, p, lb)[lb.Key()].Frontend
	want := []string{"port 54/SCTP is not served: the local load balancer carries TCP and UDP only"}
	if diff := cmp.Diff(want, f.Problems); diff != "" || len(f.Addresses) != 1 || f.Retry {
		t.Errorf("frontend %+v, problems (-want +got):\n%s", f, diff)
	}
	state, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if plan := p.Plan(mcs.Resolution{LoadBalancers: []mcs.LoadBalancer{lb}}, state); len(plan.Changes) > 0 {
		t.Errorf("a refusal that no retry can change is planned again: %v", plan)
	}
}

func TestCloseCutsConnections(t *testing.T) {
	p, lb := start(t, testOptions(t)), balancerOf(freePort(t), startBackend(t, 1))
	c := connect(t, address(t, p, lb))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Close an open connection saw %v, want a reset", err)
	}
	if _, err := p.Apply(t.Context(), mcs.Plan{Changes: []mcs.Change{{Action: mcs.Create, LoadBalancer: lb}}}); err == nil {
		t.Error("Apply after Close succeeded")
	}
}
