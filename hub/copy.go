package hub

import (
	"context"
	"fmt"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/render"
)

// Copy says where the status of a ClusterResourcePlacement shows beside itself, for those who may only look into one
// namespace: as the ClusterResourcePlacementStatus of its name.
type Copy struct {
	Namespace string // empty when there is a Problem
	Problem   string // why there is no place for it
}

// copyOf returns where p wants a copy of its status; nil for nowhere.
func copyOf(p render.Placement) *Copy {
	if p.Namespace != "" || p.Spec.StatusReportingScope != placementv1beta1.NamespaceAccessible {
		return nil
	}
	for _, s := range p.Spec.ResourceSelectors {
		if s.Group == "" && s.Kind == "Namespace" && s.Name != "" {
			return &Copy{Namespace: s.Name}
		}
	}
	var selected []string
	for _, o := range p.Selected { // by labels
		if o.Envelope == nil && o.GroupVersionKind().GroupKind() == (schema.GroupKind{Kind: "Namespace"}) {
			selected = append(selected, o.GetName())
		}
	}
	if len(selected) != 1 {
		return &Copy{Problem: fmt.Sprintf("the placement selects %d Namespaces, and its status shows in one; name the Namespace in its selector", len(selected))}
	}
	return &Copy{Namespace: selected[0]}
}

// key names the copy of the status of the placement of this name.
func (c Copy) key(name string) key { return key{namespace: c.Namespace, name: name} }

// Upstream's reasons for whether a status was copied.
const (
	syncSucceeded = "StatusSyncSucceeded"
	syncFailed    = "StatusSyncFailed"
)

// withSynced returns status, that of a placement over before, with the condition on its copy. err is why that could not be written.
func (o Object) withSynced(status, before map[string]any, generation int64, err error) map[string]any {
	c := metav1.Condition{
		Type: placementv1beta1.ConditionStatusSynced, Status: metav1.ConditionTrue, Reason: syncSucceeded,
		Message:            fmt.Sprintf("the ClusterResourcePlacementStatus %s says the same", o.Copy.key(o.Body.GetName())),
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(o.Time.Truncate(time.Second)),
	}
	switch {
	case o.Copy.Problem != "":
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, syncFailed, o.Copy.Problem
	case err != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, syncFailed, err.Error()
	}
	var s, was placementv1beta1.PlacementStatus
	decode(status, &s)
	decode(before, &was)
	s.Conditions = append(s.Conditions, keepTimes([]metav1.Condition{c}, was.Conditions)...)
	return encode(s)
}

// withoutSynced leaves out the condition on the copy: it speaks of the hub, and is found anew with every write.
func withoutSynced(conditions []metav1.Condition) []metav1.Condition {
	var kept []metav1.Condition
	for _, c := range conditions {
		if c.Type != placementv1beta1.ConditionStatusSynced {
			kept = append(kept, c)
		}
	}
	return kept
}

// copies tells whether l is the copy of status of the placement with this uid.
func (l *live) copies(status map[string]any, placement types.UID) bool {
	return l != nil && l.published() && !l.deleting && l.owner == placement && reflect.DeepEqual(l.source, status)
}

// applyCopy brings the copy of a placement's status, as w wants it, to status. Its time stays where the status does.
func (p *Publisher) applyCopy(ctx context.Context, w *write, placement *live, status map[string]any, now time.Time) error {
	switch {
	case w.live.copies(status, placement.uid):
		return nil
	case w.live != nil && !w.live.published():
		return errForeign
	case w.live != nil && w.live.deleting:
		return errDeleting
	}
	updated := any(now.UTC().Format(time.RFC3339))
	if w.live != nil && w.live.updated != nil && reflect.DeepEqual(w.live.source, status) {
		updated = w.live.updated
	}
	u := &unstructured.Unstructured{Object: map[string]any{"sourceStatus": status, "lastUpdatedTime": updated}}
	u.SetGroupVersionKind(w.kind.gvk)
	u.SetName(w.name.name)
	u.SetNamespace(w.name.namespace)
	u.SetLabels(map[string]string{LabelPublished: "true"})
	// Whoever deletes the placement on the hub by hand, as after gitfleet is gone, is rid of the copy too.
	owner := metav1.NewControllerRef(&metav1.ObjectMeta{Name: placement.name, UID: placement.uid}, placementv1beta1.ClusterResourcePlacementGVK)
	owner.BlockOwnerDeletion = nil // would take the right to update the placement's finalizers
	u.SetOwnerReferences([]metav1.OwnerReference{*owner})
	return p.replace(ctx, w, u)
}

// replace makes an object what body says, all of it. It is for what shares no field with anybody, where an apply would join
// what somebody else has created meanwhile.
func (p *Publisher) replace(ctx context.Context, w *write, body *unstructured.Unstructured) error {
	return p.send(ctx, w, func() (*unstructured.Unstructured, error) {
		if w.live == nil {
			return w.kind.at(w.name).Create(ctx, body, metav1.CreateOptions{FieldManager: api.FieldManager})
		}
		body.SetUID(w.live.uid)
		body.SetResourceVersion(w.live.resourceVersion)
		return w.kind.at(w.name).Update(ctx, body, metav1.UpdateOptions{FieldManager: api.FieldManager})
	})
}
