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
	"net/http"
	"net/netip"
	"reflect"
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

	mu       sync.Mutex
	meter    *meter
	listed   bool
	stands   *inventory
	told     map[mcs.Key]wished
	wishes   int // how many were told so far
	views    map[mcs.Key]*view
	pending  map[string]*pending  // by at(ID) of what is locked
	setbacks map[string]*setback  // likewise
	downs    map[string]time.Time // as in moment
	written  map[string]time.Time // by at(ID): lists may lag behind for a moment
	looked   map[string]time.Time // when what others are at work on was last read
	missing  map[string]error     // as in moment
}

// wished is what was last asked for.
type wished struct {
	number int // distinct
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
	p := &Provider{designer: designer{o.Config, who}, now: o.Now, stands: newInventory(who), views: map[mcs.Key]*view{}, told: map[mcs.Key]wished{},
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
	before := p.stands.clear()
	for _, lb := range lbs {
		p.stands.keepLB(lb)
	}
	for _, ip := range ips {
		p.stands.keepIP(ip)
	}
	p.recheck(ctx, before)
	for _, id := range c.securityGroups() {
		p.readGroup(ctx, id)
	}
	p.noteDowns()
	p.listed = true
	return p.state(), ctx.Err()
}

// recheck reads what the list may not show as it is: what was written a moment ago, and what is not in it any more. A list may lag behind,
// and what it lacks would be taken for gone.
func (p *Provider) recheck(ctx context.Context, before map[mcs.Key]found) {
	now := p.now()
	for id, when := range p.written {
		if now.Sub(when) > time.Minute {
			delete(p.written, id)
		}
	}
	for key, f := range before {
		listed := p.stands.of(key)
		for id, lb := range f.LBs {
			if _, there := listed.LBs[id]; !there || !p.written[id].IsZero() {
				p.confirmed(id, p.readLB(ctx, key, lb.ID), func() { p.stands.keepLB(lb) })
			}
		}
		for id, ip := range f.IPs {
			if _, there := listed.IPs[id]; !there || !p.written[id].IsZero() {
				p.confirmed(id, p.readIP(ctx, key, ip.ID), func() { p.stands.keepIP(ip) })
			}
		}
	}
	for key := range p.told {
		p.fetchBrought(ctx, key)
	}
}

// confirmed keeps what was known of a resource that could not be read.
func (p *Provider) confirmed(id string, err error, keep func()) {
	if err != nil {
		keep()
		p.written[id] = p.now() // so that the next list is not believed, either
	}
}

// Plan implements mcs.Provider: what is asked for is compared with what stands, resource by resource.
func (p *Provider) Plan(r mcs.Resolution, in mcs.State) mcs.Plan {
	var plan mcs.Plan
	wanted := map[mcs.LoadBalancerKey]bool{}
	for _, lb := range r.LoadBalancers {
		wanted[lb.Key()] = true
		lb.Sites = sites(r, lb)
		have, ok := in[lb.Key()]
		lb.Clusters = asking(r, lb, have.LoadBalancer)
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
			lb.Ports, lb.Backends = nil, nil
			lb.Sites = sites(r, lb)
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
	asked := lb.DifferenceFrom(have.LoadBalancer)
	var reasons []string
	switch sites := reflect.DeepEqual(lb.Sites, have.LoadBalancer.Sites); {
	case !s.told:
		reasons = append([]string{"stands, and is taken up after a start"}, p.designer.todo(lb, s)...)
	case asked == "" && sites:
		reasons = s.todo
	case asked != "":
		reasons = append([]string{asked}, p.designer.todo(lb, s)...)
	default:
		if reasons = p.designer.todo(lb, s); len(reasons) == 0 {
			reasons = []string{"members or their places change"}
		}
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

// asking are the members that ask for lb, and those that asked when it was last seen and cannot be seen now.
func asking(r mcs.Resolution, lb, before mcs.LoadBalancer) []string {
	out := slices.Clone(lb.Clusters)
	for _, cluster := range before.Clusters {
		if slices.Contains(r.Unsynced, cluster) {
			out = append(out, cluster)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
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
	clusters := append(slices.Clone(exporters(r, lb)), r.Unsynced...)
	slices.Sort(clusters)
	var out []mcs.Site
	for _, cluster := range slices.Compact(clusters) {
		m, ok := r.Members[cluster]
		if !ok {
			continue // it left the fleet
		}
		s := mcs.Site{Member: m, Endpoints: len(endpoints[cluster]), Unseen: slices.Contains(r.Unsynced, cluster)}
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
		w, again := p.told[key]
		if !again || !reflect.DeepEqual(w.lb, c.LoadBalancer) {
			p.wishes++
			w.number, w.lb = p.wishes, c.LoadBalancer
		}
		switch {
		case c.Action != mcs.Delete:
			w.doomed = time.Time{}
		case w.doomed.IsZero():
			w.doomed = p.now()
		}
		p.told[key] = w
	}
	p.follow(ctx)
	p.lookAtOthers(ctx, keys)
	p.noteDowns()
	p.work(ctx, keys)
	for _, key := range keys { // what is gone altogether is forgotten
		f := p.stands.found[key]
		if !p.told[key].doomed.IsZero() && len(f.LBs)+len(f.IPs) == 0 && len(p.progress(key).steps) == 0 {
			delete(p.told, key)
			delete(p.views, key)
			p.stands.forgetService(key)
		}
	}
	return p.state(), ctx.Err()
}

// moment is now.
func (p *Provider) moment() moment {
	return moment{now: p.now(), drain: p.designer.Drain.Duration, downs: p.downs, groups: p.stands.groups, owner: p.designer.owner, config: p.designer.Config, missing: p.missing}
}

// progress is what is left to do for key.
func (p *Provider) progress(key mcs.Key) progress {
	v, w := p.viewOf(key), p.told[key]
	if !w.doomed.IsZero() {
		return remove(key, v.found, w.doomed, p.moment())
	}
	return v.design.next(v.found, p.moment())
}
