package local

import (
	"fmt"
	"net/netip"
	"strings"
)

// Mapping replaces the leading bits of addresses in From with those of To, before dialing. Both have the same length.
type Mapping struct {
	From, To netip.Prefix
}

// ParseDialMap reads "10.0.0.0/8=127.0.0.0/8", or several of these separated by commas. Nothing is read as no mapping.
func ParseDialMap(text string) ([]Mapping, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var out []Mapping
	for entry := range strings.SplitSeq(text, ",") {
		m, err := parseMapping(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("dial map: %q: %w", entry, err)
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMapping(entry string) (Mapping, error) {
	from, to, ok := strings.Cut(entry, "=")
	if !ok {
		return Mapping{}, fmt.Errorf("write FROM=TO, such as 10.0.0.0/8=127.0.0.0/8")
	}
	var m Mapping
	for _, side := range []struct {
		text string
		into *netip.Prefix
	}{{from, &m.From}, {to, &m.To}} {
		p, err := netip.ParsePrefix(strings.TrimSpace(side.text))
		if err != nil {
			return Mapping{}, fmt.Errorf("%w; write a prefix such as 10.0.0.0/8", err)
		}
		if p != p.Masked() {
			return Mapping{}, fmt.Errorf("%s has bits beyond its length; write %s", p, p.Masked())
		}
		*side.into = p
	}
	return m, m.validate()
}

func (m Mapping) validate() error {
	if !m.From.IsValid() || !m.To.IsValid() {
		return fmt.Errorf("both sides must be prefixes such as 10.0.0.0/8")
	}
	if m.From.Addr().Is4() != m.To.Addr().Is4() || m.From.Bits() != m.To.Bits() {
		return fmt.Errorf("%s and %s must be of one address family and length", m.From, m.To)
	}
	return nil
}

// apply returns a with its first Bits bits taken from To.
func (m Mapping) apply(a netip.Addr) netip.Addr {
	bytes, prefix := a.AsSlice(), m.To.Addr().AsSlice()
	for i := range bytes {
		kept := min(max(m.To.Bits()-8*i, 0), 8)
		mask := byte(0xff) << (8 - kept)
		bytes[i] = prefix[i]&mask | bytes[i]&^mask
	}
	out, _ := netip.AddrFromSlice(bytes)
	return out
}

// dialAddress returns where to dial for target. With a map, what it does not cover is refused: an address of a cluster
// may be somebody else's on this machine.
func dialAddress(dialMap []Mapping, target netip.AddrPort) (netip.AddrPort, error) {
	if len(dialMap) == 0 {
		return target, nil
	}
	for _, m := range dialMap {
		if m.From.Contains(target.Addr()) {
			return netip.AddrPortFrom(m.apply(target.Addr()), target.Port()), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%s is not covered by the dial map", target.Addr())
}
