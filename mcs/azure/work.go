package azure

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
)

// Delays after failures. They double from the first to the last, but for what a person has to mend.
const (
	firstDelay   = 2 * time.Second
	lastDelay    = 2 * time.Minute
	refusedDelay = 10 * time.Minute
)

// follow asks about the writes that are due.
func (p *Provider) follow(ctx context.Context) {
	for _, id := range sortedIDs(p.pending) {
		x := p.pending[id]
		if ctx.Err() != nil || p.now().Before(x.next) {
			continue
		}
		if _, ok := p.meter.take(laneOf(x.step, false), p.now()); !ok {
			continue
		}
		p.ask(ctx, id, x)
	}
}

// lookAtOthers reads what somebody else, or this fleet before it started anew, is at work on.
func (p *Provider) lookAtOthers(ctx context.Context, keys []mcs.Key) {
	for _, key := range keys {
		f := p.stands.found[key]
		for id, state := range f.states() {
			if settled(state) || p.pending[id] != nil || p.now().Sub(p.looked[id]) < lookAgain || ctx.Err() != nil {
				continue
			}
			if _, ok := p.meter.take(lane{subscription: at(p.designer.Subscription)}, p.now()); ok {
				p.looked[id] = p.now()
				_ = p.reread(ctx, key, step{root: id}) // what cannot be read is looked at again
			}
		}
	}
}

// ask asks how one write goes.
func (p *Provider) ask(ctx context.Context, id string, x *pending) {
	done, err := x.poll(ctx)
	f := faultOf(err)
	switch {
	case ctx.Err() != nil:
	case f != nil && !done && (f.cause == transient || f.cause == throttled || f.cause == busy):
		if f.cause == throttled {
			p.meter.throttle(laneOf(x.step, false), p.now(), f.after)
		}
		x.asks++
		x.next = p.now().Add(max(f.after, delay(x.asks)))
	case !done && f == nil:
		x.asks++
		x.next = p.now().Add(max(x.after, min(p.meter.budget.PollEvery<<min(x.asks, 3), 10*time.Second)))
	default:
		delete(p.pending, id)
		p.written[id] = p.now()
		unread := p.reread(ctx, x.key, x.step) != nil
		switch {
		case f != nil && f.cause != gone: // gone: the record of the operation is, and the resource itself tells
			p.failed(x.step, f)
		case !unread && p.unheeded(x.key, x.step):
			p.failed(x.step, &fault{cause: failedLate, text: "Azure took it and does not show it"})
		default:
			delete(p.setbacks, id)
		}
	}
}

// unheeded tells whether the same is still to be written although it was: then it is not written again and again.
func (p *Provider) unheeded(key mcs.Key, s step) bool {
	return slices.ContainsFunc(p.progress(key).steps, func(left step) bool {
		return left.id == s.id && isDelete(left.verb) == isDelete(s.verb) && left.why == s.why && reflect.DeepEqual(left.content(), s.content())
	})
}

// content is what s writes.
func (s step) content() any {
	switch s.verb {
	case putPool, putPoolRemovals:
		return s.pool
	case putRule:
		return s.rule
	case putIP:
		s.ip.ETag, s.ip.State = "", ""
		return s.ip
	}
	s.lb.ETag, s.lb.State = "", ""
	return s.lb
}

func delay(times int) time.Duration { return min(firstDelay<<min(times, 8), lastDelay) }

// work takes steps for services until nothing can be done now.
func (p *Provider) work(ctx context.Context, keys []mcs.Key) {
	began := p.now()
	todo := map[mcs.Key]progress{}
	for _, key := range keys {
		p.fetchBrought(ctx, key)
		todo[key] = p.progress(key)
	}
	for ctx.Err() == nil && p.now().Sub(began) < p.meter.budget.LongestSlice {
		key, s, ok := p.choose(todo)
		if !ok {
			return
		}
		p.take(ctx, key, s)
		p.noteDowns()
		todo[key] = p.progress(key)
	}
}

// choose returns the most urgent step that can be taken now.
func (p *Provider) choose(todo map[mcs.Key]progress) (mcs.Key, step, bool) {
	var bestKey mcs.Key
	var best step
	found := false
	for key, progress := range todo {
		for _, s := range progress.steps {
			if !p.mayTake(s) {
				continue
			}
			if !found || cmp.Or(cmp.Compare(s.verb, best.verb), cmp.Compare(s.id, best.id)) < 0 {
				bestKey, best, found = key, s, true
			}
		}
	}
	return bestKey, best, found
}

// mayTake tells whether nothing keeps s waiting: no write that is under way, none that failed a moment ago, and no budget.
func (p *Provider) mayTake(s step) bool {
	root, now := at(s.root), p.now()
	if p.pending[root] != nil {
		return false
	}
	if b := p.setbacks[root]; b != nil && now.Before(b.until) && (b.fault.cause != refused || b.what == s.String()) {
		return false
	}
	return p.meter.has(laneOf(s, true), now) && p.meter.has(laneOf(s, false), now)
}

func (s step) String() string { return fmt.Sprintf("%s %s (%s)", kindOf(s.verb), lastOf(s.id), s.why) }

// laneOf is what a request for s counts against.
func laneOf(s step, write bool) lane {
	return lane{subscription: at(subscriptionOf(s.id)), region: cmp.Or(s.lb.Region, s.ip.Region), write: write}
}

// take reads what s is about, decides anew whether it is to be taken, and takes it.
func (p *Provider) take(ctx context.Context, key mcs.Key, s step) {
	p.meter.take(laneOf(s, false), p.now())
	if err := p.reread(ctx, key, s); err != nil {
		if ctx.Err() == nil {
			p.failed(s, faultOf(err))
		}
		return
	}
	if g := p.stands.groups[at(s.root)]; isSecurityGroup(s.root) && !settled(g.State) {
		// Others write rules there, too. Of what is ours alone, steps are not even planned while Azure is at work on it.
		p.setbacks[at(s.root)] = &setback{fault: &fault{cause: busy, text: "Azure is at work on it"}, what: s.String(), until: p.now().Add(lookAgain)}
		return
	}
	fresh := p.progress(key).steps
	i := slices.IndexFunc(fresh, func(x step) bool { return same(x.id, s.id) && isDelete(x.verb) == isDelete(s.verb) })
	if i < 0 {
		delete(p.setbacks, at(s.root))
		return // somebody did it, or it is not right any more
	}
	s = fresh[i]
	p.meter.take(laneOf(s, true), p.now())
	operation, err := p.write(ctx, key, s)
	p.written[at(s.root)] = p.now()
	if err != nil {
		if ctx.Err() == nil {
			p.failed(s, faultOf(err))
			p.reread(ctx, key, s)
		}
		return
	}
	p.pending[at(s.root)] = &pending{operation: operation, step: s, key: key, next: p.now().Add(operation.after)}
	if operation.after == 0 {
		p.ask(ctx, at(s.root), p.pending[at(s.root)])
	}
}

func isDelete(v verb) bool { return v >= deleteRule }

// write sends s.
func (p *Provider) write(ctx context.Context, key mcs.Key, s step) (operation, error) {
	f := p.stands.of(key)
	etag := f.LBs[at(s.root)].ETag
	if isPublicIP(s.root) {
		etag = f.IPs[at(s.root)].ETag
	}
	switch s.verb {
	case putPool, putPoolRemovals:
		return p.client.putPool(ctx, s.id, s.pool, etag)
	case putLB:
		return p.client.putLB(ctx, s.lb, etag)
	case putIP:
		return p.client.putIP(ctx, s.ip, etag)
	case putTags:
		tags := s.lb.Tags
		if isPublicIP(s.id) {
			tags = s.ip.Tags
		}
		return p.client.putTags(ctx, s.id, etag, tags)
	case putRule:
		return p.client.putRule(ctx, s.id, s.rule, p.etagOfRule(s))
	}
	return p.client.delete(ctx, s.verb, s.id)
}

// etagOfRule is that of its group, which it has in common with all rules there; empty for one that is not there yet.
func (p *Provider) etagOfRule(s step) string {
	g := p.stands.groups[at(s.root)]
	if !slices.ContainsFunc(g.Rules, func(r securityRule) bool { return same(r.Name, s.rule.Name) }) {
		return ""
	}
	return g.ETag
}

// failed notes that s failed, and when to try again.
func (p *Provider) failed(s step, f *fault) {
	b := p.setbacks[at(s.root)]
	if b == nil {
		b = &setback{}
		p.setbacks[at(s.root)] = b
	}
	b.fault, b.what = f, s.String()
	b.times++
	now := p.now()
	switch f.cause {
	case refused:
		b.until = now.Add(refusedDelay)
	case throttled:
		p.meter.throttle(laneOf(s, true), now, f.after)
		b.until = now.Add(cmp.Or(f.after, time.Minute))
	case stale, overtaken, gone, failedLate:
		b.until = now // decided anew at once, a few times
		if b.times > 3 {
			b.until = now.Add(delay(b.times - 3))
		}
	default:
		b.until = now.Add(max(f.after, delay(b.times-1)))
	}
}

// reread reads what s is about. What is not there is known not to be: that is no error.
func (p *Provider) reread(ctx context.Context, key mcs.Key, s step) error {
	switch {
	case isPublicIP(s.root):
		return p.readIP(ctx, key, s.root)
	case isSecurityGroup(s.root):
		return p.readGroup(ctx, s.root)
	}
	if err := p.readLB(ctx, key, s.root); err != nil {
		return err
	}
	for _, fe := range p.stands.of(key).LBs[at(s.root)].Frontends { // its ETag changes with the frontend it is at
		if fe.PublicIP != "" && isDelete(s.verb) {
			return p.readIP(ctx, key, fe.PublicIP)
		}
	}
	return nil
}

func (p *Provider) readLB(ctx context.Context, key mcs.Key, id string) error {
	lb, err := p.client.getLB(ctx, id)
	if f := faultOf(err); f != nil && f.cause != gone {
		return err
	}
	p.stands.forget(key, id)
	if err == nil {
		p.stands.keepLB(lb)
	}
	return nil
}

func (p *Provider) readIP(ctx context.Context, key mcs.Key, id string) error {
	ip, err := p.client.getIP(ctx, id)
	if f := faultOf(err); f != nil && f.cause != gone {
		return err
	}
	p.stands.forget(key, id)
	if err == nil {
		p.stands.keepIP(ip)
	}
	return nil
}

func (p *Provider) readGroup(ctx context.Context, id string) error {
	g, err := p.client.getGroup(ctx, id)
	if err != nil {
		if ctx.Err() == nil {
			p.missing[at(id)] = err
		}
		return err
	}
	delete(p.missing, at(id))
	p.stands.keepGroup(g)
	return nil
}

// fetchBrought reads the public IP that a user names, wherever it is.
func (p *Provider) fetchBrought(ctx context.Context, key mcs.Key) {
	w := p.told[key]
	if !w.doomed.IsZero() {
		return
	}
	s, _, _ := readSettings(w.lb.Annotations)
	f, group := p.stands.of(key), p.designer.id(s.Group, "publicIPAddresses", s.IP)
	if p.now().Sub(p.looked[at(group)]) < lookAgain || !p.meter.has(lane{subscription: at(p.designer.Subscription)}, p.now()) {
		return
	}
	var err error
	switch _, known := f.IPs[at(group)]; {
	case s.IP != "" && !known:
		err = p.readIP(ctx, key, group)
	case s.Address.IsValid() && s.Group != "" && !w.lb.Internal && f.idOfAddress(part{ByIP: s.Address}) == "":
		var ips []publicIP
		ips, err = p.client.listIPs(ctx, p.designer.Subscription, s.Group)
		for _, ip := range ips {
			p.stands.keepIP(ip)
		}
	default:
		return
	}
	p.meter.take(lane{subscription: at(p.designer.Subscription)}, p.now())
	p.looked[at(group)] = p.now()
	delete(p.missing, at(group))
	if err != nil && ctx.Err() == nil {
		p.missing[at(group)] = err
	}
}

// noteDowns notes since when backends take no new connections.
func (p *Provider) noteDowns() {
	downs := map[string]time.Time{}
	for _, f := range p.stands.found {
		for _, lb := range f.LBs {
			for _, to := range lb.Pools {
				for _, b := range to.Backends {
					if !b.Down {
						continue
					}
					key := downKey(lb.ID, b.Name)
					if downs[key] = p.downs[key]; downs[key].IsZero() {
						downs[key] = p.now()
					}
				}
			}
		}
	}
	p.downs = downs
}

func isPublicIP(id string) bool { return contains(id, "/publicIPAddresses/") }

func isSecurityGroup(id string) bool { return contains(id, "/networkSecurityGroups/") }

func contains(id, part string) bool { return strings.Contains(at(id), at(part)) }
