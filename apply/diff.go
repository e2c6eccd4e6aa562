package apply

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
)

// Diff returns what brings cluster from live to targets. A Set that needs nothing yields nothing.
//
// Only what targets names is touched: a Set that has a parent in live and no target is left alone, because its absence may
// mean that nobody knows yet. To remove it the caller passes the Set with no objects.
//
// What is *ours*, and may be pruned, is in the Set's inventory, carries its label, has no controller owner, and either holds
// our managedFields entry or has the uid that the inventory recorded.
//
// An object that changes its Set is relabelled by the new Set's apply. The old Set keeps it in its inventory until the new
// label has been seen, then drops it without deleting; so at every moment some inventory lists it.
//
// What Git changes waits, as SetPlan.Waits tells, for lower waves and for what it depends on to be in place and healthy;
// repairs of what is there already do not. Pruning waits for higher waves to be gone. Nothing of a suspended Set is done.
//
// Diff settles whatever an interrupted execution left behind: it may stop after any request.
func Diff(cluster string, targets []Set, live Live, now time.Time) Plan {
	plan := Plan{Cluster: cluster}
	if !live.Complete && !live.ParentsSynced {
		return plan
	}
	for _, d := range newDiffer(targets, live, now).sets {
		if p := d.plan(); p.Err != nil || len(p.Held)+len(p.Waits) > 0 || p.writes() {
			plan.Sets = append(plan.Sets, p)
		}
	}
	return plan
}

// differ holds what all Sets of one Diff share.
type differ struct {
	live  Live
	now   time.Time
	sets  []*setDiffer      // by name
	homes map[api.Ref]home  // of every object that a Set wants; nil until somebody asks
	names map[string]string // Set name by ApplySet id; nil until somebody asks
}

// home is where an object is wanted.
type home struct {
	set    *setDiffer
	target *Target
}

// setDiffer decides for one Set.
type setDiffer struct {
	*differ
	set    Set     // its objects sorted by ref
	id     string  // the Set's ApplySet id
	before *Parent // nil when there is none
	waved  bool    // not all objects are in one wave
}

func newDiffer(targets []Set, live Live, now time.Time) *differ {
	d := &differ{live: live, now: now}
	byRef := func(a, b *Target) int { return a.Ref.Compare(b.Ref) }
	for _, set := range targets {
		if !slices.IsSortedFunc(set.Objects, byRef) {
			set.Objects = slices.SortedFunc(slices.Values(set.Objects), byRef)
		}
		s := &setDiffer{differ: d, set: set, id: SetID(set.Name)}
		if parent, ok := live.Parents[set.Name]; ok {
			s.before = &parent
		}
		for _, t := range set.Objects {
			s.waved = s.waved || t.Directives.Wave != set.Objects[0].Directives.Wave
		}
		d.sets = append(d.sets, s)
	}
	slices.SortFunc(d.sets, func(a, b *setDiffer) int { return cmp.Compare(a.set.Name, b.set.Name) })
	return d
}

// home tells where an object is wanted, if it is.
func (d *differ) home(ref api.Ref) (h home, wanted bool) {
	if d.homes == nil {
		d.homes = map[api.Ref]home{}
		for _, s := range d.sets {
			for _, t := range s.set.Objects {
				d.homes[t.Ref] = home{s, t}
			}
		}
	}
	h, wanted = d.homes[ref]
	return h, wanted
}

// owner names the Set behind an ApplySet id.
func (d *differ) owner(id string) string {
	if d.names == nil {
		d.names = map[string]string{}
		for name := range d.live.Parents {
			d.names[SetID(name)] = name
		}
		for _, s := range d.sets {
			d.names[s.id] = s.set.Name
		}
	}
	if name, ok := d.names[id]; ok {
		return name
	}
	return "an unknown set"
}

func (d *setDiffer) plan() SetPlan {
	set := d.set
	p := SetPlan{Set: set, Before: d.before, Err: d.obstacle()}
	if p.Err != nil {
		return p
	}
	w := d.walk()
	if set.Suspended {
		return d.suspend(p, w)
	}
	moved := d.admit(&p, w) // the commit changed this Set
	moved = d.prune(&p, w) || moved
	before := Parent{}
	if d.before != nil {
		before = *d.before
	}
	p.After = Parent{Name: set.Name, ResourceVersion: before.ResourceVersion, Source: set.Source, Revision: before.Revision,
		PolicyDigest: set.PolicyDigest, Account: set.Account, Items: d.remaining(p, w)}
	p.Remove = d.live.Complete && p.Before != nil && len(set.Objects) == 0 && len(p.After.Items) == 0
	if len(set.Objects) == 0 {
		p.After.PolicyDigest = before.PolicyDigest // no policy placed it
	}
	if moved || before.Revision == "" || before.PolicyDigest != p.After.PolicyDigest {
		p.After.Revision = set.Revision
	}
	if p.Widen { // else it holds no more than what fits already
		if _, err := EncodeParent(p.After); err != nil {
			return SetPlan{Set: set, Before: p.Before, Err: err}
		}
	}
	return p
}

// obstacle tells why nothing can be done for the Set.
func (d *setDiffer) obstacle() error {
	if why, damaged := d.live.Damaged[ParentName(d.set.Name)]; damaged {
		return fmt.Errorf("inventory ConfigMap %s/%s is unreadable: %s; restore it, or delete it to adopt again what is rendered (objects that are no longer rendered then stay)",
			api.SystemNamespace, ParentName(d.set.Name), why)
	}
	if d.before != nil && d.before.Source != "" && d.before.Source != d.set.Source && !d.set.TakeOver {
		return &ForeignError{Set: d.set.Name, Source: d.before.Source}
	}
	return nil
}

// admit puts into p what may be done about what is not as wanted, and tells the rest to wait. It reports whether anything
// of it is new or differs from what was applied before.
func (d *setDiffer) admit(p *SetPlan, w *walked) (moved bool) {
	p.Widen = w.widen
	g := d.newGate(w.blockers)
	var changes []Change
	for i := range w.needs {
		n := &w.needs[i]
		if n.cause == wished {
			if reason := g.closed(n); reason != "" {
				p.Waits = append(p.Waits, Wait{Ref: n.target.Ref, Action: n.action(), Reason: reason})
				continue
			}
		}
		c := n.change()
		if c.Repair && d.hold(p, c) {
			continue
		}
		changes = append(changes, c)
		p.Widen = p.Widen || !n.listed
		moved = moved || !c.Repair
	}
	p.Stages = staged(changes)
	return moved
}

// remaining returns what the inventory lists after p. What waits stays as it is listed; when the inventory is widened
// anyway it takes in what waits to be created: that spares a write later.
func (d *setDiffer) remaining(p SetPlan, w *walked) []Item {
	items := w.items.list()
	if len(p.Prune)+len(p.Waits) == 0 {
		return items
	}
	gone := make(map[api.Ref]bool, len(p.Prune))
	for _, c := range p.Prune {
		gone[c.Ref] = true
	}
	waits := p.Waits
	out := make([]Item, 0, len(items))
	for _, it := range items {
		if len(waits) > 0 && waits[0].Ref == it.Ref { // both are sorted by ref
			waits = waits[1:]
			before, listed := d.before.find(it.Ref)
			if listed {
				it = before
			} else if !p.Widen {
				continue
			}
		}
		if !gone[it.Ref] {
			out = append(out, it)
		}
	}
	return out
}

// suspend turns all that the Set lacks into waits, and leaves its inventory alone.
func (d *setDiffer) suspend(p SetPlan, w *walked) SetPlan {
	p.After = Parent{Name: d.set.Name}
	if d.before != nil {
		p.After = *d.before
	}
	for _, n := range w.needs {
		if n.cause == wished || n.cause == drifted {
			p.Waits = append(p.Waits, Wait{Ref: n.target.Ref, Action: n.action(), Reason: "suspended: " + n.reason})
		}
	}
	for _, c := range w.leaving {
		p.Waits = append(p.Waits, Wait{Ref: c.Ref, Action: Delete, Reason: "suspended: " + c.Reason})
	}
	sortWaits(p.Waits)
	return p
}

// short abbreviates a commit hash as git does.
func short(commit string) string {
	const n = 7
	if len(commit) > n {
		return commit[:n]
	}
	return commit
}

// Kinds returns the kinds that parents list, sorted: what must be watched to know what lives on a cluster.
func Kinds(parents map[string]Parent) []schema.GroupVersionKind {
	kinds := map[schema.GroupVersionKind]bool{}
	for _, p := range parents {
		for _, it := range p.Items {
			kinds[it.GroupKind().WithVersion(it.Version)] = true
		}
	}
	return slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupVersionKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Version, b.Version))
	})
}
