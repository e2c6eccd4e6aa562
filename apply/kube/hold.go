package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// pageSize is how many objects are asked for in one request while looking for foreign ones.
const pageSize = 500

// hold returns an *apply.HeldError when the delete of an object would take something with it that gitfleet did not
// create: what is in a Namespace, the custom resources of a CustomResourceDefinition, the data of a volume that was there
// before. What cannot be read counts as foreign. A volume that gitfleet created is deleted, whatever its pods wrote to it.
//
// What existed before we first applied it is in the commit and so ours to change. When it leaves the commit it is deleted
// like the rest, which for a Namespace that was adopted is the dangerous case; this rule covers it.
//
// A person who has confirmed the removals has confirmed this too, and nothing is looked at.
//
// Between the answer and the delete something may still be created there: Kubernetes has no precondition for that.
func (x *execution) hold(ctx context.Context, t target, st step) error {
	if st.set.plan.Set.Confirmed {
		return nil
	}
	ref, source := st.change.Ref, st.set.plan.Set.Source
	var foreign []api.Ref
	var err error
	switch gk := ref.GroupKind(); {
	case gk == schema.GroupKind{Kind: "Namespace"}:
		foreign, err = x.foreignContent(ctx, ref.Name, x.owned(source))
	case apply.IsDefinition(gk):
		foreign, err = x.foreignInstances(ctx, t, ref, x.owned(source))
	case apply.IsVolume(gk):
		err = foreignVolume(ctx, t, ref)
	}
	if len(foreign) == 0 && err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fleet.UnreachableError](err); ok || err != nil && ctx.Err() != nil {
		return fmt.Errorf("delete %s: %w", ref, err)
	}
	return &apply.HeldError{Ref: ref, Foreign: foreign, Digest: st.set.plan.Set.Digest, Err: err}
}

// foreignContent looks for what is foreign in a namespace, of every kind that the member serves: one request a kind.
func (x *execution) foreignContent(ctx context.Context, namespace string, owned apply.Owned) ([]api.Ref, error) {
	resources, err := x.session.NamespacedResources(ctx, "list", "delete")
	if err != nil {
		return nil, err
	}
	found := make([][]api.Ref, len(resources))
	var g errgroup.Group
	g.SetLimit(concurrency)
	for i, r := range resources {
		if apply.IsBookkeeping(r.GroupVersionKind.GroupKind()) {
			continue
		}
		g.Go(func() (err error) {
			found[i], err = x.foreign(ctx, r, namespace, owned)
			return err
		})
	}
	err = g.Wait()
	foreign := slices.Concat(found...)
	slices.SortFunc(foreign, api.Ref.Compare)
	return foreign, err
}

// foreignInstances looks for foreign custom resources of a definition.
func (x *execution) foreignInstances(ctx context.Context, t target, ref api.Ref, owned apply.Owned) ([]api.Ref, error) {
	crd, err := t.Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, t.refusal("get", err)
	}
	if !everEstablished(crd) {
		return nil, nil
	}
	served := apply.Defines(crd)
	if len(served) == 0 {
		return nil, errors.New("none of its versions is served, so its custom resources cannot be listed")
	}
	plural, _, err := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	if err != nil {
		return nil, err
	}
	mapping := &meta.RESTMapping{Resource: served[0].GroupVersion().WithResource(plural), GroupVersionKind: served[0]}
	return x.foreign(ctx, mapping, "", owned)
}

// everEstablished tells whether a definition has ever served an object: the condition is never taken back.
func everEstablished(crd *unstructured.Unstructured) bool {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return err != nil || slices.ContainsFunc(conditions, func(e any) bool {
		c, _ := e.(map[string]any)
		return c["type"] == "Established" && c["status"] == "True"
	})
}

// foreignVolume returns why a volume is not only gitfleet's.
func foreignVolume(ctx context.Context, t target, ref api.Ref) error {
	u, err := t.Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return t.refusal("get", err)
	}
	if apply.EntryHash(u.GetManagedFields()) == "" {
		return errors.New("its managedFields were cleared, so nobody can say who created it")
	}
	if who := apply.CoCreator(u); who != "" {
		return fmt.Errorf("%s created it before gitfleet applied it, or applies it too", who)
	}
	return nil
}

// foreign lists the metadata of the objects of one kind, in one namespace or ("") in all, and returns those that are
// foreign, in order.
func (x *execution) foreign(ctx context.Context, r *meta.RESTMapping, namespace string, owned apply.Owned) ([]api.Ref, error) {
	var out []api.Ref
	gk := r.GroupVersionKind.GroupKind()
	for options := (metav1.ListOptions{Limit: pageSize}); ; {
		page, err := x.session.Metadata().Resource(r.Resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return nil, refusal("list", api.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: namespace}, r.Resource.GroupResource().String(), err)
		}
		for i := range page.Items {
			m := &page.Items[i]
			ref := api.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: m.Namespace, Name: m.Name}
			if owned.Foreign(ref, m) {
				out = append(out, ref)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return out, nil
		}
	}
}

// owned is what the inventories of one source list: as observed, and as this execution found and leaves them. What another
// repository brought here is as foreign as what a person did.
func (x *execution) owned(source string) apply.Owned {
	parents := x.observer.inventories()
	for _, s := range x.sets {
		parents = append(parents, s.plan.After)
		if s.plan.Before != nil {
			parents = append(parents, *s.plan.Before)
		}
	}
	return apply.NewOwned(slices.DeleteFunc(parents, func(p apply.Parent) bool { return p.Source != "" && p.Source != source })...)
}
