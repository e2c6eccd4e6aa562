package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// writing is one object being applied.
type writing struct {
	*execution
	step
	target target
	object *unstructured.Unstructured // as it is wished
	live   *unstructured.Unstructured // before the apply, if it was looked at: nil otherwise, and when it was not there
	body   []byte                     // what is applied
}

// apply creates or updates one object.
func (x *execution) apply(ctx context.Context, st step) (apply.Outcome, error) {
	c := st.change
	out := apply.Outcome{Ref: c.Ref, Action: c.Action}
	mapping, err := x.session.Mapping(ctx, c.Target.GroupVersionKind())
	if err != nil {
		return out, refusal("patch", c.Ref, "", err)
	}
	w := &writing{execution: x, step: st, object: apply.Stamp(st.set.plan.Set.Name, c.Target).Unstructured}
	if w.target, err = x.target(mapping, c.Ref, st.set.plan.Set.Account); err != nil {
		return out, err
	}
	if err := w.prepare(ctx); err != nil {
		return out, err
	}
	needed, err := w.verify(ctx)
	if err == nil && !needed {
		out.Note = "nothing of ours differs: not written"
		return out, w.settle(ctx, w.live)
	}
	if err == nil {
		err = w.write(ctx, &out)
	}
	if fixed := fixedFields(err); fixed != nil {
		return w.recreate(ctx, out, fixed, err)
	}
	return out, err
}

// prepare looks at the object as it is, where that matters, and decides what is applied. Fields that are given away are
// applied to a new object only; an older one of ours gives them up first, because leaving them out would reset them.
func (w *writing) prepare(ctx context.Context) error {
	c := w.change
	send := w.object
	if c.Verify || c.Repair || len(c.HandOut) > 0 {
		if err := w.look(ctx); err != nil {
			return err
		}
	}
	if len(c.HandOut) > 0 && w.live != nil {
		if err := w.checkHandOut(ctx); err != nil {
			return err
		}
		owned, err := w.own(ctx, w.live)
		if err != nil {
			return err
		}
		live := owned.(*unstructured.Unstructured) // as it was given
		w.live = live
		send = apply.Strip(send, apply.Decided(c.HandOut, live))
	}
	var err error
	if w.body, err = json.Marshal(send.Object); err != nil {
		return fmt.Errorf("apply %s: %w", c.Ref, err)
	}
	return nil
}

// look reads the object as it is.
func (w *writing) look(ctx context.Context) error {
	live, err := w.target.Get(ctx, w.change.Ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		w.live = nil
		return nil
	case err != nil:
		return w.target.refusal("get", err)
	}
	w.live = live
	return nil
}

// write applies the object in earnest.
func (w *writing) write(ctx context.Context, out *apply.Outcome) error {
	c := w.change
	var answer metav1.Object
	var whole *unstructured.Unstructured // where what was put back must be told
	var err error
	if c.Repair {
		whole, err = w.target.Patch(ctx, c.Ref.Name, types.ApplyPatchType, w.body, applyOptions())
		answer = whole
	} else {
		answer, err = w.target.metadata.Patch(ctx, c.Ref.Name, types.ApplyPatchType, w.body, applyOptions())
	}
	if err != nil {
		return w.target.refusal("patch", err)
	}
	now := time.Now()
	if c.Repair {
		w.observer.repaired(c.Ref, now)
		drift := apply.DriftOf(w.live, whole, now)
		out.Drift = &drift
	}
	if c.Action == apply.Create && !onlyOurs(answer) {
		out.Note = "adopted: it existed already"
	}
	w.observer.served(c.Target.GroupVersionKind())
	w.wrote(written{c.Ref, answer.GetUID(), answer.GetResourceVersion()})
	if err := w.settle(ctx, answer); err != nil {
		return err
	}
	if out.Drift != nil {
		w.tell(w.step, whole, *out.Drift)
	}
	return nil
}

// applyOptions have the API server refuse fields that it does not know, instead of dropping them silently, and take over
// fields that others own: Git decides about what it names.
func applyOptions() metav1.PatchOptions {
	force := true
	return metav1.PatchOptions{FieldManager: api.FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict}
}

// verify asks with a dry run whether an apply would change a value or an owner, if the change is to be verified.
func (w *writing) verify(ctx context.Context) (needed bool, err error) {
	if !w.change.Verify || w.live == nil {
		return true, nil
	}
	answer, err := w.dryRun(ctx, w.change.Ref.Name, w.body)
	if err != nil {
		if apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run") {
			return true, nil // an admission webhook with side effects: only a real apply can tell
		}
		return false, w.target.refusal("patch", err)
	}
	return apply.Differs(w.live, answer), nil
}

// dryRun asks what would become of an apply under name. The error is the API server's.
func (w *writing) dryRun(ctx context.Context, name string, body []byte) (*unstructured.Unstructured, error) {
	options := applyOptions()
	options.DryRun = []string{metav1.DryRunAll}
	return w.target.Patch(ctx, name, types.ApplyPatchType, body, options)
}

// settle brings the ownership of an object's fields in order and notes what the inventory must hold of it.
func (w *writing) settle(ctx context.Context, u metav1.Object) error {
	u, err := w.own(ctx, u)
	if err != nil {
		return err
	}
	entries := u.GetManagedFields()
	if len(w.change.HandOut) > 0 {
		if err := apply.CheckHandOut(w.object, entries, w.change.HandOut); err != nil {
			return w.indivisible(err)
		}
	}
	w.observer.verified(w.change.Ref, w.began)
	item := apply.Item{Ref: w.change.Ref, Version: w.change.Target.Version,
		UID: u.GetUID(), EntryHash: apply.EntryHash(entries)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set.done[w.change.Ref] = item
	return nil
}

// onlyOurs tells that nobody else has ever written to the object: a server-side apply that creates leaves no other entry.
func onlyOurs(u metav1.Object) bool {
	for _, m := range u.GetManagedFields() {
		if m.Manager != api.FieldManager {
			return false
		}
	}
	return true
}
