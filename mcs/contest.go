package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

type clusterStatus = networkingv1alpha1.ClusterStatus

// contest decides one namespace/name among all its exports.
type contest struct {
	key      Key
	exports  []Export            // one for each cluster: see join
	objects  map[string][]Export // the ServiceExports of each cluster, as they stand
	unseen   []string            // members that may export it too, but cannot be seen
	held     []string            // those of unseen that are known to have taken part
	agreed   *settlement         // what they agreed on, as far as a ServiceImport's status tells; nil without held
	recalled []ImportedSlice     // of the service, as they stand on members
}

// newContest joins what each cluster has of the exports of a service.
func newContest(key Key, exports []Export, unseen func(seen []string) []string) *contest {
	c := &contest{key: key, objects: map[string][]Export{}}
	for _, e := range exports {
		c.objects[e.Cluster] = append(c.objects[e.Cluster], e)
	}
	for _, same := range c.objects {
		slices.SortFunc(same, func(a, b Export) int { return strings.Compare(string(a.Dialect), string(b.Dialect)) })
		c.exports = append(c.exports, join(same))
	}
	slices.SortFunc(c.exports, func(a, b Export) int { return strings.Compare(a.Cluster, b.Cluster) })
	c.unseen = unseen(clustersOf(c.exports))
	return c
}

// join makes one export of those that a cluster has of a service, one in each dialect at most. The service is exported since
// the older of them, and as the standard has it where that is one of them: it takes all that Azure's takes.
func join(same []Export) Export {
	e := same[0]
	for _, other := range same[1:] {
		if other.Created.Before(e.Created) {
			e.Created = other.Created
		}
		if other.Dialect == Standard {
			e.Dialect, e.ExportedLabels, e.ExportedAnnotations = Standard, other.ExportedLabels, other.ExportedAnnotations
		}
		e.Weight = cmp.Or(e.Weight, other.Weight)
		if len(other.Conditions) > len(e.Conditions) { // the words in which conflicts are told are the same
			e.Conditions = other.Conditions
		}
	}
	return e
}

// agree takes over what ServiceImports on members say about clusters that cannot be seen. All of them were written from
// one resolution, so any of them will do; the first that names an unseen cluster does.
func (c *contest) agree(imports []MemberImport) {
	for _, i := range imports {
		var held []string
		for _, s := range i.Status.Clusters {
			if slices.Contains(c.unseen, s.Cluster) {
				held = append(held, s.Cluster)
			}
		}
		headless := i.Status.Type == networkingv1alpha1.Headless
		if len(held) == 0 || len(i.Status.Ports) == 0 && !headless {
			continue
		}
		slices.Sort(held)
		c.held, c.agreed = held, remembered(held[0], i.Status)
		return
	}
}

// decide returns a verdict for every export, by cluster, and the import they make.
func (c *contest) decide() ([]ExportVerdict, Import) {
	s := c.settle()
	imported := Import{Namespace: c.key.Namespace, Name: c.key.Name, Clusters: slices.Clone(c.held), Held: c.held}
	s.describe(&imported)
	imported.recall(c.recalled, c.held)
	conflicts := s.conflicts(c.valid())
	var verdicts []ExportVerdict
	for _, e := range c.exports {
		v := c.judge(e, s, conflicts)
		if v.TakesPart {
			imported.add(v, s.headless())
		}
		for _, object := range c.objects[e.Cluster] {
			own := object
			own.Created = e.Created
			told := c.judge(own, s, conflicts)
			told.Export = object
			verdicts = append(verdicts, told)
		}
	}
	slices.Sort(imported.Clusters)
	return verdicts, imported
}

// recall adds the endpoints of held clusters that stand on members. Of one slice there are copies on many: any will do.
func (i *Import) recall(recalled []ImportedSlice, held []string) {
	type origin struct{ cluster, slice string }
	taken := map[origin]int{} // on which copy its endpoints are
	for n, s := range recalled {
		if !slices.Contains(held, s.Source) {
			continue
		}
		for _, e := range s.Endpoints {
			at := origin{s.Source, e.Slice}
			if first, ok := taken[at]; ok && first != n {
				break
			}
			taken[at] = n
			e.Ports = i.undoDerivedPorts(e.Ports)
			i.Endpoints = append(i.Endpoints, ImportedEndpoint{Cluster: s.Source, Endpoint: e})
		}
	}
}

// undoDerivedPorts returns target ports by the names that i has for them.
func (i *Import) undoDerivedPorts(ports map[string]int32) map[string]int32 {
	if i.Headless {
		return ports
	}
	out := make(map[string]int32, len(ports))
	for n, p := range DerivedPorts(i.Ports) {
		if target, ok := ports[p.Name]; ok {
			out[i.Ports[n].Name] = target
		}
	}
	return out
}

// add adds what an export that takes part brings.
func (i *Import) add(v ExportVerdict, headless bool) {
	i.Clusters = append(i.Clusters, v.Cluster)
	i.Endpoints = append(i.Endpoints, importEndpoints(v.Export, v.Ports, headless)...)
	if headless {
		if i.HeadlessPorts == nil {
			i.HeadlessPorts = map[string][]Port{}
		}
		i.HeadlessPorts[v.Cluster] = v.Ports
	}
	if weight, ok := v.weight(); ok {
		if i.Weights == nil {
			i.Weights = map[string]int{}
		}
		i.Weights[v.Cluster] = weight
	}
}

// settle lets the valid exports decide one after the other: the oldest first (KEP-1645), and those of one second, which is the
// grain of creation times, by cluster name. What was agreed with clusters that cannot be seen comes before all. An export
// does not decide what it lost against such a cluster, as that cluster's word may be missing from what was agreed; only
// of ports is all that was agreed known, when anything is.
func (c *contest) settle() *settlement {
	s := c.agreed
	if s == nil {
		s = &settlement{fields: map[string]decided{}}
	}
	byAge := c.valid()
	slices.SortStableFunc(byAge, func(a, b Export) int { return cmp.Compare(a.Created.Unix(), b.Created.Unix()) })
	for n, e := range byAge {
		by := author{cluster: e.Cluster, created: e.Created, oldest: n == 0 && c.agreed == nil}
		for _, f := range fields {
			if _, done := s.fields[f.name]; !done && f.known(e) && !c.lost(e, f.differ) {
				s.fields[f.name] = decided{by, e}
			}
		}
		if c.agreed != nil || !c.lost(e, portsDiffer) {
			s.unite(e, by)
		}
	}
	return s
}

// lost tells whether e is known to have lost a field against a cluster that cannot be seen now.
func (c *contest) lost(e Export, differ string) bool {
	old, lost := c.beaten(e)
	return lost && slices.ContainsFunc(c.unseen, func(cluster string) bool {
		return strings.Contains(old.Message, differ+" in "+quoted(cluster))
	})
}

func (c *contest) valid() []Export {
	return slices.DeleteFunc(slices.Clone(c.exports), func(e Export) bool { return !valid(e) })
}

func (c *contest) beaten(e Export) (Verdict, bool) {
	return beaten(e.Conditions, networkingv1alpha1.ConditionConflict, c.unseen)
}

// judge gives the verdict on e. A conflict shows on every export of the service. Of an export that differs, the ports that
// agree keep their traffic, so that a change which reaches one cluster before another disturbs nobody.
func (c *contest) judge(e Export, s *settlement, conflicts []Conflict) ExportVerdict {
	v := ExportVerdict{Export: e, Valid: validity(e), Conflict: unjudged(e.Dialect)}
	if !valid(e) {
		v.Ready = Verdict{metav1.ConditionFalse, reasonPending, "the export is not valid"}
		return v
	}
	v.Conflicts = conflicts
	v.Ports, v.TakesPart = s.share(e)
	v.Conflict = conflictOf(e, conflicts)
	beats := func(x Conflict) bool { return slices.Contains(x.Losers, e.Cluster) }
	if old, ok := mentioned(e.Conditions, c.unseen); ok && !slices.ContainsFunc(conflicts, beats) {
		v.Conflict = old // nobody can tell whether it is over
	}
	old, lost := c.beaten(e)
	if lost {
		v.Conflict = old
	}
	switch {
	case v.TakesPart:
		v.Ready = Verdict{metav1.ConditionTrue, reasonExported, fmt.Sprintf("Service %s is exported to the fleet", e.Key())}
	case lost:
		v.Ready = Verdict{metav1.ConditionUnknown, reasonPending, "a cluster that decides about this export cannot be seen"}
	default:
		v.Ready = Verdict{metav1.ConditionFalse, reasonFailed, "no port of the Service takes part: see the condition Conflict"}
	}
	return v
}

// author is who decided something.
type author struct {
	cluster    string
	created    time.Time
	oldest     bool // of all exports of the service
	remembered bool // the cluster cannot be seen; a ServiceImport's status tells of it
}

// why says why a decides against an export that was created at other.
func (a author) why(other time.Time) string {
	at := a.created.UTC().Format(time.RFC3339)
	switch {
	case a.remembered:
		return "which took part before it went out of sight"
	case a.created.Unix() == other.Unix():
		return "whose export is as old (" + at + "), comes first by name"
	case a.oldest:
		return "whose export is the oldest (" + at + ")"
	}
	return "whose export is older (" + at + ")"
}

// importEndpoints returns e's endpoints with only the target ports of ports, sorted by address; with all of them for a
// headless service, of which clients ask nothing but addresses. An EndpointSlice controller may show one address in two
// slices while it moves it; the last word on readiness is then "ready in one".
func importEndpoints(e Export, ports []Port, headless bool) []ImportedEndpoint {
	var out []ImportedEndpoint
	for _, ep := range e.Endpoints {
		targets := map[string]int32{}
		for _, p := range ports {
			if t, ok := ep.Ports[p.Name]; ok {
				targets[p.Name] = t
			}
		}
		if headless {
			targets = ep.Ports
		}
		if headless || len(targets) > 0 {
			ep.Ports = targets
			out = append(out, ImportedEndpoint{Cluster: e.Cluster, Endpoint: ep})
		}
	}
	slices.SortStableFunc(out, compareEndpoints)
	return slices.CompactFunc(out, func(a, b ImportedEndpoint) bool {
		return a.Address == b.Address && maps.Equal(a.Ports, b.Ports)
	})
}

// compareEndpoints puts the more useful of two equal addresses first.
func compareEndpoints(a, b ImportedEndpoint) int {
	rank := func(e ImportedEndpoint) int {
		switch {
		case e.Terminating:
			return 2
		case !e.Ready:
			return 1
		}
		return 0
	}
	if c := a.Address.Compare(b.Address); c != 0 {
		return c
	}
	return cmp.Or(comparePortMaps(a.Ports, b.Ports), rank(a)-rank(b), strings.Compare(a.Hostname, b.Hostname),
		strings.Compare(a.NodeName, b.NodeName), strings.Compare(a.Zone, b.Zone), strings.Compare(a.Slice, b.Slice))
}

// comparePortMaps is some order of target ports.
func comparePortMaps(a, b map[string]int32) int {
	if maps.Equal(a, b) { // nearly always
		return 0
	}
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}
