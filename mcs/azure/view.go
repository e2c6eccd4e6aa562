package azure

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
)

// view is all that follows from what is asked for and what stands of one service, whatever the time is.
type view struct {
	stamp  stamp
	wished int // which wish it is of
	found  found
	design design
	// standing is what State.Detail holds.
	standing *standing
}

// standing is what Plan decides by: all of it is as it was when the State was made.
type standing struct {
	found  found // without ETags
	groups map[string]securityGroup
	told   bool     // Installed.LoadBalancer is all that was asked for, and not only what tags tell
	todo   []string // what is to be done about that
}

// viewOf returns the view of key, made anew where something has changed.
func (p *Provider) viewOf(key mcs.Key) *view {
	w, told := p.told[key]
	now := p.stands.stamp(key)
	if v := p.views[key]; v != nil && v.stamp == now && v.wished == w.number {
		return v
	}
	f := p.stands.of(key)
	v := &view{stamp: now, wished: w.number, found: f, design: p.designer.design(w.lb, f)}
	v.standing = &standing{found: f.withoutETags(), groups: p.stands.groups, told: told}
	if told {
		v.standing.todo = p.designer.todo(w.lb, v.standing)
	}
	p.views[key] = v
	return v
}

// todo are the writes that lb takes while s stands, whatever the time is.
func (c designer) todo(lb mcs.LoadBalancer, s *standing) []string {
	m := moment{drain: c.Drain.Duration + time.Hour, groups: s.groups, owner: c.owner, config: c.Config}
	var out []string
	for _, step := range c.design(lb, s.found).next(s.found, m).steps {
		out = append(out, fmt.Sprintf("%s %s: %s", kindOf(step.verb), lastOf(step.id), step.why))
	}
	return out
}

// state is everything that stands, and everything that was asked for.
func (p *Provider) state() mcs.State {
	out := mcs.State{}
	keys := map[mcs.Key]bool{}
	for key := range p.told {
		keys[key] = true
	}
	for key, f := range p.stands.found {
		if len(f.LBs)+len(f.IPs) > 0 {
			keys[key] = true
		}
	}
	for key := range keys {
		v := p.viewOf(key)
		w, told := p.told[key]
		if !told {
			w.lb = recalled(key, v.found)
		}
		out[mcs.LoadBalancerKey{Key: key}] = mcs.Installed{LoadBalancer: w.lb, Frontend: p.frontend(key, v, told), Detail: v.standing}
	}
	return out
}

// recalled is what tags tell of a load balancer that another process made.
func recalled(key mcs.Key, f found) mcs.LoadBalancer {
	lb := mcs.LoadBalancer{Namespace: key.Namespace, Name: key.Name}
	for _, x := range f.LBs {
		if x.Mine {
			lb.Clusters = askedBy(x.Tags)
		}
	}
	if len(f.LBs) == 0 {
		for _, x := range f.IPs {
			if x.Mine {
				lb.Clusters = askedBy(x.Tags)
			}
		}
	}
	return lb
}

// frontend tells where a service is reached, and what is not as it shall be.
func (p *Provider) frontend(key mcs.Key, v *view, told bool) mcs.Frontend {
	out := mcs.Frontend{Addresses: addresses(v.design, v.found, p.told[key].lb.Previous)}
	if !told {
		out.Undecided = serviceKey(key)
		return out
	}
	out.Announcements = announcements(key, v.design, v.found)
	r := reasons{soonest: p.meter.budget.PollEvery}
	todo := p.progress(key)
	r.progress(todo, len(v.design.Refused))
	r.problems = append(r.problems, v.design.Notes...)
	p.underway(key, todo.steps, &r)
	slices.Sort(r.problems)
	out.Problems, out.Retry, out.After = slices.Compact(r.problems), r.retry, r.after
	return out
}

// reasons collects why a service is not as it shall be, and when to go on with it.
type reasons struct {
	problems []string
	retry    bool
	after    time.Duration
	soonest  time.Duration
}

func (r *reasons) again(after time.Duration) {
	if after = max(after, r.soonest); !r.retry || after < r.after {
		r.retry, r.after = true, after
	}
}

// forPeople is how long to wait for what a person may do in Azure.
const forPeople = time.Minute

// progress adds what is left to do; final is how many of its problems nothing but another wish can end.
func (r *reasons) progress(todo progress, final int) {
	r.problems = append(r.problems, todo.problems...)
	if len(todo.problems) > final {
		r.again(forPeople)
	}
	for _, w := range todo.waits {
		r.problems = append(r.problems, w.why)
		if w.after > 0 {
			r.again(w.after)
		}
	}
}

// underway adds what is on its way for key, and of what is left which has failed.
func (p *Provider) underway(key mcs.Key, left []step, r *reasons) {
	now := p.now()
	for id, x := range p.pending {
		if x.key == key {
			r.again(x.next.Sub(now))
			r.problems = append(r.problems, "Azure is at work on "+lastOf(id))
		}
	}
	for _, step := range left {
		r.problems = append(r.problems, fmt.Sprintf("%s %s: not done yet", kindOf(step.verb), lastOf(step.id)))
		s := p.setbacks[at(step.root)]
		if s == nil {
			r.again(0)
			continue
		}
		r.problems = append(r.problems, s.what+": "+s.fault.text)
		r.again(s.until.Sub(now))
	}
}

// addresses are where clients reach what stands. While what is designed takes no connections yet and what clients were told of before
// does, as when it becomes internal, that is still the place to go.
func addresses(d design, f found, before []netip.Addr) []netip.Addr {
	designed := map[string]bool{}
	for _, part := range d.Parts {
		designed[at(part.LB.ID)] = d.Global == nil
	}
	if d.Global != nil {
		designed[at(d.Global.LB.ID)] = true
	}
	for _, match := range []func(id string, lb loadBalancer) bool{
		func(id string, lb loadBalancer) bool { return designed[id] && lb.takesConnections() },
		func(id string, lb loadBalancer) bool {
			known := slices.ContainsFunc(f.addresses(id), func(a netip.Addr) bool { return slices.Contains(before, a) })
			return lb.takesConnections() && (known || len(designed) == 0)
		},
		func(id string, _ loadBalancer) bool { return designed[id] || len(designed) == 0 },
	} {
		if out := f.addressesOf(match); len(out) > 0 {
			return out
		}
	}
	return nil
}

// addressesOf are those of the load balancers that match; one of tier Global stands before the others.
func (f found) addressesOf(match func(id string, lb loadBalancer) bool) []netip.Addr {
	for _, global := range []bool{true, false} {
		var out []netip.Addr
		for _, id := range sortedIDs(f.LBs) {
			if lb := f.LBs[id]; lb.Mine && lb.Global == global && len(lb.Rules) > 0 && match(id, lb) {
				out = append(out, f.addresses(id)...)
			}
		}
		if len(out) > 0 {
			return distinct(out)
		}
	}
	return nil
}

// takesConnections tells whether some backend takes new ones.
func (lb loadBalancer) takesConnections() bool {
	return slices.ContainsFunc(lb.Pools, func(to pool) bool {
		return slices.ContainsFunc(to.Backends, func(b backend) bool { return !b.Down })
	})
}

// announcements tell the Services of all clusters that have nodes behind a load balancer, or shall have, what packets come with as their
// destination.
func announcements(key mcs.Key, d design, f found) []mcs.Announcement {
	told := map[string][]netip.Addr{} // by cluster
	for _, part := range d.Parts {
		for _, cluster := range part.Clusters {
			told[cluster] = append(told[cluster], d.vips(part, f)...)
		}
	}
	var global []netip.Addr
	for id, x := range f.LBs {
		if x.Mine && x.Global {
			global = append(global, f.addresses(id)...)
		}
	}
	for id, x := range f.LBs {
		if !x.Mine || x.Global {
			continue
		}
		for _, to := range x.Pools {
			for _, b := range to.Backends {
				told[ownerOf(b.Name)] = slices.Concat(told[ownerOf(b.Name)], f.addresses(id), global)
			}
		}
	}
	var out []mcs.Announcement
	for _, cluster := range slices.Sorted(maps.Keys(told)) {
		if list := distinct(told[cluster]); len(list) > 0 {
			out = append(out, mcs.Announcement{Cluster: cluster, Service: serviceKey(key), Addresses: list})
		}
	}
	return out
}

func distinct(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
