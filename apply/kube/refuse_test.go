package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

func TestRefusalNamesWhoMustAct(t *testing.T) {
	ref := api.Ref{Group: "apps", Kind: "Deployment", Namespace: "web", Name: "shop"}
	gr := schema.GroupResource{Group: "apps", Resource: "deployments"}
	gk := schema.GroupKind{Group: "apps", Kind: "Deployment"}
	rows := []struct {
		name  string
		err   error
		actor apply.Actor
		want  string
	}{
		{"not allowed", apierrors.NewForbidden(gr, "shop", errors.New(`User "x" cannot patch resource "deployments" in API group "apps" in the namespace "web"`)),
			apply.Operator, "grant gitfleet's user patch on deployments.apps in namespace web"},
		{"quota", apierrors.NewForbidden(gr, "shop", errors.New("exceeded quota: compute")), apply.Author, "exceeded quota"},
		{"rejected credentials", apierrors.NewUnauthorized("no"), apply.Operator, "renew them"},
		{"bad field", apierrors.NewInvalid(gk, "shop", field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), -1, "must be positive")}), apply.Author, "spec.replicas"},
		{"immutable field", apierrors.NewInvalid(gk, "shop", field.ErrorList{field.Invalid(field.NewPath("spec", "selector"), "x", "field is immutable")}), apply.Author, "delete the object first"},
		{"no namespace", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "web"), apply.Author, "namespace web does not exist on this member"},
		{"no kind", &meta.NoKindMatchError{GroupKind: gk, SearchedVersions: []string{"v1"}}, apply.Author, "place its CustomResourceDefinition too"},
		{"busy", apierrors.NewTooManyRequests("later", 1), apply.Retry, "later"},
		{"broken", apierrors.NewInternalError(errors.New("etcd")), apply.Retry, "etcd"},
		{"conflict", apierrors.NewConflict(gr, "shop", errors.New("changed")), apply.Retry, "changed"},
	}
	for _, row := range rows {
		refused, ok := errors.AsType[*apply.RefusedError](refusal("patch", ref, "deployments.apps", row.err))
		if !ok || refused.Actor != row.actor || !strings.Contains(refused.Error(), row.want) || !strings.Contains(refused.Error(), "patch Deployment.apps web/shop: ") {
			t.Errorf("%s: %v, want one for the %s with %q", row.name, refused, row.actor, row.want)
		}
	}
	if err := refusal("patch", ref, "", errKilled); !errors.Is(err, errKilled) {
		t.Errorf("what is no answer is %v, want it wrapped", err)
	}
}

// realRefusals are the answers of a real API server to objects that are wrong in the ways that authors get wrong.
func realRefusals(t *testing.T, c cluster) {
	m := c.member(t, nil)
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
	items, _, err := unstructured.NestedString(c.inventory(t, "refused").Object, "data", "items")
	if n := strings.Count(items, `"name":`); err != nil || n != 1 {
		t.Errorf("with the mistakes gone the inventory still lists %d objects (%v): %s", n, err, items)
	}
}

// immutableFieldsNameTheRemedy changes what cannot be changed, in objects that hold what nobody may read in a message.
func immutableFieldsNameTheRemedy(t *testing.T, c cluster) {
	m := c.member(t, nil)
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

func TestWithoutValue(t *testing.T) {
	rows := []struct{ message, want string }{
		{`Invalid value: "a: b": must be short`, "must be short"},
		{`Invalid value: "a \"quoted\": b": must be: short`, "must be: short"},
		{`Invalid value: {"env":[{"value":"x: y"}]}: field is immutable`, "field is immutable"},
		{`Invalid value: ["None"]: may not change once set`, "may not change once set"},
		{`Invalid value: -1: must be greater than or equal to 0`, "must be greater than or equal to 0"},
		{`Invalid value: core.Template{Value:"x: y", Other:1}: field is immutable`, "field is immutable"},
		{`Invalid value: {cut: field is immutable`, "field is immutable"},
		{`Invalid value: "x"`, "invalid value"},
		{`Invalid value: x`, "invalid value"},
		{`Unsupported value: "x": supported values: "A", "B"`, `unsupported value: supported values: "A", "B"`},
		{`Duplicate value: {"port":80}`, "duplicate value"},
		{`Required value: name or generateName is required`, "Required value: name or generateName is required"},
		{"Forbidden: spec is immutable\n  secret: x", "Forbidden: spec is immutable"},
	}
	for _, row := range rows {
		if got := withoutValue(metav1.StatusCause{Message: row.message}); got != row.want {
			t.Errorf("%s\n got %s\nwant %s", row.message, got, row.want)
		}
	}
}

// missingPermissions runs us as a user who may read everything and write ConfigMaps only.
func missingPermissions(t *testing.T, c cluster) {
	c.member(t, nil).converge(t, wish(t, "rbac-ns", "1", namespace("limited"),
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: limited}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch]}, {apiGroups: [''], resources: [configmaps], verbs: ['*']}]}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: limited}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: limited}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: limited}]}"))
	config := rest.CopyConfig(c.config)
	config.Impersonate.UserName = "limited"
	m := newCluster(config).member(t, nil)
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

// aSecretsStringDataShowsDrift: applied as it is, nobody would see somebody change the stored data.
func aSecretsStringDataShowsDrift(t *testing.T, c cluster) {
	m := c.member(t, nil)
	s := wish(t, "string-data", "1", namespace("string-data"),
		"{apiVersion: v1, kind: Secret, metadata: {namespace: string-data, name: s}, stringData: {password: one}}")
	m.converge(t, s)
	secrets := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace("string-data")
	must(secrets.Patch(t.Context(), "s", "application/merge-patch+json", []byte(`{"data":{"password":"dHdv"}}`), metav1.PatchOptions{}))(t)
	eventually(t, "drift is seen", func(context.Context) error {
		if m.plan(s).Empty() {
			return errors.New("the plan is empty")
		}
		return nil
	})
	m.converge(t, s)
	u := must(secrets.Get(t.Context(), "s", metav1.GetOptions{}))(t)
	if data := fmt.Sprint(u.Object["data"]); data != "map[password:b25l]" {
		t.Errorf("data: %s, want the password of the wish", data)
	}
}
