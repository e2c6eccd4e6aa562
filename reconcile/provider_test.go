package reconcile

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// slowProvider has load balancers that take a second look to be in place.
type slowProvider struct {
	mu     sync.Mutex
	state  mcs.State
	lists  int
	looked []map[string]string // annotations of the member that asked, at each Apply
}

func (p *slowProvider) Properties() mcs.Properties {
	return mcs.Properties{Refresh: 20 * time.Millisecond}
}

func (p *slowProvider) Objects(mcs.Resolution) map[string][]render.Object { return nil }

func (p *slowProvider) List(context.Context) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists++
	return maps.Clone(p.state), nil
}

func (p *slowProvider) Plan(r mcs.Resolution, in mcs.State) mcs.Plan {
	for i := range r.LoadBalancers {
		r.LoadBalancers[i].Sites = []mcs.Site{{Member: r.Members["east"]}}
	}
	return mcs.Difference(r, in)
}

func (p *slowProvider) Apply(_ context.Context, plan mcs.Plan) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range plan.Changes {
		f := mcs.Frontend{Retry: true, After: 5 * time.Millisecond, Problems: []string{"at work"}}
		if _, again := p.state[c.LoadBalancer.Key()]; again {
			f = mcs.Frontend{}
		}
		p.state[c.LoadBalancer.Key()] = mcs.Installed{LoadBalancer: c.LoadBalancer, Frontend: f}
		p.looked = append(p.looked, c.LoadBalancer.Sites[0].Annotations)
	}
	return maps.Clone(p.state), nil
}

// TestLoopComesBackToAProvider: what is on its way is looked at when the provider says, nothing has converged before, what is in place is
// listed anew from time to time, and the provider is told what the registry says of members.
func TestLoopComesBackToAProvider(t *testing.T) {
	east := newCluster("east")
	east.set(func() {
		east.services = mcs.Observed{Synced: true, Namespaces: []string{"web"},
			Exports:  []mcs.Export{{Cluster: "east", Namespace: "web", Name: "a", Service: &mcs.ExportedService{Type: "ClusterIP", Ports: []mcs.Port{{Protocol: "TCP", Port: 80}}}}},
			Services: []mcs.Service{{Cluster: "east", Namespace: "web", Name: "a", ImportName: "a"}}}
	})
	p := &slowProvider{state: mcs.State{}}
	repo := &repository{}
	repo.push("c1", annotated(memberCluster("east", "e"), "example.org/place", "here"), ns("web"), placeOn("web", "e"))
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), func(o *Options) { o.Provider = p })
	await(t, l, "the load balancer to be in place and several lists", func(report.Report) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.looked) >= 2 && p.lists >= 4
	})
	stop()
	if n := slices.IndexFunc(p.looked, func(a map[string]string) bool { return a["example.org/place"] != "here" }); n >= 0 {
		t.Errorf("at Apply %d the member's annotations were %v", n+1, p.looked[n])
	}
	if len(p.looked) != 2 {
		t.Errorf("applied %d times: what is in place is left alone", len(p.looked))
	}
}
