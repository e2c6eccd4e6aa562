package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
)

// fixedKinds are objects with a field that cannot be changed: %s is its value, %[2]s the name.
var fixedKinds = []struct {
	name, before, after string // of the value
	fields              string // that the refusal names
	manifest            string
	alone               bool // never recreated in this test: deleting it takes time, or is refused
}{
	{"Deployment", "a", "b", ".spec.selector", `{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: fixed, name: x}, spec: {replicas: 0, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: c, image: i}]}}}}`, false},
	{"StatefulSet", "a", "b", ".spec.serviceName", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: fixed, name: x}, spec: {replicas: 0, serviceName: %s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`, false},
	{"DaemonSet", "a", "b", ".spec.selector", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {namespace: fixed, name: x}, spec: {selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %[1]s}}, spec: {nodeSelector: {no: node}, containers: [{name: c, image: i}]}}}}`, false},
	{"Job", "a", "b", ".spec.template.spec", `{apiVersion: batch/v1, kind: Job, metadata: {namespace: fixed, name: x}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: %s}]}}}}`, false},
	{"Service", "", "None", ".spec.clusterIPs[0]", `{apiVersion: v1, kind: Service, metadata: {namespace: fixed, name: x}, spec: {clusterIP: '%s', ports: [{port: 80}]}}`, false},
	{"PersistentVolumeClaim", "a", "b", ".spec", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {namespace: fixed, name: x}, spec: {accessModes: [ReadWriteOnce], storageClassName: %s, resources: {requests: {storage: 1Mi}}}}`, false},
	{"ConfigMap", "a", "b", ".data", `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: fixed, name: x}, immutable: true, data: {k: %s}}`, false},
	{"Secret", "a", "b", ".data", `{apiVersion: v1, kind: Secret, metadata: {namespace: fixed, name: x}, immutable: true, stringData: {k: %s}}`, false},
	{"RoleBinding", "view", "edit", ".roleRef", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {namespace: fixed, name: x}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %s}, subjects: []}`, false},
	{"StorageClass", "a", "b", ".parameters", `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fixed}, provisioner: none, parameters: {p: %s}}`, false},
	{"IngressClass", "example.com/a", "example.com/b", ".spec.controller", `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: fixed}, spec: {controller: %s}}`, false},
	{"PriorityClass", "5", "6", ".value", `{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: fixed}, value: %s}`, false},
	{"CustomResourceDefinition", "Namespaced", "Cluster", ".spec.scope", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: fixeds.example.com}, spec: {group: example.com, scope: %s, names: {kind: Fixed, plural: fixeds}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}`, true},
}

func fixedWish(t *testing.T, revision string, after, recreate bool) apply.Set {
	objects := []wanted{namespaceOf("fixed")}
	for _, k := range fixedKinds {
		value := k.before
		if after {
			value = k.after
		}
		objects = append(objects, wanted{manifest: fmt.Sprintf(k.manifest, value), recreate: recreate})
	}
	return wish(t, "fixed", revision, objects...)
}

// immutableFieldsAreRecognised: the refusal names the fields and what to do, for every kind that has such fields.
func immutableFieldsAreRecognised(t *testing.T, r *rig) {
	p := r.start(t)
	p.converge(t, fixedWish(t, "1", false, false))
	out := p.once(t, p.plan(t, fixedWish(t, "2", true, false)))
	for _, k := range fixedKinds {
		o := outcomeOf(out, k.name)
		refused := refusedAs(o.Err)
		if refused == nil || strings.Join(refused.Immutable, ",") != k.fields {
			t.Errorf("%s: %v, want a refusal because of %s", k.name, o.Err, k.fields)
			continue
		}
		want := k.name != "PersistentVolumeClaim" && k.name != "CustomResourceDefinition"
		if strings.Contains(refused.Message, api.AnnotationRecreate) != want {
			t.Errorf("%s: the refusal names the annotation: %v, want %v: %s", k.name, !want, want, refused.Message)
		}
	}
}

func outcomeOf(out map[string]apply.Outcome, kind string) apply.Outcome {
	for key, o := range out {
		if strings.HasPrefix(key, kind+" ") {
			return o
		}
	}
	return apply.Outcome{Err: errors.New("no outcome at all")}
}

// immutableFieldsAreRecreated goes on with the objects of immutableFieldsAreRecognised: now the author allows it.
func immutableFieldsAreRecreated(t *testing.T, r *rig) {
	p := r.start(t)
	p.converge(t, fixedWish(t, "1", false, true))
	uids := map[string]string{}
	set := fixedWish(t, "2", true, true)
	set.Objects = slices.DeleteFunc(set.Objects, func(o *apply.Target) bool { return o.Ref.Kind == "CustomResourceDefinition" })
	for _, o := range set.Objects {
		uids[o.Ref.Kind] = string(r.uid(t, p, o))
	}
	first := p.once(t, p.plan(t, set))
	last := p.converge(t, set)
	for _, k := range fixedKinds {
		if k.alone {
			continue
		}
		o := outcomeOf(first, k.name)
		if o.Err != nil || !strings.Contains(o.Note, "deleted, to be created anew once it is gone: "+k.fields) {
			t.Errorf("%s: %v %q, want a note that it was deleted because of %s", k.name, o.Err, o.Note, k.fields)
		}
		if o := outcomeOf(last, k.name); o.Action != apply.Create || o.Drift != nil {
			t.Errorf("%s was not created anew: %+v", k.name, o)
		}
	}
	for _, o := range set.Objects {
		switch uid := r.uid(t, p, o); {
		case uid == "":
			t.Errorf("%s is gone", o.Ref)
		case o.Ref.Kind != "Namespace" && uid == uids[o.Ref.Kind]:
			t.Errorf("%s is the old one", o.Ref)
		}
	}
}

// uid reads the object of a target; "" when it is gone or going.
func (r *rig) uid(t *testing.T, p *run, o *apply.Target) string {
	t.Helper()
	mapping := clustertest.Must(p.Mapping(t.Context(), o.GroupVersionKind()))(t)
	u, err := r.client.Resource(mapping.Resource).Namespace(o.Ref.Namespace).Get(t.Context(), o.Ref.Name, metav1.GetOptions{})
	if err != nil || u.GetDeletionTimestamp() != nil {
		return ""
	}
	return string(u.GetUID())
}

// aCrashWhileRecreatingIsSettled stops the process after every write of a recreation; the next one ends with the new object.
func aCrashWhileRecreatingIsSettled(t *testing.T, r *rig) {
	for k := int64(1); k <= 4; k++ {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			name := fmt.Sprintf("recreate-crash-%d", k)
			set := func(revision, value string) apply.Set {
				return wish(t, name, revision, namespaceOf(name), wanted{manifest: fmt.Sprintf(
					"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: %s, name: a}, immutable: true, data: {k: %s}}", name, value), recreate: true})
			}
			p := r.start(t)
			p.converge(t, set("1", "old"))
			p.killAt(k)
			p.converge(t, set("2", "new"))
			if p.killed.Load() {
				p.Close()
				p = r.start(t)
				p.converge(t, set("2", "new"))
			} else if k < 4 {
				t.Errorf("a recreation has fewer than %d writes", k)
			}
			if got, _, _ := unstructured.NestedString(r.get(t, configMaps, name, "a").Object, "data", "k"); got != "new" {
				t.Errorf("the object has %q", got)
			}
			if plan := p.plan(t, set("2", "new")); !plan.Empty() {
				t.Errorf("something is left to do:\n%s", plan)
			}
		})
	}
}

// whatIsNotDeletedToRecreate: each row must leave the object as it is, although its author allows to recreate it.
func whatIsNotDeletedToRecreate(t *testing.T, r *rig) {
	p := r.start(t)
	p.converge(t, wish(t, "keep-ns", "1", namespaceOf("keep")))
	r.create(t, configMaps, "kubectl-create", "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: keep, name: foreign}, immutable: true, data: {k: a}}")
	r.create(t, claims, "kubectl-create", "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {namespace: keep, name: adopted}, spec: {accessModes: [ReadWriteOnce], storageClassName: a, resources: {requests: {storage: 1Mi}}}}")
	job := "{apiVersion: batch/v1, kind: Job, metadata: {namespace: keep, name: bad}, spec: {suspend: true, template: {spec: {restartPolicy: %s, containers: [{name: c, image: %s}]}}}}"
	claim := "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {namespace: keep, name: adopted}, spec: {accessModes: [ReadWriteOnce], storageClassName: %s, resources: {requests: {storage: 1Mi}}}}"
	stated := "{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: keep, name: both}, spec: {replicas: 0, serviceName: %s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: %s, image: i}]}}}}"
	allowed := func(manifest string) wanted { return wanted{manifest: manifest, recreate: true} }
	p.converge(t, wish(t, "keep", "1", allowed(fmt.Sprintf(job, "Never", "a")), allowed(fmt.Sprintf(claim, "a")), allowed(fmt.Sprintf(stated, "a", "c"))))
	set := wish(t, "keep", "2", allowed(fmt.Sprintf(job, "Sometimes", "b")), allowed(fmt.Sprintf(claim, "b")), allowed(fmt.Sprintf(stated, "b", "C_")),
		allowed("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: keep, name: foreign}, immutable: true, data: {k: b}}"))
	before := map[string]string{}
	for _, o := range set.Objects {
		before[o.Ref.Kind] = r.uid(t, p, o)
	}
	out := p.once(t, p.plan(t, set))
	for kind, want := range map[string]string{
		"Job":                   "restartPolicy",
		"PersistentVolumeClaim": "gitfleet did not create it",
		"StatefulSet":           "containers[0].name",
		"ConfigMap":             "gitfleet did not create it",
	} {
		if o := outcomeOf(out, kind); o.Err == nil || !strings.Contains(o.Err.Error(), want) {
			t.Errorf("%s: %v %s, want a refusal with %q", kind, o.Err, o.Note, want)
		}
	}
	for _, o := range set.Objects {
		if uid := r.uid(t, p, o); uid == "" || uid != before[o.Ref.Kind] {
			t.Errorf("%s was deleted", o.Ref)
		}
	}
}

// whatWouldBeRefusedIsNotDeleted: the API server would not take the new object (here because of a quota), so the old one stays;
// and an object that somebody altered, but that was made from this very wish, is not deleted again and again.
func whatWouldBeRefusedIsNotDeleted(t *testing.T, r *rig) {
	p := r.start(t)
	fixed := func(name, value string) wanted {
		return wanted{manifest: fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: proof, name: %s}, immutable: true, data: {k: %s}}", name, value), recreate: true}
	}
	set := wish(t, "proof", "1", namespaceOf("proof"), fixed("a", "old"), fixed("b", "old"))
	p.converge(t, set)
	quotas := schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}
	r.create(t, quotas, "admin", "{apiVersion: v1, kind: ResourceQuota, metadata: {namespace: proof, name: none}, spec: {hard: {count/configmaps: 1}}}")
	clustertest.Eventually(t, "the quota is in force", func(context.Context) error {
		if used, ok, _ := unstructured.NestedMap(r.get(t, quotas, "proof", "none").Object, "status", "used"); !ok || len(used) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	before := r.uid(t, p, set.Objects[1])
	out := p.once(t, p.plan(t, wish(t, "proof", "2", namespaceOf("proof"), fixed("a", "new"), fixed("b", "old"))))["ConfigMap a"]
	if out.Err == nil || !strings.Contains(out.Err.Error(), "the new one would be refused: ") || !strings.Contains(out.Err.Error(), "exceeded quota") {
		t.Errorf("%v %s, want to hear that the new one would be refused", out.Err, out.Note)
	}
	if uid := r.uid(t, p, set.Objects[1]); uid == "" || uid != before {
		t.Error("a healthy object was deleted for one that cannot be had")
	}
	clustertest.Must(0, r.client.Resource(quotas).Namespace("proof").Delete(t.Context(), "none", metav1.DeleteOptions{}))(t)

	other := r.get(t, configMaps, "proof", "b").DeepCopy()
	clustertest.Must(0, r.client.Resource(configMaps).Namespace("proof").Delete(t.Context(), "b", metav1.DeleteOptions{}))(t)
	again := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "data": map[string]any{"k": "altered"}}}
	again.SetName("b")
	again.SetLabels(other.GetLabels())
	again.SetAnnotations(other.GetAnnotations())
	p.sees(t, clustertest.Must(r.client.Resource(configMaps).Namespace("proof").Apply(t.Context(), "b", again, metav1.ApplyOptions{FieldManager: api.FieldManager}))(t))
	altered := p.once(t, p.plan(t, set))["ConfigMap b"]
	if altered.Err == nil || !strings.Contains(altered.Err.Error(), "created from this very manifest") {
		t.Errorf("%v %s, want a refusal: deleting it may never end", altered.Err, altered.Note)
	}
}

// aConfirmedRemovalIsNotHeld: what would be held goes once a person has confirmed it.
func aConfirmedRemovalIsNotHeld(t *testing.T, r *rig) {
	p := r.start(t)
	p.converge(t, wish(t, "confirmed", "1", namespaceOf("confirmed")))
	r.create(t, configMaps, "kubectl-create", "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: confirmed, name: foreign}}")
	set := wish(t, "confirmed", "2")
	out := p.once(t, p.plan(t, set))["Namespace confirmed"]
	held, ok := errors.AsType[*apply.HeldError](out.Err)
	if !ok || !strings.Contains(held.Error(), api.TrailerConfirm+": ") {
		t.Fatalf("%v, want it held, with the trailer that confirms", out.Err)
	}
	held.Digest = "d1g3st"
	if !strings.Contains(held.Error(), api.TrailerConfirm+": d1g3st") {
		t.Errorf("the error does not name the digest: %s", held)
	}
	set.Confirmed = true
	if out := p.once(t, p.plan(t, set))["Namespace confirmed"]; out.Err != nil {
		t.Errorf("confirmed, and yet: %v", out.Err)
	}
	u, err := r.client.Resource(namespaceKind).Get(t.Context(), "confirmed", metav1.GetOptions{})
	if err == nil && u.GetDeletionTimestamp() == nil {
		t.Error("it is still there")
	}
}

var claims = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
