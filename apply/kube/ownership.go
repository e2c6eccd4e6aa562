package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// ownAttempts bounds how often ownership is put in order anew because the object changed in between.
const ownAttempts = 5

// own brings the ownership of an object's fields in order, by a patch of its managedFields: what is given away is no longer
// ours, and when the object was adopted nobody who had it before keeps a share in what is. Mostly there is nothing to do, and
// no request. It returns the object as it is then.
func (w *writing) own(ctx context.Context, u metav1.Object) (metav1.Object, error) {
	ref, adopting := w.change.Ref, w.adopting()
	if !adopting && len(w.change.HandOut) == 0 {
		return u, nil
	}
	for range ownAttempts {
		entries, change, err := apply.Ownership(u.GetManagedFields(), w.change.HandOut, adopting)
		if err != nil {
			return nil, fmt.Errorf("own %s: %w", ref, err)
		}
		if !change {
			return u, nil
		}
		body, err := ownershipPatch(u.GetResourceVersion(), entries)
		if err != nil {
			return nil, fmt.Errorf("own %s: %w", ref, err)
		}
		answer, err := w.target.Patch(ctx, ref.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: api.FieldManager})
		if err == nil {
			w.wrote(written{ref, answer.GetUID(), answer.GetResourceVersion()})
			return answer, nil
		}
		if !apierrors.IsConflict(err) {
			return nil, w.target.refusal("patch", err)
		}
		if u, err = w.target.Get(ctx, ref.Name, metav1.GetOptions{}); err != nil {
			return nil, w.target.refusal("get", err)
		}
	}
	return nil, &apply.RefusedError{Ref: ref, Verb: "patch", Actor: apply.Retry,
		Message: "others change it all the time, so the ownership of its fields cannot be put in order; tried again by itself"}
}

// adopting tells that the object was not known to be ours before, or that its bookkeeping was lost. Who else has fields of a
// volume tells who created it, which decides whether it may be deleted: see apply.CoCreator. So there all stays as it is.
func (w *writing) adopting() bool {
	if apply.IsVolume(w.change.Ref.GroupKind()) {
		return false
	}
	return w.change.Live.EntryHash == "" || w.set.item(w.change.Ref).EntryHash == ""
}

// ownershipPatch is a JSON patch that fails with a conflict when the object is not that version any more.
func ownershipPatch(version string, entries []metav1.ManagedFieldsEntry) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	return json.Marshal([]operation{
		{"replace", "/metadata/resourceVersion", version},
		{"replace", "/metadata/managedFields", entries},
	})
}

// checkHandOut refuses to give away what is a part of something that has one owner: left out, it would be lost. An object
// that is not ours yet shows that in a dry run only.
func (w *writing) checkHandOut(ctx context.Context) error {
	object := w.object
	entries := w.live.GetManagedFields()
	if apply.EntryHash(entries) == "" {
		whole, err := json.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("apply %s: %w", w.change.Ref, err)
		}
		answer, err := w.dryRun(ctx, w.change.Ref.Name, whole)
		if err != nil {
			return w.target.refusal("patch", err)
		}
		entries = answer.GetManagedFields()
	}
	if err := apply.CheckHandOut(object, entries, w.change.HandOut); err != nil {
		return w.indivisible(err)
	}
	return nil
}

// indivisible turns what apply.CheckHandOut says into words for the author.
func (w *writing) indivisible(err error) error {
	inside, ok := errors.AsType[*apply.IndivisibleError](err)
	if !ok {
		return fmt.Errorf("own %s: %w", w.change.Ref, err)
	}
	return &apply.RefusedError{Ref: w.change.Ref, Verb: "patch", Actor: apply.Author, Message: inside.Error(), Err: inside}
}
