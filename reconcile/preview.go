package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// Preview returns what adopting d would change, from what the fleet shows now: the same scheduling and the same comparison
// that would be acted on, and what the members answer to dry runs of it. It waits until the fleet has shown what it holds. Of a
// member that cannot be asked Git alone tells. The revision of d names the repository and branch that Run follows. It may be
// called from any goroutine while Run runs; the error is that of ctx.
func (l *Loop) Preview(ctx context.Context, d *render.Desired) (report.Plan, error) {
	v, err := l.survey(ctx, newWish(d))
	if err != nil {
		return report.Plan{}, err
	}
	p, err := v.prospect(ctx)
	if err != nil {
		return report.Plan{}, err
	}
	return p.plan(ctx)
}

// previewFromGit is Preview for readers who may have no right to know what members hold: placements are where they are, and of all
// else Git alone tells.
func (l *Loop) previewFromGit(ctx context.Context, d *render.Desired) (report.Plan, error) {
	v, err := l.survey(ctx, newWish(d))
	if err != nil {
		return report.Plan{}, err
	}
	p, err := v.fromGit().prospect(ctx)
	if err != nil {
		return report.Plan{}, err
	}
	return planFromGit(ctx, p.before, p.after, p.updates)
}

// survey waits until the fleet has shown what it holds, for as long as ctx lets it.
func (l *Loop) survey(ctx context.Context, w *wish) (vantage, error) {
	r := request{wish: w, taken: make(chan vantage, 1)}
	l.post(ctx, func() { l.requests = append(l.requests, r) })
	select {
	case v := <-r.taken:
		return v, nil
	case <-ctx.Done():
		return vantage{}, ctx.Err()
	}
}

// request is somebody who waits for a look at the fleet.
type request struct {
	wish  *wish
	taken chan vantage // takes one without blocking
}

// answerRequests lets those who wait look, once the fleet has shown what it holds, or has had the time for it. What they make of it
// is their own work: a wish of ten thousand placements must not keep the loop from acting.
func (l *Loop) answerRequests(now time.Time) {
	if len(l.requests) == 0 || !l.shown() && now.Before(l.started.Add(acquaintance)) {
		return
	}
	for _, r := range l.requests {
		r.taken <- l.vantage(r.wish, now)
	}
	l.requests = nil
}

// shown tells whether every member shows what it holds of the kinds that the wish in force brings there, or cannot.
func (l *Loop) shown() bool {
	if l.wish == nil || l.stale.schedule {
		return false
	}
	for _, m := range l.members {
		complete := m.state.Phase == fleet.Ready && m.live.Complete && m.trackedFor == l.version
		if m.opening || m.conn != nil && m.state.Phase != fleet.Unreachable && !complete {
			return false
		}
	}
	return true
}

// vantage is a wish and all that is known of the fleet at one moment. It is immutable.
type vantage struct {
	circumstances
	wish      *wish
	inForce   *wish           // nil for none
	present   schedule        // of that
	views     map[string]view // of the members that the wish registers; nil where they may not be looked at
	threshold apply.Threshold
}

// vantage returns what is known now to who plans w. It decides nothing.
func (l *Loop) vantage(w *wish, now time.Time) vantage {
	v := vantage{circumstances: l.circumstances(w, now), wish: w, inForce: l.wish, present: l.schedule,
		views: map[string]view{}, threshold: l.opt.Threshold}
	for _, registered := range w.Members {
		v.views[registered.Name] = l.view(registered.Name, w)
	}
	return v
}

// fromGit is v without what members report and hold. Where placements are stays: they are sticky, so whoever schedules from nothing
// foresees moves that nobody will make.
func (v vantage) fromGit() vantage {
	v.candidates, v.views = v.wish.candidates, nil
	return v
}

// prospect is a wish in its places beside what is in force. It is immutable.
type prospect struct {
	before, after outlook
	wish          *wish
	views         map[string]view // of the members that the wish registers; nil where they may not be looked at
	updates       render.ManifestErrors
	now           time.Time
}

// view is one member as a wish meets it.
type view struct {
	conn   Member
	live   apply.Live
	tenant tenant
	sets   []apply.Set // what it shall hold, once that is decided
	unseen string      // why it does not show what it holds, so that Git alone tells; empty when it does
}

// prospect schedules the wish. The error is that of ctx.
func (v vantage) prospect(ctx context.Context) (prospect, error) {
	w := v.wish
	s, err := v.schedule(ctx, w)
	if err != nil {
		return prospect{}, err
	}
	s.tellPending(w)
	p := prospect{wish: w, updates: render.CheckUpdate(specsOf(v.remembered), w.Placements), now: v.now,
		before: newOutlook(&render.Desired{}, nil), after: newOutlook(w.Desired, s.decisions)}
	p.after.targets, p.after.errs, p.after.seen, p.after.threshold = s.targets, s.errs, v.views != nil, v.threshold
	if v.inForce != nil {
		p.before = newOutlook(v.inForce.Desired, v.present.decisions)
		p.before.targets = v.present.targets
	}
	p.before.listed, p.views = map[string]int{}, map[string]view{}
	for name, on := range v.views {
		if ctx.Err() != nil {
			return prospect{}, ctx.Err()
		}
		if on.unseen == "" {
			on.sets = on.tenant.sets(w, s, "")
			p.before.listed[name] = listedOf(on.live, v.source)
		}
		p.views[name] = on
	}
	return p, nil
}

// tellPending lets what waits for a member out of reach be planned where it is known to be: which clusters would be the best can
// wait, what changes on those cannot.
func (s schedule) tellPending(w *wish) {
	pending := map[string]bool{}
	for _, d := range s.decisions {
		pending[d.Key()] = s.pending != "" && d.Scheduled.Status == ""
	}
	for _, sets := range s.targets {
		for i := range sets {
			sets[i].Suspended = sets[i].Suspended && (!pending[sets[i].Name] || w.Suspends(sets[i].Name))
		}
	}
}

// listedOf counts what the inventories of a source list, but for what services need.
func listedOf(live apply.Live, source string) (n int) {
	for _, p := range live.Parents {
		if p.Source == source && p.Name != servicesSet {
			n += len(p.Items)
		}
	}
	return n
}

func (l *Loop) view(name string, w *wish) view {
	m := l.members[name]
	switch {
	case m == nil:
		return view{unseen: "it is new, and has not been asked yet"}
	case m.conn == nil:
		return view{unseen: cmp.Or(errorText(m.err), "it is not connected yet")}
	case m.state.Phase != fleet.Ready:
		return view{unseen: cmp.Or(errorText(m.state.Err), "it is not connected yet")}
	case !m.live.Complete:
		return view{unseen: missing(m.live)}
	}
	return view{conn: m.conn, live: m.live, tenant: l.tenant(m, w)}
}

// plan works the prospect out. It asks the members what they say to each change, for as long as ctx lets it: who did not answer in
// time is told as such. The error is that of ctx where it ends before anybody is asked, or a panic.
func (p prospect) plan(ctx context.Context) (report.Plan, error) {
	plan := compare(p.before, p.after)
	plan.Errors = render.MergeErrors(p.after.errs, p.updates)
	var answers []report.Risk
	if len(plan.Errors) == 0 {
		plan.Digest = p.after.digest()
		found, blocked, err := p.foreseen(ctx)
		if err != nil {
			return report.Plan{}, err
		}
		asked, err := p.ask(ctx, found)
		if err != nil {
			return report.Plan{}, err
		}
		answers = append(blocked, asked...)
		for _, f := range found {
			plan.Changes = append(plan.Changes, f.Change)
		}
		plan.Services = serviceChanges(p.before, p.after)
	}
	plan.Risks = risks(p.before, p.after, plan.Changes, answers)
	return plan, nil
}

// foreseen is one change that is to come, with what its member must be asked about it.
type foreseen struct {
	report.Change
	set    apply.Set
	change apply.Change
	known  bool // it is about an object that is in the placement's inventory, so that its values there are no secret to it
	asked  bool // the member can be asked
}

// foreseen returns all changes, by cluster and ref, and what keeps members from being planned as they are. The error is that of ctx.
func (p prospect) foreseen(ctx context.Context) (list []foreseen, found []report.Risk, err error) {
	diff := differ(p.before, p.after)
	for _, cluster := range slices.Sorted(maps.Keys(p.views)) {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		v := p.views[cluster]
		if v.unseen != "" {
			if len(p.before.targets[cluster])+len(p.after.targets[cluster]) > 0 {
				found = append(found, report.Risk{Kind: report.RiskUnseen, Message: fmt.Sprintf("member %s was planned from Git alone: %s", cluster, v.unseen)})
			}
			for _, c := range changesOn(cluster, p.before, p.after, diff) {
				list = append(list, foreseen{Change: c})
			}
			continue
		}
		on, blocked := p.foreseenOn(cluster, v, diff)
		list, found = append(list, on...), append(found, blocked...)
	}
	return list, found, nil
}

// foreseenOn compares what a member holds with what it shall hold, as the loop would for acting on it. What others did to
// objects there is put back whatever is committed: it is no change of this commit.
func (p prospect) foreseenOn(cluster string, v view, diff func(was, is owned) string) (list []foreseen, blocked []report.Risk) {
	teller := teller{prospect: p, cluster: cluster, old: p.before.holdings(cluster), wanted: p.after.holdings(cluster), diff: diff}
	for _, set := range apply.Diff(cluster, v.sets, v.live, p.now).Sets {
		if set.Err != nil {
			blocked = append(blocked, report.Risk{Kind: report.RiskBlocked, Message: fmt.Sprintf("placement %s on %s: %v", set.Set.Name, cluster, set.Err)})
		}
		if set.Err != nil || set.Set.Suspended || set.Set.Name == servicesSet {
			continue
		}
		for _, c := range steps(set) {
			list = append(list, teller.tell(set, c))
		}
	}
	slices.SortFunc(list, func(a, b foreseen) int { return a.Ref().Compare(b.Ref()) })
	return list, blocked
}

// steps returns what a set plan does in the end, now or when what it waits for has come.
func steps(set apply.SetPlan) []apply.Change {
	var list []apply.Change
	for _, stage := range set.Stages {
		for _, c := range stage {
			if !c.Repair && !c.Verify {
				list = append(list, c)
			}
		}
	}
	for _, c := range set.Prune {
		if everThere(set, c.Ref, c.Live.UID) {
			list = append(list, c)
		}
	}
	for _, w := range set.Waits {
		if w.Action == apply.Delete && !everThere(set, w.Ref, "") {
			continue
		}
		c := apply.Change{Action: w.Action, Ref: w.Ref, Reason: w.Reason}
		if i := slices.IndexFunc(set.Set.Objects, func(t *apply.Target) bool { return t.Ref == w.Ref }); i >= 0 {
			c.Target = set.Set.Objects[i]
		}
		list = append(list, c)
	}
	return list
}

// everThere tells whether an object that leaves a set was ever seen: what an inventory lists before it is created, and what was
// refused, need not be deleted.
func everThere(set apply.SetPlan, ref api.Ref, seen types.UID) bool {
	return seen != "" || set.Before != nil && slices.ContainsFunc(set.Before.Items, func(it apply.Item) bool { return it.Ref == ref && it.UID != "" })
}

// teller puts the changes of one cluster into words.
type teller struct {
	prospect
	cluster     string
	old, wanted map[api.Ref]owned
	diff        func(was, is owned) string
}

func (t teller) tell(set apply.SetPlan, c apply.Change) foreseen {
	was, had := t.old[c.Ref]
	is, has := t.wanted[c.Ref]
	out := foreseen{set: set.Set, change: c, known: inventoried(set, c), asked: c.Action != apply.Delete && c.Target != nil}
	switch {
	case c.Action == apply.Delete && had && !has:
		out.Change = change(t.cluster, c.Action, was, deleteReason(t.after, t.cluster, was))
	case c.Action == apply.Delete:
		out.Change = t.unknown(set, c)
	case !has: // the wish names it, whatever the outlook says
		out.Change = change(t.cluster, c.Action, owned{placement: set.Set.Name, Object: c.Target.Object}, c.Reason)
	case c.Action == apply.Create && had && was.placement == is.placement:
		out.Change = change(t.cluster, c.Action, is, "missing there: "+c.Reason)
	case c.Action == apply.Create:
		out.Change = change(t.cluster, c.Action, is, createReason(t.before, t.after, t.cluster, is))
	case had && (was.placement != is.placement || t.diff(was, is) != ""):
		out.Change = change(t.cluster, c.Action, is, updateReason(was, is))
		out.Diff = t.diff(was, is)
	default:
		out.Change = change(t.cluster, c.Action, is, c.Reason)
	}
	return out
}

// inventoried tells whether the object is the placement's by its inventory too: controllers copy labels to what they make, and whoever
// may name such an object in a pull request may not see its values for that.
func inventoried(set apply.SetPlan, c apply.Change) bool {
	if c.Live.SetID != apply.SetID(set.Set.Name) || c.Live.Controlled || set.Before == nil {
		return false
	}
	return slices.ContainsFunc(set.Before.Items, func(it apply.Item) bool { return it.Ref == c.Ref })
}

// unknown tells of an object that only the inventory knows.
func (t teller) unknown(set apply.SetPlan, c apply.Change) report.Change {
	out := report.Change{Cluster: t.cluster, Action: c.Action, Kind: c.Ref.Kind, Namespace: c.Ref.Namespace, Name: c.Ref.Name, Placement: set.Set.Name, Reason: c.Reason}
	version := ""
	if set.Before != nil {
		for _, it := range set.Before.Items {
			if it.Ref == c.Ref {
				version = it.Version
			}
		}
	}
	out.APIVersion = c.Ref.GroupKind().WithVersion(version).GroupVersion().String()
	return out
}

// refusedRisk is the risk of what a member would not take.
func refusedRisk(err error) (kind, message string) {
	var refused *apply.RefusedError
	if !errors.As(err, &refused) {
		return report.RiskRefused, err.Error()
	}
	switch {
	case len(refused.Immutable) > 0:
		return report.RiskImmutable, refused.Message
	case failedItself(refused):
		return report.RiskUnseen, "planned from Git alone: " + refused.Message
	}
	return report.RiskRefused, refused.Message
}

// failedItself tells whether a member that refused something had no objection, but failed: it was too busy, or could not reach one
// of its webhooks. Its words name addresses, and say nothing of the manifest.
func failedItself(refused *apply.RefusedError) bool {
	var answer apierrors.APIStatus
	if refused.Actor != apply.Retry || !errors.As(refused.Err, &answer) {
		return false
	}
	code := answer.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}
