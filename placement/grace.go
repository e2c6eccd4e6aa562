package placement

import (
	"fmt"
	"time"
)

// applyGrace takes the placement from clusters that have failed the required terms for the whole grace period, and tells
// the others when they will lose it. What is not known for sure neither begins the period nor ends it.
func (s *scheduling) applyGrace() {
	if s.placement.UnplaceAfter <= 0 {
		return
	}
	remembered := s.unmatched(s.held)
	s.failing = map[int]time.Time{}
	for i, c := range s.candidates {
		j := s.judgement(i)
		if !s.held[i] || j.answer == yes {
			continue
		}
		since, known := remembered[c.Name]
		if !s.failsForSure(s.terms, i) {
			if known {
				s.failing[i] = since
			}
			continue
		}
		if !known || since.After(s.now) { // a clock that was set back must not prolong the period
			since = s.now
		}
		leaves := since.Add(s.placement.UnplaceAfter)
		if !leaves.After(s.now) {
			s.held[i] = false
			s.notes[i] = fmt.Sprintf("lost it: %s; so since %s, which is the grace period of %s", j.barred, stamp(since), s.placement.UnplaceAfter)
			continue
		}
		s.failing[i] = since
		s.notes[i] = fmt.Sprintf("kept until %s, unless it matches again before (now %s)", stamp(leaves), j.barred)
	}
}

// settleGrace writes down which of the clusters that hold the placement fail since when, and when the first of them
// leaves.
func (s *scheduling) settleGrace() {
	d := &s.decision
	unmatched := map[string]time.Time{}
	for i, since := range s.failing {
		if !s.held[i] {
			continue
		}
		unmatched[s.candidates[i].Name] = since
		leaves := since.Add(s.placement.UnplaceAfter)
		if _, counting := s.notes[i]; counting && (d.Wake.IsZero() || leaves.Before(d.Wake)) {
			d.Wake = leaves
		}
	}
	if len(unmatched) > 0 {
		d.Assignment.Unmatched = unmatched
	}
}

// unmatched returns what is remembered of the clusters that are marked in held.
func (s *scheduling) unmatched(held []bool) map[string]time.Time {
	times := map[string]time.Time{}
	if s.placement.UnplaceAfter <= 0 {
		return times
	}
	for i, c := range s.candidates {
		if since, known := s.before.Unmatched[c.Name]; known && held[i] {
			times[c.Name] = since
		}
	}
	return times
}

// stamp shows a time.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
