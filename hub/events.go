package hub

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// eventsLimit bounds the sending of all Events of one Publish, for which the next one waits; what is not sent by then
// stands in the conditions only.
const eventsLimit = 2 * time.Second

// milestone is a stage of a placement that an Event tells of when it is reached.
type milestone struct {
	condition string // the type, without prefix
	reason    string // upstream's
	verb      string // precedes the condition's message: "on 2 of 2 clusters"
}

func milestones() []milestone {
	return []milestone{
		{"RolloutStarted", "PlacementRolloutStarted", "rollout started"},
		{"Overridden", "PlacementOverriddenSucceeded", "overrides settled"},
		{"WorkSynchronized", "PlacementWorkSynchronized", "work handed over"},
		{"Applied", "PlacementApplied", "applied"},
		{"Available", "PlacementAvailable", "available"},
	}
}

// reached is one milestone that a placement came to.
type reached struct {
	order           int // among the milestones
	reason, message string
}

// news returns the milestones that a placement of this kind and generation came to when its conditions became after, in order.
func news(kind string, generation int64, before, after []metav1.Condition) []reached {
	holds := func(conditions []metav1.Condition, of string) *metav1.Condition {
		c := meta.FindStatusCondition(conditions, kind+of)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != generation {
			return nil
		}
		return c
	}
	var list []reached
	complete, wasComplete := holds(after, "Scheduled") != nil, holds(before, "Scheduled") != nil
	all := milestones()
	for i, m := range all {
		was, is := holds(before, m.condition), holds(after, m.condition)
		if is != nil && was == nil {
			list = append(list, reached{i, m.reason, strings.TrimSpace(m.verb + " " + is.Message)})
		}
		complete, wasComplete = complete && is != nil, wasComplete && was != nil
	}
	if complete && !wasComplete {
		list = append(list, reached{len(all), "PlacementRolloutCompleted", "everything is in place and available on every chosen cluster"})
	}
	return list
}

// newsOf returns the Events on what a placement comes to when its status on the hub becomes status.
func (w write) newsOf(status map[string]any) []corev1.Event {
	if w.object.Placement == nil {
		return nil
	}
	var before, after placementv1beta1.PlacementStatus
	decode(w.live.status, &before)
	decode(status, &after)
	var list []corev1.Event
	for _, r := range news(w.kind.gvk.Kind, w.live.generation, before.Conditions, after.Conditions) {
		list = append(list, w.event(r))
	}
	return list
}

// event is the Event that tells of r. Of an object without a namespace it stands in "default", as the API server wants it. Its
// name keeps the order of what is told within one second, where kubectl goes by names.
func (w write) event(r reached) corev1.Event {
	apiVersion, kind := w.kind.gvk.ToAPIVersionAndKind()
	at := metav1.NewTime(w.object.Time.Truncate(time.Second))
	return corev1.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: fmt.Sprintf("%s.%d-", w.name.name, r.order), Namespace: cmp.Or(w.name.namespace, metav1.NamespaceDefault)},
		InvolvedObject: corev1.ObjectReference{APIVersion: apiVersion, Kind: kind, Namespace: w.name.namespace, Name: w.name.name,
			UID: w.live.uid, ResourceVersion: w.live.resourceVersion},
		Type: corev1.EventTypeNormal, Reason: r.reason, Message: r.message,
		Source: corev1.EventSource{Component: api.FieldManager}, ReportingController: api.FieldManager, ReportingInstance: api.FieldManager,
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}
}

// sendEvents sends the Events of each placement in their order. Nothing fails for an Event, since the conditions have all that
// it would say: where one cannot be sent, the rest of that placement's are left out.
func (p *Publisher) sendEvents(ctx context.Context, events [][]corev1.Event) {
	ctx, cancel := context.WithTimeout(ctx, eventsLimit)
	defer cancel()
	client := p.session.Dynamic().Resource(corev1.SchemeGroupVersion.WithResource("events"))
	var group errgroup.Group
	group.SetLimit(concurrent)
	for _, ofOne := range events {
		if len(ofOne) == 0 {
			continue
		}
		group.Go(func() error {
			for _, e := range ofOne {
				u := &unstructured.Unstructured{Object: encode(e)}
				if _, err := client.Namespace(e.Namespace).Create(ctx, u, metav1.CreateOptions{FieldManager: api.FieldManager}); err != nil {
					return fmt.Errorf("event %s: %w", e.Reason, err)
				}
			}
			return nil
		})
	}
	_ = group.Wait() // see above
}
