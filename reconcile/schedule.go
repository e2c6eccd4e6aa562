package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// schedule is where everything goes.
type schedule struct {
	candidates []placement.Candidate // what it was decided on
	wake       time.Time             // when time alone may change it; zero for never
	pending    string                // why placements that pick the best clusters are not decided yet; empty when they are
	decisions  []placement.Decision
	targets    map[string][]apply.Set
	errs       render.ManifestErrors
	digest     string          // of targets, as a plan prints it
	conflicts  map[string]bool // clusters on which two placements own an object: nothing may be planned there
}

// decide schedules the wish in force and remembers the outcome, when anything that it depends on has changed.
func (l *Loop) decide(now time.Time) {
	if !l.stale.schedule {
		return
	}
	l.stale.schedule = false
	before := l.schedule
	l.schedule = l.decideOn(l.wish, now)
	if l.schedule.digest != before.digest || !slices.EqualFunc(l.schedule.decisions, before.decisions, sameDecision) || !maps.Equal(l.schedule.conflicts, before.conflicts) {
		l.version++
	}
	remembered := make(map[string]placementMemory, len(l.wish.Placements))
	for i, p := range l.wish.Placements {
		m := l.memory.Placements[p.Key()]
		if digest := jsonDigest(p.Spec); m.SpecDigest != digest {
			m.SpecDigest = digest
			m.Generation++
		}
		if m.Created.IsZero() {
			m.Created = now
		}
		m.Spec = &p.Spec
		if d := l.schedule.decisions[i]; settled(d) {
			m.Assignment = d.Assignment
		}
		remembered[p.Key()] = m
	}
	l.memory.Placements = remembered
	l.memory.Unseen = slices.DeleteFunc(l.memory.Unseen, func(name string) bool {
		m := l.members[name]
		return m == nil || m.live.ParentsSynced // what it showed is decided on
	})
}

// circumstances are all that scheduling a wish goes by besides the wish, at one moment. They are immutable, so that a worker may
// schedule by them while the loop goes on.
type circumstances struct {
	now        time.Time
	candidates []placement.Candidate
	wake       time.Time                          // when time alone may change them; zero for never
	pending    string                             // why the best clusters are not picked yet; empty when they are
	remembered map[string]placementMemory         // the last decisions, by placement
	unseen     []string                           // members that have not shown what they hold since the memory began
	parents    map[string]map[string]apply.Parent // inventories by member and placement, of the members whose are known
	source     string                             // whose inventories are ours
}

// circumstances returns what w is scheduled by now. It costs what the fleet has members, however many placements w has.
func (l *Loop) circumstances(w *wish, now time.Time) circumstances {
	c := circumstances{now: now, remembered: l.memory.Placements, unseen: slices.Clone(l.memory.Unseen),
		parents: map[string]map[string]apply.Parent{}, source: sourceName(w.Revision, l.opt.Paths)}
	if member := l.stranger(w, now); member != "" && w.picks {
		c.pending = fmt.Sprintf("the best clusters are not picked before every member has shown what it holds, by %s at the latest: %s has not",
			l.acquaintedBy().UTC().Format(time.RFC3339), member)
	}
	c.candidates, c.wake = l.candidates(w, now)
	for _, registered := range w.Members {
		if m := l.members[registered.Name]; m != nil && m.live.ParentsSynced {
			c.parents[m.name] = m.live.Parents
		}
	}
	return c
}

// decideOn schedules w from what the members hold.
func (l *Loop) decideOn(w *wish, now time.Time) schedule {
	s, _ := l.circumstances(w, now).schedule(context.Background(), w) // which never ends
	return s
}

// schedule schedules w, one decision for each placement in order. The error is that of ctx.
func (c circumstances) schedule(ctx context.Context, w *wish) (schedule, error) {
	s := schedule{pending: c.pending, candidates: c.candidates, wake: c.wake}
	var err error
	s.decisions, err = decideAll(ctx, w.Desired, c.candidates, func(p render.Placement, members *placement.Fleet) placement.Decision {
		return c.decideOne(w, p, members)
	})
	if err != nil {
		return s, err
	}
	byName := make(map[string]placement.Decision, len(w.Placements))
	for _, d := range s.decisions {
		if !d.Wake.IsZero() && (s.wake.IsZero() || d.Wake.Before(s.wake)) {
			s.wake = d.Wake
		}
		byName[d.Key()] = d
	}
	s.targets = assign(w, byName)
	s.errs, s.conflicts = doubleOwners(w.Desired, byName)
	registered := make([]string, len(w.Members))
	for i, m := range w.Members {
		registered[i] = m.Name
	}
	s.digest = targetsDigest(registered, s.targets)
	return s, ctx.Err()
}

// decideAll decides about every placement of d: those that live in a namespace last, since they can only go where it is. The error
// is that of ctx.
func decideAll(ctx context.Context, d *render.Desired, candidates []placement.Candidate,
	decide func(render.Placement, *placement.Fleet) placement.Decision) ([]placement.Decision, error) {
	decisions, clusters := make([]placement.Decision, len(d.Placements)), map[string][]string{}
	members, last := placement.NewFleet(candidates), []int(nil)
	for i, p := range d.Placements {
		if p.Namespace != "" {
			last = append(last, i)
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		decisions[i] = decide(p, members)
		clusters[p.Key()] = holders(decisions[i])
	}
	if len(last) == 0 {
		return decisions, nil
	}
	members = placement.NewFleet(withNamespaces(d, candidates, func(key string) []string { return clusters[key] }))
	for _, i := range last {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		decisions[i] = decide(d.Placements[i], members)
	}
	return decisions, nil
}

// decideOne decides where p goes. While the fleet is not known whole, a placement that picks the best clusters stays on those
// that are known to hold it.
func (c circumstances) decideOne(w *wish, p render.Placement, members *placement.Fleet) placement.Decision {
	before := c.assignment(w, p)
	if c.pending == "" || !picks(p) {
		return members.Decide(subject(p), before, c.now)
	}
	d := placement.Decision{Name: p.Name, Namespace: p.Namespace, Assignment: before, At: c.now, Scheduled: placement.Scheduled{Message: c.pending}}
	for _, cluster := range holders(d) {
		d.Verdicts = append(d.Verdicts, placement.Verdict{Cluster: cluster, Selected: true, Reason: "kept for now: " + c.pending})
	}
	return d
}

// settled tells whether d says anything new. What is not decided yet stays as it is, and so does what holds a placement by an
// earlier policy while the present one cannot be decided.
func settled(d placement.Decision) bool {
	return d.Scheduled.Status != "" && len(d.Assignment.Obsolete) == 0
}

// holders returns where the placement stays or goes: of one that is not settled, wherever it is by any policy.
func holders(d placement.Decision) []string {
	if settled(d) {
		return d.Assignment.Clusters
	}
	return slices.Concat(d.Assignment.Clusters, d.Assignment.Obsolete)
}

// picks tells whether p goes to the best clusters only, so that one that is not known of changes where it goes.
func picks(p render.Placement) bool {
	return p.Spec.Policy != nil && p.Spec.Policy.PlacementType == v1beta1.PickN
}

func sameDecision(a, b placement.Decision) bool {
	a.At, b.At = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

// subject is p as scheduling sees it.
func subject(p render.Placement) placement.Placement {
	return placement.Placement{Name: p.Name, Namespace: p.Namespace, Policy: p.Spec.Policy, UnplaceAfter: p.Directives.UnplaceAfter}
}

// assignment is where p is now: what the members' inventories say and what is remembered, together. A member that cannot
// be asked has not forgotten anything, and one that could not be reached since the last decision does not know of it. Only
// clusters that the present policy chose keep it whatever happens; those of an earlier policy are obsolete.
func (c circumstances) assignment(w *wish, p render.Placement) placement.Assignment {
	remembered, digest := c.remembered[p.Key()], w.policies[p.Key()]
	before := placement.Assignment{PolicyDigest: digest}
	remembers, unchanged := remembered.PolicyDigest != "", remembered.PolicyDigest == digest
	if unchanged {
		before.Scores, before.Unmatched = remembered.Scores, remembered.Unmatched
	}
	for _, member := range w.Members {
		known := slices.Contains(remembered.Clusters, member.Name)
		parent, there, synced := c.parentOn(member.Name, p.Key())
		switch {
		case known && unchanged, (!remembers || slices.Contains(c.unseen, member.Name)) && there && parent.PolicyDigest == digest:
			before.Clusters = append(before.Clusters, member.Name)
			if synced && !there {
				before.Waiting = append(before.Waiting, member.Name)
			}
		case unchanged: // an inventory there is left over: its cluster was decided against, and is not empty yet
		case known || there:
			before.Obsolete = append(before.Obsolete, member.Name)
		}
	}
	return before
}

// parentOn returns our inventory of a placement on a member, and whether the member's inventories are known.
func (c circumstances) parentOn(member, placement string) (parent apply.Parent, there, synced bool) {
	parents, synced := c.parents[member]
	parent, there = parents[placement]
	return parent, there && parent.Source == c.source, synced
}

// tenant is what decides, besides the schedule, what one member shall hold. It is immutable.
type tenant struct {
	name          string
	source        string // whose inventories are ours
	parents       map[string]apply.Parent
	imports       []*apply.Target // what services need there
	servicesKnown bool            // imports is all of it
	unready       map[string]string
	takeOver      bool
}

func (l *Loop) tenant(m *member, w *wish) tenant {
	return tenant{name: m.name, source: sourceName(w.Revision, l.opt.Paths), parents: m.live.Parents, imports: m.imports,
		servicesKnown: m.importsKnown, unready: l.unready, takeOver: l.opt.TakeOver}
}

// sets is what the member shall hold by w in the places of s: the placements' sets, the services' set, and an empty set for every
// inventory there that nobody wants any more, which removes its objects. held is why nothing may be deleted yet.
func (t tenant) sets(w *wish, s schedule, held string) []apply.Set {
	sets := slices.Clone(s.targets[t.name])
	if parent, ok := t.parents[servicesSet]; t.servicesKnown && (len(t.imports) > 0 || ok && parent.Source == t.source) {
		// With nothing to import there is nothing to own, and the inventory may be another source's.
		sets = append(sets, apply.Set{Name: servicesSet, Revision: w.Revision.Commit, Objects: t.imports})
	}
	wanted := map[string]bool{}
	for _, s := range sets {
		wanted[s.Name] = true
	}
	for name, parent := range t.parents {
		// Another source's inventory is its own, whatever we wish.
		if parent.Source == t.source && !wanted[name] && (name != servicesSet || t.servicesKnown) {
			sets = append(sets, apply.Set{Name: name, Revision: w.Revision.Commit, Suspended: w.Suspends(name), Account: parent.Account})
		}
	}
	// Another word than the one for many deletions: who gave that may not have been told what others made.
	contents := contentsDigest(s.digest)
	confirmed, suspended := slices.Contains(w.confirmed, contents), w.SuspendsMember(t.name)
	for i := range sets {
		s := &sets[i]
		s.Source, s.TakeOver, s.Unready, s.Digest, s.Confirmed = t.source, t.takeOver, t.unready, contents, confirmed
		s.Suspended = s.Suspended || suspended
		if s.Name != servicesSet {
			s.HoldRemovals = held
		}
	}
	slices.SortFunc(sets, func(a, b apply.Set) int { return cmp.Compare(a.Name, b.Name) })
	return sets
}

// sourceName names where the wish comes from, as inventories record it.
func (l *Loop) sourceName() string {
	if l.wish == nil {
		return sourceName(l.memory.Applied, l.opt.Paths)
	}
	return sourceName(l.wish.Revision, l.opt.Paths)
}

// sourceName names where a wish comes from, as inventories record it: "https://git.example.com/fleet.git main apps".
func sourceName(rev source.Revision, paths []string) string {
	parts := append([]string{rev.Repo, rev.Ref}, slices.Sorted(slices.Values(paths))...)
	return strings.Join(parts, " ")
}
