package apply

import (
	"fmt"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/api"
)

// blocker is an object that is not in place, or not healthy: what comes after it waits.
type blocker struct {
	wave   int
	ref    api.Ref
	lack   string
	failed bool // waiting alone will not mend it
}

// gate tells for one Set which changes of the wish may go ahead.
type gate struct {
	*setDiffer
	blockers []blocker      // by ref
	unready  string         // why nothing of the Set may; empty when it may
	waves    map[int]string // what each wave waits for, once it was asked
}

func (d *setDiffer) newGate(blockers []blocker) *gate {
	g := &gate{setDiffer: d, blockers: blockers, waves: map[int]string{}}
	var lacks []string
	for _, name := range d.set.DependsOn {
		lacks = d.addUnready(lacks, name)
	}
	g.unready = dependsOn(lacks)
	return g
}

// closed returns why a change of the wish must wait; empty when it may go ahead.
func (g *gate) closed(n *need) string {
	if name := g.suspendedHolder(n); name != "" {
		return fmt.Sprintf("%s has it, and is suspended", name)
	}
	if g.unready != "" {
		return g.unready
	}
	if reason := g.wave(n.target.Directives.Wave); reason != "" {
		return reason
	}
	var lacks []string
	for _, dep := range n.target.Directives.DependsOn {
		if dep.Placement != "" {
			lacks = g.addUnready(lacks, dep.Placement)
		} else if lack := g.dependency(dep.Object); lack != "" {
			lacks = append(lacks, dep.Object.String()+": "+lack)
		}
	}
	return dependsOn(lacks)
}

// suspendedHolder names the suspended Set that an object would be taken from.
func (g *gate) suspendedHolder(n *need) string {
	for _, other := range g.sets {
		if !other.set.Suspended || other == g.setDiffer {
			continue
		}
		if _, listed := other.before.find(n.target.Ref); listed || n.seen && n.live.SetID == other.id {
			return other.set.Name
		}
	}
	return ""
}

// addUnready adds to lacks why a placement is not ready.
func (d *setDiffer) addUnready(lacks []string, placement string) []string {
	if why, unready := d.set.Unready[placement]; unready {
		return append(lacks, fmt.Sprintf("placement %s: %s", placement, why))
	}
	return lacks
}

// wave returns what a wave waits for: all lower ones. What has failed is named before what is only slow, and then the lowest.
func (g *gate) wave(n int) string {
	if reason, known := g.waves[n]; known {
		return reason
	}
	var first *blocker
	lower := 0
	for i := range g.blockers {
		b := &g.blockers[i]
		if b.wave >= n {
			continue
		}
		lower++
		if first == nil || b.failed && !first.failed || b.failed == first.failed && b.wave < first.wave {
			first = b
		}
	}
	reason := ""
	if first != nil {
		reason = fmt.Sprintf("wave %d first: %s: %s%s", first.wave, first.ref, first.lack, andMore(lower-1))
		if first.failed {
			reason += fmt.Sprintf("; nothing of wave %d is applied until it is mended", n)
		}
	}
	g.waves[n] = reason
	return reason
}

// dependency tells what an object that another depends on lacks; empty when it is in place and healthy.
func (d *differ) dependency(ref api.Ref) string {
	if h, wanted := d.home(ref); wanted {
		item, listed := h.set.before.find(ref)
		lack, _ := d.lack(ref, h.set.judge(h.target, item, listed))
		if lack != "" && h.set.set.Suspended {
			lack += fmt.Sprintf(", and %s is suspended", h.set.set.Name)
		}
		return lack
	}
	lv, seen := d.live.Objects.Get(ref)
	if !seen || slices.ContainsFunc(d.sets, func(s *setDiffer) bool { return s.id == lv.SetID }) { // that Set is about to delete it
		return d.absence(ref)
	}
	lack, _ := lv.lack()
	return lack
}

func dependsOn(lacks []string) string {
	if len(lacks) == 0 {
		return ""
	}
	return "depends on " + lacks[0] + andMore(len(lacks)-1)
}

// andMore prints ", and 2 more", or nothing for none.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

func sortWaits(waits []Wait) {
	slices.SortFunc(waits, func(a, b Wait) int { return a.Ref.Compare(b.Ref) })
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
