package kube

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// pruneAttempts bounds how often one delete is tried again because the object changed in between: controllers write
// statuses at any time.
const pruneAttempts = 4

// prune deletes one object, if it still is what was seen, or what the inventory recorded, and if nobody loses anything by
// it: see hold.
func (x *execution) prune(ctx context.Context, st step) (apply.Outcome, error) {
	out := apply.Outcome{Ref: st.change.Ref, Action: apply.Delete}
	gvk := st.change.Ref.GroupKind().WithVersion(st.set.item(st.change.Ref).Version)
	mapping, err := anyVersion(ctx, x.session, gvk)
	if meta.IsNoMatchError(err) {
		out.Note = "gone already, with its kind"
		return out, nil
	}
	if err != nil {
		return out, refusal("delete", st.change.Ref, "", err)
	}
	t, err := x.target(mapping, st.change.Ref, st.set.plan.Set.Account)
	if err != nil {
		out.Note = "never was there: its apply was refused" // in the wrong scope, so no request could have made it
		return out, nil
	}
	lv := x.observer.newest(st.change.Live)
	for range pruneAttempts {
		if lv.UID == "" {
			lv, out.Note, err = x.confirm(ctx, t, st)
			if err != nil || out.Note != "" {
				return out, err
			}
		}
		if err = x.hold(ctx, t, st); err != nil {
			return out, err
		}
		err = t.Delete(ctx, st.change.Ref.Name, deleteOptions(lv))
		if !apierrors.IsConflict(err) {
			break
		}
		lv = apply.LiveObject{} // it changed since: look again whether it is still ours
	}
	if apierrors.IsNotFound(err) {
		out.Note, err = "gone already", nil
	}
	if err != nil {
		return out, t.refusal("delete", err)
	}
	x.observer.verified(st.change.Ref, x.began)
	x.wrote(written{ref: st.change.Ref, uid: lv.UID})
	return out, nil
}

// deleteOptions name the very object that was judged: another one of that name, or a change of it, makes the delete fail.
func deleteOptions(lv apply.LiveObject) metav1.DeleteOptions {
	background := metav1.DeletePropagationBackground
	return metav1.DeleteOptions{
		PropagationPolicy: &background,
		Preconditions:     &metav1.Preconditions{UID: &lv.UID, ResourceVersion: &lv.ResourceVersion},
	}
}

// confirm reads the object that shall be deleted. A note tells why there is nothing to delete.
func (x *execution) confirm(ctx context.Context, t target, st step) (lv apply.LiveObject, note string, err error) {
	ref := st.change.Ref
	u, err := t.Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return lv, "gone already", nil
	}
	if err != nil {
		return lv, "", t.refusal("get", err)
	}
	lv = apply.Observe(ref, u)
	switch item := st.set.item(ref); {
	case lv.Deleting:
		return lv, "is being deleted already", nil
	case lv.SetID == "":
		return lv, "left alone: somebody removed its label " + api.ApplySetPartOfLabel, nil
	case !apply.Ours(st.set.plan.Set.Name, item, lv):
		return lv, "left alone: it is no longer ours", nil
	}
	return lv, "", nil
}
