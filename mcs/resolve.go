package mcs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/render"
)

// Resolution is what all members together come to. All lists are sorted by namespace, name and cluster; the same
// observations in any order give the same value.
type Resolution struct {
	Unsynced      []string // members whose absences mean nothing yet
	Rivals        []Rival  // other controllers at work, one for a member at most, by member
	Exports       []ExportVerdict
	Imports       []Import
	Services      []ServiceVerdict
	LoadBalancers []LoadBalancer

	// Objects are the objects each member needs, by cluster: targets for an ApplySet of their own. A member that has
	// not synced, or where a rival is at work, has no entry, which means "leave its set alone"; another one that needs nothing
	// has an empty entry.
	Objects map[string][]render.Object

	// Leases are the members whose endpoints are handed on although they are out of sight, by name, with when that ends.
	Leases []Lease
	Wake   time.Time // when the next lease ends; zero when none does

	// Members are the members by name, as far as load balancers may need to know them.
	Members map[string]Member

	terms         Terms
	derived       map[string]map[Key]DerivedService // by cluster
	memberImports []MemberImport                    // as they stand on synced members, for Statuses
	built         map[Key]built                     // what Objects were made of
}

// Terms are what a fleet has agreed on for its services.
type Terms struct {
	Properties // of the provider of load balancers
	// Lease is how long the endpoints of a member that is out of sight are handed on to the others; 0 is for ever.
	Lease time.Duration
	// TakeOver tells that other controllers have ended: what shows of them is from before.
	TakeOver bool
}

// Verdict is what becomes one condition.
type Verdict struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// ExportVerdict tells for one export whether it counts and why. Reasons are those of the export's dialect.
type ExportVerdict struct {
	Export
	Valid     Verdict
	Conflict  Verdict
	Ready     Verdict    // in the words of KEP-1645, which alone has it
	Conflicts []Conflict // of the whole service: the same on each of its valid exports
	Ports     []Port     // those of its ports that take part in the import
	TakesPart bool       // the import counts this export: with a port, or as an exporter of a headless service
}

// Import is one service that at least one member exports. What its exports disagree on is as the oldest one says.
type Import struct {
	Namespace   string
	Name        string
	Headless    bool
	Ports       []Port // all that exporters offer, sorted; none when Headless, where each cluster has its own
	Labels      map[string]string
	Annotations map[string]string
	Traits
	Clusters  []string           // exporters that take part
	Held      []string           // those of Clusters that cannot be seen now: their part is what was agreed before
	Endpoints []ImportedEndpoint // of the visible exporters, ready or not
	// Weights are those of the exporters that have one.
	Weights map[string]int
	// HeadlessPorts are the ports of each exporter of a headless service, sorted.
	HeadlessPorts map[string][]Port
}

// Key returns the namespace and name of i.
func (i Import) Key() Key { return Key{Namespace: i.Namespace, Name: i.Name} }

// ImportedEndpoint is an endpoint with the cluster it is in. Its Ports are only those that take part in the import.
type ImportedEndpoint struct {
	Cluster string
	Lapsed  bool // the lease of its cluster is over, and others have endpoints that are ready
	Endpoint
}

// Resolve decides which exports count, what is imported and which load balancers are wanted. There is one observation for
// every member of the fleet, also for those that were never reached: a cluster that is not there has left the fleet.
//
// Nothing is withdrawn because a member cannot be seen. Content of a member that has not synced counts as it is. Where
// such a member shows nothing of a service (after a restart, before its lists are complete), what was agreed before is
// read from the statuses on the other members: an import keeps the ports, type, affinity and clusters its ServiceImports tell
// of, an export or service that lost against an unseen cluster stays beaten, and a conflict with one is not over.
func Resolve(observed []Observed, terms Terms, now time.Time) Resolution {
	return new(Resolver).Resolve(observed, terms, now)
}

// Resolver resolves the same services again and again. What it remembers makes that cheap and changes no answer: objects that
// are as they were are the very same. It is not for concurrent use.
type Resolver struct {
	built map[Key]built // by the last resolution
}

// Resolve is the function of the same name.
func (k *Resolver) Resolve(observed []Observed, terms Terms, now time.Time) Resolution {
	observed = slices.Clone(observed)
	slices.SortFunc(observed, func(a, b Observed) int { return cmp.Compare(a.Cluster, b.Cluster) })
	r := Resolution{Objects: map[string][]render.Object{}, Members: map[string]Member{}, terms: terms, derived: map[string]map[Key]DerivedService{}}
	r.findRivals(observed)
	for _, o := range observed {
		r.noteDerived(o)
		r.Members[o.Cluster] = Member{Name: o.Cluster, Labels: o.Labels, Annotations: o.Annotations, Nodes: o.Nodes}
		if !o.Synced {
			r.Unsynced = append(r.Unsynced, o.Cluster)
		}
		if r.writable(o.Cluster) {
			r.memberImports = append(r.memberImports, o.Imports...)
		}
	}
	r.resolveExports(observed)
	r.applyLeases(observed, now)
	r.resolveServices(observed)
	r.buildObjects(observed, k.built)
	k.built = r.built
	return r
}

// Member is one cluster of the fleet.
type Member struct {
	Name                string
	Labels, Annotations map[string]string // of its MemberCluster
	Nodes               []Node            // the last that were seen; none while they are not known
}

func (r *Resolution) noteDerived(o Observed) {
	for _, d := range o.Derived {
		if r.derived[o.Cluster] == nil {
			r.derived[o.Cluster] = map[Key]DerivedService{}
		}
		r.derived[o.Cluster][Key{Namespace: d.Namespace, Name: d.Name}] = d
	}
}

// Derived returns the Service of that name that gitfleet wrote on a member, as it stands there.
func (r Resolution) Derived(cluster string, key Key) (DerivedService, bool) {
	d, ok := r.derived[cluster][key]
	return d, ok
}

// Balancers returns the Services that stand for load balancers on a member, by namespace and name.
func (r Resolution) Balancers(cluster string) []DerivedService {
	var out []DerivedService
	for _, key := range sortedKeys(r.derived[cluster]) {
		if d := r.derived[cluster][key]; d.Balancer {
			out = append(out, d)
		}
	}
	return out
}

func (r *Resolution) resolveExports(observed []Observed) {
	exports := map[Key][]Export{}
	for _, o := range observed {
		for _, e := range o.Exports {
			if !e.Deleting {
				exports[e.Key()] = append(exports[e.Key()], e)
			}
		}
	}
	agreed := r.agreedBefore(observed)
	for key := range agreed {
		if _, seen := exports[key]; !seen {
			exports[key] = nil // an import may have no exporter that can be seen
		}
	}
	recalled := map[Key][]ImportedSlice{}
	for _, o := range observed {
		for _, s := range o.Slices {
			key := Key{Namespace: s.Namespace, Name: s.Import}
			recalled[key] = append(recalled[key], s)
		}
	}
	for _, key := range sortedKeys(exports) {
		c := newContest(key, exports[key], r.unseen)
		c.recalled = recalled[key]
		c.agree(agreed[key])
		verdicts, imported := c.decide()
		r.Exports = append(r.Exports, verdicts...)
		if len(imported.Clusters) > 0 {
			r.Imports = append(r.Imports, imported)
		}
	}
}

// agreedBefore collects the ServiceImports that name a member which cannot be seen now.
func (r *Resolution) agreedBefore(observed []Observed) map[Key][]MemberImport {
	agreed := map[Key][]MemberImport{}
	for _, o := range observed {
		for _, i := range o.Imports {
			if slices.ContainsFunc(i.Status.Clusters, func(c clusterStatus) bool { return r.anyUnsynced([]string{c.Cluster}) }) {
				key := Key{Namespace: i.Namespace, Name: i.Name}
				agreed[key] = append(agreed[key], i)
			}
		}
	}
	return agreed
}

// anyUnsynced tells whether one of clusters is a member that has not synced. A cluster that left the fleet is none.
func (r *Resolution) anyUnsynced(clusters []string) bool {
	return slices.ContainsFunc(clusters, func(c string) bool {
		_, found := slices.BinarySearch(r.Unsynced, c)
		return found
	})
}

// unseen returns the members that have not synced and are not among seen.
func (r *Resolution) unseen(seen []string) []string {
	var out []string
	for _, c := range r.Unsynced {
		if !slices.Contains(seen, c) {
			out = append(out, c)
		}
	}
	return out
}

// beaten returns the condition of type t when it is a defeat by a cluster that cannot be seen now. Messages name the
// cluster that decides, which makes the status on the member the memory of it.
func beaten(conditions []metav1.Condition, t string, unseen []string) (Verdict, bool) {
	for _, c := range conditions {
		if c.Type != t {
			continue
		}
		for _, cluster := range unseen {
			if strings.Contains(c.Message, quoted(cluster)) {
				return Verdict{Status: c.Status, Reason: c.Reason, Message: c.Message}, true
			}
		}
	}
	return Verdict{}, false
}

// quoted is how messages name the cluster that decides.
func quoted(cluster string) string { return "cluster " + strconv.Quote(cluster) }

func clustersOf(exports []Export) []string {
	out := make([]string, len(exports))
	for i, e := range exports {
		out[i] = e.Cluster
	}
	return out
}

func sortedKeys[V any](m map[Key]V) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}
