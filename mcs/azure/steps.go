package azure

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
)

// verb is what a step does.
type verb int

// The verbs, in the order in which a budget that is short is spent: what takes traffic away from where it is lost goes first, and
// what only tidies up last.
const (
	putPoolRemovals verb = iota
	putPool
	putIP
	putLB
	putRule
	putTags
	deleteRule
	deleteLB
	deleteIP
)

// step is one write. What it writes is decided again on what a fresh read shows.
type step struct {
	verb verb
	id   string // of the resource
	root string // of the resource that is locked by it and has its ETag: the load balancer of a pool, the group of a rule
	lb   loadBalancer
	pool pool
	ip   publicIP
	rule securityRule
	why  string
}

// wait is something that takes time and no write.
type wait struct {
	why   string
	after time.Duration // when to look again
}

// progress is what is left to do for one service now.
type progress struct {
	steps    []step
	waits    []wait
	problems []string // that no step can mend
}

// moment is what a decision depends on besides what is wanted and what stands. It is kept in memory only; a process that starts
// anew drains what it finds drained once more.
type moment struct {
	now    time.Time
	drain  time.Duration
	downs  map[string]time.Time     // when a backend was first seen to take no new connections, by pool and name
	groups map[string]securityGroup // by at(ID)
	owner  owner
	config Config
	// missing is why something could not be read, by at(ID): a group, or a public IP that a user brought.
	missing map[string]error
}

func downKey(lbID, name string) string { return at(lbID) + " " + name }

// left is for how long b is still to be drained.
func (m moment) left(lbID string, b backend) time.Duration {
	since, seen := m.downs[downKey(lbID, b.Name)]
	if !seen {
		return m.drain
	}
	return m.drain - m.now.Sub(since)
}

// next returns what to do about d while f stands: all steps that may be taken in any order.
func (d design) next(f found, m moment) progress {
	var p progress
	if len(d.Refused) > 0 {
		p.problems = d.Refused
		return p
	}
	if d.Keep {
		for _, id := range sortedIDs(f.LBs) {
			if lb := f.LBs[id]; lb.Mine && !lb.Global && len(lb.Pools) > 0 {
				p.membership(part{Place: lastOf(lb.ID), LB: withoutBackends(lb), Unknown: d.Unseen}, lb, f, m)
			}
		}
		return p
	}
	parts := d.Parts
	if d.Global != nil {
		parts = append(parts[:len(parts):len(parts)], *d.Global)
	}
	ready := true
	for _, part := range parts {
		ready = p.bring(part, f, m, ready && !d.Unaware) && ready
	}
	p.letIn(d, m)
	if ready && !d.Waiting {
		p.retire(d, f, m)
	}
	return p
}

// bring makes a part stand; it returns whether it does. A part of tier Global waits for the others: it refers to them.
func (p *progress) bring(want part, f found, m moment, before bool) bool {
	if want.LB.Global && !before {
		if want.IP != nil { // the address takes no notice of them, and members must know it
			p.address(want, f, m)
		}
		return false
	}
	if !p.address(want, f, m) {
		return false
	}
	if want.ByIP.IsValid() {
		want.LB.Frontends = slices.Clone(want.LB.Frontends)
		want.LB.Frontends[0].PublicIP = f.idOfAddress(want)
	}
	have, stands := f.LBs[at(want.LB.ID)]
	if stands && (!m.mine(have.Mine, have.Tags, "load balancer", have.ID, p) || p.atWork(have.ID, have.State)) {
		return false
	}
	if len(want.LB.Rules) == 0 {
		p.waits = append(p.waits, wait{"members do not show the ports of their Services yet", 0})
		return false
	}
	reasons := []string{"new"}
	if stands {
		reasons = lbDifference(want.LB, have)
	}
	if len(reasons) == 0 {
		return p.membership(want, have, f, m)
	}
	// Addresses that the pool has stay in it: leaving them out would take them away. A load balancer of tier Global has its pool at once, as
	// frontends take a moment to be healthy and nothing is lost before.
	to := want.LB
	to.Pools = slices.Clone(to.Pools)
	for i := range to.Pools {
		if holds, ok := have.pool(to.Pools[i].Name); ok && (same(holds.Network, to.Pools[i].Network) || len(holds.Backends) == 0) {
			to.Pools[i].Backends = holds.Backends
		} else if !to.Global {
			to.Pools[i].Backends = nil
		}
	}
	to.Tags = withTagsOf(to.Tags, have.Tags)
	v := putLB
	if slices.Equal(reasons, []string{"tags change"}) {
		v = putTags
	}
	p.steps = append(p.steps, step{verb: v, id: to.ID, root: to.ID, lb: to, why: strings.Join(reasons, "; ")})
	return false
}

// address makes the public IP of a part stand; it returns whether its load balancer may refer to it.
func (p *progress) address(want part, f found, m moment) bool {
	switch {
	case want.LB.Frontends[0].Subnet == "" && want.IP == nil && want.Brought == "" && !want.ByIP.IsValid():
		p.problems = append(p.problems, fmt.Sprintf("%s: no subnet for an internal frontend: set the annotation %sazure-load-balancer-internal-subnet, or members.NAME.subnet in the provider file", want.Place, keyPrefix))
		return false
	case want.Brought != "":
		ip, stands := f.IPs[at(want.Brought)]
		if err := m.missing[at(want.Brought)]; err != nil {
			p.problems = append(p.problems, fmt.Sprintf("public IP %s cannot be read: %s", lastOf(want.Brought), faultOf(err).text))
		} else if !stands {
			p.problems = append(p.problems, fmt.Sprintf("public IP %s is not there: make it, with SKU Standard", lastOf(want.Brought)))
		} else if ip.Global != want.LB.Global {
			p.problems = append(p.problems, fmt.Sprintf("public IP %s is of tier %s, and this load balancer needs one of tier %s", lastOf(want.Brought), tierOf(ip.Global), tierOf(want.LB.Global)))
			return false
		}
		return stands
	case want.ByIP.IsValid():
		if f.idOfAddress(want) == "" {
			p.problems = append(p.problems, fmt.Sprintf("no public IP of the resource group has the address %s: make one, or name its resource group in the annotation %sazure-load-balancer-resource-group", want.ByIP, keyPrefix))
			return false
		}
		return true
	case want.IP == nil:
		return true
	}
	have, stands := f.IPs[at(want.IP.ID)]
	if !stands {
		p.steps = append(p.steps, step{verb: putIP, id: want.IP.ID, root: want.IP.ID, ip: *want.IP, why: "new"})
		return false
	}
	if !m.mine(have.Mine, have.Tags, "public IP", have.ID, p) || p.atWork(have.ID, have.State) {
		return false
	}
	change, never := ipDifference(*want.IP, have)
	if len(never) > 0 {
		p.problems = append(p.problems, fmt.Sprintf("public IP %s keeps %s, which would take a new address: delete the MultiClusterService to let the address go, or undo the annotation",
			lastOf(have.ID), strings.Join(never, " and ")))
	}
	if len(change) > 0 {
		to := have
		to.Tags = withTagsOf(want.IP.Tags, have.Tags)
		if to.Label, to.AnyLabel = want.IP.Label, want.IP.AnyLabel; to.AnyLabel {
			to.Label = have.Label
		}
		v := putIP
		if slices.Equal(change, []string{"tags change"}) {
			v = putTags
		}
		p.steps = append(p.steps, step{verb: v, id: to.ID, root: to.ID, ip: to, why: strings.Join(change, "; ")})
		return false
	}
	return have.Address.IsValid()
}

func tierOf(global bool) string {
	if global {
		return "Global"
	}
	return "Regional"
}

// idOfAddress is the public IP of the address that a part asks for.
func (f found) idOfAddress(want part) string {
	for _, id := range sortedIDs(f.IPs) {
		if f.IPs[id].Address == want.ByIP {
			return f.IPs[id].ID
		}
	}
	return ""
}

// lookAgain is how long to wait for what another process began.
const lookAgain = 2 * time.Second

// atWork tells whether something is being done to a resource, and then has that waited for.
func (p *progress) atWork(id, state string) bool {
	if settled(state) {
		return false
	}
	p.waits = append(p.waits, wait{"Azure is at work on " + lastOf(id), lookAgain})
	return true
}

// mine tells whether a resource may be changed, and adds a problem when it may not.
func (m moment) mine(mine bool, tags map[string]string, kind, id string, p *progress) bool {
	if mine {
		return true
	}
	whose := "it has no tag of gitfleet's"
	if tags[tagFleet] != "" {
		whose = fmt.Sprintf("it belongs to fleet %s", tags[tagFleet])
		if tags[tagFleet] == m.owner.fleet {
			whose += " of another repository: give each its own name in the provider file"
		}
	}
	p.problems = append(p.problems, fmt.Sprintf("%s %s is not this fleet's (%s) and is left as it is: rename or delete it", kind, lastOf(id), whose))
	return false
}

// membership brings the pool of a load balancer that stands in step; it returns whether it is.
func (p *progress) membership(want part, have loadBalancer, f found, m moment) bool {
	if p.atWork(have.ID, have.State) {
		return false
	}
	to := want.LB.Pools[0]
	holds, _ := have.pool(to.Name)
	unknown := func(b backend) bool { return slices.Contains(want.Unknown, ownerOf(b.Name)) }
	// A node is gone when its cluster is known and does not have it. What cannot be told to take no new connections goes at once, too:
	// an admin state has no effect without a probe, and a regional frontend that left tier Global still serves what it has.
	probed := !have.Global && !slices.ContainsFunc(have.Rules, func(r rule) bool { return r.Probe == "" })
	gone := func(b backend) bool {
		return !probed || slices.Contains(want.Clusters, ownerOf(b.Name)) && !want.Present[b.Name]
	}
	merged := mergePool(to, holds, gone, unknown, func(b backend) bool { return m.left(have.ID, b) <= 0 })
	var soonest time.Duration
	for _, b := range merged.Backends {
		if left := m.left(have.ID, b); b.Down && (soonest == 0 || left < soonest) {
			soonest = max(left, time.Second)
		}
	}
	if merged.differs {
		v := putPool
		if len(merged.removed)+len(merged.drained) > 0 {
			v = putPoolRemovals
		}
		p.steps = append(p.steps, step{verb: v, id: have.ID + "/backendAddressPools/" + to.Name, root: have.ID, lb: have, pool: merged.pool, why: merged.String()})
		return false
	}
	if len(merged.drained) > 0 {
		p.waits = append(p.waits, wait{fmt.Sprintf("%s: %d addresses are being drained", want.Place, len(merged.drained)), soonest})
		return false
	}
	return true
}

func (m merged) String() string {
	var parts []string
	for _, x := range []struct {
		what  string
		names []string
	}{{"added", m.added}, {"drained", m.drained}, {"removed", m.removed}} {
		if len(x.names) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", len(x.names), x.what))
		}
	}
	return "backends: " + cmp.Or(strings.Join(parts, ", "), "changed")
}

func withoutBackends(lb loadBalancer) loadBalancer {
	lb.Pools = slices.Clone(lb.Pools)
	for i := range lb.Pools {
		lb.Pools[i].Backends = nil
	}
	return lb
}

// letIn writes the security rules that are wanted and takes away those that are not.
func (p *progress) letIn(d design, m moment) {
	for _, id := range d.Groups {
		g, known := m.groups[at(id)]
		if !known {
			if err := m.missing[at(id)]; err != nil {
				p.problems = append(p.problems, fmt.Sprintf("network security group %s cannot be read: %s", lastOf(id), faultOf(err).text))
			}
			continue
		}
		wanted := map[string]bool{}
		for _, want := range d.Rules {
			if !same(want.Group, id) {
				continue
			}
			wanted[at(want.Name)] = true
			i := slices.IndexFunc(g.Rules, func(r securityRule) bool { return same(r.Name, want.Name) })
			if i >= 0 {
				if key, mine := m.owner.described(g.Rules[i].Description); !mine || key != d.Key {
					p.problems = append(p.problems, fmt.Sprintf("rule %s of network security group %s is not this service's and is left as it is", want.Name, lastOf(id)))
					continue
				}
				if !ruleDifference(want, g.Rules[i]) {
					continue
				}
				want.Priority = g.Rules[i].Priority
			} else if want.Priority = m.config.freePriority(g, want.Deny); want.Priority == 0 {
				p.problems = append(p.problems, fmt.Sprintf("network security group %s has no priority left from %d to %d: widen securityRulePriorities in the provider file", lastOf(id), m.config.SecurityRulePriorities[0], m.config.SecurityRulePriorities[1]))
				continue
			}
			p.steps = append(p.steps, step{verb: putRule, id: g.ID + "/securityRules/" + want.Name, root: g.ID, rule: want, why: "lets clients in"})
		}
		p.closeAll(d.Key, g, m, func(r securityRule) bool { return !wanted[at(r.Name)] })
	}
}

// closeAll deletes the security rules of a service that match.
func (p *progress) closeAll(key mcs.Key, g securityGroup, m moment, match func(securityRule) bool) {
	for _, r := range g.Rules {
		if owner, mine := m.owner.described(r.Description); mine && owner == key && match(r) {
			p.steps = append(p.steps, step{verb: deleteRule, id: g.ID + "/securityRules/" + r.Name, root: g.ID, rule: r, why: "is not needed any more"})
		}
	}
}

// retire takes away load balancers of the service that d does not have: first nothing is behind them, then they go. Their public IPs stay
// for as long as the MultiClusterService does: somebody may have told the address to others.
func (p *progress) retire(d design, f found, m moment) {
	wanted := map[string]bool{}
	for _, part := range d.Parts {
		wanted[at(part.LB.ID)] = true
	}
	if d.Global != nil {
		wanted[at(d.Global.LB.ID)] = true
	}
	for _, id := range sortedIDs(f.LBs) {
		lb := f.LBs[id]
		if !lb.Mine || wanted[id] {
			continue
		}
		if !slices.ContainsFunc(d.Unseen, f.has) { // else it may be its place
			p.takeDown(lb, f, m)
		}
	}
}

// drained tells whether all that is behind a load balancer has been drained: then it can go with them.
func (m moment) drained(lb loadBalancer) bool {
	return !slices.ContainsFunc(lb.Pools, func(to pool) bool {
		return slices.ContainsFunc(to.Backends, func(b backend) bool { return !b.Down || m.left(lb.ID, b) > 0 })
	})
}

// takeDown drains a load balancer and deletes it.
func (p *progress) takeDown(lb loadBalancer, f found, m moment) {
	if p.atWork(lb.ID, lb.State) {
		return
	}
	for _, other := range f.LBs { // what is in a pool of tier Global cannot go
		for _, to := range other.Pools {
			if slices.ContainsFunc(to.Backends, func(b backend) bool { return strings.HasPrefix(at(b.Frontend), at(lb.ID)+"/") }) {
				return
			}
		}
	}
	if len(lb.Pools) > 0 && !m.drained(lb) && !p.membership(part{Place: lastOf(lb.ID), LB: withoutBackends(lb)}, lb, f, m) {
		return
	}
	p.steps = append(p.steps, step{verb: deleteLB, id: lb.ID, root: lb.ID, lb: lb, why: "is not needed any more"})
}

// remove returns what to do to take everything away that stands for a service. Nothing goes at first sight: what nobody asks for must
// still be asked for by nobody when the time for draining is over, which is counted from since.
func remove(key mcs.Key, f found, since time.Time, m moment) progress {
	var p progress
	if left := m.drain - m.now.Sub(since); left > 0 {
		for _, id := range sortedIDs(f.LBs) {
			if lb := f.LBs[id]; lb.Mine && !lb.Global && len(lb.Pools) > 0 {
				p.membership(part{Place: lastOf(lb.ID), LB: withoutBackends(lb)}, lb, f, m)
			}
		}
		p.waits = append(p.waits, wait{"nobody asks for it any more: it goes when it is drained", max(left, time.Second)})
		return p
	}
	for _, g := range m.groups {
		p.closeAll(key, g, m, func(securityRule) bool { return true })
	}
	for _, id := range sortedIDs(f.LBs) {
		switch lb := f.LBs[id]; {
		case !lb.Mine:
		case p.atWork(lb.ID, lb.State):
		case lb.Global:
			p.steps = append(p.steps, step{verb: deleteLB, id: lb.ID, root: lb.ID, lb: lb, why: "nobody asks for it any more"})
		default:
			p.takeDown(lb, f, m)
		}
	}
	if len(p.steps)+len(p.waits) > 0 {
		return p
	}
	for _, id := range sortedIDs(f.IPs) {
		if ip := f.IPs[id]; ip.Mine && !p.atWork(ip.ID, ip.State) {
			p.steps = append(p.steps, step{verb: deleteIP, id: ip.ID, root: ip.ID, ip: ip, why: "nobody asks for it any more"})
		}
	}
	return p
}

func sortedIDs[T any](m map[string]T) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
