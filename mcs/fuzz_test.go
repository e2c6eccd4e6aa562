package mcs

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// FuzzResolve: any order of any observation gives one answer, the statuses written from it settle, and what must hold of
// every resolution does.
func FuzzResolve(f *testing.F) {
	for seed := range uint64(64) {
		r := rand.New(rand.NewPCG(seed, 0))
		tape := make([]byte, 256)
		for i := range tape {
			tape[i] = byte(r.Uint32())
		}
		f.Add(tape, seed)
	}
	f.Fuzz(func(t *testing.T, tape []byte, order uint64) {
		observed := func() []Observed { return invent(newTape(tape)) }
		terms := inventTerms(order)
		resolved := Resolve(observed(), terms, now)
		want := describeAll(resolved)
		shuffled := observed()
		shuffle(shuffled, rand.New(rand.NewPCG(order, 0)))
		if diff := cmp.Diff(want, describeAll(Resolve(shuffled, terms, now))); diff != "" {
			t.Errorf("another order gives another answer (-before +shuffled):\n%s", diff)
		}
		// Clocks of members differ from ours and from each other: but for leases, which are measured by ours alone, the hour means nothing.
		timeless := terms
		timeless.Lease = 0
		if diff := cmp.Diff(describeAll(Resolve(observed(), timeless, now)), describeAll(Resolve(observed(), timeless, now.Add(-time.Hour)))); diff != "" {
			t.Errorf("an hour earlier the answer is another (-now +earlier):\n%s", diff)
		}
		checkSymmetry(t, resolved)
		checkImports(t, resolved)
		settled := observed()
		write(settled, Resolve(settled, terms, now).Statuses(nil, now))
		if len(resolved.Unsynced) > 0 {
			// What a new export decides becomes part of what was agreed with those out of sight, and is told so once; a loser then learns
			// that it lost against one of them.
			for range 2 {
				write(settled, Resolve(settled, terms, now).Statuses(nil, now))
			}
		}
		again := Resolve(settled, terms, now)
		if writes := again.Statuses(nil, now); len(writes) > 0 {
			t.Errorf("written twice:\n%s", describeWrites(writes))
		}
		checkSymmetry(t, again)
		checkSightLost(t, settled, order)
		checkRivals(t, resolved)
	})
}

// reasonPattern is what the API server demands of a condition's reason.
var reasonPattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// checkSymmetry: a conflict is one on every valid export of the service, told in each one's words, and has a decider that
// does not lose it. While clusters are out of sight an old verdict may stand.
func checkSymmetry(t *testing.T, r Resolution) {
	conflicts := map[Key][]Conflict{}
	for _, v := range r.Exports {
		if !reasonPattern.MatchString(v.Conflict.Reason) || !reasonPattern.MatchString(v.Valid.Reason) || !reasonPattern.MatchString(v.Ready.Reason) {
			t.Errorf("%s in %s: reasons %q, %q, %q", v.Key(), v.Cluster, v.Valid.Reason, v.Conflict.Reason, v.Ready.Reason)
		}
		if !valid(v.Export) { // a weight that nobody can read makes Azure's exports invalid in name only
			if v.TakesPart || len(v.Ports)+len(v.Conflicts) > 0 || v.Conflict.Status == "True" {
				t.Errorf("%s in %s is not valid and takes part: %+v", v.Key(), v.Cluster, v)
			}
			continue
		}
		if others, ok := conflicts[v.Key()]; ok && !cmp.Equal(others, v.Conflicts, cmpopts.IgnoreUnexported(Conflict{})) {
			t.Errorf("%s: %s has conflicts %+v, others %+v", v.Key(), v.Cluster, v.Conflicts, others)
		}
		conflicts[v.Key()] = v.Conflicts
		lost := false
		for _, c := range v.Conflicts {
			lost = lost || len(c.Losers) > 0
			if slices.Contains(c.Losers, c.Decider) {
				t.Errorf("%s: %s loses against itself: %+v", v.Key(), c.Decider, c)
			}
		}
		want := lost || v.Dialect == Standard && len(v.Conflicts) > 0
		if got := v.Conflict.Status == "True"; len(r.Unsynced) == 0 && got != want {
			t.Errorf("%s in %s has conflict %s, want %t: %+v", v.Key(), v.Cluster, v.Conflict, want, v.Conflicts)
		}
	}
}

// checkImports: an import has no port twice, each from somebody, and traffic to a port goes only to clusters that have it.
func checkImports(t *testing.T, r Resolution) {
	for _, i := range r.Imports {
		names, numbers := map[string]bool{}, map[Port]bool{}
		for _, p := range i.Ports {
			number := Port{Protocol: p.Protocol, Port: p.Port}
			if names[p.Name] || numbers[number] {
				t.Errorf("import %s has a port twice: %v", i.Key(), i.Ports)
			}
			names[p.Name], numbers[number] = true, true
			offered := len(i.Held) > 0
			for _, v := range r.Exports {
				offered = offered || v.Key() == i.Key() && slices.Contains(v.Ports, p)
			}
			if !offered {
				t.Errorf("nobody offers %s of import %s", p, i.Key())
			}
		}
		if i.Headless && len(i.Ports) > 0 || len(i.Clusters) == 0 || !slices.IsSorted(i.Clusters) {
			t.Errorf("import %+v", i)
		}
		for _, e := range i.Endpoints {
			for name := range e.Ports {
				if !slices.ContainsFunc(r.Exports, func(v ExportVerdict) bool { // one of the two that a cluster may have, in both dialects
					return v.Key() == i.Key() && v.Cluster == e.Cluster && (i.Headless || slices.ContainsFunc(v.Ports, func(p Port) bool { return p.Name == name }))
				}) {
					t.Errorf("import %s: traffic to port %q goes to %s, which takes no part with it", i.Key(), name, e.Cluster)
				}
			}
		}
	}
}

// checkSightLost: when a cluster cannot be seen any more, no condition that was a conflict says that it is over.
func checkSightLost(t *testing.T, settled []Observed, which uint64) {
	gone := settled[which%uint64(len(settled))].Cluster
	before := map[string]bool{}
	for _, o := range settled {
		for _, e := range o.Exports {
			_, before[o.Cluster+string(e.Dialect)+e.Key().String()] = mentioned(e.Conditions, []string{gone})
		}
	}
	for i := range settled {
		if settled[i].Cluster == gone {
			settled[i] = Observed{Cluster: gone}
		}
	}
	for _, v := range Resolve(settled, Terms{}, now).Exports {
		if before[v.Cluster+string(v.Dialect)+v.Key().String()] && valid(v.Export) && v.Conflict.Status != "True" {
			t.Errorf("%s is out of sight, and %s in %s has conflict %s", gone, v.Key(), v.Cluster, v.Conflict)
		}
	}
}

// checkRivals: nothing is written where another controller is at work.
func checkRivals(t *testing.T, r Resolution) {
	for _, rival := range r.Rivals {
		if _, known := r.Objects[rival.Cluster]; known {
			t.Errorf("%s: objects are decided on", rival)
		}
		for _, w := range r.Statuses(nil, now) {
			if w.Cluster == rival.Cluster {
				t.Errorf("%s: a status is written: %+v", rival, w)
			}
		}
		for _, lb := range r.LoadBalancers {
			if slices.Contains(lb.Clusters, rival.Cluster) {
				t.Errorf("%s: it asks for load balancer %s", rival, lb.Key())
			}
		}
	}
}

// describeAll adds to describe what stories have no words for.
func describeAll(r Resolution) string {
	var b strings.Builder
	b.WriteString(describe(r, nil))
	fmt.Fprintf(&b, "rivals %v leases %v wake %v\n", r.Rivals, r.Leases, r.Wake)
	for _, i := range r.Imports {
		fmt.Fprintf(&b, "%s weights %v", i.Key(), i.Weights)
		for _, e := range i.Endpoints {
			fmt.Fprintf(&b, " %s lapsed=%t", e.Address, e.Lapsed)
		}
		b.WriteString("\n")
	}
	for _, lb := range r.LoadBalancers {
		fmt.Fprintf(&b, "%s of %q weights %v affinity %s\n", lb.Key(), lb.Member, lb.Weights, lb.ClientAffinity)
	}
	return b.String()
}

// inventTerms makes up what a fleet has agreed on.
func inventTerms(bits uint64) Terms {
	t := Terms{Properties: Properties{PerMember: bits&1 > 0, Probes: bits&2 > 0}, TakeOver: bits&4 > 0}
	if bits&8 > 0 {
		t.Lease = time.Minute
	}
	return t
}

// tape yields the fuzzer's bytes as random numbers, so that each byte is one choice, and then a fixed sequence.
type tape struct {
	bytes []byte
	rest  rand.Source
}

func newTape(bytes []byte) *rand.Rand { return rand.New(&tape{bytes, rand.NewPCG(0, 0)}) }

func (t *tape) Uint64() uint64 {
	if len(t.bytes) == 0 {
		return t.rest.Uint64()
	}
	b := t.bytes[0]
	t.bytes = t.bytes[1:]
	return uint64(b) * 0x0101010101010101 // whichever bits are looked at
}

// invent makes up a fleet of four members with two services in a few variants.
func invent(r *rand.Rand) []Observed {
	clusters := []string{"m1", "m2", "m3", "m4"}
	var out []Observed
	for i, cluster := range clusters {
		o := Observed{Cluster: cluster, Synced: r.IntN(8) > 0, Standard: r.IntN(2) > 0, Namespaces: []string{"shop"}}
		if !o.Synced {
			o.Seen = now.Add(-time.Duration(r.IntN(3)) * time.Minute)
		}
		for _, name := range []string{"web", "api"} {
			if r.IntN(4) > 0 {
				e := inventExport(r, cluster, name, byte(i))
				o.Exports = append(o.Exports, e)
				if r.IntN(4) == 0 { // in the other dialect, too
					twin := inventExport(r, cluster, name, byte(i))
					twin.Dialect, twin.Service, twin.Endpoints = map[Dialect]Dialect{Azure: Standard, Standard: Azure}[e.Dialect], e.Service, e.Endpoints
					o.Exports = append(o.Exports, twin)
				}
			}
			if r.IntN(2) > 0 {
				s := Service{Cluster: cluster, Namespace: "shop", Name: name, Created: now.Add(time.Duration(r.IntN(3)) * time.Second),
					ImportName: []string{"web", "api"}[r.IntN(2)]}
				if r.IntN(2) > 0 {
					s.Annotations = map[string]string{networkingv1alpha1.AnnotationAzureInternal: []string{"true", "false", "?"}[r.IntN(3)]}
				}
				o.Services = append(o.Services, s)
			}
		}
		if r.IntN(2) > 0 {
			o.Imports = []MemberImport{{Cluster: cluster, Namespace: "shop", Name: "web", Status: networkingv1alpha1.ServiceImportStatus{
				Ports: []networkingv1alpha1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}}, SessionAffinity: pick(r, "", corev1.ServiceAffinityClientIP),
				Type:     pick(r, networkingv1alpha1.ClusterSetIP, networkingv1alpha1.Headless),
				Clusters: []networkingv1alpha1.ClusterStatus{{Cluster: clusters[r.IntN(4)]}, {Cluster: "left"}}}}}
		}
		out = append(out, o)
	}
	return out
}

func inventExport(r *rand.Rand, cluster, name string, i byte) Export {
	e := Export{Cluster: cluster, Namespace: "shop", Name: name, Created: now.Add(time.Duration(r.IntN(3)) * time.Second), Deleting: r.IntN(8) == 0,
		Dialect: pick(r, Azure, Standard), ExportedLabels: pick(r, nil, map[string]string{"a": "1"}), ExportedAnnotations: pick(r, nil, map[string]string{"b": "2"}),
		Weight: pick(r, "", "", "0", "3", "many")}
	if r.IntN(16) == 0 {
		e.Rival = `the status by "another"`
	}
	if r.IntN(8) > 0 {
		e.Service = &ExportedService{Type: pick(r, corev1.ServiceTypeClusterIP, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName),
			Headless: r.IntN(8) == 0, Ports: inventPorts(r), Traits: inventTraits(r)}
	}
	for n := range r.IntN(3) {
		e.Endpoints = append(e.Endpoints, Endpoint{Address: netip.AddrFrom4([4]byte{10, i, 0, byte(n)}), Ready: r.IntN(3) > 0,
			Ports: map[string]int32{"": 8000, "web": 9000, "dns": 53}, Terminating: r.IntN(4) == 0})
	}
	return e
}

// inventPorts makes up ports as the API server takes them: no name twice, and no number twice for one protocol.
func inventPorts(r *rand.Rand) []Port {
	var out []Port
	for range 1 + r.IntN(3) {
		p := Port{pick(r, "", "web", "dns"), pick(r, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP), pick(r, "", "h2c"), 80 + int32(r.IntN(2))}
		if !slices.ContainsFunc(out, func(q Port) bool { return p.Name == q.Name || p.Protocol == q.Protocol && p.Port == q.Port }) {
			out = append(out, p)
		}
	}
	return out
}

func inventTraits(r *rand.Rand) Traits {
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	policy, near := corev1.ServiceInternalTrafficPolicyLocal, "PreferClose"
	return Traits{
		IPFamilies:            pick(r, nil, []corev1.IPFamily{v4}, []corev1.IPFamily{v6}, []corev1.IPFamily{v6, v4}),
		SessionAffinity:       pick(r, "", corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP),
		SessionAffinityConfig: pick(r, nil, timeout(10)),
		InternalTrafficPolicy: pick(r, nil, &policy),
		ExternalTrafficPolicy: pick(r, "", corev1.ServiceExternalTrafficPolicyLocal),
		TrafficDistribution:   pick(r, nil, &near),
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
