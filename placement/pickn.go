package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// entry is one cluster in a ranking.
type entry struct {
	at int // position
	Score
	obsolete bool // it held the placement by an earlier policy
}

// compare orders entries from the best to the worst: by topology spread score, affinity score, and having held the
// placement; of equals the greatest name is the best. Positions are in the order of names.
func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(o.TopologySpread, e.TopologySpread), e.compareInLane(o))
}

// compareInLane is compare for entries of the same topology spread score.
func (e entry) compareInLane(o entry) int {
	return cmp.Or(cmp.Compare(o.Affinity, e.Affinity), cmp.Compare(rank(o.obsolete), rank(e.obsolete)), cmp.Compare(o.at, e.at))
}

func rank(obsolete bool) int {
	if obsolete {
		return 1
	}
	return 0
}

// pickN keeps the clusters that hold the placement, takes it from the worst when they are too many, and picks the best of
// the others when they are too few.
func (s *scheduling) pickN() error {
	s.judge()
	s.applyGrace()
	n := pickingN{scheduling: s, affinity: s.affinities(s.preferences)}
	n.release()
	missing := s.number - len(n.selected)
	if missing > 0 {
		if err := s.undecided(); err != nil {
			return err
		}
	}
	n.spread = s.spreadOf(s.constraints, s.held)
	n.pick(missing)
	n.conclude()
	return nil
}

// undecided returns an error when a ranking needs a value that cannot be read: of a required term, or of a property that
// clusters are ranked by, whichever cluster has it. Upstream gives up such a cycle.
func (s *scheduling) undecided() error {
	names := s.rankingProperties()
	if s.unjudged() != nil {
		names = append(names, s.requiredProperties()...)
	}
	return s.unreadable(names)
}

// pickingN is a PickN decision in the making.
type pickingN struct {
	*scheduling
	affinity []int // by position
	spread   *spread
	selected []entry // those that hold the placement, with the scores of their time, and those that are picked now
	scored   []entry // those that could be picked and were not, best first
	last     entry   // the last one that was picked
	picked   int     // how many were
	phrases  map[phrase]string
}

// phrase names a reason that many clusters share: it is put into words once.
type phrase struct {
	class, lane int32
	outcome     outcome
}

// outcome is why a cluster was not picked.
type outcome int

const (
	filtered         outcome = iota // it cannot be
	notNeeded                       // enough hold the placement
	outscored                       // those that were have better scores
	outscoredByOwner                // of equals, one that held the placement is picked
	outscoredByName                 // of equals, the greatest name is picked
)

// release takes the placement from the worst of those that hold it while they are too many: those that nothing has been
// applied to go first, then those of the lowest score; of equals the smallest name goes first.
func (n *pickingN) release() {
	for i, holds := range n.held {
		if holds {
			n.selected = append(n.selected, entry{at: i, Score: n.scoreOf(i)})
		}
	}
	surplus := len(n.selected) - n.number
	if surplus <= 0 {
		return
	}
	waiting := n.mark(n.before.Waiting)
	slices.SortFunc(n.selected, func(a, b entry) int {
		return cmp.Or(cmp.Compare(rank(waiting[b.at]), rank(waiting[a.at])), b.compare(a))
	})
	for _, e := range n.selected[:surplus] {
		n.held[e.at] = false
		why := "the others that hold the placement rank higher"
		if waiting[e.at] {
			why = "nothing has been applied here yet"
		}
		n.notes[e.at] = fmt.Sprintf("given up: spec.policy.numberOfClusters is now %d, and %s", n.number, why)
	}
	n.selected = n.selected[surplus:]
}

// scoreOf returns the score by which the candidate at position i was chosen, or as much of it as can be told now.
func (n *pickingN) scoreOf(i int) Score {
	if score, known := n.before.Scores[n.candidates[i].Name]; known {
		return score
	}
	return Score{Affinity: n.affinity[i]}
}

// pick picks up to missing clusters, one in each pass, since each changes the topology spread scores of the others.
// Without constraints those never change, and the passes take the best in one row.
func (n *pickingN) pick(missing int) {
	lanes := n.lanes()
	for n.picked < missing {
		best := -1
		for lane := range lanes {
			if len(lanes[lane]) == 0 || n.spread.blocked[lane] {
				continue
			}
			lanes[lane][0].TopologySpread = n.spread.scores[lane]
			if best < 0 || lanes[lane][0].compare(lanes[best][0]) < 0 {
				best = lane
			}
		}
		if best < 0 {
			break
		}
		n.last = lanes[best][0]
		lanes[best] = lanes[best][1:]
		n.selected = append(n.selected, n.last)
		n.picked++
		if n.picked < missing {
			n.spread.count(n.last.at, 1)
			n.spread.weigh()
		}
	}
	for lane, rest := range lanes {
		if n.spread.blocked[lane] {
			continue
		}
		for _, e := range rest {
			e.TopologySpread = n.spread.scores[lane]
			n.scored = append(n.scored, e)
		}
	}
	slices.SortFunc(n.scored, entry.compare)
}

// lanes returns those that nothing keeps the placement off and that do not hold it, best first in each lane.
func (n *pickingN) lanes() [][]entry {
	var free []entry
	for i := len(n.candidates) - 1; i >= 0; i-- {
		if !n.held[i] && n.judgement(i).barred == "" {
			free = append(free, entry{at: i, Score: Score{Affinity: n.affinity[i]}, obsolete: n.obsolete[i]})
		}
	}
	slices.SortFunc(free, entry.compareInLane)
	lanes := make([][]entry, len(n.spread.members))
	for _, e := range free {
		lane := n.spread.lane[e.at]
		lanes[lane] = append(lanes[lane], e)
	}
	return lanes
}

// conclude writes down the verdicts.
func (n *pickingN) conclude() {
	d := &n.decision
	d.Verdicts = make([]Verdict, 0, len(n.candidates))
	n.phrases = map[phrase]string{}
	listed := make([]bool, len(n.candidates))
	slices.SortFunc(n.selected, entry.compare)
	scores := map[string]Score{}
	for _, e := range n.selected {
		name := n.candidates[e.at].Name
		if _, known := n.before.Scores[name]; known || !n.held[e.at] {
			scores[name] = e.Score
		}
		d.add(name, true, e.Score, n.reason(e.at))
		listed[e.at] = true
	}
	d.take(len(n.selected))
	for _, e := range n.scored {
		d.add(n.candidates[e.at].Name, false, e.Score, n.phrase(e.at, n.outcome(e)))
		listed[e.at] = true
	}
	for i, c := range n.candidates {
		if !listed[i] {
			d.add(c.Name, false, Score{}, n.phrase(i, filtered))
		}
	}
	if len(scores) > 0 {
		d.Assignment.Scores = scores
	}
	n.settleGrace()
	n.sumUp()
}

// outcome tells why e, which could be picked, was not.
func (n *pickingN) outcome(e entry) outcome {
	switch {
	case n.picked == 0:
		return notNeeded
	case e.Score != n.last.Score:
		return outscored
	case e.obsolete != n.last.obsolete:
		return outscoredByOwner
	}
	return outscoredByName
}

// phrase puts into words why the candidate at position i was not picked.
func (n *pickingN) phrase(i int, o outcome) string {
	if note, noted := n.notes[i]; noted {
		return note
	}
	key := phrase{class: n.class[i], lane: n.spread.lane[i], outcome: o}
	text, known := n.phrases[key]
	if !known {
		text = n.compose(key)
		n.phrases[key] = text
	}
	return text
}

func (n *pickingN) compose(p phrase) string {
	j := n.judged[p.class]
	last := fmt.Sprintf("not picked: the last place went to %s with topologySpreadScore %d and affinityScore %d",
		n.candidates[n.last.at].Name, n.last.TopologySpread, n.last.Affinity)
	switch p.outcome {
	case notNeeded:
		return fmt.Sprintf("not needed: spec.policy.numberOfClusters is %d, and as many hold the placement; %s", n.number, j.match)
	case outscored:
		return last + "; " + j.match
	case outscoredByOwner:
		return last + ", which held the placement before; " + j.match
	case outscoredByName:
		return last + ", and of equals the greatest name is picked; " + j.match
	}
	reasons := n.spread.violations(p.lane)
	if j.barred != "" {
		reasons = append([]string{j.barred}, reasons...)
	}
	return strings.Join(reasons, "; ")
}

// sumUp writes down what the verdicts amount to.
func (n *pickingN) sumUp() {
	d := &n.decision
	chosen := len(n.selected)
	d.Scheduled = fulfilled("PickN: %d of %d wanted clusters selected", chosen, n.number)
	if chosen == n.number {
		return
	}
	others := len(n.candidates) - chosen
	d.Unfilled = unfilledSlots(n.number, chosen, others)
	d.Scheduled = unfulfilled("PickN: %d of %d wanted clusters selected; none of the %d others that are registered can be",
		chosen, n.number, others)
	if others == 0 {
		d.Scheduled = unfulfilled("PickN: %d of %d wanted clusters selected; no other is registered", chosen, n.number)
	}
}
