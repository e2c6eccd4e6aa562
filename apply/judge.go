package apply

import (
	"fmt"

	"github.com/gitfleet/gitfleet/api"
)

// cause is why an object must be written.
type cause int

const (
	nothing  cause = iota
	wished         // Git moved: the object is to become what it is not
	recorded       // it should be as wished already, and the inventory does not say so
	drifted        // the cluster moved
	doubted        // it may have moved where metadata does not show it
)

// judgement is how one wanted object stands, whatever it may have to wait for.
type judgement struct {
	cause  cause
	verify bool // a dry run must show first that there is something to write
	reason string
	seen   bool
	live   LiveObject
}

// need is what one object lacks.
type need struct {
	judgement
	target *Target
	listed bool // in the Set's inventory
}

func (n *need) action() Action {
	if n.seen {
		return Update
	}
	return Create
}

// change returns what mends it.
func (n *need) change() Change {
	return Change{Action: n.action(), Ref: n.target.Ref, Target: n.target, Reason: n.reason, Verify: n.verify, Live: n.live,
		Repair:  n.cause == drifted || n.cause == doubted,
		HandOut: n.target.HandOut, Recreate: n.target.Directives.Recreate}
}

// judge compares one wanted object with what was seen of it. item is what the inventory has of it, if it is listed.
func (d *setDiffer) judge(t *Target, item Item, listed bool) judgement {
	lv, seen := d.live.Objects.Get(t.Ref)
	if !seen {
		return d.judgeUnseen(t, item, listed)
	}
	j := judgement{seen: true, live: lv}
	switch {
	case lv.Deleting: // an apply would be lost; it is created again when it is gone
	case lv.SetID != d.id:
		j.cause, j.reason = wished, "taken over from "+d.owner(lv.SetID)
	case lv.AppliedHash != t.Hash:
		j.cause, j.reason = wished, "changed in "+short(d.set.Revision)
	case !listed:
		j.cause, j.reason = recorded, "in no inventory"
	case item.UID == "" || item.EntryHash == "":
		j.cause, j.reason = recorded, "last apply not confirmed"
	case lv.UID != item.UID:
		j.cause, j.reason = drifted, "drifted: somebody deleted it and made it again"
	case lv.EntryHash == "":
		j.cause, j.reason = drifted, "drifted: managedFields were cleared"
	case lv.EntryHash != item.EntryHash:
		j.cause, j.reason = drifted, "drifted: our fields were changed"
	case len(d.live.Doubts) > 0:
		if doubt, ok := d.live.Doubts[t.Ref]; ok {
			j.cause, j.reason = doubted, doubt
		}
	}
	j.verify = j.cause > wished
	return j
}

// judgeUnseen does it for an object that does not carry our label, as far as is known.
func (d *setDiffer) judgeUnseen(t *Target, item Item, listed bool) judgement {
	_, unknown := d.live.Unknown[t.Ref.GroupKind()]
	switch {
	case !listed:
		return judgement{cause: wished, reason: "new in " + short(d.set.Revision)}
	case item.UID == "":
		return judgement{cause: wished, reason: "not created yet"}
	case unknown:
		return judgement{} // it was there, and nobody can say that it no longer is
	}
	return judgement{cause: drifted, reason: "drifted: it was deleted, or lost our label"}
}

// lack tells what a wanted object lacks for others to go ahead that come after it; empty when it is in place and healthy.
// failed tells that waiting alone will not mend it.
func (d *differ) lack(ref api.Ref, j judgement) (what string, failed bool) {
	switch {
	case j.cause == wished:
		return "not applied yet", false
	case j.cause == drifted:
		return j.reason, false
	case !j.seen:
		return d.absence(ref), false
	}
	return j.live.lack()
}

// lack tells it of an object that is seen.
func (lv LiveObject) lack() (what string, failed bool) {
	switch {
	case lv.Deleting && lv.Finalizers != "":
		return "being deleted, which waits for the finalizers " + lv.Finalizers, false
	case lv.Deleting:
		return "being deleted", false
	case lv.Health.Status == Current:
		return "", false
	}
	return lv.Health.String(), lv.Health.Status == Failed
}

// absence tells what is known of an object that is not seen and that nobody is about to create.
func (d *differ) absence(ref api.Ref) string {
	switch why, unknown := d.live.Unknown[ref.GroupKind()]; {
	case unknown:
		return "nobody knows whether it is there: " + why
	case !d.live.Complete:
		return "nobody knows yet whether it is there"
	}
	return fmt.Sprintf("nothing brings it to this cluster: place it here, or take it out of %s", api.AnnotationDependsOn)
}
