package kube

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// target is where one object lives on the member, and as whom it is reached.
type target struct {
	dynamic.ResourceInterface
	metadata metadata.ResourceInterface // the same, whose answers are the metadata alone
	ref      api.Ref
	resource string // for people: "deployments.apps"
	account  string // of the Set: "namespace/name" of a service account; empty for gitfleet's own rights
}

// target tells where ref is, given how its kind is served, for the account of its Set. Nothing of a Set that names an account
// is read or written with gitfleet's own rights.
func (x *execution) target(mapping *meta.RESTMapping, ref api.Ref, account string) (target, error) {
	clients := fleet.Clients{Dynamic: x.session.Dynamic(), Metadata: x.session.Metadata()}
	if account != "" {
		clients = x.session.As(account)
	}
	client, metadataOf := clients.Dynamic.Resource(mapping.Resource), clients.Metadata.Resource(mapping.Resource)
	t := target{client, metadataOf, ref, mapping.Resource.GroupResource().String(), account}
	namespaced := mapping.Scope.Name() == meta.RESTScopeNameNamespace
	switch {
	case namespaced && ref.Namespace == "":
		return target{}, &apply.RefusedError{Ref: ref, Verb: "patch", Actor: apply.Author,
			Message: "the kind is namespaced on this member: set metadata.namespace"}
	case !namespaced && ref.Namespace != "":
		return target{}, &apply.RefusedError{Ref: ref, Verb: "patch", Actor: apply.Author,
			Message: "the kind is cluster-scoped on this member: remove metadata.namespace"}
	case namespaced:
		t.ResourceInterface, t.metadata = client.Namespace(ref.Namespace), metadataOf.Namespace(ref.Namespace)
	}
	return t, nil
}

// refusal is what the API server's err means for the object.
func (t target) refusal(verb string, err error) error {
	return refusalAs(t.account, verb, t.ref, t.resource, err)
}

// anyVersion returns how a kind is served: in the version of gvk or, where the member has dropped that one, in the
// preferred one of the others. Objects are the same in all versions, so that one is gone does not mean that they are.
func anyVersion(ctx context.Context, s *fleet.Session, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := s.Mapping(ctx, gvk)
	if meta.IsNoMatchError(err) {
		return s.Mapping(ctx, gvk.GroupKind().WithVersion(""))
	}
	return mapping, err
}
