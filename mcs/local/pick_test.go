package local

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/mcs"
)

var testHealth = healthOptions{fall: 3, rise: 2, ejection: 30 * time.Second}

// clock is moved by the test.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTestPool(w wish) (*pool, *clock) {
	c := &clock{at: time.Unix(1000, 0)}
	p := newPool(time.Minute, testHealth, c.now)
	p.update(w)
	return p, c
}

// backendsOf makes a backend of "m1/10.0.0.1".
func backendsOf(texts ...string) []mcs.Backend {
	var out []mcs.Backend
	for _, text := range texts {
		cluster, address, _ := strings.Cut(text, "/")
		out = append(out, mcs.Backend{Cluster: cluster, Target: netip.AddrPortFrom(netip.MustParseAddr(address), 80)})
	}
	return out
}

// picks returns the last octets of n picks for client, one character each; "-" is none.
func picks(p *pool, client string, n int) string {
	out := ""
	for range n {
		if b := p.pick(netip.MustParseAddr(client), nil); b == nil {
			out += "-"
		} else {
			text := b.target.Addr().String()
			out += text[len(text)-1:]
		}
	}
	return out
}

func TestWeights(t *testing.T) {
	tests := []struct {
		name     string
		backends []mcs.Backend
		weights  map[string]int
		want     string
		reason   string
	}{
		{"none", backendsOf("m1/10.0.0.1", "m2/10.0.0.2", "m2/10.0.0.3"), nil, "123123",
			"endpoints count the same while nobody weighs clusters"},
		{"two to one", backendsOf("m1/10.0.0.1", "m2/10.0.0.2"), map[string]int{"m1": 2, "m2": 1}, "121121",
			"the lighter cluster comes in between, not at the end"},
		{"five to one to one", backendsOf("a/10.0.0.1", "b/10.0.0.2", "c/10.0.0.3"), map[string]int{"a": 5}, "1121311",
			"a cluster that is not named has 1, and picks are smooth"},
		{"cluster of two", backendsOf("m1/10.0.0.1", "m2/10.0.0.2", "m2/10.0.0.3"), map[string]int{"m1": 1}, "121312",
			"endpoints divide the weight of their cluster"},
		{"withdrawn", backendsOf("m1/10.0.0.1", "m2/10.0.0.2"), map[string]int{"m1": 0}, "2222", "0 takes no new connections"},
		{"all withdrawn", backendsOf("m1/10.0.0.1"), map[string]int{"m1": 0}, "--", "0 is an order, also for the last cluster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := newTestPool(wish{backends: tt.backends, weights: tt.weights})
			if got := picks(p, "127.0.0.1", len(tt.want)); got != tt.want {
				t.Errorf("picked %s, want %s: %s", got, tt.want, tt.reason)
			}
		})
	}
}

// With an update between any two picks the shares are still 3 to 1.
func TestWeightsOutliveUpdates(t *testing.T) {
	w := wish{backends: backendsOf("m1/10.0.0.1", "m2/10.0.0.2"), weights: map[string]int{"m1": 3}}
	p, _ := newTestPool(w)
	got := ""
	for range 8 {
		got += picks(p, "127.0.0.1", 1)
		p.update(w)
	}
	if got != "11211121" {
		t.Errorf("picked %s, want 11211121", got)
	}
}

func TestClientAffinity(t *testing.T) {
	w := wish{backends: backendsOf("m1/10.0.0.1", "m1/10.0.0.2", "m1/10.0.0.3"), affinity: 10 * time.Second}
	p, c := newTestPool(w)
	if got := picks(p, "127.0.0.1", 3) + picks(p, "127.0.0.2", 3) + picks(p, "127.0.0.1", 1); got != "1112221" {
		t.Fatalf("two clients went to %s, want 1112221", got)
	}
	c.at = c.at.Add(9 * time.Second)
	first := picks(p, "127.0.0.1", 1)
	c.at = c.at.Add(9 * time.Second)
	if got := first + picks(p, "127.0.0.1", 1) + picks(p, "127.0.0.2", 1); got != "113" {
		t.Errorf("18 s later they went to %s, want 113: each connection begins the timeout anew, and it has run out for the second", got)
	}
	w.backends = w.backends[1:]
	p.update(w)
	if got := picks(p, "127.0.0.1", 3); got != "222" {
		t.Errorf("after its endpoint went, the client went to %s, want 222: another, and always the same", got)
	}
	w.affinity = 0
	p.update(w)
	if got := picks(p, "127.0.0.1", 2); got != "32" {
		t.Errorf("without affinity the client went to %s, want 32", got)
	}
}

func TestAffinityIsBounded(t *testing.T) {
	p, _ := newTestPool(wish{backends: backendsOf("m1/10.0.0.1"), affinity: time.Hour})
	client := netip.MustParseAddr("10.1.0.0")
	for range maxClients + 10 {
		p.pick(client, nil)
		client = client.Next()
	}
	if n := len(p.sticky.clients); n > maxClients {
		t.Errorf("%d clients are remembered, more than %d", n, maxClients)
	}
}

func TestEjection(t *testing.T) {
	p, c := newTestPool(wish{backends: backendsOf("m1/10.0.0.1", "m1/10.0.0.2", "m1/10.0.0.3")})
	b := p.active
	fail := func(b *backend, times int) {
		for range times {
			p.note(b, false)
		}
	}
	fail(b[0], testHealth.fall-1)
	if got := picks(p, "127.0.0.1", 3); got != "123" {
		t.Errorf("below the threshold picked %s, want 123", got)
	}
	fail(b[0], 1)
	if got := picks(p, "127.0.0.1", 4); got != "2323" {
		t.Errorf("with the first ejected picked %s, want 2323", got)
	}
	fail(b[1], testHealth.fall)
	fail(b[2], testHealth.fall)
	if got := picks(p, "127.0.0.1", 3); got != "123" {
		t.Errorf("with all ejected picked %s, want all of them in turns", got)
	}
	p.note(b[1], true)
	if got := picks(p, "127.0.0.1", 2); got != "12" {
		t.Errorf("after one success of the second picked %s, want 12: it needs %d", got, testHealth.rise)
	}
	p.note(b[1], true)
	if got := picks(p, "127.0.0.1", 2); got != "22" {
		t.Errorf("with the second back picked %s, want 22", got)
	}
	c.at = c.at.Add(testHealth.ejection)
	if got := picks(p, "127.0.0.1", 3); got != "312" {
		t.Errorf("past the ejection time picked %s, want 312", got)
	}
}

// Ejected ones are a last resort for a client for whom all others have failed.
func TestTriedAreNotPickedAgain(t *testing.T) {
	p, _ := newTestPool(wish{backends: backendsOf("m1/10.0.0.1", "m1/10.0.0.2")})
	for range testHealth.fall {
		p.note(p.active[0], false)
	}
	var tried []*backend
	for b := p.pick(netip.IPv4Unspecified(), tried); b != nil; b = p.pick(netip.IPv4Unspecified(), tried) {
		tried = append(tried, b)
	}
	if len(tried) != 2 || tried[0] != p.active[1] || tried[1] != p.active[0] {
		t.Errorf("tried %d backends, want the healthy one and then the ejected one", len(tried))
	}
}

func TestChecks(t *testing.T) {
	up := startBackend(t, 1)
	p, _ := newTestPool(wish{backends: []mcs.Backend{{Target: up.target}, {Target: netip.MustParseAddrPort("10.255.0.9:1")}}})
	dial := func(_ context.Context, target netip.AddrPort) (*net.TCPConn, error) {
		if target != up.target {
			return nil, errors.New("does not answer")
		}
		return net.DialTCP("tcp", nil, up.listener.Addr().(*net.TCPAddr))
	}
	for range testHealth.fall {
		p.check(t.Context(), dial)
	}
	var got []bool
	var failures []uint64
	for _, m := range p.metrics() {
		got, failures = append(got, m.Ejected), append(failures, m.Failures)
	}
	if diff := cmp.Diff([]bool{false, true}, got) + cmp.Diff([]uint64{0, 3}, failures); diff != "" {
		t.Errorf("ejected and failures of the one that answers and of the other (-want +got):\n%s", diff)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p.check(gone, func(ctx context.Context, _ netip.AddrPort) (*net.TCPConn, error) { return nil, ctx.Err() })
	if n := p.active[0].failures.Load(); n > 0 {
		t.Error("a check that was called off counts as a failure of the endpoint")
	}
}
