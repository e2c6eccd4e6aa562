package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// establishLimit bounds the wait for a CustomResourceDefinition; API servers take about a second.
const establishLimit = 30 * time.Second

// target is where one object lives on the member.
type target struct {
	dynamic.ResourceInterface
	resource string // for people: "deployments.apps"
}

// target tells where ref is, given how its kind is served.
func (x *execution) target(mapping *meta.RESTMapping, ref api.Ref) (target, error) {
	client := x.session.Dynamic().Resource(mapping.Resource)
	t := target{client, mapping.Resource.GroupResource().String()}
	namespaced := mapping.Scope.Name() == meta.RESTScopeNameNamespace
	switch {
	case namespaced && ref.Namespace == "":
		return target{}, &apply.RefusedError{Ref: ref, Verb: "patch", Actor: apply.Author,
			Message: "the kind is namespaced on this member: set metadata.namespace"}
	case !namespaced && ref.Namespace != "":
		return target{}, &apply.RefusedError{Ref: ref, Verb: "patch", Actor: apply.Author,
			Message: "the kind is cluster-scoped on this member: remove metadata.namespace"}
	case namespaced:
		t.ResourceInterface = client.Namespace(ref.Namespace)
	}
	return t, nil
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

// apply creates or updates one object.
func (x *execution) apply(ctx context.Context, st step) (apply.Outcome, error) {
	c := st.change
	out := apply.Outcome{Ref: c.Ref, Action: c.Action}
	mapping, err := x.session.Mapping(ctx, c.Object.GroupVersionKind())
	if err != nil {
		return out, refusal("patch", c.Ref, "", err)
	}
	t, err := x.target(mapping, c.Ref)
	if err != nil {
		return out, err
	}
	body, err := json.Marshal(c.Object.Object)
	if err != nil {
		return out, fmt.Errorf("apply %s: %w", c.Ref, err)
	}
	if c.Verify {
		live, needed, err := x.verify(ctx, t, c, body)
		if err != nil {
			return out, err
		}
		if !needed {
			out.Note = "nothing of ours differs: not written"
			x.settled(st, live)
			return out, nil
		}
	}
	answer, err := t.Patch(ctx, c.Ref.Name, types.ApplyPatchType, body, applyOptions())
	if err != nil {
		return out, refusal("patch", c.Ref, t.resource, err)
	}
	x.settled(st, answer)
	x.wrote(written{c.Ref, answer.GetUID(), answer.GetResourceVersion()})
	if c.Repair {
		x.observer.repaired(c.Ref, time.Now())
	}
	if c.Action == apply.Create && !onlyOurs(answer) {
		out.Note = "adopted: it existed already"
	}
	return out, nil
}

// applyOptions have the API server refuse fields that it does not know, instead of dropping them silently, and take over
// fields that others own: Git decides about what it names.
func applyOptions() metav1.PatchOptions {
	force := true
	return metav1.PatchOptions{FieldManager: api.FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict}
}

// verify asks with a dry run whether an apply would change a value or an owner. live is the object as it is.
func (x *execution) verify(ctx context.Context, t target, c apply.Change, body []byte) (live *unstructured.Unstructured, needed bool, err error) {
	live, err = t.Get(ctx, c.Ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, refusal("get", c.Ref, t.resource, err)
	}
	options := applyOptions()
	options.DryRun = []string{metav1.DryRunAll}
	answer, err := t.Patch(ctx, c.Ref.Name, types.ApplyPatchType, body, options)
	if err != nil {
		if apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run") {
			return live, true, nil // an admission webhook with side effects: only a real apply can tell
		}
		return nil, false, refusal("patch", c.Ref, t.resource, err)
	}
	return live, apply.Differs(live, answer), nil
}

// settled notes what the inventory must hold of an object that is as it should be.
func (x *execution) settled(st step, u *unstructured.Unstructured) {
	x.mu.Lock()
	defer x.mu.Unlock()
	st.set.done[st.change.Ref] = apply.Item{Ref: st.change.Ref, Version: st.change.Object.GroupVersionKind().Version,
		UID: u.GetUID(), EntryHash: apply.EntryHash(u.GetManagedFields())}
}

// onlyOurs tells that nobody else has ever written to the object: a server-side apply that creates leaves no other entry.
func onlyOurs(u *unstructured.Unstructured) bool {
	for _, m := range u.GetManagedFields() {
		if m.Manager != api.FieldManager {
			return false
		}
	}
	return true
}

// awaitDefinitions waits until the CustomResourceDefinitions among steps serve objects. One that does not is left to the
// next plan: its objects are refused meanwhile, and say so.
func (x *execution) awaitDefinitions(ctx context.Context, steps []step) {
	ctx, cancel := context.WithTimeout(ctx, establishLimit)
	defer cancel()
	for _, st := range steps {
		if _, ok := st.set.done[st.change.Ref]; !ok || !apply.IsDefinition(st.change.Ref.GroupKind()) {
			continue
		}
		if awaitEstablished(ctx, x.session.Dynamic().Resource(definitions), st.change.Ref.Name) != nil {
			continue
		}
		for _, gvk := range apply.Defines(st.change.Object.Unstructured) {
			until(ctx, func() bool { // the session's own watch of definitions is about to show it
				_, err := x.session.Mapping(ctx, gvk)
				return !meta.IsNoMatchError(err)
			})
		}
	}
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// awaitEstablished watches one CustomResourceDefinition until it is established.
func awaitEstablished(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	u, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil || isEstablished(u) {
		return err
	}
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		options.FieldSelector = only
		return client.Watch(ctx, options)
	}}
	_, err = watchtools.Until(ctx, u.GetResourceVersion(), source, func(e watch.Event) (bool, error) {
		u, ok := e.Object.(*unstructured.Unstructured)
		return ok && e.Type != watch.Deleted && isEstablished(u), nil
	})
	return err
}

func isEstablished(u *unstructured.Unstructured) bool {
	return apply.HealthOf(u, time.Time{}).Status == apply.Current
}
