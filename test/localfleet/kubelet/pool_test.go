package kubelet

import (
	"net/netip"
	"testing"
)

func TestPool(t *testing.T) {
	p := newPool(netip.MustParseAddr("10.2.0.4"), netip.MustParsePrefix("10.2.0.0/29")) // four addresses: .4 to .7
	take := func(want string) netip.Addr {
		t.Helper()
		a, err := p.take()
		if err != nil || a.String() != want {
			t.Fatalf("took %s (%v), want %s", a, err, want)
		}
		return a
	}
	first := take("10.2.0.4")
	take("10.2.0.5")
	p.release(first)
	take("10.2.0.6") // not .4: an address rests as long as there are others
	take("10.2.0.7")
	take("10.2.0.4")
	if a, err := p.take(); err == nil {
		t.Fatalf("took %s from an exhausted range", a)
	}
	p.release(netip.MustParseAddr("10.2.0.6"))
	take("10.2.0.6")
}
