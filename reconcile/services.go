package reconcile

import (
	"context"
	"reflect"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
)

// services is what multi-cluster services came to.
type services struct {
	resolution mcs.Resolution
	state      mcs.State          // what the provider has in place; nil until it was asked
	asked      []mcs.LoadBalancer // what it was asked for last
	provide    worker
	err        error // why the provider failed as a whole
	retry      bool  // a load balancer has a problem that another try may solve
}

// servicesSet is the name of the ApplySet for the objects that services need on a member. It is no valid name for a
// placement, so it cannot clash with one.
const servicesSet = "gitfleet:services"

// set returns the services' set on a member: none while the member has not synced, which leaves what is there alone.
func (s services) set(cluster, commit string) []apply.Set {
	objects, synced := s.resolution.Objects[cluster]
	if !synced {
		return nil
	}
	return []apply.Set{{Name: servicesSet, Revision: commit, Objects: objects}}
}

// resolveServices resolves what the members export and brings load balancers and statuses in step with it.
func (l *Loop) resolveServices(ctx context.Context, now time.Time) {
	var observed []mcs.Observed
	for _, m := range l.sortedMembers() {
		o := m.observed
		o.Cluster = m.name // also of a member that could not be opened: it is there, only unseen
		observed = append(observed, o)
	}
	l.services.resolution = mcs.Resolve(observed)
	l.startProvider(ctx, now)
	l.startStatuses(ctx, now)
}

// provided is what a provider worker brings back.
type provided struct {
	state mcs.State
	err   error
}

// startProvider asks the provider for the load balancers of the newest resolution, unless it has been.
func (l *Loop) startProvider(ctx context.Context, now time.Time) {
	s := &l.services
	if l.opt.Provider == nil || !s.provide.ready(now) {
		return
	}
	same := s.state != nil && s.err == nil && reflect.DeepEqual(s.asked, s.resolution.LoadBalancers)
	if same && !s.retry {
		return
	}
	resolution := s.resolution
	start(ctx, l, &s.provide, func(ctx context.Context) provided { return provide(ctx, l.opt.Provider, resolution) },
		func(p provided) { l.folded(ctx, resolution, p) })
}

func provide(ctx context.Context, p mcs.Provider, r mcs.Resolution) provided {
	state, err := p.List(ctx)
	if err != nil {
		return provided{err: err}
	}
	plan := p.Plan(r, state)
	if len(plan.Changes) == 0 {
		return provided{state: state}
	}
	state, err = p.Apply(ctx, plan)
	return provided{state: state, err: err}
}

func (l *Loop) folded(ctx context.Context, asked mcs.Resolution, p provided) {
	s := &l.services
	s.err, s.asked, s.retry = p.err, asked.LoadBalancers, false
	if p.err != nil {
		if ctx.Err() == nil {
			l.opt.Log.Error("load balancers failed, will be tried again", "error", p.err)
		}
		s.provide.failed(time.Now())
		return
	}
	s.state = p.state
	for _, installed := range p.state {
		s.retry = s.retry || installed.Frontend.Retry
	}
	if s.retry {
		s.provide.failed(time.Now())
		return
	}
	s.provide.succeeded()
}

// settle is how long a member may take to show a status that was written, before it is written again.
const settle = 5 * time.Second

// startStatuses writes the statuses that differ from what the members show.
func (l *Loop) startStatuses(ctx context.Context, now time.Time) {
	byMember := map[string][]mcs.StatusWrite{}
	for _, w := range l.services.resolution.Statuses(l.services.state, now) {
		byMember[w.Cluster] = append(byMember[w.Cluster], w)
	}
	for _, m := range l.sortedMembers() {
		m.statuses = byMember[m.name]
		if len(m.statuses) == 0 || m.conn == nil || m.state.Phase != fleet.Ready || !m.status.ready(now) {
			continue
		}
		writes := m.statuses
		start(ctx, l, &m.status, func(ctx context.Context) error { return m.conn.WriteStatuses(ctx, writes) },
			func(err error) { l.statusesWritten(ctx, m, err) })
	}
}

// statusesWritten folds a write of statuses. The next one waits until the member shows a change, which is most likely
// this one.
func (l *Loop) statusesWritten(ctx context.Context, m *member, err error) {
	m.statusErr = err
	if err != nil {
		if ctx.Err() == nil {
			l.opt.Log.Warn("statuses not written, will be tried again", "member", m.name, "error", err)
		}
		m.status.failed(time.Now())
		return
	}
	m.status.failures = 0
	m.status.retryAt = time.Now().Add(settle)
}
