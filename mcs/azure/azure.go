// Package azure makes load balancers of Azure that belong to the fleet and not to one of its clusters: a Standard load balancer for each
// MultiClusterService and virtual network, and one of tier Global before them when there are several. It is the only package that knows
// Azure.
//
// Deciding is pure: a design is what shall stand for a service, steps are what to do about the difference to what stands. Every write is
// decided again on a read made for it, carries the ETag of that read, and is followed to its end by asking how it goes, never by waiting.
// All that a process must know stands in Azure, in tags and names; what it remembers besides makes it faster and gentler, not right.
package azure

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/gitfleet/gitfleet/mcs"
)

// Options of the provider.
type Options struct {
	Config Config
	Auth   Auth
	// Source is the repository that the fleet follows, in any form that stays the same: resources of another one are left alone.
	Source string
	// TakeOver makes resources of this fleet's name ours although they follow another source.
	TakeOver bool
	Budget   Budget           // DefaultBudget unless set
	Client   *http.Client     // the SDK's own unless set
	Now      func() time.Time // time.Now unless set
}

// Provider is an mcs.Provider. Its methods may be called from several goroutines; they take turns.
type Provider struct {
	designer designer
	client   client
	now      func() time.Time

	mu        sync.Mutex
	meter     *meter
	listed    bool
	found     map[mcs.Key]found
	strangers found                    // what stands in the resource group and is not ours
	groups    map[string]securityGroup // by at(ID)
	told      map[mcs.Key]wished
	pending   map[string]*pending  // by at(ID) of what is locked
	setbacks  map[string]*setback  // likewise
	downs     map[string]time.Time // as in moment
	written   map[string]time.Time // by at(ID): lists may lag behind for a moment
	looked    map[string]time.Time // when what others are at work on was last read
	missing   map[string]error     // why groups could not be read, by at(ID)
}

// wished is what was last asked for.
type wished struct {
	lb     mcs.LoadBalancer
	doomed time.Time // since when nobody asks for it; zero while somebody does
}

// pending is a write that was accepted.
type pending struct {
	operation
	step step
	key  mcs.Key
	next time.Time // when to ask how it goes
	asks int
}

// setback is a write that failed.
type setback struct {
	fault *fault
	what  string // of the step
	until time.Time
	times int
}

var _ mcs.Provider = (*Provider)(nil)

// refresh is how often everything is listed anew.
const refresh = 10 * time.Minute

// New returns a provider. It sends nothing before List.
func New(o Options) (*Provider, error) {
	var transport policy.Transporter
	if o.Client != nil {
		transport = o.Client
	}
	credential, err := o.Auth.credential(transport)
	if err != nil {
		return nil, fmt.Errorf("azure: credentials: %w", err)
	}
	cloud, err := o.Auth.cloud()
	if err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	plain, err := o.Auth.plainHTTP()
	if err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	sum := sha256.Sum256([]byte(o.Source))
	who := owner{fleet: o.Config.Fleet, source: hex.EncodeToString(sum[:8]), any: o.TakeOver}
	p := &Provider{designer: designer{o.Config, who}, now: o.Now, found: map[mcs.Key]found{}, groups: map[string]securityGroup{}, told: map[mcs.Key]wished{},
		pending: map[string]*pending{}, setbacks: map[string]*setback{}, downs: map[string]time.Time{}, written: map[string]time.Time{}, looked: map[string]time.Time{}, missing: map[string]error{}}
	if p.now == nil {
		p.now = time.Now
	}
	budget := o.Budget
	if budget == (Budget{}) {
		budget = DefaultBudget()
	}
	p.meter = newMeter(budget)
	p.client = client{credential: credential, factories: map[string]*armnetwork.ClientFactory{}, options: &arm.ClientOptions{
		// Retries are decided here, by cause. The registration of the resource provider would take another permission.
		ClientOptions:         azcore.ClientOptions{Cloud: cloud, Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{ApplicationID: "gitfleet"}, InsecureAllowCredentialWithHTTP: plain},
		DisableRPRegistration: true}}
	return p, nil
}

// Properties implements mcs.Provider.
func (p *Provider) Properties() mcs.Properties {
	return mcs.Properties{Probes: true, Announces: true, Refresh: refresh}
}

// standing is what State.Detail holds: all that Plan decides by.
type standing struct {
	found  found
	groups map[string]securityGroup
	told   bool // Installed.LoadBalancer is all that was asked for, and not only what tags tell
}

// List implements mcs.Provider.
func (p *Provider) List(ctx context.Context) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.designer.Config
	lbs, err := p.client.listLBs(ctx, c.Subscription, c.ResourceGroup)
	if err != nil {
		return nil, fmt.Errorf("azure: listing the load balancers of resource group %s: %s", c.ResourceGroup, faultOf(err).text)
	}
	ips, err := p.client.listIPs(ctx, c.Subscription, c.ResourceGroup)
	if err != nil {
		return nil, fmt.Errorf("azure: listing the public IPs of resource group %s: %s", c.ResourceGroup, faultOf(err).text)
	}
	before := p.found
	p.found, p.strangers = map[mcs.Key]found{}, found{LBs: map[string]loadBalancer{}, IPs: map[string]publicIP{}}
	for _, lb := range lbs {
		p.keepLB(lb)
	}
	for _, ip := range ips {
		p.keepIP(ip)
	}
	p.recheck(ctx, before)
	for _, id := range c.securityGroups() {
		p.readGroup(ctx, id)
	}
	p.noteDowns()
	p.listed = true
	return p.state(), ctx.Err()
}

// recheck reads what the list may not show as it is: what was written a moment ago, and public IPs in other groups.
func (p *Provider) recheck(ctx context.Context, before map[mcs.Key]found) {
	now := p.now()
	for id, when := range p.written {
		if now.Sub(when) > time.Minute {
			delete(p.written, id)
			continue
		}
		for key, f := range before {
			if lb, ok := f.LBs[id]; ok {
				p.readLB(ctx, key, lb.ID)
			} else if ip, ok := f.IPs[id]; ok {
				p.readIP(ctx, key, ip.ID)
			}
		}
	}
	for key := range p.told {
		p.fetchBrought(ctx, key)
	}
}

// keepLB notes what stands.
func (p *Provider) keepLB(lb loadBalancer) {
	key, mine := p.designer.owner.owns(lb.Tags)
	if lb.Mine = mine; mine {
		p.own(key).LBs[at(lb.ID)] = lb
	} else {
		p.strangers.LBs[at(lb.ID)] = lb
	}
}

func (p *Provider) keepIP(ip publicIP) {
	key, mine := p.designer.owner.owns(ip.Tags)
	if ip.Mine = mine; mine {
		p.own(key).IPs[at(ip.ID)] = ip
	} else {
		p.strangers.IPs[at(ip.ID)] = ip
	}
}

// own returns what stands for key, to be changed in place.
func (p *Provider) own(key mcs.Key) found {
	f, ok := p.found[key]
	if !ok {
		f = found{LBs: map[string]loadBalancer{}, IPs: map[string]publicIP{}}
		p.found[key] = f
	}
	return f
}

// of returns all that a design for key may meet.
func (p *Provider) of(key mcs.Key) found {
	f := p.strangers.clone()
	maps.Copy(f.LBs, p.found[key].LBs)
	maps.Copy(f.IPs, p.found[key].IPs)
	return f
}

// Plan implements mcs.Provider: what is asked for is compared with what stands, resource by resource.
func (p *Provider) Plan(r mcs.Resolution, in mcs.State) mcs.Plan {
	var plan mcs.Plan
	wanted := map[mcs.LoadBalancerKey]bool{}
	for _, lb := range r.LoadBalancers {
		wanted[lb.Key()] = true
		lb.Sites = sites(r, lb)
		have, ok := in[lb.Key()]
		if !ok {
			plan.Changes = append(plan.Changes, mcs.Change{Action: mcs.Create, LoadBalancer: lb, Reason: "new"})
		} else if reason := p.difference(lb, have); reason != "" {
			plan.Changes = append(plan.Changes, mcs.Change{Action: mcs.Update, LoadBalancer: lb, Reason: reason})
		}
	}
	for key, have := range in {
		if wanted[key] {
			continue
		}
		if r.Asked(key.Key) { // nothing exports it: its address is kept
			lb := have.LoadBalancer
			lb.Ports, lb.Backends, lb.Sites = nil, nil, nil
			if reason := p.difference(lb, have); reason != "" {
				plan.Changes = append(plan.Changes, mcs.Change{Action: mcs.Update, LoadBalancer: lb, Reason: cmp.Or(reason, "nothing exports it")})
			}
		} else if r.Abandoned(have.LoadBalancer.Clusters) {
			plan.Changes = append(plan.Changes, mcs.Change{Action: mcs.Delete, LoadBalancer: have.LoadBalancer, Reason: "no MultiClusterService asks for it"})
		}
	}
	slices.SortFunc(plan.Changes, func(a, b mcs.Change) int {
		x, y := a.LoadBalancer.Key(), b.LoadBalancer.Key()
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	return plan
}

// difference says why something is to be done about lb; nothing when nothing is.
func (p *Provider) difference(lb mcs.LoadBalancer, have mcs.Installed) string {
	s, _ := have.Detail.(*standing)
	if s == nil {
		return "new"
	}
	var reasons []string
	if !s.told {
		reasons = append(reasons, "stands, and is taken up after a start")
	} else if reason := lb.DifferenceFrom(have.LoadBalancer); reason != "" {
		reasons = append(reasons, reason)
	}
	// Neither the time nor what was drained before is of interest here.
	m := moment{drain: p.designer.Drain.Duration + time.Hour, groups: s.groups, owner: p.designer.owner, config: p.designer.Config}
	for _, step := range p.designer.design(lb, s.found).next(s.found, m).steps {
		reasons = append(reasons, fmt.Sprintf("%s %s: %s", kindOf(step.verb), lastOf(step.id), step.why))
	}
	if len(reasons) == 0 && have.Frontend.Retry {
		reasons = append(reasons, "goes on: "+strings.Join(have.Frontend.Problems, "; "))
	}
	return strings.Join(reasons, "; ")
}

func kindOf(v verb) string {
	switch v {
	case putIP, deleteIP:
		return "public IP"
	case putPool, putPoolRemovals:
		return "pool"
	case putRule, deleteRule:
		return "security rule"
	}
	return "load balancer"
}

// sites are the clusters behind lb, as far as r shows them.
func sites(r mcs.Resolution, lb mcs.LoadBalancer) []mcs.Site {
	endpoints := map[string]map[netip.Addr]bool{}
	for _, b := range lb.Backends {
		if endpoints[b.Cluster] == nil {
			endpoints[b.Cluster] = map[netip.Addr]bool{}
		}
		endpoints[b.Cluster][b.Target.Addr()] = true
	}
	var out []mcs.Site
	for _, cluster := range exporters(r, lb) {
		m, ok := r.Members[cluster]
		if !ok {
			continue // it left the fleet
		}
		s := mcs.Site{Member: m, Endpoints: len(endpoints[cluster])}
		if d, ok := r.Derived(cluster, serviceKey(lb.Key().Key)); ok {
			s.Service = &d
		}
		out = append(out, s)
	}
	return out
}

// Apply implements mcs.Provider. It goes as far as it can without waiting: what Azure is still working on, and what the budget does not
// allow yet, is told by Retry and After.
func (p *Provider) Apply(ctx context.Context, plan mcs.Plan) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.listed {
		return nil, errors.New("azure: what stands is not known")
	}
	var keys []mcs.Key
	for _, c := range plan.Changes {
		key := c.LoadBalancer.Key().Key
		keys = append(keys, key)
		w := wished{lb: c.LoadBalancer}
		if c.Action == mcs.Delete {
			if w.doomed = p.told[key].doomed; w.doomed.IsZero() {
				w.doomed = p.now()
			}
		}
		p.told[key] = w
	}
	p.follow(ctx)
	p.lookAtOthers(ctx, keys)
	p.noteDowns()
	p.work(ctx, keys)
	for _, key := range keys { // what is gone altogether is forgotten
		f := p.found[key]
		if !p.told[key].doomed.IsZero() && len(f.LBs)+len(f.IPs) == 0 && len(p.progress(key).steps) == 0 {
			delete(p.told, key)
			delete(p.found, key)
		}
	}
	return p.state(), ctx.Err()
}

// moment is now.
func (p *Provider) moment() moment {
	m := moment{now: p.now(), drain: p.designer.Drain.Duration, downs: p.downs, groups: p.groups, owner: p.designer.owner, config: p.designer.Config, doomed: map[mcs.Key]time.Time{}}
	for key, w := range p.told {
		if !w.doomed.IsZero() {
			m.doomed[key] = w.doomed
		}
	}
	return m
}

// progress is what is left to do for key.
func (p *Provider) progress(key mcs.Key) progress {
	w, f, m := p.told[key], p.of(key), p.moment()
	if !w.doomed.IsZero() {
		return remove(key, f, m)
	}
	return p.designer.design(w.lb, f).next(f, m)
}

// state is everything that stands, and everything that was asked for.
func (p *Provider) state() mcs.State {
	out := mcs.State{}
	keys := maps.Clone(p.told)
	for key := range p.found {
		if _, told := keys[key]; !told {
			keys[key] = wished{}
		}
	}
	for key, w := range keys {
		f := p.of(key)
		_, told := p.told[key]
		lb := w.lb
		if !told {
			if lb = p.recalled(key, f); lb.Name == "" {
				continue
			}
		}
		out[mcs.LoadBalancerKey{Key: key}] = mcs.Installed{LoadBalancer: lb, Frontend: p.frontend(key, lb, f, told),
			Detail: &standing{found: f.withoutETags(), groups: maps.Clone(p.groups), told: told}}
	}
	return out
}

// recalled is what tags tell of a load balancer that another process made.
func (p *Provider) recalled(key mcs.Key, f found) mcs.LoadBalancer {
	lb := mcs.LoadBalancer{Namespace: key.Namespace, Name: key.Name}
	for _, x := range f.LBs {
		if x.Mine {
			lb.Clusters = askedBy(x.Tags)
		}
	}
	if lb.Clusters == nil {
		for _, x := range f.IPs {
			if x.Mine {
				lb.Clusters = askedBy(x.Tags)
			}
		}
	}
	return lb
}

// frontend tells where a service is reached, and what is not as it shall be.
func (p *Provider) frontend(key mcs.Key, lb mcs.LoadBalancer, f found, told bool) mcs.Frontend {
	d := p.designer.design(lb, f)
	out := mcs.Frontend{Addresses: addresses(d, f), Announcements: p.announcements(key, lb, d, f)}
	if !told {
		out.Undecided, out.Announcements = serviceKey(key), nil
		return out
	}
	now := p.now()
	again := func(after time.Duration) {
		if after = max(after, p.meter.budget.PollEvery); !out.Retry || after < out.After {
			out.Retry, out.After = true, after
		}
	}
	todo := p.progress(key)
	out.Problems = slices.Concat(todo.problems, d.Notes)
	if len(todo.problems) > len(d.Refused) {
		again(time.Minute) // a person may have done something in Azure
	}
	for _, w := range todo.waits {
		out.Problems = append(out.Problems, w.why)
		if w.after > 0 {
			again(w.after)
		}
	}
	for _, step := range todo.steps {
		out.Problems = append(out.Problems, fmt.Sprintf("%s %s: not done yet", kindOf(step.verb), lastOf(step.id)))
		if s := p.setbacks[at(step.root)]; s == nil {
			again(0)
		}
	}
	for _, id := range sortedIDs(p.pending) {
		if x := p.pending[id]; x.key == key {
			again(x.next.Sub(now))
			out.Problems = append(out.Problems, fmt.Sprintf("Azure is at work on %s", lastOf(x.step.id)))
		}
	}
	for _, root := range slices.Sorted(maps.Keys(roots(todo))) {
		if s := p.setbacks[root]; s != nil {
			out.Problems = append(out.Problems, s.what+": "+s.fault.text)
			again(s.until.Sub(now))
		}
	}
	for _, id := range p.designer.securityGroups() {
		if err := p.missing[at(id)]; err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("network security group %s cannot be read: %s", lastOf(id), faultOf(err).text))
		}
	}
	slices.Sort(out.Problems)
	out.Problems = slices.Compact(out.Problems)
	return out
}

func roots(todo progress) map[string]bool {
	out := map[string]bool{}
	for _, s := range todo.steps {
		out[at(s.root)] = true
	}
	return out
}

// addresses are where clients reach what stands. While what is designed takes no connections yet and something else of the service
// does, as when it becomes internal, that is still the place to go.
func addresses(d design, f found) []netip.Addr {
	designed := map[string]bool{}
	for _, part := range d.Parts {
		designed[at(part.LB.ID)] = d.Global == nil
	}
	if d.Global != nil {
		designed[at(d.Global.LB.ID)] = true
	}
	pick := func(match func(id string, lb loadBalancer) bool) (out []netip.Addr) {
		for _, global := range []bool{true, false} { // one of tier Global stands before the others
			for _, id := range sortedIDs(f.LBs) {
				if lb := f.LBs[id]; lb.Mine && lb.Global == global && len(lb.Rules) > 0 && match(id, lb) {
					out = append(out, f.addresses(id)...)
				}
			}
			if len(out) > 0 {
				break
			}
		}
		slices.SortFunc(out, netip.Addr.Compare)
		return slices.Compact(out)
	}
	if out := pick(func(id string, lb loadBalancer) bool { return designed[id] && lb.takesConnections() }); len(out) > 0 {
		return out
	}
	if out := pick(func(_ string, lb loadBalancer) bool { return lb.takesConnections() }); len(out) > 0 {
		return out
	}
	return pick(func(id string, _ loadBalancer) bool { return designed[id] || len(designed) == 0 })
}

// takesConnections tells whether some backend takes new ones.
func (lb loadBalancer) takesConnections() bool {
	return slices.ContainsFunc(lb.Pools, func(to pool) bool {
		return slices.ContainsFunc(to.Backends, func(b backend) bool { return !b.Down })
	})
}

// announcements tell the Services of all clusters that have nodes behind a load balancer, or shall have, what packets come with as their
// destination.
func (p *Provider) announcements(key mcs.Key, lb mcs.LoadBalancer, d design, f found) []mcs.Announcement {
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
				told[ownerOf(b.Name)] = append(told[ownerOf(b.Name)], slices.Concat(f.addresses(id), global)...)
			}
		}
	}
	var out []mcs.Announcement
	for _, cluster := range slices.Sorted(maps.Keys(told)) {
		list := told[cluster]
		slices.SortFunc(list, netip.Addr.Compare)
		if list = slices.Compact(list); len(list) > 0 {
			out = append(out, mcs.Announcement{Cluster: cluster, Service: serviceKey(key), Addresses: list})
		}
	}
	return out
}
