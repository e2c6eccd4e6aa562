package reconcile

import (
	"cmp"
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

// decideOn schedules w from what the members hold, one decision for each placement in order.
func (l *Loop) decideOn(w *wish, now time.Time) schedule {
	var s schedule
	if member := l.stranger(w, now); member != "" && w.picks {
		s.pending = fmt.Sprintf("the best clusters are not picked before every member has shown what it holds, by %s at the latest: %s has not",
			l.acquaintedBy().UTC().Format(time.RFC3339), member)
	}
	s.candidates, s.wake = l.candidates(w, now)
	s.decisions = decideAll(w.Desired, s.candidates, func(p render.Placement, members *placement.Fleet) placement.Decision {
		return l.decideOne(w, p, members, s.pending, now)
	})
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
	return s
}

// decideAll decides about every placement of d: those that live in a namespace last, since they can only go where it is.
func decideAll(d *render.Desired, candidates []placement.Candidate, decide func(render.Placement, *placement.Fleet) placement.Decision) []placement.Decision {
	decisions, clusters := make([]placement.Decision, len(d.Placements)), map[string][]string{}
	members, last := placement.NewFleet(candidates), []int(nil)
	for i, p := range d.Placements {
		if p.Namespace != "" {
			last = append(last, i)
			continue
		}
		decisions[i] = decide(p, members)
		clusters[p.Key()] = holders(decisions[i])
	}
	if len(last) == 0 {
		return decisions
	}
	members = placement.NewFleet(withNamespaces(d, candidates, func(key string) []string { return clusters[key] }))
	for _, i := range last {
		decisions[i] = decide(d.Placements[i], members)
	}
	return decisions
}

// decideOne decides where p goes. While the fleet is not known whole, a placement that picks the best clusters stays on those
// that are known to hold it.
func (l *Loop) decideOne(w *wish, p render.Placement, members *placement.Fleet, pending string, now time.Time) placement.Decision {
	before := l.assignment(w, p)
	if pending == "" || !picks(p) {
		return members.Decide(subject(p), before, now)
	}
	d := placement.Decision{Name: p.Name, Namespace: p.Namespace, Assignment: before, At: now, Scheduled: placement.Scheduled{Message: pending}}
	for _, cluster := range holders(d) {
		d.Verdicts = append(d.Verdicts, placement.Verdict{Cluster: cluster, Selected: true, Reason: "kept for now: " + pending})
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
func (l *Loop) assignment(w *wish, p render.Placement) placement.Assignment {
	remembered, digest := l.memory.Placements[p.Key()], w.policies[p.Key()]
	before := placement.Assignment{PolicyDigest: digest}
	remembers, unchanged := remembered.PolicyDigest != "", remembered.PolicyDigest == digest
	if unchanged {
		before.Scores, before.Unmatched = remembered.Scores, remembered.Unmatched
	}
	for _, member := range w.Members {
		known := slices.Contains(remembered.Clusters, member.Name)
		parent, there, synced := l.parentOn(member.Name, p.Key(), sourceName(w.Revision, l.opt.Paths))
		switch {
		case known && unchanged, (!remembers || slices.Contains(l.memory.Unseen, member.Name)) && there && parent.PolicyDigest == digest:
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
func (l *Loop) parentOn(member, placement, source string) (parent apply.Parent, there, synced bool) {
	m := l.members[member]
	if m == nil || !m.live.ParentsSynced {
		return parent, false, false
	}
	parent, there = m.live.Parents[placement]
	return parent, there && parent.Source == source, true
}

// targetSets is what m shall hold by w in the places of s: the placements' sets, the services' set, and an empty set for every
// inventory there that nobody wants any more, which removes its objects. held is why nothing may be deleted yet.
func (l *Loop) targetSets(m *member, w *wish, s schedule, held string) []apply.Set {
	sets := slices.Clone(s.targets[m.name])
	from := sourceName(w.Revision, l.opt.Paths)
	_, servicesKnown := l.services.resolution.Objects[m.name]
	if parent, ok := m.live.Parents[servicesSet]; servicesKnown && (len(m.imports) > 0 || ok && parent.Source == from) {
		// With nothing to import there is nothing to own, and the inventory may be another source's.
		sets = append(sets, apply.Set{Name: servicesSet, Revision: w.Revision.Commit, Objects: m.imports})
	}
	wanted := map[string]bool{}
	for _, s := range sets {
		wanted[s.Name] = true
	}
	for name, parent := range m.live.Parents {
		// Another source's inventory is its own, whatever we wish.
		if parent.Source == from && !wanted[name] && (name != servicesSet || servicesKnown) {
			sets = append(sets, apply.Set{Name: name, Revision: w.Revision.Commit, Suspended: w.Suspends(name), Account: parent.Account})
		}
	}
	// Another word than the one for many deletions: who gave that may not have been told what others made.
	contents := contentsDigest(s.digest)
	confirmed, suspended := slices.Contains(w.confirmed, contents), w.SuspendsMember(m.name)
	for i := range sets {
		s := &sets[i]
		s.Source, s.TakeOver, s.Unready, s.Digest, s.Confirmed = from, l.opt.TakeOver, l.unready, contents, confirmed
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
