package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/report"
)

// fixedOn is a placement of a namespace on the members that are named, whatever their labels and taints.
func fixedOn(namespace string, members ...string) string {
	return fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: %[1]s}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: %[1]s}]
  policy: {placementType: PickFixed, clusterNames: [%[2]s]}
`, namespace, strings.Join(members, ", "))
}

// versions tells which ConfigMaps a namespace on a member holds, by name: each by what changes when it is written or made anew.
func (w *world) versions(member, namespace string) map[string]string {
	w.t.Helper()
	list, err := w.client(member).Resource(configMaps).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	versions := map[string]string{}
	for _, u := range list.Items {
		versions[u.GetName()] = fmt.Sprintf("uid %s, resourceVersion %s", u.GetUID(), u.GetResourceVersion())
	}
	return versions
}

// testSchedulingLeaveAndReturn: what is on a member that leaves stays as it is. A member that returns is a new one to scheduling:
// who needs it takes it, labels and taints counting, and adopts what is left there; what nobody needs there goes.
func testSchedulingLeaveAndReturn(t *testing.T, w *world) {
	const best, all, fixed = "leave-best", "leave-all", "leave-fixed"
	one, two, three := w.fleet.Members[0], w.fleet.Members[1], w.fleet.Members[2]
	gold := registration{labels: map[string]string{"tier": "gold"}}
	s := &scheduling{t: t, w: w, members: map[string]registration{one: {}, two: gold, three: {}}}
	settings := func(value string) string {
		objects := []string{configMap(best, "settings", value), configMap(all, "settings", value), configMap(fixed, "settings", value)}
		return strings.Join(objects, "---\n")
	}
	s.p = w.start()
	s.step("the preferred one, and of the others the greatest name", map[string]string{
		"namespaces.yaml": namespace(best) + "---\n" + namespace(all) + "---\n" + namespace(fixed),
		"settings.yaml":   settings("1"), "extra.yaml": configMap(all, "extra", "1"),
		"best.yaml": picks(best, 2, 10, "gold"), "all.yaml": place(all, ""), "fixed.yaml": fixedOn(fixed, one, two),
	}, places{best: {two, three}, all: {one, two, three}, fixed: {one, two}})

	left := s.leaves(two, map[string]string{"settings.yaml": settings("2"), "extra.yaml": "", "fixed.yaml": fixedOn(fixed, one)},
		places{best: {one, three}, all: {one, three}, fixed: {one}})
	s.members[two] = gold
	s.step("it returns, to where it is needed", map[string]string{"fixed.yaml": fixedOn(fixed, one, two)},
		places{best: {one, three}, all: {one, two, three}, fixed: {one, two}})
	for _, name := range []string{all, fixed} {
		now := w.versions(two, name)
		if !sameObject(left[name]["settings"], now["settings"]) || left[name]["settings"] == now["settings"] {
			t.Errorf("%s, left on the member: %s; after it returned: %s; want the same object, brought up to date",
				name, left[name]["settings"], now["settings"])
		}
	}
	w.expect(two, all, map[string]bool{"extra": false})

	s.step("all are needed", map[string]string{"best.yaml": picks(best, 3, 10, "gold")},
		places{best: {one, two, three}, all: {one, two, three}, fixed: {one, two}})
	left = s.leaves(two, map[string]string{"best.yaml": picks(best, 2, 10, "gold"), "fixed.yaml": fixedOn(fixed, one)},
		places{best: {one, three}, all: {one, three}, fixed: {one}})
	s.members[two] = registration{labels: gold.labels, taints: "{key: upgrade, effect: NoSchedule}"}
	s.step("it returns with a taint, which only counts where members are not named", map[string]string{"fixed.yaml": fixedOn(fixed, one, two)},
		places{best: {one, three}, all: {one, three}, fixed: {one, two}})
	if now := w.versions(two, fixed); !maps.Equal(left[fixed], now) {
		t.Errorf("%s, left on the member: %q; after it returned without a change: %q", fixed, left[fixed], now)
	}
	s.members[two] = gold
	s.step("the taint is gone", map[string]string{"best.yaml": picks(best, 3, 10, "gold")},
		places{best: {one, two, three}, all: {one, two, three}, fixed: {one, two}})
	s.p.stop()
}

// leaves takes a member out of the registry, along with a change of files, and returns what stays on it: what was there.
func (s *scheduling) leaves(member string, files map[string]string, want places) map[string]map[string]string {
	s.t.Helper()
	on := func() map[string]map[string]string {
		left := map[string]map[string]string{}
		for name := range want {
			left[name] = s.w.versions(member, name)
		}
		return left
	}
	before := on()
	delete(s.members, member)
	s.step(member+" leaves", files, want)
	if after := on(); !maps.EqualFunc(before, after, maps.Equal) {
		s.t.Errorf("on %s, which left, there was %q, and now %q", member, before, after)
	}
	return before
}

// sameObject tells whether two of versions are of one object, whatever was written since.
func sameObject(a, b string) bool {
	uid, _, _ := strings.Cut(a, ",")
	other, _, _ := strings.Cut(b, ",")
	return uid == other && uid != ""
}

// testSchedulingOutOfReach: a member whose API is stopped keeps what it holds, whatever becomes of its labels meanwhile and however
// often gitfleet starts anew; and it is brought up to date when it is back.
func testSchedulingOutOfReach(t *testing.T, w *world) {
	const best, all = "reach-best", "reach-all"
	one, two, three := w.fleet.Members[0], w.fleet.Members[1], w.fleet.Members[2]
	s := &scheduling{t: t, w: w, members: map[string]registration{one: {}, two: {labels: map[string]string{"tier": "gold"}}, three: {}}}
	want := places{best: {two, three}, all: {one, two, three}}
	settings := func(value string) string {
		return configMap(best, "settings", value) + "---\n" + configMap(all, "settings", value)
	}
	s.p = w.start()
	commit := w.push("begin", map[string]string{
		"registry.yaml": documents(s.members), "namespaces.yaml": namespace(best) + "---\n" + namespace(all),
		"settings.yaml": settings("1"), "best.yaml": picks(best, 2, 10, "gold"), "all.yaml": place(all, ""),
	})
	s.goes("at first", s.p.awaitConverged(commit), want)

	w.fleet.StopMember(t, two)
	s.members[two] = registration{taints: "{key: upgrade, effect: NoSchedule}"}
	s.members[one] = registration{labels: map[string]string{"tier": "gold"}}
	commit = w.push("while one is stopped", map[string]string{"registry.yaml": documents(s.members), "settings.yaml": settings("2")})
	s.keeps("stopped", commit, two, want)
	s.p.kill()
	s.p = w.start()
	s.keeps("stopped, after a restart", commit, two, want)
	w.fleet.StartMember(t, two)
	s.goes("it is back", s.p.awaitConverged(commit), want)

	// Without a memory nobody knows what a member out of reach holds, so those that pick the best wait for it.
	s.p.kill()
	w.forget()
	w.reset()
	w.proxies[two].SetDown(true)
	s.p = w.start()
	s.keeps("out of reach, after a restart without memory", commit, two, places{best: {three}, all: {one, three}})
	s.p.kill()
	s.p = w.start()
	s.keeps("out of reach, after two restarts since its memory was lost", commit, two, places{best: {three}, all: {one, three}})
	w.proxies[two].SetDown(false)
	s.goes("it is in reach again", s.p.awaitConverged(commit), want)
	if writes := w.requests(isPlacing); len(writes) > 0 {
		t.Errorf("a restart without memory while a member is out of reach wrote %q", writes)
	}
	for name, members := range want {
		for _, member := range members {
			if u := w.get(member, configMaps, name, "settings"); u == nil || fmt.Sprint(u.Object["data"]) != "map[value:2]" {
				t.Errorf("%s on %s: %v, want what was pushed while a member was stopped", name, member, u)
			}
		}
	}
	s.p.stop()
}

// keeps waits until commit is in force wherever members can be reached, and placements are where they shall be; that one is
// down, and known to be.
func (s *scheduling) keeps(reason, commit, down string, want places) {
	s.t.Helper()
	s.p.await(reason, func(r report.Report) error {
		if r.Applied.Commit != commit || len(r.Placements) < len(want) {
			return fmt.Errorf("%s is in force, with %d placements", r.Applied.Commit, len(r.Placements))
		}
		for _, m := range r.Members {
			if (m.Joined == "Unknown") != (m.Name == down) {
				return fmt.Errorf("%s: joined %s", m.Name, m.Joined)
			}
		}
		for _, p := range r.Placements {
			var on []string
			for _, c := range p.Clusters {
				if on = append(on, c.Cluster); c.Cluster != down && c.Applied != "True" {
					return fmt.Errorf("%s on %s: applied %s: %s", p.Name, c.Cluster, c.Applied, c.Message)
				}
			}
			clusters, asked := want[p.Name]
			if slices.Sort(on); asked && !slices.Equal(on, clusters) {
				return fmt.Errorf("%s is on %q, want %q: %+v", p.Name, on, want[p.Name], p.Decision)
			}
		}
		return nil
	})
}
