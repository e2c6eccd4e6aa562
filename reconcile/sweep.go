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

// sweep raises a doubt about the object of m whose turn it is to be verified by a dry run, if there is one.
func (l *Loop) sweep(m *member, now time.Time) {
	if !m.sweeping {
		m.sweeping, m.swept = true, apply.NewSweep(l.opt.Verify, sweepBudget, now)
	}
	if at, due := m.swept.Wake(); m.sweptFor == m.inventories && !(due && !now.Before(at)) {
		return
	}
	m.sweptFor = m.inventories
	from := l.sourceName()
	var items []apply.Item
	for _, name := range slices.Sorted(maps.Keys(m.live.Parents)) {
		if p := m.live.Parents[name]; p.Source == from {
			items = append(items, p.Items...)
		}
	}
	swept, ref, due := m.swept.Next(items, now)
	m.swept = swept
	if due {
		m.conn.Doubt(map[api.Ref]string{ref: "verified because it was its turn"})
	}
}
