package reconcile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

// lostAfter is how long a member must be out of reach until nothing new is scheduled onto it: upstream's limit for a heartbeat.
const lostAfter = 5 * time.Minute

// gitCandidates returns the registered members as scheduling sees them in Git alone.
func gitCandidates(d *render.Desired) []placement.Candidate {
	candidates := make([]placement.Candidate, len(d.Members))
	for i, m := range d.Members {
		candidates[i] = placement.CandidateOf(m.MemberCluster, time.Time{}) // without a status no time counts
	}
	return candidates
}

// withNamespaces returns candidates that know which namespaces of d's namespaced placements are there: one that placements
// bring is where they bring it, and of any other nobody knows, so it counts as there. on returns where a placement goes.
func withNamespaces(d *render.Desired, candidates []placement.Candidate, on func(key string) []string) []placement.Candidate {
	brought, needed := map[string][]string{}, map[string]bool{}
	for _, p := range d.Placements {
		if p.Namespace != "" {
			needed[p.Namespace] = true
			continue
		}
		for _, o := range p.Selected {
			if ref := api.RefOf(o.Unstructured); ref.Kind == "Namespace" && ref.Group == "" {
				brought[ref.Name] = append(brought[ref.Name], on(p.Key())...)
			}
		}
	}
	candidates = slices.Clone(candidates)
	for i := range candidates {
		c := &candidates[i]
		c.Namespaces = map[string]bool{}
		for namespace := range needed {
			clusters, known := brought[namespace]
			c.Namespaces[namespace] = !known || slices.Contains(clusters, c.Name)
		}
	}
	return candidates
}

// candidates returns the members that w registers as scheduling sees them, and when time alone will change that.
func (l *Loop) candidates(w *wish, now time.Time) (candidates []placement.Candidate, wake time.Time) {
	candidates = slices.Clone(w.candidates)
	for i := range candidates {
		c := &candidates[i]
		m := l.members[c.Name]
		if m == nil {
			continue // not opened yet, so nothing speaks against it
		}
		c.Properties = m.properties(w.properties)
		since, reason := l.outOfReach(m)
		switch lost := since.Add(lostAfter); {
		case reason == "":
		case !l.memory.Members[c.Name].Reached:
			c.Ineligible = "never reached yet: " + reason
		case !now.Before(lost):
			c.Ineligible = fmt.Sprintf("out of reach since %s, longer than %s: %s", since.UTC().Format(time.RFC3339), lostAfter, reason)
		case wake.IsZero() || lost.Before(wake):
			wake = lost
		}
	}
	return candidates, wake
}

// outOfReach tells since when m cannot be reached, and why; the reason is empty while it can, or is being tried for the first
// time.
func (l *Loop) outOfReach(m *member) (since time.Time, reason string) {
	remembered := l.memory.Members[m.name]
	switch {
	case m.conn == nil && m.err != nil && !m.opening:
		return later(remembered.Created, remembered.LastSeen, l.started), m.err.Error()
	case m.conn == nil || m.state.Phase != fleet.Unreachable:
		return since, ""
	}
	return later(remembered.Created, remembered.LastSeen, m.state.LastSeen, l.started), errorText(m.state.Err)
}

// later returns the latest of times. When a member that answered until a restart was seen last, nobody has written down.
func later(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// properties returns those of m's properties that are asked for, as upstream names them, as last seen.
func (m *member) properties(wanted map[string]bool) map[string]string {
	if len(wanted) == 0 || m.conn == nil {
		return nil
	}
	all := map[string]string{}
	if m.state.Version != "" {
		all[clusterv1beta1.PropertyVersion] = m.state.Version
	}
	if offers, known := m.conn.Resources(); known {
		all[clusterv1beta1.PropertyNodeCount] = strconv.Itoa(offers.Nodes)
		amount := func(figure string, a fleet.Amount) {
			for name, q := range map[string]resource.Quantity{"cpu": a.CPU, "memory": a.Memory} {
				all[clusterv1beta1.ResourceProperty(figure, name)] = q.String()
			}
		}
		amount(clusterv1beta1.FigureTotal, offers.Capacity)
		amount(clusterv1beta1.FigureAllocatable, offers.Allocatable)
		if offers.Available != nil {
			amount(clusterv1beta1.FigureAvailable, *offers.Available)
		}
	}
	maps.DeleteFunc(all, func(name, _ string) bool { return !wanted[name] })
	return all
}

// propertiesOf returns the names of the properties that policies ask for: others wake nobody.
func propertiesOf(placements []render.Placement) map[string]bool {
	names := map[string]bool{}
	term := func(t v1beta1.ClusterSelectorTerm) {
		if t.PropertySelector != nil {
			for _, e := range t.PropertySelector.MatchExpressions {
				names[e.Name] = true
			}
		}
		if t.PropertySorter != nil {
			names[t.PropertySorter.Name] = true
		}
	}
	for _, p := range placements {
		if p.Spec.Policy == nil || p.Spec.Policy.Affinity == nil || p.Spec.Policy.Affinity.ClusterAffinity == nil {
			continue
		}
		affinity := p.Spec.Policy.Affinity.ClusterAffinity
		if affinity.Required != nil {
			for _, t := range affinity.Required.ClusterSelectorTerms {
				term(t)
			}
		}
		for _, preferred := range affinity.Preferred {
			term(preferred.Preference)
		}
	}
	return names
}

// lookAround finds out whether scheduling sees the members otherwise than it did, or has waited for long enough.
func (l *Loop) lookAround(now time.Time) {
	if l.stale.schedule {
		return
	}
	s := &l.schedule
	candidates, _ := l.candidates(l.wish, now)
	due := !s.wake.IsZero() && !now.Before(s.wake)
	if due || !reflect.DeepEqual(candidates, s.candidates) || s.pending != "" && l.stranger(l.wish, now) == "" {
		l.stale.schedule = true
	}
}

// acquaintedBy is when decisions are made whatever members have not shown: soon where the memory tells what those hold that are
// out of reach, and without a memory when they count as lost.
func (l *Loop) acquaintedBy() time.Time {
	if len(l.memory.Unseen) > 0 {
		return l.started.Add(lostAfter)
	}
	return l.started.Add(acquaintance)
}

// stranger names a member that has not shown yet what it holds, or what w's policies ask of it: until then a placement that
// picks the best clusters might pick others than those that hold it. It is empty when there is none.
func (l *Loop) stranger(w *wish, now time.Time) string {
	if !now.Before(l.acquaintedBy()) {
		return ""
	}
	i := slices.IndexFunc(w.Members, func(r render.Member) bool {
		m := l.members[r.Name]
		switch {
		case m == nil, m.opening:
			return true
		case m.conn == nil, m.state.Phase == fleet.Unreachable:
			return slices.Contains(l.memory.Unseen, r.Name)
		case m.state.Phase != fleet.Ready || !m.live.ParentsSynced:
			return true
		}
		offers, known := m.conn.Resources()
		return len(w.properties) > 0 && offers.Problem == nil && (!known || offers.Available == nil)
	})
	if i < 0 {
		return ""
	}
	return w.Members[i].Name
}
