package reconcile

import (
	"maps"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// sweepBudget is how many objects of a member are verified in a minute at most.
const sweepBudget = 30

// sweeper is how far the sweep of one member has come.
type sweeper struct {
	apply.Sweep
	begun       bool
	inventories int // the count of changes that it has seen
}

// sweep raises a doubt about the object of m whose turn it is to be verified by a dry run, if there is one.
func (l *Loop) sweep(m *member, now time.Time) {
	w := &m.sweeper
	if !w.begun {
		w.begun, w.Sweep = true, apply.NewSweep(l.opt.Verify, sweepBudget, now)
	}
	if at, due := w.Wake(); w.inventories == m.inventories && !(due && !now.Before(at)) {
		return
	}
	w.inventories = m.inventories
	from := l.sourceName()
	var items []apply.Item
	for _, name := range slices.Sorted(maps.Keys(m.live.Parents)) {
		if p := m.live.Parents[name]; p.Source == from {
			items = append(items, p.Items...)
		}
	}
	next, ref, due := w.Next(items, now)
	if w.Sweep = next; due {
		m.conn.Doubt(map[api.Ref]string{ref: "verified because it was its turn"})
	}
}
