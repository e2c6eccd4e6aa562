package fleet

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// DeniedError tells that gitfleet's user on a member lacks a permission to read, which one, and what the operator can do.
type DeniedError struct {
	Verb      string // "list" or "watch"
	Resource  string // with its group, as in "deployments.apps"
	Namespace string // empty when it is needed cluster-wide
	Err       error  // the API server's answer
}

// Error prints the remedy first, then the API server's words.
func (e *DeniedError) Error() string {
	where := "cluster-wide"
	if e.Namespace != "" {
		where = "in namespace " + e.Namespace
	}
	return fmt.Sprintf("not allowed: grant gitfleet's user %s on %s %s: %v", e.Verb, e.Resource, where, e.Err)
}

// Unwrap returns the API server's answer, so that apierrors.IsForbidden holds.
func (e *DeniedError) Unwrap() error { return e.Err }

// denied gives the answer to a list or watch the words of a DeniedError when access rules made it. Others, such as
// proxies, answer 403 too, and no permission helps against them.
func denied(verb string, spec WatchSpec, err error) error {
	if !forbidden(err, verb) {
		return err
	}
	return &DeniedError{Verb: verb, Resource: spec.Resource.GroupResource().String(), Namespace: spec.Namespace, Err: err}
}

// ImpersonationDenied tells whether a request of Session.As was refused because gitfleet's own user may not act for the
// service account, and not because the account may not do what was asked. API servers with constrained impersonation
// (KEP-5284) refuse the same with verbs of their own, such as "impersonate-on:serviceaccount:list"; the right to
// impersonate serviceaccounts is enough for them too.
func ImpersonationDenied(err error) bool {
	return apierrors.IsForbidden(err) && impersonation.MatchString(err.Error())
}

var impersonation = regexp.MustCompile(` cannot impersonate(-on)?(:serviceaccount)?(:[a-z]+)? resource `)

// forbidden tells whether the API server's access rules deny a verb. These are the words of its own authorizer:
// https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/responsewriters/errors.go
func forbidden(err error, verb string) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "+verb+" resource ")
}

// LacksNamespace tells whether a request failed because the namespace that it names does not exist.
func LacksNamespace(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}
