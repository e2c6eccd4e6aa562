package kube

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
	errCut := errors.New("cut")
	if err := refusal("patch", ref, "", errCut); !errors.Is(err, errCut) {
		t.Errorf("what is no answer is %v, want it wrapped", err)
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
