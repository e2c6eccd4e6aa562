package reconcile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

// schedule is where everything goes.
type schedule struct {
	decisions []placement.Decision
	targets   map[string][]apply.Set // nil when errs is not empty: then nothing may be planned
	errs      render.ManifestErrors
}

// decide schedules the wish in force and remembers the outcome.
func (l *Loop) decide(now time.Time) {
	l.schedule = l.decideOn(l.desired, now)
	remembered := make(map[string]placementMemory, len(l.desired.Placements))
	for i, p := range l.desired.Placements {
		m := l.memory.Placements[p.Name]
		if digest := specDigest(p); m.SpecDigest != digest {
			m.SpecDigest = digest
			m.Generation++
		}
		if m.Created.IsZero() {
			m.Created = now
		}
		m.Assignment = l.schedule.decisions[i].Assignment
		remembered[p.Name] = m
	}
	l.memory.Placements = remembered
}

// decideOn schedules d from what the members hold, one decision for each placement in order.
func (l *Loop) decideOn(d *render.Desired, now time.Time) schedule {
	candidates := candidatesOf(d)
	var s schedule
	for _, p := range d.Placements {
		s.decisions = append(s.decisions, placement.Decide(p.ClusterResourcePlacement, l.assignment(d, p), candidates, now))
	}
	s.targets, s.errs = Targets(d, s.decisions)
	return s
}

// assignment is where p is now. A member that has synced is asked through its inventory; of any other the last memory
// counts, because a member that cannot be asked has not forgotten anything. Only clusters that the present policy chose
// count: a changed policy decides anew.
func (l *Loop) assignment(d *render.Desired, p render.Placement) placement.Assignment {
	digest := placement.PolicyDigest(p.Spec.Policy)
	before := placement.Assignment{PolicyDigest: digest}
	remembered := l.memory.Placements[p.Name]
	for _, member := range d.Members {
		m := l.members[member.Name]
		held := remembered.PolicyDigest == digest && slices.Contains(remembered.Clusters, member.Name)
		if m != nil && m.live.Complete {
			parent, ok := m.live.Parents[p.Name]
			held = ok && parent.PolicyDigest == digest
		}
		if held {
			before.Clusters = append(before.Clusters, member.Name)
		}
	}
	return before
}

// specDigest identifies a placement's spec, to count its generations.
func specDigest(p render.Placement) string {
	data, err := json.Marshal(p.Spec)
	if err != nil { // a decoded spec always encodes
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// targetSets is what m shall hold: the placements' sets, the services' set, and an empty set for every inventory there
// that nobody wants any more, which removes its objects.
func (l *Loop) targetSets(m *member) []apply.Set {
	sets := slices.Clone(l.schedule.targets[m.name])
	sets = append(sets, l.services.set(m.name, l.desired.Revision.Commit)...)
	wanted := map[string]bool{}
	for _, s := range sets {
		wanted[s.Name] = true
	}
	_, servicesKnown := l.services.resolution.Objects[m.name]
	for name := range m.live.Parents {
		if !wanted[name] && (name != servicesSet || servicesKnown) {
			sets = append(sets, apply.Set{Name: name, Revision: l.desired.Revision.Commit})
		}
	}
	slices.SortFunc(sets, func(a, b apply.Set) int { return cmp.Compare(a.Name, b.Name) })
	return sets
}
