package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
)

// registration is one member as a commit registers it.
type registration struct {
	labels map[string]string
	taints string // a YAML list
}

// documents returns MemberClusters by name.
func documents(members map[string]registration) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m := members[name]
		var labels []string
		for _, key := range slices.Sorted(maps.Keys(m.labels)) {
			labels = append(labels, key+": "+m.labels[key])
		}
		fmt.Fprintf(&b, `---
apiVersion: cluster.kubernetes-fleet.io/v1beta1
kind: MemberCluster
metadata: {name: %s, labels: {%s}}
spec: {identity: {kind: User, name: x, apiGroup: rbac.authorization.k8s.io}, taints: [%s]}
`, name, strings.Join(labels, ", "), m.taints)
	}
	return b.String()
}

// picks is a placement of a namespace on the n best members, of which those with the label tier of that value are worth weight.
func picks(namespace string, n, weight int, tier string) string {
	return fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: %[1]s}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: %[1]s}]
  policy:
    placementType: PickN
    numberOfClusters: %[2]d
    affinity:
      clusterAffinity:
        preferredDuringSchedulingIgnoredDuringExecution:
          - {weight: %[3]d, preference: {labelSelector: {matchLabels: {tier: %[4]s}}}}
`, namespace, n, weight, tier)
}

// places tells on which members placements are, by the name of the placement, which is that of its namespace.
type places map[string][]string

// scheduling is a story about placements, in which gitfleet is killed and started again after every step, every other time
// without its memory.
type scheduling struct {
	t       *testing.T
	w       *world
	p       *process
	members map[string]registration
	forgets bool
}

// step pushes files and the registry, and checks where the placements go, at once and after a restart.
func (s *scheduling) step(reason string, files map[string]string, want places) {
	s.t.Helper()
	if files == nil {
		files = map[string]string{}
	}
	files["registry.yaml"] = documents(s.members)
	commit := s.w.push(reason, files)
	s.goes(reason, s.p.awaitConverged(commit), want)
	s.p.kill()
	if s.forgets = !s.forgets; s.forgets {
		s.w.forget()
	}
	s.w.reset()
	s.p = s.w.start()
	s.goes(fmt.Sprintf("%s, after a restart (memory lost: %v)", reason, s.forgets), s.p.awaitConverged(commit), want)
	if writes := s.w.requests(isPlacing); len(writes) > 0 {
		s.t.Errorf("%s: a restart (memory lost: %v) wrote %q", reason, s.forgets, writes)
	}
}

// goes checks where r says that placements are, and where their objects are.
func (s *scheduling) goes(reason string, r report.Report, want places) {
	s.t.Helper()
	got := places{}
	for _, p := range r.Placements {
		got[p.Name] = nil
		for _, c := range p.Clusters {
			got[p.Name] = append(got[p.Name], c.Cluster)
		}
		if slices.Sort(got[p.Name]); !slices.Equal(got[p.Name], want[p.Name]) {
			s.t.Errorf("%s: %s is on %q, want %q\n%+v", reason, p.Name, got[p.Name], want[p.Name], p.Decision)
		}
	}
	for name, clusters := range want {
		if _, known := got[name]; !known {
			s.t.Errorf("%s: no placement %s is reported", reason, name)
		}
		for _, member := range s.w.fleet.Members {
			if _, registered := s.members[member]; !registered {
				continue
			}
			if got := s.w.get(member, configMaps, name, "settings") != nil; got != slices.Contains(clusters, member) {
				s.t.Errorf("%s: objects of %s on %s: %t", reason, name, member, got)
			}
		}
	}
}

// forget takes from a gitfleet that was killed what it would remember. Its claims go as well: they keep their holder's name, so
// the next one, which does not know that it was the holder, would wait until it is sure that nobody answers.
func (w *world) forget() {
	w.t.Helper()
	removeAll(w.t, w.state)
	if err := os.MkdirAll(w.state, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for _, member := range w.fleet.Members {
		leases := w.client(member).Resource(leases).Namespace(api.SystemNamespace)
		if err := leases.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// isPlacing tells whether r changes anything on a member besides the claim on it.
func isPlacing(r memfleet.Request) bool { return r.Writes() && r.Resource != "leases" }

// testScheduling: labels and taints changed at run time, a member that leaves, other numbers and another policy give the
// decisions of the reference, and a restart after each gives the same.
func testScheduling(t *testing.T, w *world) {
	const ns = "picked"
	one, two, three := w.fleet.Members[0], w.fleet.Members[1], w.fleet.Members[2]
	gold, none := registration{labels: map[string]string{"tier": "gold"}}, registration{}
	s := &scheduling{t: t, w: w, members: map[string]registration{one: none, two: gold, three: none}}
	w.push("begin", map[string]string{"namespace.yaml": namespace(ns), "settings.yaml": configMap(ns, "settings", "1"), "registry.yaml": documents(s.members)})
	s.p = w.start()
	place := func(n, weight int) map[string]string {
		return map[string]string{"place.yaml": picks(ns, n, weight, "gold")}
	}
	on := func(clusters ...string) places { return places{ns: clusters} }
	s.step("the one that is preferred", place(1, 10), on(two))
	s.members[one], s.members[two] = gold, none
	s.step("labels move, and move nothing", nil, on(two))
	s.step("one more is the best of the others", place(2, 10), on(one, two))
	s.members[one] = registration{labels: gold.labels, taints: "{key: upgrade, effect: NoSchedule}"}
	s.step("a taint unplaces nothing", nil, on(one, two))
	s.step("another policy keeps off the taint, and ties go to those that hold it and to the greatest name", place(2, 20), on(two, three))
	s.members[one] = gold
	s.step("the taint is gone, and the places are taken", nil, on(two, three))
	delete(s.members, two)
	s.step("a member leaves, and the best of the others takes its place", nil, on(one, three))
	if w.get(two, configMaps, ns, "settings") == nil {
		t.Error("the objects on the member that left were deleted")
	}
	s.p.stop()
}

// testSchedulingByProperties: where the most is available when it is decided.
func testSchedulingByProperties(t *testing.T, w *world) {
	const busy, ns = "busy", "roomy"
	three := w.fleet.Members[2]
	members := map[string]registration{}
	for _, m := range w.fleet.Members {
		members[m] = registration{}
	}
	load := strings.Replace(deployment(busy, "web", 2), "image: registry.example/web:1", "image: registry.example/web:1\n          resources: {requests: {cpu: 500m}}", 1)
	commit := w.push("load the last one", map[string]string{
		"registry.yaml": documents(members), "busy.yaml": namespace(busy), "load.yaml": load,
		"place-busy.yaml": fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: %[1]s}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: %[1]s}]
  policy: {placementType: PickFixed, clusterNames: [%[2]s]}
`, busy, three)})
	p := w.start()
	p.awaitConverged(commit)
	p.await("less is available on "+three, func(r report.Report) error {
		available := map[string]resource.Quantity{}
		for _, m := range r.Members {
			if m.Resources == nil || m.Resources.Available["cpu"] == "" {
				return fmt.Errorf("%s does not tell", m.Name)
			}
			available[m.Name] = resource.MustParse(m.Resources.Available["cpu"])
		}
		for name, q := range available {
			if least := available[three]; name != three && q.Cmp(least) <= 0 {
				return fmt.Errorf("%v", available)
			}
		}
		return nil
	})
	commit = w.push("pick the roomiest", map[string]string{"roomy.yaml": namespace(ns), "place-roomy.yaml": fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: %[1]s}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: %[1]s}]
  policy:
    placementType: PickN
    numberOfClusters: 2
    affinity:
      clusterAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          clusterSelectorTerms:
            - propertySelector: {matchExpressions: [{name: kubernetes-fleet.io/node-count, operator: Ge, values: ["1"]}]}
        preferredDuringSchedulingIgnoredDuringExecution:
          - {weight: 100, preference: {propertySorter: {name: resources.kubernetes-fleet.io/available-cpu, sortOrder: Descending}}}
`, ns)})
	r := p.awaitConverged(commit)
	for _, placement := range r.Placements {
		if placement.Name == ns && slices.Contains(placement.Decision.Assignment.Clusters, three) {
			t.Errorf("the busiest member was picked: %+v", placement.Decision.Verdicts)
		}
	}
	p.stop()
}
