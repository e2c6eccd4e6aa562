package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// widen lists in the parent everything that is about to be created, beside what it lists already.
func (x *execution) widen(ctx context.Context, s *setRun) error {
	if !s.plan.Widen {
		return nil
	}
	wide := s.plan.After
	wide.Items = nil
	if s.plan.Before != nil {
		wide.ResourceVersion = s.plan.Before.ResourceVersion
		wide.Items = slices.Clone(s.plan.Before.Items)
	}
	for _, it := range s.plan.After.Items {
		if _, listed := s.before[it.Ref]; !listed {
			wide.Items = append(wide.Items, apply.Item{Ref: it.Ref, Version: it.Version})
		}
	}
	slices.SortFunc(wide.Items, func(a, b apply.Item) int { return a.Compare(b.Ref) })
	return x.writeParent(ctx, s, wide)
}

// record writes what became of the Set: narrowed by what was pruned, with the answers of what was applied.
func (x *execution) record(ctx context.Context, s *setRun) error {
	after := s.plan.After
	after.Items = s.items()
	if len(after.Items) == 0 && (s.plan.Remove || s.stored == nil) {
		return x.removeParent(ctx, s)
	}
	if s.stored != nil {
		after.ResourceVersion = s.stored.ResourceVersion
		if s.stored.Equal(after) {
			return nil
		}
	}
	return x.writeParent(ctx, s, after)
}

// items returns what the inventory must hold now. What failed stays in it.
func (s *setRun) items() []apply.Item {
	var items []apply.Item
	for _, it := range s.plan.After.Items {
		before, listed := s.before[it.Ref]
		if done, ok := s.done[it.Ref]; ok {
			it = done
		} else if _, failed := s.failed[it.Ref]; failed && listed {
			it = before
		}
		items = append(items, it)
	}
	for _, c := range s.plan.Prune {
		if _, failed := s.failed[c.Ref]; failed {
			items = append(items, s.before[c.Ref])
		}
	}
	slices.SortFunc(items, func(a, b apply.Item) int { return a.Compare(b.Ref) })
	return items
}

// writeParent creates or replaces the parent. Its resourceVersion is the fence against a second writer.
func (x *execution) writeParent(ctx context.Context, s *setRun, p apply.Parent) error {
	cm, err := apply.EncodeParent(p)
	if err != nil {
		return err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cm)
	if err != nil {
		return fmt.Errorf("inventory of %s: %w", p.Name, err)
	}
	u := &unstructured.Unstructured{Object: content}
	var answer *unstructured.Unstructured
	if s.stored == nil {
		answer, err = createInSystemNamespace(ctx, x.session, x.parents(), u)
	} else {
		answer, err = x.parents().Update(ctx, u, metav1.UpdateOptions{FieldManager: api.FieldManager})
	}
	if err != nil {
		return x.parentError(p.Name, s.stored, err)
	}
	x.recorded[p.Name] = answer.GetResourceVersion()
	p.ResourceVersion = answer.GetResourceVersion()
	s.stored = &p
	x.wrote(written{api.RefOf(u), answer.GetUID(), p.ResourceVersion})
	return nil
}

// createInSystemNamespace creates u through objects, and the namespace api.SystemNamespace when that is what is missing.
func createInSystemNamespace(ctx context.Context, s *fleet.Session, objects dynamic.ResourceInterface, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	create := func() (*unstructured.Unstructured, error) {
		return objects.Create(ctx, u, metav1.CreateOptions{FieldManager: api.FieldManager})
	}
	answer, err := create()
	if !apierrors.IsNotFound(err) {
		return answer, err
	}
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": api.SystemNamespace}}}
	_, err = s.Dynamic().Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).
		Create(ctx, namespace, metav1.CreateOptions{FieldManager: api.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, refusal("create", api.RefOf(namespace), "namespaces", err)
	}
	return create()
}

func (x *execution) parents() dynamic.ResourceInterface {
	return x.session.Dynamic().Resource(configMaps).Namespace(api.SystemNamespace)
}

// removeParent deletes an empty parent.
func (x *execution) removeParent(ctx context.Context, s *setRun) error {
	if s.stored == nil {
		return nil
	}
	name := apply.ParentName(s.stored.Name)
	err := x.parents().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &s.stored.ResourceVersion}})
	if err != nil && !apierrors.IsNotFound(err) {
		return x.parentError(s.stored.Name, s.stored, err)
	}
	delete(x.recorded, s.stored.Name)
	x.wrote(written{ref: api.Ref{Kind: "ConfigMap", Namespace: api.SystemNamespace, Name: name}})
	return nil
}

// parentError tells a second writer from a plan of ours that was made too early.
func (x *execution) parentError(set string, stored *apply.Parent, err error) error {
	if refused, ok := errors.AsType[*apply.RefusedError](err); ok {
		return refused // of the namespace
	}
	last, wrote := x.recorded[set]
	if wrote && (stored == nil && apierrors.IsAlreadyExists(err) || stored != nil && apierrors.IsConflict(err) && !reached(stored.ResourceVersion, last)) {
		return apply.ErrStale
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || stored != nil && apierrors.IsNotFound(err) {
		return &apply.FencedError{Set: set, Err: err}
	}
	verb := "update"
	if stored == nil {
		verb = "create"
	}
	return refusal(verb, api.Ref{Kind: "ConfigMap", Namespace: api.SystemNamespace, Name: apply.ParentName(set)}, "configmaps", err)
}
