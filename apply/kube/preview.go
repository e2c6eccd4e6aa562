package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// Preview asks the member what change would come to, by reading the object and by a dry run, with the rights that set acts
// with. The error tells that nobody can say: the member is out of reach, or its answer is none. It may be called
// concurrently, also while plans are executed.
func (e *Executor) Preview(ctx context.Context, set apply.Set, change apply.Change) (apply.Preview, error) {
	mapping, err := e.session.Mapping(ctx, change.Target.GroupVersionKind())
	if meta.IsNoMatchError(err) {
		return apply.Preview{Unasked: "the member does not serve the kind", Lacks: "CustomResourceDefinition"}, nil
	}
	x := &execution{Executor: e}
	w := &writing{execution: x, step: step{set: &setRun{plan: apply.SetPlan{Set: set}}, change: change}}
	if err == nil {
		w.target, err = x.target(mapping, change.Ref, set.Account)
	}
	if err == nil {
		err = w.look(ctx)
	}
	if err != nil {
		return previewOf(err)
	}
	out := apply.Preview{Live: w.live}
	send := apply.Stamp(set.Name, change.Target).Unstructured
	if w.live != nil {
		send = apply.Strip(send, apply.Decided(change.HandOut, w.live))
	}
	body, err := json.Marshal(send.Object)
	if err != nil {
		return out, fmt.Errorf("preview %s: %w", change.Ref, err)
	}
	out.After, err = w.dryRun(ctx, change.Ref.Name, body)
	switch {
	case err == nil:
		return out, nil
	case fleet.LacksNamespace(err):
		out.Unasked, out.Lacks = "its namespace is not there", "Namespace"
		return out, nil
	case apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run"):
		out.Unasked = "an admission webhook of the member takes no dry runs"
		return out, nil
	}
	refusal := w.target.refusal("patch", err)
	if fixed := fixedFields(refusal); fixed != nil && change.Recreate {
		out.Recreate = fixed
		return out, nil
	}
	answer, err := previewOf(refusal)
	out.Refused = answer.Refused
	return out, err
}

// previewOf tells a refusal, which is an answer, from a failure to get one.
func previewOf(err error) (apply.Preview, error) {
	if _, unreachable := errors.AsType[*fleet.UnreachableError](err); unreachable {
		return apply.Preview{}, err
	}
	if _, refused := errors.AsType[*apply.RefusedError](err); refused {
		return apply.Preview{Refused: err}, nil
	}
	return apply.Preview{}, err
}
