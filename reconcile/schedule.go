package reconcile

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// schedule is where everything goes.
type schedule struct {
	decisions []placement.Decision
	targets   map[string][]apply.Set
	errs      render.ManifestErrors
	digest    string          // of targets, as a plan prints it
	conflicts map[string]bool // clusters on which two placements own an object: nothing may be planned there
}

// decide schedules the wish in force and remembers the outcome, when anything that it depends on has changed.
func (l *Loop) decide(now time.Time) {
	if !l.stale.schedule {
		return
	}
	l.stale.schedule = false
	before := l.schedule
	l.schedule = l.decideOn(l.wish, now)
	if l.schedule.digest != before.digest || !reflect.DeepEqual(l.schedule.decisions, before.decisions) || !maps.Equal(l.schedule.conflicts, before.conflicts) {
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
		m.Assignment = l.schedule.decisions[i].Assignment
		remembered[p.Key()] = m
	}
	l.memory.Placements = remembered
}

// decideOn schedules w from what the members hold, one decision for each placement in order.
func (l *Loop) decideOn(w *wish, now time.Time) schedule {
	candidates := candidatesOf(w.Desired)
	var s schedule
	byName := make(map[string]placement.Decision, len(w.Placements))
	for _, p := range w.Placements {
		decision := placement.Decide(subject(p), l.assignment(w.Desired, p), candidates, now)
		s.decisions = append(s.decisions, decision)
		byName[p.Key()] = decision
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

// subject is p as scheduling sees it.
func subject(p render.Placement) placement.Placement {
	return placement.Placement{Name: p.Name, Namespace: p.Namespace, Policy: p.Spec.Policy}
}

// assignment is where p is now: what the members' inventories say and what is remembered, together. A member that cannot
// be asked has not forgotten anything, and one that could not be reached since the last decision does not know of it. Only
// clusters that the present policy chose count: a changed policy decides anew.
func (l *Loop) assignment(d *render.Desired, p render.Placement) placement.Assignment {
	digest := placement.PolicyDigest(p.Spec.Policy)
	before := placement.Assignment{PolicyDigest: digest}
	remembered := l.memory.Placements[p.Key()]
	for _, member := range d.Members {
		m := l.members[member.Name]
		held := remembered.PolicyDigest == digest && slices.Contains(remembered.Clusters, member.Name)
		if m != nil && m.live.ParentsSynced {
			parent, ok := m.live.Parents[p.Key()]
			held = held || ok && parent.PolicyDigest == digest && parent.Source == sourceName(d.Revision, l.opt.Paths)
		}
		if held {
			before.Clusters = append(before.Clusters, member.Name)
		}
	}
	return before
}

// targetSets is what m shall hold: the placements' sets, the services' set, and an empty set for every inventory there
// that nobody wants any more, which removes its objects.
func (l *Loop) targetSets(m *member) []apply.Set {
	sets := slices.Clone(l.schedule.targets[m.name])
	from := l.sourceName()
	_, servicesKnown := l.services.resolution.Objects[m.name]
	if parent, ok := m.live.Parents[servicesSet]; servicesKnown && (len(m.imports) > 0 || ok && parent.Source == from) {
		// With nothing to import there is nothing to own, and the inventory may be another source's.
		sets = append(sets, apply.Set{Name: servicesSet, Revision: l.wish.Revision.Commit, Objects: m.imports})
	}
	wanted := map[string]bool{}
	for _, s := range sets {
		wanted[s.Name] = true
	}
	for name, parent := range m.live.Parents {
		// Another source's inventory is its own, whatever we wish.
		if parent.Source == from && !wanted[name] && (name != servicesSet || servicesKnown) {
			sets = append(sets, apply.Set{Name: name, Revision: l.wish.Revision.Commit, Suspended: l.wish.suspends(name), Account: parent.Account})
		}
	}
	// Another word than the one for many deletions: who gave that may not have been told what others made.
	contents := contentsDigest(l.schedule.digest)
	confirmed := slices.Contains(l.wish.confirmed, contents)
	for i := range sets {
		s := &sets[i]
		s.Source, s.TakeOver, s.Unready, s.Digest, s.Confirmed = from, l.opt.TakeOver, l.unready, contents, confirmed
		s.Suspended = s.Suspended || m.suspended
		if s.Name != servicesSet {
			s.HoldRemovals = l.guard.held
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
