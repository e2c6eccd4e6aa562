package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
)

// driftNamesWhoDidIt: every kind of drift is put back, named in the outcome, and told in an Event on the object.
func driftNamesWhoDidIt(t *testing.T, r *rig) {
	rows := []struct {
		name  string
		do    func(t *testing.T) *unstructured.Unstructured // nil when the object is gone
		what  string
		field string // path, manager, operation, subresource; empty when no field is named
		event string
	}{
		{"edited", func(t *testing.T) *unstructured.Unstructured {
			return r.patch(t, deployments, [2]string{"who", "edited"}, "kubectl-edit", `{"spec":{"replicas":0}}`)
		}, "fields were changed", ".spec.replicas kubectl-edit Update ", "kubectl-edit (Update) changed .spec.replicas; put back to what Git says"},
		{"scaled", func(t *testing.T) *unstructured.Unstructured {
			u := r.patch(t, deployments, [2]string{"who", "scaled"}, "kubectl", `{"spec":{"replicas":3}}`, "scale") // scaling to 0 leaves no owner
			return r.get(t, deployments, "who", u.GetName())
		}, "fields were changed", ".spec.replicas kubectl Update scale", "kubectl (Update of scale) changed .spec.replicas; put back to what Git says"},
		{"imaged", func(t *testing.T) *unstructured.Unstructured {
			return clustertest.Must(r.client.Resource(deployments).Namespace("who").Patch(t.Context(), "imaged", "application/strategic-merge-patch+json",
				[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"theirs"}]}}}}`), metav1.PatchOptions{FieldManager: "kubectl-set"}))(t)
		}, "fields were changed", `.spec.template.spec.containers[name="app"].image kubectl-set Update `, `kubectl-set (Update) changed .spec.template.spec.containers[name="app"].image`},
		{"restored", func(t *testing.T) *unstructured.Unstructured {
			r.patch(t, deployments, [2]string{"who", "restored"}, "kubectl-edit", `{"spec":{"replicas":2}}`)
			return r.patch(t, deployments, [2]string{"who", "restored"}, "kubectl-edit", `{"spec":{"replicas":1}}`)
		}, "fields were taken over, with the values that Git says", ".spec.replicas kubectl-edit Update ", "kubectl-edit (Update) took over .spec.replicas; put back"},
		{"unlabelled", func(t *testing.T) *unstructured.Unstructured {
			return r.patch(t, deployments, [2]string{"who", "unlabelled"}, "kubectl-label", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
		}, "our label was removed", ".metadata.labels.applyset.kubernetes.io/part-of   ", "our label was removed"},
		{"cleared", func(t *testing.T) *unstructured.Unstructured {
			return r.patch(t, deployments, [2]string{"who", "cleared"}, "x", `{"metadata":{"managedFields":[{}]}}`)
		}, "managedFields were cleared", "", "managedFields were cleared; put back"},
		{"deleted", func(t *testing.T) *unstructured.Unstructured {
			clustertest.Must(0, r.client.Resource(deployments).Namespace("who").Delete(t.Context(), "deleted", metav1.DeleteOptions{}))(t)
			return nil
		}, "deleted", "", "somebody deleted it; put back to what Git says"},
	}
	p := r.start(t)
	objects := []wanted{namespaceOf("who")}
	for _, row := range rows {
		objects = append(objects, wanted{manifest: deployment("who", row.name, 1, plainContainer)})
	}
	set := wish(t, "who", "1", objects...)
	p.converge(t, set)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if u := row.do(t); u != nil {
				p.sees(t, u)
			} else {
				clustertest.Eventually(t, "it is gone", func(context.Context) error {
					if plan := p.plan(t, set); plan.Empty() {
						return errors.New("not yet")
					}
					return nil
				})
			}
			out := p.converge(t, set)["Deployment "+row.name]
			if out.Drift == nil || out.Drift.What != row.what || out.Drift.Ref != out.Ref {
				t.Fatalf("drift %+v, want %q", out.Drift, row.what)
			}
			var fields []string
			for _, f := range out.Drift.Fields {
				fields = append(fields, strings.Join([]string{f.Path, f.Manager, f.Operation, f.Subresource}, " "))
				if f.Manager != "" && f.Subresource != "scale" && f.Time.IsZero() { // a scale leaves no time
					t.Errorf("nobody knows when %s wrote", f.Manager)
				}
			}
			if got := strings.Join(fields, "; "); got != row.field {
				t.Errorf("fields %q, want %q", got, row.field)
			}
			u := r.get(t, deployments, "who", row.name)
			if events := eventsOf(t, r, u); len(events) != 1 || !strings.Contains(events[0], row.event) {
				t.Errorf("events %q, want one with %q", events, row.event)
			}
		})
	}
}

// eventsOf returns the messages of the Events on an object of that uid.
func eventsOf(t *testing.T, r *rig, u *unstructured.Unstructured) []string {
	t.Helper()
	list := clustertest.Must(r.client.Resource(eventsResource).Namespace(cmp.Or(u.GetNamespace(), "default")).List(t.Context(),
		metav1.ListOptions{FieldSelector: fmt.Sprintf("involvedObject.uid=%s,reason=DriftCorrected", u.GetUID())}))(t)
	var out []string
	for _, e := range list.Items {
		message, _, _ := unstructured.NestedString(e.Object, "message")
		component, _, _ := unstructured.NestedString(e.Object, "reportingComponent")
		if component != "gitfleet" {
			message = "reported by " + component + ": " + message
		}
		out = append(out, message)
	}
	slices.Sort(out)
	return out
}

// deniedEventsAreNotedOnce runs us as a user who may do everything but create Events: drift is put back all the same, also of
// what has no namespace.
func deniedEventsAreNotedOnce(t *testing.T, r *rig) {
	r.start(t).converge(t, wish(t, "mute-rbac", "1",
		wanted{manifest: "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: mute}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch]}, {apiGroups: [''], resources: [configmaps, namespaces], verbs: ['*']}]}"},
		wanted{manifest: "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: mute}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: mute}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mute}]}"}))
	p := r.as(t, "mute").start(t)
	set := wish(t, "mute", "1", wanted{manifest: "{apiVersion: v1, kind: Namespace, metadata: {name: mute, labels: {a: b}}}"},
		wanted{manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: mute, name: a}, data: {k: v}}"})
	p.converge(t, set)
	noted := func(out map[string]apply.Outcome) (n int) {
		for key, o := range out {
			if o.Drift == nil {
				t.Errorf("%s: no drift was found", key)
			}
			if strings.Contains(o.Note, "no Event was sent: grant gitfleet's user create on events in namespace ") {
				n++
			}
		}
		return n
	}
	p.sees(t, r.patch(t, configMaps, [2]string{"mute", "a"}, "kubectl-edit", `{"data":{"k":"theirs"}}`))
	if n := noted(p.converge(t, set)); n != 1 {
		t.Errorf("%d outcomes note that Events are denied, want one", n)
	}
	p.sees(t, r.patch(t, namespaceKind, [2]string{"", "mute"}, "kubectl-edit", `{"metadata":{"labels":{"a":"theirs"}}}`))
	if n := noted(p.converge(t, set)); n != 0 {
		t.Errorf("the second time %d outcomes note it again", n)
	}
	p = r.start(t)
	p.plan(t, set)
	p.sees(t, r.patch(t, namespaceKind, [2]string{"", "mute"}, "kubectl-edit", `{"metadata":{"labels":{"a":"theirs-again"}}}`))
	p.converge(t, set)
	if events := eventsOf(t, r, r.get(t, namespaceKind, "", "mute")); len(events) != 1 {
		t.Errorf("events on a Namespace: %q, want one", events)
	}
}

// aDoubtIsClearedByLooking: what a webhook altered shows in no metadata; a doubt has it verified, once.
func aDoubtIsClearedByLooking(t *testing.T, r *rig) {
	p := r.start(t)
	set := wish(t, "doubt", "1", namespaceOf("doubt"), wanted{manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: doubt, name: a}, data: {k: v}}"})
	p.converge(t, set)
	ref := set.Objects[1].Ref
	p.Doubt(map[api.Ref]string{ref: "time for a look"})
	if got := p.Live().Doubts[ref]; got != "time for a look" {
		t.Fatalf("the doubt is %q", got)
	}
	plan := p.plan(t, set)
	p.sent()
	p.once(t, plan)
	if sent := p.sent(); len(sent) != 2 {
		t.Errorf("a doubt about what is as it should be costs %q, want a read and a dry run", sent)
	}
	if doubts := p.Live().Doubts; len(doubts) != 0 {
		t.Errorf("looked at, and still in doubt: %v", doubts)
	}
}
