package local

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
	"net/netip"

	"github.com/gitfleet/gitfleet/mcs"
)

// maxCandidates bounds how many addresses are tried for one service. When so many have its port taken, something listens
// on the port on every address.
const maxCandidates = 64

// candidates yields the addresses to try for lb, best first: the one it has (if any), those its status tells of, then a
// walk through the range from a place that only its name decides, so that the same service gets the same address on a
// fresh start. An address may come twice.
func candidates(within netip.Prefix, lb mcs.LoadBalancer, current netip.Addr) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, a := range append([]netip.Addr{current}, lb.Previous...) {
			if usable(within, a) && !yield(a) {
				return
			}
		}
		h := fnv.New32a()
		h.Write([]byte(lb.Key().String()))
		base := binary.BigEndian.Uint32(within.Masked().Addr().AsSlice())
		size := uint64(1) << (32 - within.Bits())
		start := uint64(h.Sum32()) % size
		for i := range size {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], base+uint32((start+i)%size))
			if a := netip.AddrFrom4(b); usable(within, a) && !yield(a) {
				return
			}
		}
	}
}

// usable leaves out what looks like a network or broadcast address; Linux cannot listen on the last address of 127/8.
func usable(within netip.Prefix, a netip.Addr) bool {
	if !within.Contains(a) {
		return false
	}
	last := a.As4()[3]
	return last != 0 && last != 255
}

// checkRange tells why services cannot get their addresses from p.
func checkRange(p netip.Prefix) error {
	const remedy = "; choose one such as 127.255.0.0/16"
	loopback := netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)
	switch {
	case !p.IsValid() || p != p.Masked():
		return fmt.Errorf("%s is not a prefix without host bits%s", p, remedy)
	case !p.Addr().Is4() || !loopback.Contains(p.Addr()) || p.Bits() < loopback.Bits():
		return fmt.Errorf("%s is not within 127.0.0.0/8, the addresses every Linux program may listen on%s", p, remedy)
	case p.Bits() > 30:
		return fmt.Errorf("%s is too small: every service has an address of its own%s", p, remedy)
	case p.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})):
		return fmt.Errorf("%s contains 127.0.0.1, where other programs listen%s", p, remedy)
	}
	return nil
}
