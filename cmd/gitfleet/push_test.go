package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

var (
	configMaps     = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	clusterRoles   = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}
	leases         = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// TestFleet runs every story on one fleet, because starting real API servers is what takes time. Each story has a
// repository, a memory and namespaces of its own.
func TestFleet(t *testing.T) {
	w := newWorld(t, 3)
	for _, story := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"Pushes", testPushes},
		{"BrokenCommits", testBrokenCommits},
		{"StoppedMember", testStoppedMember},
		{"Kill", testKill},
		{"FaultsDeleteNothing", testFaultsDeleteNothing},
		{"Idle", testIdle},
		{"Once", testOnce},
		{"Order", testOrder},
		{"Fields", testFields},
		{"Suspend", testSuspend},
		{"Account", testAccount},
		{"Drift", testDrift},
		{"Guard", testGuard},
		{"Worktree", testWorktree},
		{"Notes", testNotes},
		{"TwoProcesses", testTwoProcesses},
		{"Rotate", testRotate},
		{"Scheduling", testScheduling},
		{"SchedulingByProperties", testSchedulingByProperties},
		{"SchedulingLeaveAndReturn", testSchedulingLeaveAndReturn},
		{"SchedulingOutOfReach", testSchedulingOutOfReach},
		{"SchedulingCrash", testSchedulingCrash},
	} {
		ok := t.Run(story.name, func(t *testing.T) {
			s := *w
			s.t = t
			s.fresh()
			for _, p := range s.proxies {
				p.SetRule(nil)
			}
			story.run(t, &s)
			s.leave()
		})
		if !ok {
			t.Fatalf("%s failed; what it left would disturb the next story", story.name)
		}
	}
}

// leave removes everything the story placed, the way a user would: by pushing a commit without it.
func (w *world) leave() {
	w.t.Helper()
	w.git(w.tree(), "rm", "-r", "--quiet", ".")
	commit := w.push("leave", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	p := w.start()
	p.awaitConverged(commit)
	p.stop()
}

// get returns a member's object, or nil when it is not there.
func (w *world) get(member string, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	w.t.Helper()
	u, err := w.client(member).Resource(gvr).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func testPushes(t *testing.T, w *world) {
	const ns = "pushes"
	east := w.fleet.Members[0]
	commit := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, "eastus"), "namespace.yaml": namespace(ns),
		"web.yaml": deployment(ns, "web", 2), "settings.yaml": configMap(ns, "settings", "1"),
	})
	p := w.start()
	p.awaitConverged(commit)
	for i, member := range w.fleet.Members {
		if got := w.get(member, configMaps, ns, "settings") != nil; got != (i < 2) {
			t.Errorf("settings on %s: %t, but only the two eastus members are chosen", member, got)
		}
	}
	// Somebody else's object in the same namespace.
	w.fleet.Kubectl(t, east, "create", "configmap", "theirs", "-n", ns)
	theirs := w.get(east, configMaps, ns, "theirs").GetResourceVersion()

	commit = w.push("scale, add and rename", map[string]string{
		"web.yaml": deployment(ns, "web", 3), "settings.yaml": configMap(ns, "preferences", "1"), "more.yaml": configMap(ns, "more", "1"),
	})
	p.awaitConverged(commit)
	if got, _, _ := unstructured.NestedInt64(w.get(east, deployments, ns, "web").Object, "spec", "replicas"); got != 3 {
		t.Errorf("web has %d replicas, the commit says 3", got)
	}
	w.expect(east, ns, map[string]bool{"settings": false, "preferences": true, "more": true, "theirs": true})

	commit = w.push("remove", map[string]string{"more.yaml": ""})
	p.awaitConverged(commit)
	w.expect(east, ns, map[string]bool{"preferences": true, "more": false, "theirs": true})
	if got := w.get(east, configMaps, ns, "theirs").GetResourceVersion(); got != theirs {
		t.Errorf("an object that is not ours was written: resourceVersion %s became %s", theirs, got)
	}

	// What the endpoints controller makes of our Service carries our labels and is not ours.
	made := w.awaitSlices(east, ns, 3)
	for _, step := range []struct{ what, content string }{{"starts", ownSlice(ns)}, {"stops", ""}} {
		p.awaitConverged(w.push(step.what+" shipping that kind", map[string]string{"slice.yaml": step.content}))
		now := w.sliceVersions(east, ns)
		for name, version := range made {
			if now[name] != version {
				t.Errorf("EndpointSlice %s was touched when the placement %s shipping that kind: resourceVersion %s became %q",
					name, step.what, version, now[name])
			}
		}
		if got := now["by-hand"] != ""; got != (step.content != "") {
			t.Errorf("the author's own EndpointSlice is there: %t, when the placement %s shipping it", got, step.what)
		}
	}

	// The whole placement goes. Its Namespace holds what is not ours, so that stays until somebody takes it out.
	w.git(w.tree(), "rm", "-r", "--quiet", ".")
	commit = w.push("leave", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	p.await("the Namespace held", func(r report.Report) error {
		for _, m := range r.Members {
			if m.Name == east && strings.Contains(m.Message, "theirs") {
				return nil
			}
		}
		return fmt.Errorf("members: %+v", r.Members)
	})
	if got := w.get(east, configMaps, ns, "theirs"); got == nil || got.GetResourceVersion() != theirs {
		t.Errorf("an object that is not ours was touched when its Namespace left the repository: %v", got)
	}
	w.expect(east, ns, map[string]bool{"preferences": false})
	w.fleet.Kubectl(t, east, "delete", "configmap", "theirs", "-n", ns)
	p.awaitConverged(commit)
	p.stop()
}

// ownSlice is an EndpointSlice of the author's, so that the placement ships that kind.
func ownSlice(ns string) string {
	return fmt.Sprintf(`apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand, namespace: %s}
addressType: IPv4
endpoints: [{addresses: [192.0.2.1]}]
ports: [{name: "", port: 9000, protocol: TCP}]
`, ns)
}

func (w *world) sliceVersions(member, ns string) map[string]string {
	w.t.Helper()
	list, err := w.client(member).Resource(endpointSlices).Namespace(ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	versions := map[string]string{}
	for _, s := range list.Items {
		versions[s.GetName()] = s.GetResourceVersion()
	}
	return versions
}

// awaitSlices waits until the Service's slices list as many ready endpoints, which is the last change they see.
func (w *world) awaitSlices(member, ns string, endpoints int) map[string]string {
	w.t.Helper()
	realfleet.Eventually(w.t, patience, func() error {
		list, err := w.client(member).Resource(endpointSlices).Namespace(ns).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		ready := 0
		for _, s := range list.Items {
			eps, _, _ := unstructured.NestedSlice(s.Object, "endpoints")
			for _, ep := range eps {
				if ok, _, _ := unstructured.NestedBool(ep.(map[string]any), "conditions", "ready"); ok {
					ready++
				}
			}
		}
		if ready != endpoints {
			return fmt.Errorf("%d ready endpoints, want %d", ready, endpoints)
		}
		return nil
	})
	return w.sliceVersions(member, ns)
}

// expect checks which ConfigMaps are on a member.
func (w *world) expect(member, ns string, want map[string]bool) {
	w.t.Helper()
	for name, there := range want {
		if got := w.get(member, configMaps, ns, name) != nil; got != there {
			w.t.Errorf("ConfigMap %s/%s on %s: there is %t, want %t", ns, name, member, got, there)
		}
	}
}

func testBrokenCommits(t *testing.T, w *world) {
	const ns = "broken"
	good := map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, ""), "app/base/web.yaml": namespace(ns) + "---\n" + deployment(ns, "web", 1),
		"app/base/kustomization.yaml": kustomization("web.yaml"), "app/over/kustomization.yaml": kustomization("../base"),
	}
	commit := w.push("good", good)
	p := w.start()
	p.awaitConverged(commit)
	for _, broken := range []struct {
		name, file, content string
		document            int
		field               string
	}{
		{"a typo in a placement", "place.yaml", strings.Replace(good["place.yaml"], "resourceSelectors", "resourceSelector", 1), 1, "spec.resourceSelector"},
		{"a typo in a Deployment", "app/base/web.yaml", strings.Replace(good["app/base/web.yaml"], "replicas", "replica", 1), 2, "spec.replica"},
		{"bad YAML", "place.yaml", "kind: [unfinished\n", 1, ""},
		{"a missing base", "app/over/kustomization.yaml", kustomization("../bass"), 1, "resources"},
	} {
		w.reset()
		w.push(broken.name, map[string]string{broken.file: broken.content})
		r := p.await("refusal of "+broken.name, func(r report.Report) error {
			if len(r.Errors) == 0 {
				return errors.New("no errors are reported")
			}
			return nil
		})
		e := r.Errors[0]
		if e.File != broken.file || e.Document != broken.document || !strings.HasPrefix(e.Field, broken.field) || e.Message == "" {
			t.Errorf("%s: reported as %q (file %q, document %d, field %q), want file %q, document %d, field %q",
				broken.name, e, e.File, e.Document, e.Field, broken.file, broken.document, broken.field)
		}
		if r.Applied.Commit != commit {
			t.Errorf("%s: commit %s is in force, want the good one, %s", broken.name, r.Applied.Commit, commit)
		}
		commit = w.push("mend "+broken.name, map[string]string{broken.file: good[broken.file]})
		p.awaitConverged(commit)
		if asked := w.requests(isAny); len(asked) > 0 {
			t.Errorf("%s: members were asked:\n%s", broken.name, strings.Join(asked, "\n"))
		}
	}
	p.stop()
}

func testStoppedMember(t *testing.T, w *world) {
	const ns = "stopped"
	files := map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, ""), "namespace.yaml": namespace(ns), "a.yaml": configMap(ns, "a", "1"),
	}
	commit := w.push("begin", files)
	p := w.start()
	p.awaitConverged(commit)
	down, up := w.fleet.Members[0], w.fleet.Members[1]
	w.fleet.StopMember(t, down)
	commit = w.push("while one is stopped", map[string]string{"a.yaml": configMap(ns, "a", "2"), "b.yaml": configMap(ns, "b", "1")})
	realfleet.Eventually(t, patience, func() error {
		if w.get(up, configMaps, ns, "b") == nil {
			return errors.New("the push has not reached the member that is up")
		}
		return nil
	})
	r := p.await("the stopped member shown as such", func(r report.Report) error {
		for _, m := range r.Members {
			if m.Name == down && m.Joined == "Unknown" && m.Message != "" {
				return nil
			}
		}
		return fmt.Errorf("%s is shown as reachable", down)
	})
	for _, c := range r.Placements[0].Clusters {
		if c.Cluster == down && len(c.Objects) == 0 {
			t.Errorf("%s: its objects are forgotten while it is stopped", down)
		}
	}
	// A restart must not forget it either.
	p.stop()
	p = w.start()
	p.await("the stopped member still chosen after a restart", func(r report.Report) error {
		if len(r.Placements) == 1 && len(r.Placements[0].Clusters) == len(w.fleet.Members) {
			return nil
		}
		return fmt.Errorf("placements: %+v", r.Placements)
	})
	w.fleet.StartMember(t, down)
	p.awaitConverged(commit)
	w.expect(down, ns, map[string]bool{"a": true, "b": true})
	p.stop()
}
