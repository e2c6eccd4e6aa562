package azure

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// lbDifference says what makes want differ from have, but for who is in the pools; nothing when there is no need to write.
func lbDifference(want, have loadBalancer) []string {
	var out []string
	if !same(want.Region, have.Region) {
		out = append(out, fmt.Sprintf("stands in %s", have.Region))
	}
	if tagsDiffer(want.Tags, have.Tags) {
		out = append(out, "tags change")
	}
	out = append(out, childDifference("frontend", want.Frontends, have.Frontends, func(f frontend) string { return f.Name }, sameFrontend)...)
	out = append(out, childDifference("pool", want.Pools, have.Pools, func(p pool) string { return p.Name }, func(a, b pool) bool {
		// Answers may have the network at the addresses only: of an empty pool it is not known.
		return a.Manual == b.Manual && (same(a.Network, b.Network) || b.Network == "" && len(b.Backends) == 0)
	})...)
	out = append(out, childDifference("probe", want.Probes, have.Probes, func(p probe) string { return p.Name }, func(a, b probe) bool { return a == b })...)
	out = append(out, childDifference("rule", want.Rules, have.Rules, func(r rule) string { return r.Name }, func(a, b rule) bool { return a == b })...)
	for _, what := range have.Strange {
		out = append(out, what+" is not gitfleet's and goes")
	}
	if have.State == stateFailed || have.State == stateCanceled {
		out = append(out, "the last change "+map[string]string{stateFailed: "failed", stateCanceled: "was overtaken"}[have.State])
	}
	return out
}

func sameFrontend(want, have frontend) bool {
	return same(want.PublicIP, have.PublicIP) && same(want.Subnet, have.Subnet) && want.Static == have.Static && (!want.Static || want.Address == have.Address)
}

// childDifference compares lists by the names of what is in them.
func childDifference[T any](what string, want, have []T, name func(T) string, equal func(a, b T) bool) []string {
	var out []string
	for _, w := range want {
		i := slices.IndexFunc(have, func(h T) bool { return same(name(h), name(w)) })
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("%s %s comes", what, name(w)))
		case !equal(w, have[i]):
			out = append(out, fmt.Sprintf("%s %s changes", what, name(w)))
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w T) bool { return same(name(h), name(w)) }) {
			out = append(out, fmt.Sprintf("%s %s goes", what, name(h)))
		}
	}
	return out
}

// ipDifference says what makes want differ from have: what can be changed, and what only a new address could bring.
func ipDifference(want, have publicIP) (change, never []string) {
	if !same(want.Region, have.Region) || want.Global != have.Global {
		never = append(never, "its region")
	}
	if !slices.Equal(want.Zones, have.Zones) && len(want.Zones) > 0 {
		never = append(never, "its zones")
	}
	if !same(want.Prefix, have.Prefix) {
		never = append(never, "its prefix")
	}
	if !slices.Equal(want.IPTags, have.IPTags) {
		never = append(never, "its IP tags")
	}
	if tagsDiffer(want.Tags, have.Tags) {
		change = append(change, "tags change")
	}
	if !want.AnyLabel && !same(want.Label, have.Label) {
		change = append(change, "its name in DNS changes")
	}
	if have.State == stateFailed {
		change = append(change, "the last change failed")
	}
	return change, never
}

// merged is a pool on its way to what is wanted: who comes, who stays, who is drained, and whether that differs from what it holds.
type merged struct {
	pool
	added, drained, removed []string // names
	differs                 bool
}

// mergePool returns the next content of a pool that holds have and shall hold want. What is no longer wanted first takes no new
// connections, until drained says that this has lasted; what is gone leaves at once, and so what kept says is not known stays.
func mergePool(want, have pool, gone, kept, drained func(backend) bool) merged {
	m := merged{pool: want}
	wanted := map[string]backend{}
	for _, b := range want.Backends {
		wanted[b.Name] = b
	}
	held := map[string]backend{}
	m.Backends = nil
	for _, b := range have.Backends {
		held[b.Name] = b
		w, ok := wanted[b.Name]
		switch {
		case ok:
			m.Backends = append(m.Backends, w)
			m.differs = m.differs || w != b && !(w.Frontend != "" && same(w.Frontend, b.Frontend) && w.Down == b.Down)
		case kept(b):
			m.Backends = append(m.Backends, b)
		case gone(b), b.Down && drained(b):
			m.removed, m.differs = append(m.removed, b.Name), true
		default:
			if !b.Down {
				b.Down, m.differs = true, true
			}
			m.drained = append(m.drained, b.Name)
			m.Backends = append(m.Backends, b)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if _, ok := held[name]; !ok {
			m.added, m.differs = append(m.added, name), true
			m.Backends = append(m.Backends, wanted[name])
		}
	}
	slices.SortFunc(m.Backends, func(a, b backend) int { return cmp.Compare(a.Name, b.Name) })
	return m
}

// ruleDifference tells whether a security rule is to be written.
func ruleDifference(want, have securityRule) bool {
	return want.Description != have.Description || want.Deny != have.Deny || want.Protocol != have.Protocol || !slices.Equal(want.Sources, have.Sources) ||
		!slices.Equal(want.Destination, have.Destination) || !slices.Equal(want.Ports, have.Ports)
}
