package kube

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

const (
	// eventsLimit bounds the sending of all events of one execution; the rest is in the report only.
	eventsLimit = 2 * time.Second
	// eventMessage is how many runes the message of an Event takes at most, below the 1,024 bytes that API servers allow:
	// noteLengthLimit in k8s.io/kubernetes/pkg/apis/core/validation.
	eventMessage = 500
)

var eventsResource = schema.GroupVersionResource{Version: "v1", Resource: "events"}

// event is an Event to be sent about an object that drifted, after everything that matters.
type event struct {
	step
	object *unstructured.Unstructured // as it was put back
	drift  apply.Drift
}

// tell has an Event sent about an object whose drift was put back.
func (x *execution) tell(st step, object *unstructured.Unstructured, d apply.Drift) {
	if apply.IsBookkeeping(st.change.Ref.GroupKind()) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.events = append(x.events, event{st, object, d})
}

// sendEvents sends what tell noted. Nothing fails for an Event: that it is not allowed is noted on one outcome, once; other
// trouble passes without a word, because the report has all that the Event would say.
func (x *execution) sendEvents(ctx context.Context) {
	if len(x.events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, eventsLimit)
	defer cancel()
	errs := make([]error, len(x.events))
	var g errgroup.Group
	g.SetLimit(concurrency)
	for i, e := range x.events {
		g.Go(func() error {
			u := e.unstructured()
			_, errs[i] = x.session.Dynamic().Resource(eventsResource).Namespace(u.GetNamespace()).Create(ctx, u, metav1.CreateOptions{FieldManager: api.FieldManager})
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	for i, err := range errs {
		switch denied := apierrors.IsForbidden(err); {
		case err == nil:
			x.mute = false
		case denied && !x.mute:
			x.mute = true
			x.remark(x.events[i].step, fmt.Sprintf("no Event was sent: grant gitfleet's user create on events in namespace %s", x.events[i].namespace()))
		}
	}
}

// remark adds to the note on the outcome of a step.
func (x *execution) remark(st step, note string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	outcomes := x.result.Outcomes[st.set.plan.Set.Name]
	for i := range outcomes {
		if o := &outcomes[i]; o.Ref == st.change.Ref {
			if o.Note != "" {
				note = o.Note + "; " + note
			}
			o.Note = note
		}
	}
}

// namespace is where the Event goes: objects without a namespace have theirs in "default", as kubectl looks for them.
func (e event) namespace() string { return cmp.Or(e.object.GetNamespace(), metav1.NamespaceDefault) }

// unstructured returns the Event of k8s.io/api/core/v1.
func (e event) unstructured() *unstructured.Unstructured {
	message := []rune(e.drift.String() + "; put back to what Git says")
	if len(message) > eventMessage {
		message = append(message[:eventMessage], '…')
	}
	at := e.drift.Time.UTC().Format(time.RFC3339)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata": map[string]any{"generateName": "gitfleet-", "namespace": e.namespace()},
		"involvedObject": map[string]any{
			"apiVersion": e.object.GetAPIVersion(), "kind": e.object.GetKind(), "namespace": e.object.GetNamespace(), "name": e.object.GetName(),
			"uid": string(e.object.GetUID()), "resourceVersion": e.object.GetResourceVersion(),
		},
		"type": "Normal", "reason": "DriftCorrected", "message": string(message),
		"source":             map[string]any{"component": api.FieldManager},
		"reportingComponent": api.FieldManager, "reportingInstance": api.FieldManager,
		"firstTimestamp": at, "lastTimestamp": at, "count": int64(1),
	}}
}
