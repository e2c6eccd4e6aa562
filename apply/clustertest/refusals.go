package clustertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/apply"
)

// realRefusals are the answers of a real API server to objects that are wrong in the ways that authors get wrong.
func realRefusals(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "refused-ns", "1", namespace("refused")))
	deployment := func(name, spec string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: refused, name: " + name + "}, spec: {" + spec + ", selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}"
	}
	out := m.outcomes(t, wish(t, "refused", "1",
		deployment("negative", "replicas: -1"),
		deployment("typo", "replica: 1"),
		"{apiVersion: v1, kind: Secret, metadata: {namespace: refused, name: base64}, data: {password: 'hunter2!'}}",
		"{apiVersion: v1, kind: Secret, metadata: {namespace: refused, name: number}, data: {password: 424242}}",
		"{apiVersion: v1, kind: Secret, metadata: {namespace: refused, name: tls}, type: kubernetes.io/tls, stringData: {tls.key: hunter2}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: nowhere, name: lost}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: homeless}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: refused, name: good}}",
	))
	for name, want := range map[string]string{
		"Deployment negative": "spec.replicas", "Deployment typo": ".spec.replica: field not declared",
		"Secret base64": "illegal base64 data at input byte 7", "Secret number": ".data.password: expected string", "Secret tls": "data[tls.crt]",
		"ConfigMap lost": "namespace nowhere does not exist", "ConfigMap homeless": "set metadata.namespace",
	} {
		refused, ok := errors.AsType[*apply.RefusedError](out[name].Err)
		if !ok || refused.Actor != apply.Author || !strings.Contains(refused.Message, want) {
			t.Errorf("%s: %v, want a refusal for the author with %q", name, out[name].Err, want)
		}
		for err := out[name].Err; err != nil; err = errors.Unwrap(err) {
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "hunter2") || strings.Contains(text, "424242") {
				t.Errorf("%s: the error tells the secret: %s", name, text)
			}
		}
	}
	if err := out["ConfigMap good"].Err; err != nil {
		t.Errorf("beside them a good object fails: %v", err)
	}
	m.converge(t, wish(t, "refused", "2", configMap("refused", "good", "1")))
	items, _, err := unstructured.NestedString(s.inventory(t, "refused").Object, "data", "items")
	if n := strings.Count(items, `"name":`); err != nil || n != 1 {
		t.Errorf("with the mistakes gone the inventory still lists %d objects (%v): %s", n, err, items)
	}
}

// immutableFieldsNameTheRemedy changes what cannot be changed, in objects that hold what nobody may read in a message.
func immutableFieldsNameTheRemedy(t *testing.T, s server) {
	m := s.start(t, nil)
	objects := func(value, clusterIP string) []string {
		return []string{namespace("fixed"),
			"{apiVersion: batch/v1, kind: Job, metadata: {namespace: fixed, name: j}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: i, env: [{name: PASSWORD, value: '" + value + "'}]}]}}}}",
			"{apiVersion: v1, kind: Service, metadata: {namespace: fixed, name: s}, spec: {" + clusterIP + "ports: [{port: 80}]}}",
			"{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: fixed, name: f}, spec: {replicas: 0, serviceName: " + value + ", selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}",
			"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {namespace: fixed, name: p}, spec: {accessModes: [ReadWriteOnce], storageClassName: " + value + ", resources: {requests: {storage: 1Mi}}}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: fixed, name: m}, immutable: true, data: {key: " + value + "}}",
			"{apiVersion: v1, kind: Secret, metadata: {namespace: fixed, name: x}, immutable: true, stringData: {key: " + value + "}}"}
	}
	m.converge(t, wish(t, "fixed", "1", objects("hunter1", "")...))
	out := m.outcomes(t, wish(t, "fixed", "2", objects("hunter2", "clusterIP: None, ")...))
	const first, delete, rename = 300, "delete the object first", "give the changed one another name"
	for name, want := range map[string][]string{
		"Job j":                   {"spec.template", ": field is immutable", delete},
		"Service s":               {"spec.clusterIP", "may not change once set", delete},
		"StatefulSet f":           {"spec", "serviceName", delete},
		"PersistentVolumeClaim p": {"spec is immutable after creation", rename},
		"ConfigMap m":             {"data: Forbidden: field is immutable", delete},
		"Secret x":                {"data: FieldValueForbidden", delete},
	} {
		refused, ok := errors.AsType[*apply.RefusedError](out[name].Err)
		if !ok || refused.Actor != apply.Author {
			t.Errorf("%s: %v, want a refusal for the author", name, out[name].Err)
			continue
		}
		text := []rune(refused.Error())
		for _, w := range want {
			if !strings.Contains(string(text[:min(first, len(text))]), w) {
				t.Errorf("%s: the first %d characters do not say %q: %s", name, first, w, refused)
			}
		}
		for err := error(refused); err != nil; err = errors.Unwrap(err) {
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "hunter") {
				t.Errorf("%s: the error tells a value: %v", name, err)
			}
		}
	}
}

// missingPermissions runs us as a user who may read everything and write ConfigMaps only.
func missingPermissions(t *testing.T, s server) {
	s.start(t, nil).converge(t, wish(t, "rbac-ns", "1", namespace("limited"),
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: limited}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch]}, {apiGroups: [''], resources: [configmaps], verbs: ['*']}]}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: limited}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: limited}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: limited}]}"))
	m := s.as("limited").start(t, nil)
	out := m.outcomes(t, wish(t, "limited", "1", configMap("limited", "a", "1"),
		"{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: limited, name: s}}"))
	refused, ok := errors.AsType[*apply.RefusedError](out["ServiceAccount s"].Err)
	if !ok || refused.Actor != apply.Operator || !strings.Contains(refused.Message, "grant gitfleet's user patch on serviceaccounts in namespace limited") {
		t.Errorf("a ServiceAccount that may not be written: %v", out["ServiceAccount s"].Err)
	}
	if err := out["ConfigMap a"].Err; err != nil {
		t.Errorf("beside it: %v", err)
	}
}
