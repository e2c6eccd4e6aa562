package reconcile

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/report"
)

// removalsTold bounds how many removals a report lists.
const removalsTold = 300

// removals returns what is still there although Git no longer wants it: what waits, what was refused or held, and what is
// being deleted.
func (l *Loop) removals() (told []report.Removal, all int) {
	for _, m := range l.sortedMembers() {
		told = append(told, m.leaving()...)
	}
	slices.SortFunc(told, func(a, b report.Removal) int { return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), a.Ref.Compare(b.Ref)) })
	told = slices.CompactFunc(told, func(a, b report.Removal) bool { return a.Cluster == b.Cluster && a.Ref == b.Ref })
	return told[:min(len(told), removalsTold)], len(told)
}

// heldForOthers tells whether what keeps an object is what others made below it, which whoever deleted it can confirm.
func heldForOthers(err error) bool {
	var held *apply.HeldError
	return errors.As(err, &held) && len(held.Foreign) > 0
}

// leaving returns the removals on one member.
func (m *member) leaving() []report.Removal {
	var list []report.Removal
	for _, p := range m.plan.Sets {
		for _, w := range p.Waits {
			if w.Action == apply.Delete {
				list = append(list, report.Removal{Ref: w.Ref, Cluster: m.name, Placement: p.Set.Name, Reason: w.Reason})
			}
		}
		for _, c := range p.Prune {
			gone := report.Removal{Ref: c.Ref, Cluster: m.name, Placement: p.Set.Name, Reason: "being deleted"}
			result := m.resultOf(p.Set.Name)
			if err := cmp.Or(result.ObjectErr(p.Set.Name, c.Ref), result.Errs[p.Set.Name]); err != nil {
				gone.Reason, gone.Operator = err.Error(), !authors(err) && !heldForOthers(err)
			}
			list = append(list, gone)
		}
	}
	for _, o := range m.deleting {
		reason := "being deleted since " + o.DeletingSince.UTC().Format(time.RFC3339)
		if o.Finalizers != "" {
			reason += ", which waits for the finalizers " + o.Finalizers + "; gitfleet never removes one"
		}
		list = append(list, report.Removal{Ref: o.Ref, Cluster: m.name, Reason: reason})
	}
	return list
}
