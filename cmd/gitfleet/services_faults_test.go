package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/report"
)

// TestServicesFaults: losing sight is not losing life. A control plane goes, gitfleet is killed, a lease ends, a member leaves.
func TestServicesFaults(t *testing.T) {
	w := newWorld(t, 3)
	commit := w.push("members", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	provider := []string{"--mcs-api", "--load-balancer", "service", "--local-dial-map", ""}
	p := w.start(provider...)
	p.awaitConverged(commit)
	c := newClusterset(t, w, p, "faults")
	lost := c.member(1)
	for i := range 2 {
		c.hello(i, "", tcp)
		c.share(i, "")
	}
	alone := newClusterset(t, w, p, "alone")
	alone.hello(1, "", tcp)
	alone.share(1, "")
	c.awaitEndpoints(2, 0, 1)
	alone.awaitEndpoints(2, 1)
	before := byName(c.slices(2))

	w.fleet.StopMember(t, lost)
	p.awaitOutOfReach(lost)
	marker(c, "while-away")
	wantSame(t, "a control plane is gone", before, byName(c.slices(2)))
	p.kill()
	p = w.start(provider...)
	p.awaitOutOfReach(lost)
	marker(c, "after-a-restart")
	wantSame(t, "and gitfleet was killed and started", before, byName(c.slices(2)))

	// Killed with everything in reach, and started when it no longer is: the state file does not know.
	w.fleet.StartMember(t, lost)
	p.awaitReached(lost)
	p.kill()
	w.fleet.StopMember(t, lost)
	p = w.start(provider...)
	p.awaitOutOfReach(lost)
	marker(c, "after-both")
	wantSame(t, "gitfleet was killed before the control plane went", before, byName(c.slices(2)))
	p.stop()

	p = w.start(append(provider, "--service-lease", "1ms")...)
	c.awaitEndpoints(2, 0)
	marker(c, "after-the-lease")
	alone.awaitEndpoints(2, 1) // the last ones that are known
	w.fleet.StartMember(t, lost)
	c.awaitEndpoints(2, 0, 1)

	w.push("leave", map[string]string{"registry.yaml": registry([]string{c.member(0), c.member(2)})})
	c.awaitEndpoints(2, 0)
	alone.awaitGone(0, 2)
	w.push("rejoin", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	c.awaitEndpoints(2, 0, 1)
	alone.awaitEndpoints(2, 1)
	p.stop()
}

func byName(list []discoveryv1.EndpointSlice) map[string]discoveryv1.EndpointSlice {
	out := map[string]discoveryv1.EndpointSlice{}
	for _, s := range list {
		out[s.Name] = s
	}
	return out
}

// wantSame fails when a slice is another one than before, or was written.
func wantSame(t *testing.T, when string, before, after map[string]discoveryv1.EndpointSlice) {
	t.Helper()
	for name, b := range before {
		a, there := after[name]
		if !there || a.UID != b.UID || a.ResourceVersion != b.ResourceVersion {
			t.Errorf("%s: slice %s is %s, before it was %s", when, name, printed(a), printed(b))
		}
	}
	if len(after) != len(before) {
		t.Errorf("%s: there are %d slices, before there were %d", when, len(after), len(before))
	}
}

// marker waits until an export that is made now is imported on the members that are in reach.
func marker(c *clusterset, name string) {
	c.t.Helper()
	c.apply(0, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec: {ports: [{port: 1}]}\n", name, c.ns)+"---\n"+standardExport(c.ns, name, ""))
	c.await("the marker "+name, func() error {
		if c.w.get(c.member(2), standardImports, c.ns, name) == nil {
			return fmt.Errorf("not imported on %s", c.member(2))
		}
		return nil
	})
}

func (p *process) awaitJoined(member, want string) {
	p.t.Helper()
	p.await(member+" is known as "+want, func(r report.Report) error {
		for _, m := range r.Members {
			if m.Name == member && string(m.Joined) == want {
				return nil
			}
		}
		return fmt.Errorf("members are %s", printed(r.Members))
	})
}

func (p *process) awaitOutOfReach(member string) { p.t.Helper(); p.awaitJoined(member, "Unknown") }
func (p *process) awaitReached(member string)    { p.t.Helper(); p.awaitJoined(member, "True") }

// TestRivalController: another controller's finalizer or status on one member makes gitfleet leave that member's services alone, until
// --take-over says that it has ended.
func TestRivalController(t *testing.T) {
	w := newWorld(t, 2)
	commit := w.push("members", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	flags := []string{"--mcs-api", "--load-balancer", "service", "--local-dial-map", ""}
	p := w.start(flags...)
	p.awaitConverged(commit)
	c := newClusterset(t, w, p, "rivals")
	c.hello(0, "", tcp)
	c.share(0, "")
	c.condition(0, standardExports, "Valid", "True", "Valid")

	exports := w.client(c.member(0)).Resource(standardExports).Namespace(c.ns)
	theirs := func() {
		t.Helper()
		u := w.get(c.member(0), standardExports, c.ns, "hello")
		if err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{"type": "Valid", "status": "False", "reason": "Theirs", "message": "written by another controller",
			"lastTransitionTime": "2026-01-01T00:00:00Z"}}, "status", "conditions"); err != nil {
			t.Fatal(err)
		}
		if _, err := exports.UpdateStatus(context.Background(), u, metav1.UpdateOptions{FieldManager: "other-controller"}); err != nil {
			t.Fatal(err)
		}
	}
	c.await("another controller that writes again", func() error {
		theirs() // in the same second gitfleet may have been the last
		return c.refused(0, `the status by "other-controller"`)
	})
	theirs()
	marker := newClusterset(t, w, p, "marker") // what was there before has been seen when this is imported
	marker.hello(1, "", tcp)
	marker.share(1, "")
	marker.awaitImport(1, "another service, on the member without a rival", any1)
	c.condition(0, standardExports, "Valid", "False", "Theirs")
	c.awaitEndpoints(1, 0)
	p.stop()

	p = w.start(append(flags, "--take-over")...)
	c.p = p
	c.condition(0, standardExports, "Valid", "True", "Valid")
	p.stop()
	p = w.start(flags...)
	c.p = p
	p.awaitConverged(commit)
	if err := c.refused(0, ""); err == nil {
		t.Error("refused after it was taken over")
	}
	p.stop()
}

// refused is nil when gitfleet says of member i that another controller of services is at work there.
func (c *clusterset) refused(i int, by string) error {
	r, err := c.p.status()
	if err != nil {
		return err
	}
	for _, m := range r.Members {
		if m.Name == c.member(i) && strings.Contains(m.Message, "multi-cluster services of this member are left alone: "+by) {
			return nil
		}
	}
	return fmt.Errorf("members are %s", printed(r.Members))
}
