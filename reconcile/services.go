package reconcile

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
)

// services is what multi-cluster services came to.
type services struct {
	resolver   mcs.Resolver
	resolution mcs.Resolution
	state      mcs.State // what the provider has in place; nil until it was asked
	tried      mcs.Plan  // what was last applied
	provide    worker
	after      time.Duration // until what was begun is further; 0 when all is in place
	relist     time.Time     // when state is to be asked for anew; zero for never
	err        error         // why the provider failed as a whole
}

// servicesSet is the name of the ApplySet for the objects that services need on a member. It is no valid name for a
// placement, so it cannot clash with one.
const servicesSet = "gitfleet:services"

// resolveServices resolves what the members export and brings load balancers and statuses in step with it.
func (l *Loop) resolveServices(ctx context.Context, now time.Time) {
	if !l.stale.services && !l.servicesDue(now) {
		return
	}
	l.stale.services = false
	members := l.sortedMembers()
	observed := make([]mcs.Observed, len(members))
	for i, m := range members {
		observed[i] = l.lastKnown(m)
	}
	r := l.services.resolver.Resolve(observed, l.terms(), now)
	l.tellRivals(r)
	l.services.resolution = r
	objects := r.Objects
	if l.opt.Provider != nil {
		objects = joined(objects, l.opt.Provider.Objects(r))
	}
	for _, m := range members {
		wanted, known := objects[m.name]
		if imports := targetsOf(wanted, m.imports); known != m.importsKnown || !slices.Equal(imports, m.imports) {
			m.imports, m.importsKnown, m.replan = imports, known, true
		}
	}
	l.startProvider(ctx, now)
	l.startStatuses(ctx, now)
}

// tellRivals logs when another controller of services shows on a member, and when it no longer does.
func (l *Loop) tellRivals(r mcs.Resolution) {
	for _, m := range l.sortedMembers() {
		before, had := l.services.resolution.Rival(m.name)
		now, has := r.Rival(m.name)
		switch {
		case has && now != before:
			l.opt.Log.Warn(now.String(), "member", m.name)
		case had && !has:
			l.opt.Log.Info("no other controller of multi-cluster services shows any more", "member", m.name)
		}
	}
}

// joined returns a with what b adds to the members that a has an entry for: the others are left alone.
func joined(a, b map[string][]render.Object) map[string][]render.Object {
	out := make(map[string][]render.Object, len(a))
	for cluster, objects := range a {
		out[cluster] = append(objects[:len(objects):len(objects)], b[cluster]...)
	}
	return out
}

// terms are what services are resolved by.
func (l *Loop) terms() mcs.Terms {
	t := mcs.Terms{Lease: l.opt.ServiceLease, TakeOver: l.opt.TakeOver}
	if l.opt.Provider != nil {
		t.Properties = l.opt.Provider.Properties()
	}
	return t
}

// targetsOf prepares objects, sorted by ref. What is equal to one of before is that very target: services change all the
// time, a little.
func targetsOf(objects []render.Object, before []*apply.Target) []*apply.Target {
	known := make(map[api.Ref]*apply.Target, len(before))
	for _, t := range before {
		known[t.Ref] = t
	}
	targets := make([]*apply.Target, len(objects))
	for i, o := range objects {
		t := known[api.RefOf(o.Unstructured)]
		if t == nil || t.Unstructured != o.Unstructured && !reflect.DeepEqual(t.Object, o) {
			t = apply.NewTarget(o, nil)
		}
		targets[i] = t
	}
	slices.SortFunc(targets, func(a, b *apply.Target) int { return a.Ref.Compare(b.Ref) })
	return targets
}

// servicesDue tells whether something that failed, or that waits for a status to show, is to be tried again.
func (l *Loop) servicesDue(now time.Time) bool {
	if wake := l.services.resolution.Wake; !wake.IsZero() && !now.Before(wake) {
		return true
	}
	if at := l.services.relist; !at.IsZero() && !now.Before(at) && l.services.provide.ready(now) {
		return true
	}
	due := func(w *worker) bool { return !w.retryAt.IsZero() && w.ready(now) }
	if due(&l.services.provide) {
		return true
	}
	for _, m := range l.members {
		if len(m.statuses) > 0 && due(&m.status) {
			return true
		}
	}
	return false
}

// lastKnown is what m shows of services, or what it showed before it went out of reach, in an earlier run too.
func (l *Loop) lastKnown(m *member) mcs.Observed {
	o := m.observed
	if last := l.memory.Members[m.name].Services; last != nil && !o.Synced && len(o.Exports)+len(o.Services) == 0 {
		o = *last
	}
	if !o.Synced && m.state.Phase == fleet.Unreachable || m.conn == nil {
		o.Seen = l.memory.Members[m.name].LastSeen
		if m.state.LastSeen.After(o.Seen) {
			o.Seen = m.state.LastSeen
		}
		if o.Seen.IsZero() { // it was in sight when the process before ended, or else that would be remembered
			o.Seen = l.started
		}
	}
	o.Cluster = m.name // also of a member that could not be opened: it is there, only unseen
	if i := slices.IndexFunc(l.wish.Members, func(r render.Member) bool { return r.Name == m.name }); i >= 0 {
		o.Labels, o.Annotations = l.wish.Members[i].Labels, l.wish.Members[i].Annotations
	}
	return o
}

// provided is what a provider worker brings back.
type provided struct {
	state mcs.State
	err   error
}

// startProvider brings the load balancers in step with the newest resolution. The same plan is not tried again before its
// delay; a different one is at once, so that one load balancer's trouble does not keep the others waiting.
func (l *Loop) startProvider(ctx context.Context, now time.Time) {
	s := &l.services
	if l.opt.Provider == nil || s.provide.running {
		return
	}
	if s.state == nil || !s.relist.IsZero() && !now.Before(s.relist) {
		if s.provide.ready(now) {
			start(ctx, l, &s.provide, func(ctx context.Context) provided {
				state, err := l.opt.Provider.List(ctx)
				return provided{state, err}
			}, func(p provided) { l.listed(ctx, p) })
		}
		return
	}
	plan := l.opt.Provider.Plan(s.resolution, s.state)
	if len(plan.Changes) == 0 {
		s.tried = plan
		s.provide.succeeded()
		return
	}
	if reflect.DeepEqual(plan, s.tried) && !s.provide.ready(now) {
		return
	}
	l.tellUnasked(plan)
	s.tried = plan
	start(ctx, l, &s.provide, func(ctx context.Context) provided {
		state, err := l.opt.Provider.Apply(ctx, plan)
		return provided{state, err}
	}, func(p provided) { l.provided(ctx, p) })
}

// tellUnasked logs changes that nobody asks for: something was done to a load balancer, or to what it reaches.
func (l *Loop) tellUnasked(plan mcs.Plan) {
	for _, c := range plan.Changes {
		have, stands := l.services.state[c.LoadBalancer.Key()]
		if stands && c.Action == mcs.Update && !have.Frontend.Retry && c.LoadBalancer.DifferenceFrom(have.LoadBalancer) == "" {
			l.opt.Log.Info("a load balancer is not as it shall be, and is brought in step", "service", c.LoadBalancer.Key().String(), "difference", c.Reason)
		}
	}
}

// listed folds what the provider has in place.
func (l *Loop) listed(ctx context.Context, p provided) {
	if every := l.opt.Provider.Properties().Refresh; every > 0 && p.err == nil {
		l.services.relist = time.Now().Add(every)
	}
	l.provided(ctx, p)
}

// provided folds an answer of the provider.
func (l *Loop) provided(ctx context.Context, p provided) {
	s := &l.services
	l.stale.services = true
	if p.err != nil {
		if ctx.Err() == nil && errorText(s.err) != p.err.Error() {
			l.opt.Log.Error("load balancers failed, will be tried again", "error", p.err)
		}
		s.err = p.err
		s.provide.failed(time.Now())
		return
	}
	s.state, s.err = p.state, nil
	now := time.Now()
	var after time.Duration
	failed := false
	for _, installed := range p.state {
		switch f := installed.Frontend; {
		case f.Retry && f.After > 0 && (after == 0 || f.After < after):
			after = f.After
		case f.Retry && f.After == 0:
			failed = true
		}
	}
	s.after = after
	switch {
	case after > 0:
		s.provide.succeeded()
		s.provide.retryAt = now.Add(after)
	case failed:
		s.provide.failed(now)
	default:
		s.provide.succeeded()
	}
}

// settle is how long a member may take to show a status that was written, before it is written again. It also damps a
// quarrel with another writer of the same status.
const settle = 5 * time.Second

// startStatuses writes the statuses that differ from what the members show.
func (l *Loop) startStatuses(ctx context.Context, now time.Time) {
	// Without a clock the same differences give the same value.
	wanted := byCluster(l.services.resolution.Statuses(l.services.state, time.Time{}))
	writes := byCluster(l.services.resolution.Statuses(l.services.state, now))
	for _, m := range l.sortedMembers() {
		m.statuses = wanted[m.name]
		if len(m.statuses) == 0 || m.conn == nil || m.state.Phase != fleet.Ready || m.claim != nil || m.suspended || m.status.running {
			continue
		}
		if reflect.DeepEqual(m.statuses, m.written) && !m.status.ready(now) {
			continue
		}
		m.written = m.statuses
		start(m.ctx, l, &m.status, func(ctx context.Context) error { return m.conn.WriteStatuses(ctx, writes[m.name]) },
			func(err error) { l.statusesWritten(ctx, m, err) })
	}
}

func byCluster(writes []mcs.StatusWrite) map[string][]mcs.StatusWrite {
	grouped := map[string][]mcs.StatusWrite{}
	for _, w := range writes {
		grouped[w.Cluster] = append(grouped[w.Cluster], w)
	}
	return grouped
}

// statusesWritten folds a write of statuses.
func (l *Loop) statusesWritten(ctx context.Context, m *member, err error) {
	l.stale.services = true
	if err != nil {
		if ctx.Err() == nil && errorText(m.statusErr) != err.Error() {
			l.opt.Log.Warn("statuses not written, will be tried again", "member", m.name, "error", err)
		}
		m.statusErr = err
		m.status.failed(time.Now())
		return
	}
	m.statusErr = nil
	m.status.failures = 0
	m.status.retryAt = time.Now().Add(settle)
}
