package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/report"
)

// guard holds back deleting when it is more than a commit usually means to delete. The word of a person in Git lets it go:
// see api.TrailerConfirm.
type guard struct {
	digest   string // the wish that it is about
	removals int    // how many objects that wish would delete, when it was held
	done     int    // how many it has deleted: a threshold must not be passed in slices, one member after the other
	held     string // why nothing may be deleted; empty when it may
	waiting  bool   // held only until every member within reach has shown what it holds
	// listed is what the inventories of a member listed when it was first planned for the wish: what that creates makes its
	// deletions no smaller a part, and no larger one.
	listed map[string]int
}

// guardRemovals looks at all plans together and reports whether it changed its mind, so that they must be made again. Once
// a wish is held it stays so, however few objects are left, until it is confirmed or another wish comes.
func (l *Loop) guardRemovals(now time.Time) (changed bool) {
	before := l.guard
	g := guard{digest: l.schedule.digest}
	if before.digest == g.digest {
		g.done, g.listed = before.done, before.listed
	}
	removals, listed := l.countRemovals(&g)
	removals += g.done
	switch {
	case slices.Contains(l.wish.confirmed, g.digest):
	case before.digest == g.digest && before.held != "" && !before.waiting:
		g = before
		g.removals = max(g.removals, removals)
	case apply.TooMany(removals, listed, l.opt.Threshold):
		g.removals = removals
		g.held = fmt.Sprintf("this commit would delete %d of %d objects: if that is meant, push a commit with the trailer \"%s: %s\"; git commit --allow-empty will do (a directory has no commits: start gitfleet with --confirm-above 0 for that)",
			removals, listed, api.TrailerConfirm, g.digest)
	case removals > 0 && now.Before(l.started.Add(acquaintance)) && !l.seenAll():
		g.held, g.waiting = "other members have not shown yet what they hold, so nobody knows how much is deleted in all", true
	}
	l.guard = g
	if g.held != before.held {
		if g.held != "" && !g.waiting {
			l.opt.Log.Warn("deleting waits for a person's word", "objects", g.removals, "trailer", api.TrailerConfirm+": "+g.digest)
		}
		l.version++
		return true
	}
	return false
}

// count adds what an execution for the wish of that digest has deleted.
func (g *guard) count(n Lane, digest string, result apply.Result) {
	if n != Bulk || digest != g.digest {
		return
	}
	for _, outcomes := range result.Outcomes {
		for _, o := range outcomes {
			if o.Action == apply.Delete && o.Err == nil {
				g.done++
			}
		}
	}
}

// countRemovals counts what the plans would delete or hold back, and what the inventories listed before.
func (l *Loop) countRemovals(g *guard) (removals, listed int) {
	before := g.listed
	g.listed = map[string]int{}
	from := l.sourceName()
	for _, m := range l.members {
		n, known := before[m.name]
		if !known {
			n = listedOf(m.live, from)
		}
		if m.plannedFor == l.wish { // else the plan is about another one
			removals += m.removals
			g.listed[m.name] = n
		}
		listed += n
	}
	return removals, listed
}

// seenAll tells whether every member that this process will change has been planned from all that it holds: until then nobody
// knows how much is deleted in all.
func (l *Loop) seenAll() bool {
	for _, m := range l.members {
		outOfReach := !m.opening && (m.conn == nil || m.state.Phase == fleet.Unreachable)
		if outOfReach || refusedClaim(m.claim) || l.schedule.conflicts[m.name] {
			continue
		}
		if m.state.Phase != fleet.Ready || !m.live.Complete || m.plannedFor != l.wish {
			return false
		}
	}
	return true
}

// confirmation asks for a person's word, when something waits for it.
func (l *Loop) confirmation() *report.Confirmation {
	if l.guard.held == "" || l.guard.waiting {
		return nil
	}
	return &report.Confirmation{Digest: l.guard.digest, Removals: l.guard.removals, Message: l.guard.held}
}
