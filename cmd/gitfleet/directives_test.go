package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// annotate adds gitfleet's annotations to the first object of a manifest of fixture_test.go: names and values in turn.
func annotate(manifest string, pairs ...string) string {
	var list []string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, fmt.Sprintf("%q: %q", "gitfleet.dev/"+pairs[i], pairs[i+1]))
	}
	return strings.Replace(manifest, "metadata: {", "metadata: {annotations: {"+strings.Join(list, ", ")+"}, ", 1)
}

// placeOn is a placement of a namespace on the members named.
func placeOn(namespace string, members ...string) string {
	return place(namespace, "") + fmt.Sprintf("  policy: {placementType: PickFixed, clusterNames: [%s]}\n", strings.Join(members, ", "))
}

// unstartable is a Deployment, and its Service, whose image cannot be had.
func unstartable(namespace, name string) string {
	return strings.ReplaceAll(deployment(namespace, name, 1), "registry.example/web:1", "registry.example/does-not-exist:1")
}

// widgets is a custom kind, and a placement that brings it and a namespace and says when its objects are in place.
func widgets(ns string) string {
	return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
` + annotate(place(ns, "eastus"), "health", `- kind: Widget.example.com
  current: self.status.phase == "Ready"
  failed: self.status.phase == "Broken"
`) + "---\n"
}

// testOrder waits for health: between waves, between placements on different members, and by a rule of the author's own.
func testOrder(t *testing.T, w *world) {
	const ns, west = "order", "order-west"
	east, far := w.fleet.Members[0], w.fleet.Members[2]
	p := w.start()
	w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, "eastus"), "namespace.yaml": namespace(ns),
		"web.yaml": unstartable(ns, "web"), "after.yaml": annotate(configMap(ns, "after", "1"), "wave", "1"),
		"west.yaml": annotate(placeOn(west, far), "depends-on", "placement/"+ns) + "---\n" + namespace(west) + "---\n" + configMap(west, "late", "1"),
	})
	p.awaitExplained("deploy/order/web", "InProgress")
	p.awaitExplained("cm/order/after", "waits: wave 0 first: Deployment.apps order/web")
	p.awaitExplained("placement/order-west", "depends on placement order", "on "+east)
	p.awaitSaid([]string{"get", "placements", "-o", "wide"}, "waits: wave 0 first", "waits: depends on placement order")
	w.expect(east, ns, map[string]bool{"after": false})
	w.expect(far, west, map[string]bool{"late": false})

	p.awaitConverged(w.push("mend", map[string]string{"web.yaml": deployment(ns, "web", 1)}))
	late := w.get(far, configMaps, west, "late").GetCreationTimestamp()
	for _, member := range w.fleet.Members[:2] {
		after := w.get(member, configMaps, ns, "after").GetCreationTimestamp()
		if healthy := w.availableSince(member, ns, "web"); after.Time.Before(healthy) {
			t.Errorf("%s: wave 1 was created at %s, but wave 0 is healthy only since %s", member, after, healthy)
		}
		if late.Before(&after) {
			t.Errorf("%s: %s was created at %s, before what it depends on, at %s", far, west, late, after)
		}
	}
	testHealthCheck(t, w, p)
	p.stop()
}

// availableSince returns since when a Deployment is available, to the second.
func (w *world) availableSince(member, ns, name string) time.Time {
	w.t.Helper()
	conditions, _, _ := unstructured.NestedSlice(w.get(member, deployments, ns, name).Object, "status", "conditions")
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == "Available" && c["status"] == "True" {
			since, err := time.Parse(time.RFC3339, c["lastTransitionTime"].(string))
			if err != nil {
				w.t.Fatal(err)
			}
			return since
		}
	}
	w.t.Fatalf("%s on %s is not available: %v", name, member, conditions)
	return time.Time{}
}

// testHealthCheck has an expression over a custom kind, which the same placement brings, decide when the next wave comes.
func testHealthCheck(t *testing.T, w *world, p *process) {
	const ns = "order-widgets"
	east := w.fleet.Members[:2]
	broken := strings.Replace(widgets(ns), `phase == `, `phase = `, 1)
	w.push("a mistake", map[string]string{"widgets.yaml": selectDefinition(broken) + namespace(ns)})
	r := p.await("refusal of a mistake in an expression", func(r report.Report) error {
		if len(r.Errors) == 0 {
			return errors.New("no errors are reported")
		}
		return nil
	})
	if e := r.Errors[0]; e.File != "widgets.yaml" || e.Document != 2 || !strings.Contains(e.Field, "gitfleet.dev/health") {
		t.Errorf("a mistake in a health check is reported as %q (field %q)", e, e.Field)
	}
	commit := w.push("mend", map[string]string{
		"widgets.yaml": selectDefinition(widgets(ns)) + namespace(ns) + `---
apiVersion: example.com/v1
kind: Widget
metadata: {name: gear, namespace: order-widgets}
spec: {teeth: 12}
---
` + annotate(configMap(ns, "after", "1"), "wave", "1"),
	})
	p.awaitExplained("cm/order-widgets/after", "waits: wave 0 first: Widget.example.com order-widgets/gear: InProgress: says the health check of its kind")
	for _, step := range []struct{ phase, says string }{{"Broken", "Failed"}, {"Ready", ""}} {
		for _, member := range east {
			w.fleet.Kubectl(t, member, "patch", "widget", "gear", "-n", ns, "--type=merge", "-p", `{"status":{"phase":"`+step.phase+`"}}`)
		}
		if step.says != "" {
			p.awaitExplained("cm/order-widgets/after", "gear: "+step.says, "nothing of wave 1 is applied until it is mended")
			w.expect(east[0], ns, map[string]bool{"after": false})
		}
	}
	p.awaitConverged(commit)
	w.expect(east[0], ns, map[string]bool{"after": true})
}

// selectDefinition has the placement of widgets bring their definition too.
func selectDefinition(manifest string) string {
	return strings.Replace(manifest, "  resourceSelectors:\n",
		"  resourceSelectors:\n    - {group: apiextensions.k8s.io, version: v1, kind: CustomResourceDefinition, name: widgets.example.com}\n", 1)
}

// testFields gives a field away and takes it back, and changes one that cannot be changed.
func testFields(t *testing.T, w *world) {
	const ns = "fields"
	east := w.fleet.Members[0]
	theirs := func(replicas int) string {
		return annotate(deployment(ns, "web", replicas), "ignore-fields", "spec.replicas")
	}
	p := w.start()
	p.awaitConverged(w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": placeOn(ns, east), "namespace.yaml": namespace(ns), "web.yaml": theirs(2),
	}))
	w.wantReplicas(east, ns, 2)
	w.fleet.Kubectl(t, east, "scale", "deployment/web", "-n", ns, "--replicas=4")
	w.fleet.Kubectl(t, east, "set", "image", "deployment/web", "web=registry.example/web:2", "-n", ns)
	realfleet.Eventually(t, patience, func() error {
		containers, _, _ := unstructured.NestedSlice(w.get(east, deployments, ns, "web").Object, "spec", "template", "spec", "containers")
		if image := containers[0].(map[string]any)["image"]; image != "registry.example/web:1" {
			return fmt.Errorf("the image that somebody set is not put back: %s", image)
		}
		return nil
	})
	w.wantReplicas(east, ns, 4)
	p.awaitConverged(w.push("a number that is not ours to say", map[string]string{"web.yaml": theirs(1)}))
	w.wantReplicas(east, ns, 4)
	p.awaitConverged(w.push("take it back", map[string]string{"web.yaml": deployment(ns, "web", 3)}))
	w.wantReplicas(east, ns, 3)
	p.awaitConverged(w.push("give it away by a rule of the placement", map[string]string{
		"place.yaml": annotate(placeOn(ns, east), "ignore-fields", "Deployment.apps: spec.replicas"),
	}))
	p.awaitConverged(w.push("another number that is not ours to say", map[string]string{"web.yaml": deployment(ns, "web", 1)}))
	w.wantReplicas(east, ns, 3)
	for _, d := range p.await("a report", func(report.Report) error { return nil }).Drift {
		for _, f := range d.Fields {
			if strings.Contains(f.Path, "replicas") {
				t.Errorf("a field that was given away is said to have drifted: %s", d)
			}
		}
	}

	uid := w.get(east, deployments, ns, "web").GetUID()
	moved := strings.ReplaceAll(deployment(ns, "web", 1), "app: web", "app: moved")
	w.push("another selector", map[string]string{"web.yaml": moved})
	p.awaitExplained("deploy/fields/web", "False", "spec.selector", "gitfleet.dev/recreate")
	if got := w.get(east, deployments, ns, "web").GetUID(); got != uid {
		t.Error("a Deployment was deleted to change its selector, but its author did not allow that")
	}
	p.awaitConverged(w.push("allowed to start over", map[string]string{"web.yaml": annotate(moved, "recreate", "true")}))
	if got := w.get(east, deployments, ns, "web").GetUID(); got == uid {
		t.Error("the Deployment with another selector is the same object, which cannot be")
	}
	p.stop()
}

func (w *world) wantReplicas(member, ns string, want int64) {
	w.t.Helper()
	if got, _, _ := unstructured.NestedInt64(w.get(member, deployments, ns, "web").Object, "spec", "replicas"); got != want {
		w.t.Errorf("web on %s has %d replicas, want %d", member, got, want)
	}
}

// testSuspend keeps changes back, of Git and of others, on a placement and on a member.
func testSuspend(t *testing.T, w *world) {
	const ns = "suspend"
	east, other := w.fleet.Members[0], w.fleet.Members[1]
	members := registry(w.fleet.Members)
	p := w.start()
	p.awaitConverged(w.push("begin", map[string]string{
		"registry.yaml": members, "place.yaml": place(ns, "eastus"), "namespace.yaml": namespace(ns),
		"a.yaml": configMap(ns, "a", "1"), "b.yaml": configMap(ns, "b", "1"), "c.yaml": configMap(ns, "c", "1"),
	}))
	w.push("suspend the placement", map[string]string{
		"place.yaml": annotate(place(ns, "eastus"), "suspend", "true"), "a.yaml": configMap(ns, "a", "2"), "c.yaml": "", "d.yaml": configMap(ns, "d", "1"),
	})
	p.awaitExplained("cm/suspend/a", "waits: suspended: changed in")
	w.fleet.Kubectl(t, east, "delete", "configmap", "b", "-n", ns)
	p.awaitExplained("cm/suspend/b", "waits: suspended: drifted: it was deleted")
	p.awaitExplained("cm/suspend/d", "waits: suspended: new in")
	p.awaitExplained("placement/suspend", "suspended", "gitfleet.dev/suspend")
	w.expect(east, ns, map[string]bool{"b": false, "c": true, "d": false})
	w.wantValue(east, ns, "a", "1")
	p.awaitConverged(w.push("resume", map[string]string{"place.yaml": place(ns, "eastus")}))
	w.expect(east, ns, map[string]bool{"b": true, "c": false, "d": true})
	w.wantValue(east, ns, "a", "2")

	suspended := strings.Replace(members, "  name: "+east+"\n", "  name: "+east+"\n  annotations: {gitfleet.dev/suspend: \"true\"}\n", 1)
	w.push("suspend a member", map[string]string{"registry.yaml": suspended, "a.yaml": configMap(ns, "a", "3"), "d.yaml": ""})
	realfleet.Eventually(t, patience, func() error {
		if w.get(other, configMaps, ns, "d") != nil {
			return errors.New("the member that is not suspended still has what the commit removed")
		}
		return nil
	})
	w.wantValue(other, ns, "a", "3")
	p.awaitExplained("member/"+east, "suspended", "gitfleet.dev/suspend", "waits: suspended")
	w.wantValue(east, ns, "a", "2")
	w.expect(east, ns, map[string]bool{"d": true})
	p.awaitConverged(w.push("resume", map[string]string{"registry.yaml": members}))
	w.wantValue(east, ns, "a", "3")
	w.expect(east, ns, map[string]bool{"d": false})
	p.stop()
}

func (w *world) wantValue(member, ns, name, want string) {
	w.t.Helper()
	if got, _, _ := unstructured.NestedString(w.get(member, configMaps, ns, name).Object, "data", "value"); got != want {
		w.t.Errorf("ConfigMap %s/%s on %s holds %q, want %q", ns, name, member, got, want)
	}
}

// testAccount has a placement act with the rights of a service account, which end at the border of its namespace.
func testAccount(t *testing.T, w *world) {
	const ns, foreign = "account", "account-foreign"
	east := w.fleet.Members[0]
	w.fleet.Apply(t, east, `apiVersion: v1
kind: Namespace
metadata: {name: account-team}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: account-team}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: account-namespaces}
rules: [{apiGroups: [""], resources: [namespaces], verbs: [get, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: account-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: account-namespaces}
subjects: [{kind: ServiceAccount, name: deployer, namespace: account-team}]
---
apiVersion: v1
kind: Namespace
metadata: {name: account}
`)
	grant := func(in string) {
		w.fleet.Kubectl(t, east, "create", "rolebinding", "deployer", "-n", in, "--clusterrole=edit", "--serviceaccount=account-team:deployer")
	}
	grant(ns)
	selectors := strings.Replace(placeOn(ns, east), "  policy:", "    - {group: \"\", version: v1, kind: Namespace, name: "+foreign+"}\n  policy:", 1)
	p := w.start()
	commit := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": annotate(selectors, "service-account", "account-team/deployer"),
		"namespace.yaml": namespace(ns) + "---\n" + namespace(foreign), "a.yaml": configMap(ns, "a", "1"), "b.yaml": configMap(foreign, "b", "1"),
	})
	const refused = "service account account-team/deployer may not patch configmaps in namespace account-foreign"
	p.awaitExplained("cm/account-foreign/b", refused)
	p.awaitExplained("cm/account/a", "True", "Current")
	p.awaitExplained("placement/account", "acts as", "account-team/deployer", refused)
	w.expect(east, ns, map[string]bool{"a": true})
	w.expect(east, foreign, map[string]bool{"b": false})
	grant(foreign)
	p.awaitConverged(commit)
	w.expect(east, foreign, map[string]bool{"b": true})
	// Its objects are deleted as the account, too, and a right to that within the namespaces would be foreign content of them.
	w.fleet.Kubectl(t, east, "create", "clusterrolebinding", "account-editor", "--clusterrole=edit", "--serviceaccount=account-team:deployer")
	for _, in := range []string{ns, foreign} {
		w.fleet.Kubectl(t, east, "delete", "rolebinding", "deployer", "-n", in)
	}
	p.stop()
}

// asked has another command of gitfleet ask this one, and returns what it prints.
func (p *process) asked(args ...string) (string, error) {
	var out, errs bytes.Buffer
	if code := execute(context.Background(), append(args, "--server", p.url), strings.NewReader(""), &out, &errs); code != exitOK {
		return "", fmt.Errorf("gitfleet %s: exit %d: %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String(), nil
}

// awaitSaid waits until a command that asks this gitfleet prints all of these words.
func (p *process) awaitSaid(command []string, words ...string) {
	p.t.Helper()
	realfleet.Eventually(p.t, patience, func() error {
		out, err := p.asked(command...)
		if err != nil {
			return err
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				return fmt.Errorf("gitfleet %s does not say %q:\n%s", strings.Join(command, " "), word, out)
			}
		}
		return nil
	})
}

// awaitExplained waits until gitfleet explains what with all of these words.
func (p *process) awaitExplained(what string, words ...string) {
	p.t.Helper()
	p.awaitSaid([]string{"explain", what}, words...)
}
