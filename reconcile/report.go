package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
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
	r := report.Report{Time: now, Head: l.source.head, Errors: l.source.refused}
	if err := cmp.Or(l.source.fetchErr, l.source.renderErr); err != nil {
		r.SourceErr = err.Error()
	}
	if l.desired == nil {
		return r
	}
	if len(l.schedule.errs) > 0 {
		r.Errors = append(slices.Clone(r.Errors), l.schedule.errs...)
	}
	r.Applied, r.Notices, r.HubErr = l.desired.Revision, l.desired.Notices, errorText(l.publishErr)
	for _, registered := range l.desired.Members {
		r.Members = append(r.Members, l.reportMember(registered, now))
	}
	before := map[string][]metav1.Condition{}
	for _, p := range l.Report().Placements {
		before[p.Name] = p.Conditions
	}
	for i, p := range l.desired.Placements {
		reported := l.reportPlacement(i, p)
		reported.Conditions = report.Conditions(reported, before[p.Name], now)
		r.Placements = append(r.Placements, reported)
	}
	l.reportServices(&r)
	r.Converged = l.converged(r)
	return r
}

func (l *Loop) reportMember(registered render.Member, now time.Time) report.Member {
	m := l.members[registered.Name]
	remembered := l.memory.Members[registered.Name]
	r := report.Member{Name: registered.Name, Labels: registered.Labels, Joined: unknown,
		Created: remembered.Created, LastSeen: remembered.LastSeen}
	if m.conn == nil {
		r.Joined = no
		r.Message = errorText(m.err)
		return r
	}
	if n, known := m.conn.Nodes(); known {
		r.Nodes = &n
	}
	switch m.state.Phase {
	case fleet.Ready:
		r.Joined, r.LastSeen = yes, now // its connection is open and answers pings, however little it has to say
		r.Message = cmp.Or(errorText(m.lacks), m.observed.Problem, errorText(m.statusErr), l.leftover(m), m.terminating())
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

// leftover says what keeps m from removing what no placement brings there any more; no placement's report would tell.
func (l *Loop) leftover(m *member) string {
	var reasons []string
	for _, set := range m.sets {
		if err := m.result.SetErr(set.Name); err != nil && l.memory.Placements[set.Name].SpecDigest == "" {
			reasons = append(reasons, err.Error())
		}
	}
	return strings.Join(reasons, "; ")
}

func (l *Loop) reportPlacement(i int, p render.Placement) report.Placement {
	remembered := l.memory.Placements[p.Name]
	r := report.Placement{Name: p.Name, Generation: remembered.Generation, Created: remembered.Created,
		Decision: l.schedule.decisions[i]}
	for _, o := range p.Selected {
		r.Selected = append(r.Selected, api.RefOf(o.Unstructured))
	}
	for _, cluster := range r.Decision.Assignment.Clusters {
		if m := l.members[cluster]; m != nil {
			r.Clusters = append(r.Clusters, l.reportSet(m, p.Name, r.Selected))
		}
	}
	return r
}

// reportSet says what became of one placement on m.
func (l *Loop) reportSet(m *member, set string, refs []api.Ref) report.PlacementOnCluster {
	r := report.PlacementOnCluster{Cluster: m.name, Applied: unknown, Healthy: unknown}
	switch {
	case m.conn == nil:
		r.Message = errorText(m.err)
		return r
	case m.state.Phase == fleet.Unreachable:
		r.Message = "not reachable: " + errorText(m.state.Err)
	case m.state.Phase != fleet.Ready:
		r.Message = "connecting"
	case !m.live.Complete:
		r.Message = missing(m.live)
	case l.schedule.conflicts[m.name]:
		r.Applied, r.Message = no, "two placements own an object here, so nothing is applied; see the errors"
	case m.plannedFor != l.desired:
		r.Message = "being applied"
	case m.result.SetErr(set) != nil:
		r.Applied, r.Message = no, m.result.SetErr(set).Error()
	case m.plan.Touches(set):
		r.Message = "being applied"
	default:
		r.Applied = yes
	}
	m.reportObjects(&r, set, refs)
	return r
}

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
func (m *member) reportObjects(r *report.PlacementOnCluster, set string, refs []api.Ref) {
	var waiting []string
	for _, ref := range refs {
		o := report.PlacedObject{Ref: ref, Health: apply.Health{Status: apply.NotFound}}
		if live, ok := m.live.Objects[ref]; ok {
			o.Health = live.Health
		}
		o.Error = errorText(m.result.ObjectErr(set, ref))
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

func (l *Loop) reportServices(r *report.Report) {
	resolution := l.services.resolution
	for _, e := range resolution.Exports {
		r.Exports = append(r.Exports, report.Export{
			Cluster: e.Cluster, Namespace: e.Namespace, Name: e.Name, Created: e.Created,
			Valid: string(e.Valid.Status), Conflicted: string(e.Conflict.Status),
			Message: exportMessage(e), Endpoints: len(e.Endpoints),
		})
	}
	for _, i := range resolution.Imports {
		reported := report.Import{Namespace: i.Namespace, Name: i.Name, Clusters: i.Clusters, Endpoints: len(i.Endpoints)}
		for _, p := range i.Ports {
			reported.Ports = append(reported.Ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
		r.Imports = append(r.Imports, reported)
	}
	for _, s := range resolution.Services {
		reported := report.Service{
			Cluster: s.Cluster, Namespace: s.Namespace, Name: s.Name, Import: s.ImportName, Created: s.Created,
			Valid: string(s.Valid.Status), Message: s.Valid.Message,
		}
		if len(s.Ingress) > 0 {
			reported.ExternalIP = s.Ingress[0]
		}
		reported.Internal = slices.ContainsFunc(resolution.LoadBalancers, func(lb mcs.LoadBalancer) bool {
			return lb.Key() == s.Key() && lb.Internal
		})
		r.Services = append(r.Services, reported)
	}
}

// exportMessage says why an export does not count, or else about its conflict.
func exportMessage(e mcs.ExportVerdict) string {
	if e.Valid.Status == metav1.ConditionTrue && e.Conflict.Status != metav1.ConditionFalse {
		return e.Conflict.Message
	}
	return e.Valid.Message
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
