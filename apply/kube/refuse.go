package kube

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// refusal is refusalAs for what is done with gitfleet's own rights.
func refusal(verb string, ref api.Ref, resource string, err error) error {
	return refusalAs("", verb, ref, resource, err)
}

// refusalAs turns an error of one request, sent as account, into words for who must act. What is no answer of the API server
// (an unreachable member, a cancelled context) is only wrapped.
func refusalAs(account, verb string, ref api.Ref, resource string, err error) error {
	if meta.IsNoMatchError(err) {
		return &apply.RefusedError{Ref: ref, Verb: verb, Actor: apply.Author, Err: err, Message: fmt.Sprintf(
			"this member does not serve %s in that version: place its CustomResourceDefinition too, or correct apiVersion and kind", ref.GroupKind())}
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return fmt.Errorf("%s %s: %w", verb, ref, err)
	}
	out := &apply.RefusedError{Ref: ref, Verb: verb, Err: err}
	out.Actor, out.Message = explain(ref, status.Status())
	if denied := deniedWords(account, ref, resource, status.Status()); denied != "" {
		out.Actor, out.Message = apply.Operator, denied
	}
	out.Immutable = immutableFields(status.Status())
	if secret(ref) || quotes(status.Status()) {
		out.Err = nil // its message may quote values
	}
	return out
}

// quotes tells whether the API server's own words may hold values of the object.
func quotes(s metav1.Status) bool { return s.Reason == metav1.StatusReasonInvalid || wrongShape(s) }

func secret(ref api.Ref) bool { return ref.Group == "" && ref.Kind == "Secret" }

func explain(ref api.Ref, s metav1.Status) (apply.Actor, string) {
	message := s.Message
	switch {
	case secret(ref):
		message = withoutValues(s)
		if s.Reason == metav1.StatusReasonInvalid && immutable.MatchString(s.Message) {
			message += remedy(ref)
		}
	case s.Reason == metav1.StatusReasonInvalid:
		message = invalid(s, ref)
	case wrongShape(s):
		message = got.ReplaceAllString(s.Message, "")
	}
	switch {
	case s.Reason == metav1.StatusReasonUnauthorized:
		return apply.Operator, "the credentials were rejected: renew them in the member's kubeconfig"
	case s.Reason == metav1.StatusReasonForbidden && hasCause(s, corev1.NamespaceTerminatingCause):
		return apply.Retry, fmt.Sprintf("namespace %s is being deleted, and until it is gone nothing can be created there; tried again by itself", ref.Namespace)
	case s.Reason == metav1.StatusReasonNotFound && s.Details != nil && s.Details.Kind == "namespaces":
		return apply.Author, fmt.Sprintf("namespace %s does not exist on this member: place it too", ref.Namespace)
	case s.Reason == metav1.StatusReasonConflict, s.Reason == metav1.StatusReasonAlreadyExists:
		return apply.Retry, message
	case wrongShape(s):
		return apply.Author, message
	case s.Code == http.StatusTooManyRequests, s.Code >= http.StatusInternalServerError && !hookRefused(s):
		return apply.Retry, message
	}
	return apply.Author, message
}

// rbacDenied finds the verb in an API server's refusal for want of a permission:
// k8s.io/apiserver/pkg/endpoints/handlers/responsewriters.forbiddenMessage. Since Kubernetes 1.36 one that may not
// impersonate is told so for the verb that it last tried, "impersonate-on:serviceaccount:patch": KEP-5284.
var rbacDenied = regexp.MustCompile(` cannot ([a-z:-]+) resource "`)

// deniedWords tells which permission is missing, and to whom; "" when that is not what s says. An apply that would create
// needs the verb create too.
func deniedWords(account string, ref api.Ref, resource string, s metav1.Status) string {
	m := rbacDenied.FindStringSubmatch(s.Message)
	if s.Reason != metav1.StatusReasonForbidden || m == nil {
		return ""
	}
	where := "cluster-wide"
	if ref.Namespace != "" {
		where = "in namespace " + ref.Namespace
	}
	namespace, name, _ := strings.Cut(account, "/")
	switch verb := m[1]; {
	case account == "":
		return fmt.Sprintf("not allowed: grant gitfleet's user %s on %s %s", verb, resource, where)
	case strings.HasPrefix(verb, "impersonate"):
		return fmt.Sprintf("gitfleet may not impersonate service account %s: grant gitfleet's user impersonate on serviceaccounts, resource name %s, in namespace %s",
			account, name, namespace)
	default:
		return fmt.Sprintf("service account %s may not %s %s %s: grant it that, or take the object out of the placement that names the account",
			account, verb, resource, where)
	}
}

func hasCause(s metav1.Status, cause metav1.CauseType) bool {
	if s.Details == nil {
		return false
	}
	for _, c := range s.Details.Causes {
		if c.Type == cause {
			return true
		}
	}
	return false
}

// wrongShape tells that an object does not fit its kind's schema, which API servers answer with code 500 to an apply.
func wrongShape(s metav1.Status) bool {
	return strings.HasPrefix(s.Message, "failed to create typed patch object") || strings.HasPrefix(s.Message, "failed to convert new object")
}

// fault finds in an answer to an object of the wrong shape what is wrong where, up to where the answer begins to quote:
// ".data.password: expected string", "illegal base64 data at input byte 7".
var fault = regexp.MustCompile(`\): (\.[^:]+: (?:expected [a-z]+|field not declared in schema))|(illegal base64 data at input byte [0-9]+)$`)

// got is where an answer to an object of the wrong shape quotes what it found instead of what it expected.
var got = regexp.MustCompile(`, got [^\n]*`)

// hookRefused tells that an admission webhook said no with a code of its own choice.
func hookRefused(s metav1.Status) bool {
	return strings.Contains(s.Message, "admission webhook") && strings.Contains(s.Message, "denied the request")
}

// withoutValues prints what a refusal says about a Secret without what may quote its values: the fields and the kind of
// fault of each.
func withoutValues(s metav1.Status) string {
	var faults []string
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			if c.Field != "" {
				faults = append(faults, fmt.Sprintf("%s: %s", c.Field, c.Type))
			}
		}
	}
	if m := fault.FindStringSubmatch(s.Message); wrongShape(s) && m != nil {
		faults = append(faults, m[1]+m[2])
	}
	if len(faults) == 0 {
		return fmt.Sprintf("the API server answered %d %s; its words are not shown, because they may quote secret values", s.Code, s.Reason)
	}
	return strings.Join(faults, ", ")
}
