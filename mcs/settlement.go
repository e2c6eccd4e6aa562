package mcs

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// settlement is what one service is, and by whose word.
type settlement struct {
	fields map[string]decided // by the field's name
	ports  []decidedPort      // no two share a name, or a protocol and number
}

type decided struct {
	by     author
	export Export // whose value of the field it is
}

type decidedPort struct {
	Port
	by author
}

// remembered is the settlement with cluster as far as a ServiceImport's status tells of it.
func remembered(cluster string, status networkingv1alpha1.ServiceImportStatus) *settlement {
	s := &settlement{fields: map[string]decided{}}
	by := author{cluster: cluster, remembered: true}
	e := Export{Cluster: cluster, Service: &ExportedService{Headless: status.Type == networkingv1alpha1.Headless,
		Ports:  importedPorts(status.Ports),
		Traits: Traits{SessionAffinity: status.SessionAffinity, SessionAffinityConfig: status.SessionAffinityConfig}}}
	s.fields[fieldType] = decided{by, e}
	if status.SessionAffinity != "" {
		s.fields[fieldAffinity], s.fields[fieldAffinityConfig] = decided{by, e}, decided{by, e}
	}
	s.unite(e, by)
	return s
}

// headless tells whether the service has no clusterset IP.
func (s *settlement) headless() bool {
	d, ok := s.fields[fieldType]
	return ok && d.export.Service.Headless
}

// unite adds those ports of e that no port of the union contradicts: first by name, then by protocol and number (KEP-1645).
func (s *settlement) unite(e Export, by author) {
	for _, p := range sortedPorts(e.Service.Ports) {
		if _, taken := s.rival(p); !taken {
			s.ports = append(s.ports, decidedPort{p, by})
		}
	}
	slices.SortFunc(s.ports, func(a, b decidedPort) int { return comparePorts(a.Port, b.Port) })
}

// rival returns the port of the union that p is or contradicts. A port of the same name counts before one of the same
// number.
func (s *settlement) rival(p Port) (decidedPort, bool) {
	i := slices.IndexFunc(s.ports, func(d decidedPort) bool { return d.Name == p.Name })
	if i < 0 {
		i = slices.IndexFunc(s.ports, func(d decidedPort) bool { return d.Protocol == p.Protocol && d.Port.Port == p.Port })
	}
	if i < 0 {
		return decidedPort{}, false
	}
	return s.ports[i], true
}

// share returns which of e's ports take part in the import, and whether e takes part at all. A headless service has the
// ports of each cluster's own.
func (s *settlement) share(e Export) ([]Port, bool) {
	if s.headless() {
		return sortedPorts(e.Service.Ports), true
	}
	var out []Port
	for _, p := range sortedPorts(e.Service.Ports) {
		if d, ok := s.rival(p); ok && d.Port == p {
			out = append(out, p)
		}
	}
	return out, len(out) > 0
}

// describe fills in what the settlement says of the import.
func (s *settlement) describe(i *Import) {
	i.Headless = s.headless()
	for _, f := range fields {
		if d, ok := s.fields[f.name]; ok && f.take != nil && !(i.Headless && f.notHeadless) {
			f.take(i, d.export)
		}
	}
	if i.Headless {
		return
	}
	for _, p := range s.ports {
		i.Ports = append(i.Ports, p.Port)
	}
}

// conflicts compares every valid export with s, in the order in which reasons are listed.
func (s *settlement) conflicts(valid []Export) []Conflict {
	var out []Conflict
	if !s.headless() {
		out = append(s.portConflicts(valid), s.union(valid)...)
	}
	for _, f := range fields {
		d, ok := s.fields[f.name]
		if !ok || s.headless() && f.notHeadless {
			continue
		}
		c := Conflict{Field: f.name, Reason: f.reason, Decider: d.by.cluster, by: d.by, Total: len(valid), here: map[string]string{}}
		for _, e := range valid {
			if difference := f.differs(e, d.export); f.known(e) && difference != "" {
				c.lose(e.Cluster, difference)
			}
		}
		if len(c.Losers) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// portConflicts returns the contradictions in ports, one conflict for each cluster that decides.
func (s *settlement) portConflicts(valid []Export) []Conflict {
	var out []Conflict
	for _, e := range valid {
		lost := map[string][]string{} // by who decides
		var by []author
		for _, p := range sortedPorts(e.Service.Ports) {
			if d, ok := s.rival(p); ok && d.Port != p {
				if lost[d.by.cluster] == nil {
					by = append(by, d.by)
				}
				lost[d.by.cluster] = append(lost[d.by.cluster], describeDifference(p, d.Port))
			}
		}
		for _, a := range by {
			i := slices.IndexFunc(out, func(c Conflict) bool { return c.Decider == a.cluster })
			if i < 0 {
				i = len(out)
				out = append(out, Conflict{Field: fieldPorts, Reason: reasonPortConflict, Decider: a.cluster, by: a, Total: len(valid),
					here: map[string]string{}})
			}
			out[i].lose(e.Cluster, listed(lost[a.cluster]))
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int { return strings.Compare(a.Decider, b.Decider) })
	return out
}

// union returns, as at most one conflict without losers, the ports that some exports lack and do not contradict.
func (s *settlement) union(valid []Export) []Conflict {
	var only []string
	for _, d := range s.ports {
		var have []string
		if d.by.remembered {
			have = append(have, d.by.cluster)
		}
		lacking := false
		for _, e := range valid {
			switch {
			case slices.Contains(e.Service.Ports, d.Port):
				have = append(have, e.Cluster)
			case !slices.ContainsFunc(e.Service.Ports, d.contradicts):
				lacking = true
			}
		}
		if lacking {
			only = append(only, fmt.Sprintf("%s (%s) is only in %s", label(d.Name), d.Port, listed(have)))
		}
	}
	if len(only) == 0 {
		return nil
	}
	return []Conflict{{Field: fieldPorts, Reason: reasonPortConflict, Total: len(valid), united: listed(only)}}
}

func (p decidedPort) contradicts(other Port) bool {
	return p.Port != other && (p.Name == other.Name || p.Protocol == other.Protocol && p.Port.Port == other.Port)
}
