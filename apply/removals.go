package apply

import (
	"cmp"
	"fmt"
	"slices"
)

// leave looks at one listed object that the Set does not want.
func (d *setDiffer) leave(w *walked, item Item) {
	if !d.live.Complete {
		w.items.add(item)
		return
	}
	lv, seen := d.live.Objects.Get(item.Ref)
	switch {
	case seen && lv.SetID != d.id, // another Set's already
		seen && lv.Deleting,                 // under way, and nothing can stop it
		seen && !Ours(d.set.Name, item, lv): // somebody else's by now
		w.dropped = true
		return
	}
	w.items.add(item)
	if _, wanted := d.home(item.Ref); !wanted { // else it stays listed until its new Set's label is seen
		w.leaving = append(w.leaving, Change{Action: Delete, Ref: item.Ref, Live: lv, Reason: removalReason(d.set, lv, item)})
	}
}

// prune puts into p what may be deleted now, and tells the rest to wait. It reports whether anything left the Set.
func (d *setDiffer) prune(p *SetPlan, w *walked) (moved bool) {
	if len(w.leaving) == 0 {
		return w.dropped
	}
	above := d.wavesToGo(w.leaving)
	for _, c := range w.leaving {
		wait := Wait{Ref: c.Ref, Action: Delete}
		if d.set.HoldRemovals != "" && loses(d.before, c) {
			wait.Reason, wait.Confirm = c.Reason+"; "+d.set.HoldRemovals, true
		} else if first := firstAbove(above, c.Live); first != "" {
			wait.Reason = c.Reason + "; " + first
		} else {
			p.Prune = append(p.Prune, c)
			continue
		}
		p.Waits = append(p.Waits, wait)
	}
	sortWaits(p.Waits)
	slices.SortFunc(p.Prune, func(a, b Change) int { return -compareInOrder(a.Ref, b.Ref) })
	return w.dropped || len(p.Prune) > 0
}

// wavesToGo returns what is still there of what leaves the Set, the highest wave first: also what no inventory lists any
// more, because its deletion has begun.
func (d *setDiffer) wavesToGo(leaving []Change) []LiveObject {
	var there []LiveObject
	for _, c := range leaving {
		if c.Live.UID != "" {
			there = append(there, c.Live)
		}
	}
	for lv := range d.live.Objects.All() {
		if !lv.Deleting || lv.SetID != d.id || lv.Controlled {
			continue
		}
		if _, wanted := d.home(lv.Ref); !wanted {
			there = append(there, lv)
		}
	}
	slices.SortFunc(there, func(a, b LiveObject) int {
		return cmp.Or(-cmp.Compare(a.Wave, b.Wave), -compareInOrder(a.Ref, b.Ref))
	})
	return there
}

// firstAbove tells which of there, in higher waves, must be gone before lv is deleted; empty when none must.
func firstAbove(there []LiveObject, lv LiveObject) string {
	n, _ := slices.BinarySearchFunc(there, lv.Wave, func(o LiveObject, wave int) int { return -cmp.Compare(o.Wave, wave) })
	if n == 0 || lv.UID == "" { // of what is not seen nobody knows the wave
		return ""
	}
	first := there[0]
	text := fmt.Sprintf("wave %d goes first: %s", first.Wave, first.Ref)
	if first.Deleting {
		lack, _ := first.lack()
		text += ": " + lack
	}
	return text + andMore(n-1)
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

// loses tells whether a delete can cost anything: what was listed to be created, and was never seen, cannot.
func loses(before *Parent, c Change) bool {
	item, _ := before.find(c.Ref)
	return c.Live.UID != "" || item.UID != ""
}

// Removals counts the objects that are deleted by p, and those whose deletion waits for higher waves or for a person's
// word: all that the wish removes, as far as it is seen. What was never created does not count, nor what is suspended.
func (p Plan) Removals() int {
	n := 0
	for _, s := range p.Sets {
		if s.Set.Suspended {
			continue
		}
		for _, c := range s.Prune {
			if loses(s.Before, c) {
				n++
			}
		}
		for _, w := range s.Waits {
			if w.Action == Delete {
				n++
			}
		}
	}
	return n
}

// Threshold is how much may be deleted without a person's word. A field that is zero has the value that is named here.
type Threshold struct {
	Objects int // more objects than that need it: 100
	Percent int // so does more than that part of all that is listed: 50
	Least   int // unless no more than so many objects are listed: 20
}

// TooMany tells whether deleting so many of the objects that the fleet's inventories list needs a person's word.
func TooMany(removals, listed int, limit Threshold) bool {
	objects, percent, least := cmp.Or(limit.Objects, 100), cmp.Or(limit.Percent, 50), cmp.Or(limit.Least, 20)
	return removals > objects || listed > least && removals*100 > listed*percent
}
