package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// TestServicesFaults: losing sight is not losing life. A control plane goes, gitfleet is killed, a lease ends, a member leaves.
func TestServicesFaults(t *testing.T) {
	w := newWorld(t, 3)
	p := w.startServices(standardServices()...)
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
	c.marked("while-away", 2)
	wantSame(t, "a control plane is gone", before, byName(c.slices(2)))
	p.kill()
	p = w.start(standardServices()...)
	p.awaitOutOfReach(lost)
	c.marked("after-a-restart", 2)
	wantSame(t, "and gitfleet was killed and started", before, byName(c.slices(2)))

	// Killed with everything in reach, and started when it no longer is: the state file does not know.
	w.fleet.StartMember(t, lost)
	p.awaitReached(lost)
	p.kill()
	w.fleet.StopMember(t, lost)
	p = w.start(standardServices()...)
	p.awaitOutOfReach(lost)
	c.marked("after-both", 2)
	wantSame(t, "gitfleet was killed before the control plane went", before, byName(c.slices(2)))
	p.stop()

	p = w.start(standardServices("--service-lease", "1ms")...)
	c.awaitEndpoints(2, 0)
	c.marked("after-the-lease", 2)
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
	p := w.startServices(standardServices()...)
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
	if out := p.output(); !strings.Contains(out, "multi-cluster services of this member are left alone") {
		t.Errorf("the log does not tell of the other controller:\n%s", out)
	}
	c.awaitEndpoints(1, 0)
	p.stop()

	p = w.start(standardServices("--take-over")...)
	c.p = p
	c.condition(0, standardExports, "Valid", "True", "Valid")
	p.stop()
	p = w.start(standardServices()...)
	c.p = p
	p.awaitConverged(w.git(w.tree(), "rev-parse", "HEAD"))
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

// TestServicesDualStack: a cluster has the addresses of the families that it knows, in the order of the exporter, and says when it knows
// none of them.
func TestServicesDualStack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real API servers")
	}
	w := newWorldOn(t, realfleet.StartDualStack(t, 2))
	p := w.startServices(standardServices()...)
	slice := func(c *clusterset, family, address string) {
		t.Helper()
		c.apply(0, endpointSlice(c.ns, family, "tcp", corev1.ProtocolTCP, 4242, readyEndpoint(address)))
	}
	families := func(c *clusterset, i int, want, ready string) {
		t.Helper()
		c.awaitImport(i, "families", func(s mcsv1beta1.ServiceImport) string {
			var got []string
			for n, ip := range s.Spec.IPs {
				a, err := netip.ParseAddr(ip)
				if err != nil || n >= len(s.Spec.IPFamilies) || mcs.FamilyOf(a) != s.Spec.IPFamilies[n] {
					return fmt.Sprintf("addresses %v do not fit families %v", s.Spec.IPs, s.Spec.IPFamilies)
				}
				got = append(got, string(s.Spec.IPFamilies[n]))
			}
			if strings.Join(got, " ") != want {
				return fmt.Sprintf("it has addresses of %v, want %q", got, want)
			}
			for _, have := range s.Status.Conditions {
				if have.Type == "Ready" && string(have.Status)+" "+have.Reason == ready {
					return ""
				}
			}
			return "it is not " + ready
		})
	}
	imported := func(c *clusterset, i int, want ...string) {
		t.Helper()
		c.await("imported addresses", func() error {
			var got []string
			for _, s := range c.slices(i) {
				got = append(got, string(s.AddressType)+" "+s.Endpoints[0].Addresses[0])
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				return fmt.Errorf("on %s they are %v, want %v", c.member(i), got, want)
			}
			return nil
		})
	}

	both := newClusterset(t, w, p, "both")
	both.apply(0, "apiVersion: v1\nkind: Service\nmetadata: {name: hello, namespace: both}\nspec: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4], ports: [{name: tcp, port: 42}]}\n")
	slice(both, "IPv4", "10.253.2.1")
	slice(both, "IPv6", "fd00:b::1")
	both.share(0, "")
	families(both, 0, "IPv6 IPv4", "True Ready")
	families(both, 1, "IPv4", "True Ready")
	for i := range 2 {
		imported(both, i, "IPv4 10.253.2.1", "IPv6 fd00:b::1")
	}

	six := newClusterset(t, w, p, "six")
	six.apply(0, "apiVersion: v1\nkind: Service\nmetadata: {name: hello, namespace: six}\nspec: {ipFamilies: [IPv6], ports: [{name: tcp, port: 42}]}\n")
	slice(six, "IPv6", "fd00:b::2")
	six.share(0, "")
	families(six, 0, "IPv6", "True Ready")
	families(six, 1, "", "False IPFamilyNotSupported")
	p.stop()
}
