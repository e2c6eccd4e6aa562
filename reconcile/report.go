package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// The words of a three-valued answer in the Report.
const (
	yes     = "True"
	no      = "False"
	unknown = "Unknown"
)

// buildReport says everything that is known at now.
func (l *Loop) buildReport(now time.Time) report.Report {
	r := report.Report{Time: now, Head: l.source.head, Errors: l.source.refused, ForgeErr: errorText(l.forgeErr()), Held: l.source.held}
	if err := cmp.Or(l.source.fetchErr, l.source.renderErr); err != nil {
		r.SourceErr = err.Error()
	}
	if l.wish == nil {
		return r
	}
	if len(l.schedule.errs) > 0 {
		r.Errors = append(slices.Clone(r.Errors), l.schedule.errs...)
	}
	r.Applied, r.Notices, r.HubErr = l.wish.Revision, l.wish.Notices, errorText(l.publishErr)
	known := map[string]report.Member{}
	for _, m := range l.Report().Members {
		known[m.Name] = m
	}
	for _, registered := range l.wish.Members {
		m := l.reportMember(registered, now)
		if m.Since = known[m.Name].Since; m.Joined != known[m.Name].Joined || m.Since.IsZero() {
			m.Since = now
		}
		r.Members = append(r.Members, m)
	}
	before := map[string]report.Placement{}
	for _, p := range l.Report().Placements {
		before[p.Key()] = p
	}
	for i, p := range l.wish.Placements {
		r.Placements = append(r.Placements, l.reportPlacement(i, p).WithConditions(before[p.Key()], now))
	}
	l.reportServices(&r)
	r.Digest, r.Confirm, r.Drift = l.schedule.digest, l.confirmation(), l.newestDrift()
	r.Removals, r.Removing = l.removals()
	for _, o := range l.wish.Unplaced {
		r.Unplaced = append(r.Unplaced, report.Unplaced{Ref: api.RefOf(o.Unstructured), Source: o.Origin})
	}
	r.Converged = l.converged(r)
	return r
}

func (l *Loop) reportMember(registered render.Member, now time.Time) report.Member {
	m := l.members[registered.Name]
	remembered := l.memory.Members[registered.Name]
	r := report.Member{Name: registered.Name, Labels: registered.Labels, Annotations: registered.Annotations, Spec: &registered.Spec,
		Joined: unknown, Suspended: m.suspended,
		Created: remembered.Created, LastSeen: remembered.LastSeen, Version: m.state.Version, Source: where(registered.Origin)}
	if m.conn == nil {
		r.Joined = no
		r.Message = errorText(m.err)
		return r
	}
	offers, known := m.conn.Resources()
	if known {
		r.Nodes, r.Resources = &offers.Nodes, reportResources(offers)
	}
	switch m.state.Phase {
	case fleet.Ready:
		r.Joined, r.LastSeen = yes, now // its connection is open and answers pings, however little it has to say
		r.Message = cmp.Or(errorText(m.claim), errorText(m.state.Outdated), errorText(m.lacks), m.observed.Problem, l.rivalOn(m.name), errorText(m.statusErr), suspension(m), l.leftover(m), m.terminating(), errorText(offers.Problem))
	case fleet.Unreachable:
		r.Message = errorText(m.state.Err)
		if m.state.LastSeen.After(r.LastSeen) {
			r.LastSeen = m.state.LastSeen
		}
	default:
		r.Message = "connecting"
	}
	return r
}

func suspension(m *member) string {
	if !m.suspended {
		return ""
	}
	return "suspended in Git: nothing is changed on it"
}

func reportResources(r fleet.Resources) *report.Resources {
	words := func(a fleet.Amount) map[string]string {
		return map[string]string{"cpu": a.CPU.String(), "memory": a.Memory.String()}
	}
	out := &report.Resources{Capacity: words(r.Capacity), Allocatable: words(r.Allocatable)}
	if r.Available != nil {
		out.Available = words(*r.Available)
	}
	return out
}

// leftover says what keeps m from removing what no placement brings there any more; no placement's report would tell.
func (l *Loop) leftover(m *member) string {
	var reasons []string
	for _, set := range m.sets {
		if err := m.resultOf(set.Name).SetErr(set.Name); err != nil && l.memory.Placements[set.Name].SpecDigest == "" {
			reasons = append(reasons, err.Error())
		}
	}
	return strings.Join(reasons, "; ")
}

func (l *Loop) reportPlacement(i int, p render.Placement) report.Placement {
	remembered := l.memory.Placements[p.Key()]
	r := report.Placement{Name: p.Name, Namespace: p.Namespace, Generation: remembered.Generation, Created: remembered.Created,
		Decision: l.schedule.decisions[i], Source: where(p.Origin), Suspended: p.Directives.Suspend,
		DependsOn: p.Directives.DependsOn, Account: p.Directives.ServiceAccount,
		Labels: p.Labels, Annotations: p.Annotations, Spec: &p.Spec, Resources: l.wish.selected[p.Key()]}
	for _, e := range l.source.refused {
		if e.Placement == p.Key() && r.Err == "" {
			r.Err = fmt.Sprintf("commit %.12s is refused: %s", l.source.head.Commit, e)
		}
	}
	for _, cluster := range holders(r.Decision) {
		if m := l.members[cluster]; m != nil {
			r.Clusters = append(r.Clusters, l.placed(m, p.Key()))
		}
	}
	return r
}

// placed says what became of one placement on m, as long as nothing has changed there with the same words.
func (l *Loop) placed(m *member, placement string) report.PlacementOnCluster {
	if m.told == nil || m.version != l.version {
		m.told = map[string]report.PlacementOnCluster{}
	}
	r, ok := m.told[placement]
	if !ok {
		r = l.reportSet(m, placement)
		m.told[placement] = r
	}
	return r
}

// reportSet says what became of one placement on m.
func (l *Loop) reportSet(m *member, set string) report.PlacementOnCluster {
	r := report.PlacementOnCluster{Cluster: m.name, Applied: unknown, Healthy: unknown, Revision: m.live.Parents[set].Revision}
	if m.conn == nil {
		r.Message = errorText(m.err)
		return r
	}
	err, waits := m.resultOf(set).SetErr(set), m.plan.Waits(set)
	switch {
	case m.state.Phase == fleet.Unreachable:
		r.Message = "not reachable: " + errorText(m.state.Err)
	case m.state.Phase != fleet.Ready:
		r.Message = "connecting"
	case m.claim != nil:
		r.Message, r.Operator = errorText(m.claim), true
	case !m.live.Complete:
		r.Message, r.Operator = missing(m.live), true
	case l.schedule.conflicts[m.name]:
		r.Applied, r.Message = no, "two placements own an object here, so nothing is applied; see the errors"
	case m.plannedFor != l.wish:
		r.Applying, r.Message = true, "being applied"
	case err != nil:
		r.Applied, r.Message, r.Operator = no, err.Error(), !authors(err)
	case len(waits) > 0:
		r.Message = waitText(waits) // nothing has failed
	case m.plan.Touches(set), m.lanes[laneOf(set)].running && m.lanes[laneOf(set)].plan.Touches(set):
		r.Applying, r.Message = true, "being applied"
	default:
		r.Applied = yes
		if l.wish.Suspends(set) || m.suspended {
			r.Message = "suspended in Git: nothing of it is changed"
		}
	}
	m.reportObjects(&r, set, l.wish)
	return r
}

// authors tells whether it is for the author to mend what kept a set from being applied: something that the member refused, not
// one of its own or of ours.
func authors(err error) bool {
	var refused *apply.RefusedError
	return errors.As(err, &refused) && refused.Actor == apply.Author
}

// waitText says what the first of waits waits for, and how many more there are.
func waitText(waits []apply.Wait) string {
	text := fmt.Sprintf("%s %s waits: %s", waits[0].Action, waits[0].Ref, waits[0].Reason)
	if more := len(waits) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more wait", more)
	}
	return text
}

// resultOf returns what became of the last plan that held the Set.
func (m *member) resultOf(set string) apply.Result { return m.lanes[laneOf(set)].result }

// where prints where something stands in the repository: "web/placement.yaml#1".
func where(o render.Origin) string { return fmt.Sprintf("%s#%d", o.File, o.Document) }

// missing says why live is not complete.
func missing(live apply.Live) string {
	reasons := make([]string, 0, len(live.Unknown))
	for kind, reason := range live.Unknown {
		reasons = append(reasons, kind.String()+": "+reason)
	}
	slices.Sort(reasons)
	return strings.TrimSuffix("not everything there is known yet; "+strings.Join(reasons, "; "), "; ")
}

// reportObjects adds the objects with their health, as last seen, and sums it up for a set that is applied.
func (m *member) reportObjects(r *report.PlacementOnCluster, set string, w *wish) {
	var waiting []string
	waits, errs := map[api.Ref]string{}, map[api.Ref]error{}
	for _, w := range m.plan.Waits(set) {
		waits[w.Ref] = w.Reason
	}
	for _, o := range m.resultOf(set).Outcomes[set] {
		errs[o.Ref] = o.Err
	}
	inPlace := m.state.Phase == fleet.Ready && m.live.Complete && m.claim == nil && m.resultOf(set).Errs[set] == nil
	for _, t := range w.targets[set] {
		ref := t.Ref
		o := report.PlacedObject{Ref: ref, Health: apply.Health{Status: apply.NotFound}, Source: t.Origin, Wait: waits[ref],
			Error: errorText(errs[ref]), Reason: report.AppliedReason(errs[ref]), Checked: w.checked[ref.GroupKind()]}
		live, seen := m.live.Objects.Get(ref)
		if seen {
			o.Health = live.Health
		}
		o.Applied = r.Applied
		if r.Applied != yes && inPlace && seen && live.AppliedHash == t.Hash && o.Error == "" && o.Wait == "" {
			o.Applied = yes // another object of the placement is what is not
		}
		if o.Health.Status != apply.Current {
			waiting = append(waiting, fmt.Sprintf("%s is %s %s", ref, o.Health.Status, o.Health.Message))
		}
		r.Objects = append(r.Objects, o)
	}
	if r.Applied != yes {
		return
	}
	r.Healthy = yes
	if len(waiting) > 0 {
		r.Healthy = no
		r.Message = waiting[0]
		if more := len(waiting) - 1; more > 0 {
			r.Message += fmt.Sprintf(", and %d more", more)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
