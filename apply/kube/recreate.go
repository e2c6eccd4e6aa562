package kube

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// fixedFields returns the fields that an apply was refused for, because they cannot be changed; nil when err is another.
func fixedFields(err error) []string {
	if refused, ok := errors.AsType[*apply.RefusedError](err); ok {
		return refused.Immutable
	}
	return nil
}

// recreate deletes the object because fields of it cannot be changed, if its author allowed that; the plan after the one that
// sees it gone creates it. refused is why it cannot be applied, and what is returned when it may not be deleted.
//
// Nothing healthy is deleted for a wish that cannot be had: the API server must first accept it as a new object. And an object
// that was made from this very wish is not deleted again, whoever altered the field meanwhile.
func (w *writing) recreate(ctx context.Context, out apply.Outcome, fixed []string, refused error) (apply.Outcome, error) {
	c := w.change
	if !c.Recreate {
		return out, refused
	}
	if err := w.look(ctx); err != nil || w.live == nil {
		return out, errors.Join(refused, err) // gone by now: the next plan creates it
	}
	fields := strings.Join(fixed, ", ")
	if why := w.keep(); why != "" {
		return out, &apply.RefusedError{Ref: c.Ref, Verb: "delete", Actor: apply.Author, Message: fmt.Sprintf(
			"%s cannot be changed, and the object is not deleted to create it anew: %s", fields, why)}
	}
	if err := w.prove(ctx); err != nil {
		return out, err
	}
	if err := w.hold(ctx, w.target, w.step); err != nil {
		return out, err
	}
	lv := apply.Observe(c.Ref, w.live)
	err := w.target.Delete(ctx, c.Ref.Name, deleteOptions(lv))
	if err != nil && !apierrors.IsNotFound(err) {
		return out, w.target.refusal("delete", err)
	}
	w.wrote(written{ref: c.Ref, uid: lv.UID})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set.done[c.Ref] = apply.Item{Ref: c.Ref, Version: c.Target.Version} // not created yet
	out.Note = fmt.Sprintf("deleted, to be created anew once it is gone: %s cannot be changed", fields)
	return out, nil
}

// keep returns why the object as it is must not be deleted.
func (w *writing) keep() string {
	c := w.change
	switch {
	case apply.IsDefinition(c.Ref.GroupKind()):
		return "all custom resources of the kind would go with it; delete it with kubectl if that is what you want"
	case w.live.GetDeletionTimestamp() != nil:
		return "it is being deleted already"
	case apply.EntryHash(w.live.GetManagedFields()) == "" || w.owned(w.set.plan.Set.Source).Foreign(c.Ref, w.live):
		return "gitfleet did not create it; delete it with kubectl if that is what you want"
	case w.live.GetAnnotations()[api.AnnotationAppliedHash] == c.Target.Hash:
		return "it was created from this very manifest, and something else sets that field, an admission webhook perhaps"
	}
	return ""
}

// prove asks the API server with a dry run whether it would accept the object as a new one: under another name, because the
// old one is still there.
func (w *writing) prove(ctx context.Context) error {
	c := w.change
	body := newcomer(w.object, w.live)
	raw, err := json.Marshal(body.Object)
	if err != nil {
		return fmt.Errorf("apply %s: %w", c.Ref, err)
	}
	if _, err = w.dryRun(ctx, body.GetName(), raw); err == nil {
		return nil
	}
	err = w.target.refusal("patch", err)
	if refused, ok := errors.AsType[*apply.RefusedError](err); ok {
		refused.Message = "not deleted to create it anew, because the new one would be refused: " + refused.Message
	}
	return err
}

// newcomer returns u as it would be created beside live: under a name that nobody uses, and without the addresses and ports
// of a Service that only one can have, as far as live has them.
func newcomer(u, live *unstructured.Unstructured) *unstructured.Unstructured {
	out := u.DeepCopy()
	sum := sha256.Sum256([]byte(u.GetNamespace() + "/" + u.GetName()))
	out.SetName(fmt.Sprintf("gitfleet-proof-%x", sum[:6]))
	if out.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Service"}) {
		return out
	}
	if ip, _, _ := unstructured.NestedString(live.Object, "spec", "clusterIP"); ip != "" && ip != "None" {
		if wish, _, _ := unstructured.NestedString(out.Object, "spec", "clusterIP"); wish == ip {
			unstructured.RemoveNestedField(out.Object, "spec", "clusterIP")
			unstructured.RemoveNestedField(out.Object, "spec", "clusterIPs")
		}
	}
	taken := map[any]bool{}
	for _, port := range ports(live) {
		taken[port["nodePort"]] = true
	}
	for _, port := range ports(out) {
		if taken[port["nodePort"]] {
			delete(port, "nodePort")
		}
	}
	return out
}

// ports returns the ports of a Service, shared with it.
func ports(service *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedFieldNoCopy(service.Object, "spec", "ports")
	items, _ := list.([]any)
	var out []map[string]any
	for _, item := range items {
		if port, ok := item.(map[string]any); ok {
			out = append(out, port)
		}
	}
	return out
}
