package kubelet

import (
	"fmt"
	"net/netip"
)

// pool hands out the addresses of a range in turn, so that an address that became free is not used again soon: who
// still holds it finds nobody there, instead of somebody else.
type pool struct {
	first, next netip.Addr
	within      netip.Prefix
	used        map[netip.Addr]bool
}

func newPool(first netip.Addr, within netip.Prefix) *pool {
	return &pool{first: first, next: first, within: within, used: map[netip.Addr]bool{}}
}

// take returns an address that is not in use.
func (p *pool) take() (netip.Addr, error) {
	for start, once := p.next, false; !once || p.next != start; once = true {
		a := p.next
		if p.next = a.Next(); !p.within.Contains(p.next) {
			p.next = p.first
		}
		if !p.used[a] {
			p.used[a] = true
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all %d pod addresses of %s are in use", len(p.used), p.within)
}

func (p *pool) release(a netip.Addr) { delete(p.used, a) }
