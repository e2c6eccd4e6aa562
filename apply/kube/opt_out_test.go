package kube

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

func deployment(namespace, name string, replicas int, containers string) string {
	return fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: %s, name: %s}, spec: {replicas: %d, selector: {matchLabels: {app: a}},
template: {metadata: {labels: {app: a}}, spec: {containers: [%s]}}}}`, namespace, name, replicas, containers)
}

const (
	plainContainer = "{name: app, image: i}"
	bigContainer   = "{name: app, image: i, resources: {limits: {cpu: 200m, memory: 64Mi}}}"
)

// fieldsAreGivenAway follows one Deployment whose replicas and limits are others': created with Git's values, changed by an
// autoscaler, changed in Git, taken back, and given away again.
func fieldsAreGivenAway(t *testing.T, r *rig) {
	p := r.start(t)
	ref := [2]string{"given", "web"}
	ignore := []string{"spec.replicas", "spec.template.spec.containers[name=app].resources", "spec.template.spec.containers[name=side].image"}
	step := func(what, revision string, w wanted, requests ...string) *unstructured.Unstructured {
		t.Helper()
		p.sent()
		p.converge(t, wish(t, "given", revision, namespaceOf("given"), w))
		if diff := cmp.Diff(requests, withoutRetries(p.sent())); diff != "" {
			t.Errorf("%s: requests (-want +sent):\n%s", what, diff)
		}
		return r.get(t, deployments, "given", "web")
	}
	expect := func(what string, u *unstructured.Unstructured, count int64, cpu string, ours bool) {
		t.Helper()
		c := containersOf(u)["app"]
		got, _, _ := unstructured.NestedString(c, "resources", "limits", "cpu")
		if replicas(t, u) != count || got != cpu {
			t.Errorf("%s: %d replicas and %q CPU, want %d and %q", what, replicas(t, u), got, count, cpu)
		}
		if has := strings.Contains(ourEntry(u), "f:replicas"); has != ours {
			t.Errorf("%s: our entry has the replicas: %v, want %v\n%s", what, has, ours, ourEntry(u))
		}
	}
	p.converge(t, wish(t, "given", "0", namespaceOf("given")))
	get, write, look := "GET deployments/web", "PATCH deployments/web", "PATCH deployments/web (dry run)"

	u := step("created", "1", wanted{deployment("given", "web", 2, bigContainer), ignore, false}, get, write, write)
	expect("created", u, 2, "200m", false)

	r.patch(t, deployments, ref, "autoscaler", `{"spec":{"replicas":7}}`, "scale")
	u = step("scaled", "1", wanted{deployment("given", "web", 2, bigContainer), ignore, false})
	expect("scaled by an autoscaler", u, 7, "200m", false)

	u = step("another value in Git", "2", wanted{deployment("given", "web", 3, bigContainer), ignore, false})
	expect("another value of a field that is not ours", u, 7, "200m", false)

	u = step("a new container", "3", wanted{deployment("given", "web", 3, bigContainer+", {name: side, image: first}"), ignore, false}, get, write, write)
	expect("a new container", u, 7, "200m", false)
	if image := containersOf(u)["side"]["image"]; image != "first" {
		t.Errorf("a container that is new has the image %v, want Git's", image)
	}

	p.sees(t, r.patch(t, deployments, ref, "thief", `{"spec":{"revisionHistoryLimit":3}}`))
	u = step("not ours changed", "3", wanted{deployment("given", "web", 3, bigContainer+", {name: side, image: second}"), ignore, false})
	expect("others' field", u, 7, "200m", false)

	u = step("taken back", "4", wanted{deployment("given", "web", 3, bigContainer), nil, false}, write)
	expect("taken back", u, 3, "200m", true)

	u = step("given away again, and gone from Git", "5", wanted{strings.Replace(deployment("given", "web", 3, plainContainer), "replicas: 3, ", "", 1), ignore, false}, get, write, write)
	expect("given away again", u, 3, "200m", false)

	labelled := r.patch(t, deployments, ref, "kubectl-edit", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}},"spec":{"replicas":9}}`)
	p.sees(t, labelled)
	u = step("lost its label", "5", wanted{strings.Replace(deployment("given", "web", 3, plainContainer), "replicas: 3, ", "", 1), ignore, false}, get, write, "POST events")
	expect("lost its label", u, 9, "200m", false)

	p.Close()
	p = r.start(t) // which knows of no repair, and so does not wait
	p.plan(t, wish(t, "given", "5", namespaceOf("given"), wanted{manifest: deployment("given", "web", 3, plainContainer)}))
	p.sees(t, r.patch(t, deployments, ref, "foreigner", `{"metadata":{"managedFields":[{}]}}`))
	w := wanted{strings.Replace(deployment("given", "web", 3, plainContainer), "replicas: 3, ", "", 1), ignore, false}
	u = step("managedFields cleared", "5", w, get, look, look, write, write, "POST events")
	expect("managedFields cleared", u, 9, "200m", false)
}

// aCrashWhileGivingAwayIsSettled stops the process after every write of a story: created with a field to give away, then
// given away later, while an autoscaler has its own idea.
func aCrashWhileGivingAwayIsSettled(t *testing.T, r *rig) {
	for k := int64(1); k <= 6; k++ {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			name := fmt.Sprintf("given-crash-%d", k)
			first := wish(t, name, "1", namespaceOf(name), wanted{deployment(name, "web", 2, plainContainer), []string{"spec.replicas"}, false},
				wanted{deployment(name, "later", 2, plainContainer), nil, false})
			second := wish(t, name, "2", namespaceOf(name), wanted{deployment(name, "web", 2, plainContainer), []string{"spec.replicas"}, false},
				wanted{deployment(name, "later", 2, plainContainer), []string{"spec.replicas"}, false})
			p := r.start(t)
			p.killAt(k)
			p.converge(t, first)
			if p.killed.Load() {
				p.Close()
				p = r.start(t)
				noDrift(t, p.converge(t, first))
			}
			r.patch(t, deployments, [2]string{name, "web"}, "autoscaler", `{"spec":{"replicas":7}}`, "scale")
			p.killed.Store(false)
			p.killAt(k)
			p.converge(t, second)
			if p.killed.Load() {
				p.Close()
				p = r.start(t)
				noDrift(t, p.converge(t, second))
			}
			for object, want := range map[string]int64{"web": 7, "later": 2} {
				u := r.get(t, deployments, name, object)
				if got := replicas(t, u); got != want || strings.Contains(ourEntry(u), "f:replicas") {
					t.Errorf("%s: %d replicas, want %d, and none of ours: %s", object, got, want, ourEntry(u))
				}
			}
			if plan := p.plan(t, second); !plan.Empty() {
				t.Errorf("something is left to do:\n%s", plan)
			}
		})
	}
}

// aRaceForOwnershipIsNoticed: somebody writes between our apply and our patch of managedFields. What the patch was made from is
// old then, and would forget the writer.
func aRaceForOwnershipIsNoticed(t *testing.T, r *rig) {
	p := r.start(t)
	p.converge(t, wish(t, "race", "1", namespaceOf("race")))
	patches := 0
	p.proxy.SetRule(func(q memfleet.Request) memfleet.Fault {
		if q.Resource != "configmaps" || q.Name != "a" || !q.Writes() {
			return memfleet.Pass()
		}
		if patches++; patches != 2 {
			return memfleet.Pass()
		}
		return memfleet.Call(func(memfleet.Request) memfleet.Fault {
			r.patch(t, configMaps, [2]string{"race", "a"}, "foreigner", `{"data":{"theirs":"1"}}`)
			return memfleet.Pass()
		})
	})
	p.converge(t, wish(t, "race", "2", namespaceOf("race"), wanted{"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: race, name: a}, data: {k: v, given: v}}", []string{"data.given"}, false}))
	u := r.get(t, configMaps, "race", "a")
	if all := strings.Join(owners(u), "\n"); patches != 3 || !strings.Contains(all, `foreigner Update: {"f:data":{"f:theirs":{}}}`) || strings.Contains(ourEntry(u), "f:given") {
		t.Errorf("%d writes, want 3; owners:\n%s", patches, all)
	}
}

func noDrift(t *testing.T, outcomes map[string]apply.Outcome) {
	t.Helper()
	for key, o := range outcomes {
		if o.Drift != nil {
			t.Errorf("%s: drift that nobody caused: %s", key, o.Drift)
		}
	}
}

// whatIsOneValueIsNotGivenAway: a selector is one value to the API server, so a part of it cannot have another owner. An
// object that somebody else made must not lose that part.
func whatIsOneValueIsNotGivenAway(t *testing.T, r *rig) {
	p := r.start(t)
	ignore := []string{"spec.selector.app"}
	body := "{apiVersion: v1, kind: Service, metadata: {namespace: one, name: %s}, spec: {selector: {app: a, tier: web}, ports: [{port: 80}]}}"
	p.converge(t, wish(t, "one-ns", "1", namespaceOf("one")))
	r.create(t, services, "kubectl-create", fmt.Sprintf(body, "adopted"))
	set := wish(t, "one", "1", wanted{fmt.Sprintf(body, "fresh"), ignore, false}, wanted{fmt.Sprintf(body, "adopted"), ignore, false})
	for range 2 { // it stays refused, and stays whole
		out := p.once(t, p.plan(t, set))
		for _, name := range []string{"fresh", "adopted"} {
			refused := refusedAs(out["Service "+name].Err)
			if refused == nil || refused.Actor != apply.Author || !strings.Contains(refused.Message, ".spec.selector.app cannot be given away") {
				t.Errorf("%s: %v, want a refusal for the author that names the field", name, out["Service "+name].Err)
			}
			selector, _, _ := unstructured.NestedStringMap(r.get(t, services, "one", name).Object, "spec", "selector")
			if selector["app"] != "a" {
				t.Errorf("%s: the selector lost a part: %v", name, selector)
			}
		}
	}
}

func containersOf(u *unstructured.Unstructured) map[string]map[string]any {
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	out := map[string]map[string]any{}
	for _, item := range list {
		c := item.(map[string]any)
		out[c["name"].(string)] = c
	}
	return out
}

// ourEntry returns the fields of our managedFields entry.
func ourEntry(u *unstructured.Unstructured) string {
	for _, e := range u.GetManagedFields() {
		if e.Manager == "gitfleet" && e.Operation == metav1.ManagedFieldsOperationApply {
			return e.FieldsV1.GetRawString()
		}
	}
	return ""
}

// whatKubectlHadGoesWithGit: an object that was made with kubectl is adopted. What Git stops naming goes, what it never named
// stays; and the same after somebody cleared managedFields.
func whatKubectlHadGoesWithGit(t *testing.T, r *rig) {
	p := r.start(t)
	body := "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: shared, name: %s, annotations: {note: theirs}}, data: {%s}}"
	p.converge(t, wish(t, "shared-ns", "1", namespaceOf("shared")))
	for manager, name := range map[string]string{"kubectl-client-side-apply": "csa", "kubectl-create": "created", "someone": "other"} {
		r.create(t, configMaps, manager, fmt.Sprintf(body, name, "a: '1', b: '1', c: '1'"))
	}
	set := func(revision, data string) apply.Set {
		var all []wanted
		for _, name := range []string{"csa", "created", "other", "cleared"} {
			all = append(all, wanted{manifest: fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: shared, name: %s}, data: {%s}}", name, data)})
		}
		return wish(t, "shared", revision, all...)
	}
	p.converge(t, set("1", "a: '1', b: '2'"))
	p.sent()
	r.patch(t, configMaps, [2]string{"shared", "cleared"}, "foreigner", `{"data":{"c":"1"}}`)
	p.sees(t, r.patch(t, configMaps, [2]string{"shared", "cleared"}, "foreigner", `{"metadata":{"managedFields":[{}]}}`))
	p.converge(t, set("1", "a: '1', b: '2'"))
	p.converge(t, set("2", "b: '2'"))
	for name, want := range map[string]string{"csa": "map[b:2 c:1]", "created": "map[b:2 c:1]", "other": "map[a:1 b:2 c:1]", "cleared": "map[b:2 c:1]"} {
		u := r.get(t, configMaps, "shared", name)
		data, _, _ := unstructured.NestedStringMap(u.Object, "data")
		if fmt.Sprint(data) != want {
			t.Errorf("%s: data %v, want %s\n%s", name, data, want, strings.Join(owners(u), "\n"))
		}
	}
	p.sent()
	if p.converge(t, set("2", "b: '2'")); len(p.sent()) > 0 {
		t.Error("a steady state costs requests")
	}
}
