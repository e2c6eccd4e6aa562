package apply

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
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
// Diff settles whatever an interrupted execution left behind: it may stop after any request.
func Diff(cluster string, targets []Set, live Live, now time.Time) Plan {
	d := &differ{live: live, now: now, setOf: map[string]string{}, wanted: map[api.Ref]string{}}
	for name := range live.Parents {
		d.setOf[SetID(name)] = name
	}
	for _, set := range targets {
		d.setOf[SetID(set.Name)] = set.Name
		for _, o := range set.Objects {
			d.wanted[api.RefOf(o.Unstructured)] = set.Name
		}
	}
	plan := Plan{Cluster: cluster}
	if !live.Complete && !live.ParentsSynced {
		return plan
	}
	for _, set := range slices.SortedFunc(slices.Values(targets), func(a, b Set) int { return cmp.Compare(a.Name, b.Name) }) {
		if p := (&setDiffer{d, SetID(set.Name)}).plan(set); p.Err != nil || len(p.Held) > 0 || p.writes() {
			plan.Sets = append(plan.Sets, p)
		}
	}
	return plan
}

// differ holds what all Sets of one Diff share.
type differ struct {
	live   Live
	now    time.Time
	setOf  map[string]string  // Set name by ApplySet id
	wanted map[api.Ref]string // name of the Set that wants an object
}

// setDiffer decides for one Set.
type setDiffer struct {
	*differ
	id string // the Set's ApplySet id
}

func (d *setDiffer) plan(set Set) SetPlan {
	p := SetPlan{Set: set, After: Parent{Name: set.Name, PolicyDigest: set.PolicyDigest, Source: set.Source}}
	if why, damaged := d.live.Damaged[ParentName(set.Name)]; damaged {
		p.Err = fmt.Errorf("inventory ConfigMap %s/%s is unreadable: %s; restore it, or delete it to adopt again what is rendered (objects that are no longer rendered then stay)",
			api.SystemNamespace, ParentName(set.Name), why)
		return p
	}
	before := Parent{Name: set.Name}
	if parent, ok := d.live.Parents[set.Name]; ok {
		before, p.Before = parent, &parent
	}
	if p.Before != nil && before.Source != "" && before.Source != set.Source && !set.TakeOver {
		p.Err = &ForeignError{Set: set.Name, Source: before.Source}
		return p
	}
	items := make(map[api.Ref]Item, len(before.Items))
	for _, it := range before.Items {
		items[it.Ref] = it
	}
	moved := d.targets(&p, items) // the commit changed this Set
	if d.removals(&p, before.Items) {
		moved = true
	}
	slices.SortFunc(p.After.Items, func(a, b Item) int { return a.Compare(b.Ref) })
	p.After.ResourceVersion = before.ResourceVersion
	p.After.Revision = before.Revision
	p.Remove = d.live.Complete && p.Before != nil && len(set.Objects) == 0 && len(p.After.Items) == 0
	if len(set.Objects) == 0 {
		p.After.PolicyDigest = before.PolicyDigest // no policy placed it
	}
	if moved || before.Revision == "" || before.PolicyDigest != p.After.PolicyDigest {
		p.After.Revision = set.Revision
	}
	if !p.writes() {
		return p
	}
	if _, err := EncodeParent(p.After); err != nil {
		return SetPlan{Set: set, Before: p.Before, Err: err}
	}
	return p
}

// targets decides on every object that the Set wants. It reports whether one of them is new or differs from what was
// applied before.
func (d *setDiffer) targets(p *SetPlan, items map[api.Ref]Item) (moved bool) {
	var changes []Change
	for _, o := range p.Set.Objects {
		ref := api.RefOf(o.Unstructured)
		item, listed := items[ref]
		if !listed {
			p.Widen = true
			item = Item{Ref: ref}
		}
		item.Version = o.GroupVersionKind().Version
		c, drift := d.change(p.Set, o, item, listed)
		if c != nil {
			c.Ref = ref
		}
		switch {
		case c == nil:
			if lv, seen := d.live.Objects[ref]; seen && !lv.Deleting {
				item.UID, item.EntryHash = lv.UID, lv.EntryHash
			}
		case drift && d.hold(p, *c):
		default:
			c.Object, c.Repair = Stamp(p.Set.Name, o), drift
			changes = append(changes, *c)
			moved = moved || !drift
		}
		p.After.Items = append(p.After.Items, item)
	}
	p.Stages = staged(changes)
	return moved
}

// change decides on one object. It returns nil for an object that needs nothing, or of which nothing is known. drift tells
// that the cluster moved, not the wish.
func (d *setDiffer) change(set Set, o render.Object, item Item, listed bool) (c *Change, drift bool) {
	lv, seen := d.live.Objects[item.Ref]
	if !seen {
		return d.unseen(set, item, listed)
	}
	update := func(verify bool, format string, args ...any) *Change {
		return &Change{Action: Update, Live: lv, Verify: verify, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case lv.Deleting:
		return nil, false // an apply would be lost; it is created again when it is gone
	case lv.SetID != d.id:
		return update(false, "taken over from %s", d.owner(lv.SetID)), false
	case lv.AppliedHash != AppliedHash(o.Unstructured):
		return update(false, "changed in %s", short(set.Revision)), false
	case !listed:
		return update(true, "in no inventory"), false
	case item.UID == "" || item.EntryHash == "":
		return update(true, "last apply not confirmed"), false
	case lv.UID != item.UID:
		return update(true, "drifted: somebody deleted it and made it again"), true
	case lv.EntryHash == "":
		return update(true, "drifted: managedFields were cleared"), true
	case lv.EntryHash != item.EntryHash:
		return update(true, "drifted: our fields were changed"), true
	}
	return nil, false
}

// unseen decides on an object that does not carry our label, as far as is known.
func (d *setDiffer) unseen(set Set, item Item, listed bool) (c *Change, drift bool) {
	create := func(reason string) *Change { return &Change{Action: Create, Reason: reason} }
	_, unknown := d.live.Unknown[item.GroupKind()]
	switch {
	case !listed:
		return create("new in " + short(set.Revision)), false
	case item.UID == "":
		return create("not created yet"), false
	case unknown:
		return nil, false // it was there, and nobody can say that it no longer is
	}
	return create("drifted: it was deleted, or lost our label"), true
}

// hold keeps back a repair of an object that somebody else keeps changing.
func (d *setDiffer) hold(p *SetPlan, c Change) bool {
	r, ok := d.live.Repairs[c.Ref]
	if !ok {
		return false
	}
	until := r.Last.Add(Backoff(r.Count))
	if !d.now.Before(until) {
		return false
	}
	p.Held = append(p.Held, Held{Ref: c.Ref, Until: until,
		Reason: fmt.Sprintf("%s; repaired %d times already, another writer keeps undoing it", c.Reason, r.Count)})
	return true
}

// Backoff returns how long to wait after the n-th repair of one object before the next: 2 s, doubled each time, at most
// five minutes.
func Backoff(n int) time.Duration {
	const first, most = 2 * time.Second, 5 * time.Minute
	if n < 1 {
		return 0
	}
	if n > 8 { // 2 s << 7 is below the limit, 2 s << 8 is not
		return most
	}
	return min(first<<(n-1), most)
}

// removals decides on every listed object that the Set does not want. It reports whether one of them left the Set.
func (d *setDiffer) removals(p *SetPlan, before []Item) (moved bool) {
	for _, item := range before {
		if d.wanted[item.Ref] == p.Set.Name {
			continue
		}
		if !d.live.Complete {
			p.After.Items = append(p.After.Items, item)
			continue
		}
		lv, seen := d.live.Objects[item.Ref]
		_, taken := d.wanted[item.Ref]
		switch {
		case seen && lv.SetID != d.id, // another Set's already
			seen && lv.Deleting,                 // under way, and nothing can stop it
			seen && !Ours(p.Set.Name, item, lv): // somebody else's by now
		case taken:
			p.After.Items = append(p.After.Items, item) // until its new Set's label is seen
			continue
		default:
			p.Prune = append(p.Prune, Change{Action: Delete, Ref: item.Ref, Live: lv, Reason: removalReason(p.Set, lv, item)})
		}
		moved = true
	}
	slices.SortFunc(p.Prune, func(a, b Change) int { return -compareInOrder(a.Ref, b.Ref) })
	return moved
}

// Ours tells whether the object that item of the inventory of set names may be deleted: it carries the set's label, has no
// controller owner (controllers copy labels: an EndpointSlice has all those of its Service), and either holds our
// managedFields entry or is the very object that we recorded.
func Ours(set string, item Item, lv LiveObject) bool {
	if lv.SetID != SetID(set) || lv.Controlled {
		return false
	}
	return lv.EntryHash != "" || lv.UID != "" && lv.UID == item.UID
}

func removalReason(set Set, lv LiveObject, item Item) string {
	reason := "no longer rendered in " + short(set.Revision)
	if len(set.Objects) == 0 {
		reason = "no longer placed here"
	}
	if lv.UID == "" {
		return reason + "; not seen, confirm first"
	}
	if item.UID != "" && lv.UID != item.UID {
		return reason + "; made again by us since"
	}
	return reason
}

// owner names the Set behind an ApplySet id.
func (d *differ) owner(id string) string {
	if name, ok := d.setOf[id]; ok {
		return name
	}
	return "an unknown set"
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
