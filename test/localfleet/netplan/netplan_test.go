package netplan

import (
	"net"
	"net/netip"
	"testing"
)

func TestClaimsAreDisjoint(t *testing.T) {
	first, releaseFirst, err := Claim()
	if err != nil {
		t.Fatal(err)
	}
	second, releaseSecond, err := Claim()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = releaseSecond() }()
	if first.Fleet().Overlaps(second.Fleet()) {
		t.Errorf("two fleets share %s and %s", first.Fleet(), second.Fleet())
	}
	if err := releaseFirst(); err != nil {
		t.Fatal(err)
	}
	third, releaseThird, err := Claim()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = releaseThird() }()
	if third.M > first.M { // another fleet may have ended in between, so it may be lower
		t.Errorf("range %d was released, but the next claim got %d", first.M, third.M)
	}
}

func TestClustersShareNoAddress(t *testing.T) {
	p := Plan{M: 7, APIPort: 6443}
	seen := map[netip.Addr]int{}
	for i := range MaxClusters {
		for _, a := range []netip.Addr{p.API(i).Addr(), p.Node(i, 0), p.Node(i, 1)} {
			if other, taken := seen[a]; taken {
				t.Errorf("clusters %d and %d both use %s", other, i, a)
			}
			seen[a] = i
			if !a.IsLoopback() {
				t.Errorf("%s of cluster %d is not on this machine", a, i)
			}
			if !a.Less(Loopback(p.FirstPod(i))) {
				t.Errorf("%s of cluster %d may also be a pod's", a, i)
			}
		}
		if Loopback(p.Advertised(i)) != p.API(i).Addr() {
			t.Errorf("the API server of cluster %d advertises %s but listens on %s", i, p.Advertised(i), p.API(i))
		}
		if !p.Pods(i).Contains(p.FirstPod(i)) || !p.Fleet().Contains(p.FirstPod(i)) {
			t.Errorf("first pod of cluster %d is %s, outside %s", i, p.FirstPod(i), p.Pods(i))
		}
		if p.LoadBalancers(i).Overlaps(p.Pods(i)) || !p.Fleet().Overlaps(p.LoadBalancers(i)) {
			t.Errorf("load balancers of cluster %d are at %s, beside pods at %s of %s", i, p.LoadBalancers(i), p.Pods(i), p.Fleet())
		}
		for j := range i {
			if p.LoadBalancers(i).Overlaps(p.LoadBalancers(j)) || p.LoadBalancers(i).Overlaps(p.Pods(j)) || p.Pods(i).Overlaps(p.LoadBalancers(j)) {
				t.Errorf("load balancers of clusters %d and %d, or one's and the other's pods, share %s and %s", j, i, p.LoadBalancers(j), p.LoadBalancers(i))
			}
			if p.Pods(i).Overlaps(p.Pods(j)) {
				t.Errorf("pods of clusters %d and %d share %s and %s", j, i, p.Pods(j), p.Pods(i))
			}
		}
	}
}

func TestPortInUse(t *testing.T) {
	addr := netip.MustParseAddr("127.1.2.3")
	free, err := freePort(addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, free).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if next, err := freePort(addr); err != nil || next == free {
		t.Errorf("port %d is in use, got %d, %v; want another one", free, next, err)
	}
}
