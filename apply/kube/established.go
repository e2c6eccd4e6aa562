package kube

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/gitfleet/gitfleet/apply"
)

// establishLimit bounds the wait for a CustomResourceDefinition; API servers take about a second.
const establishLimit = 30 * time.Second

// awaitDefinitions waits until the CustomResourceDefinitions among steps serve objects. One that does not is left to the
// next plan: its objects are refused meanwhile, and say so.
func (x *execution) awaitDefinitions(ctx context.Context, steps []step) {
	ctx, cancel := context.WithTimeout(ctx, establishLimit)
	defer cancel()
	for _, st := range steps {
		if _, ok := st.set.done[st.change.Ref]; !ok || !apply.IsDefinition(st.change.Ref.GroupKind()) {
			continue
		}
		if awaitEstablished(ctx, x.session.Dynamic().Resource(definitions), st.change.Ref.Name) != nil {
			continue
		}
		for _, gvk := range apply.Defines(st.change.Target.Unstructured) {
			until(ctx, func() bool { // the session's own watch of definitions is about to show it
				_, err := x.session.Mapping(ctx, gvk)
				return !meta.IsNoMatchError(err)
			})
		}
	}
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// awaitEstablished watches one CustomResourceDefinition until it is established.
func awaitEstablished(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	u, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil || isEstablished(u) {
		return err
	}
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		options.FieldSelector = only
		return client.Watch(ctx, options)
	}}
	_, err = watchtools.Until(ctx, u.GetResourceVersion(), source, func(e watch.Event) (bool, error) {
		u, ok := e.Object.(*unstructured.Unstructured)
		return ok && e.Type != watch.Deleted && isEstablished(u), nil
	})
	return err
}

func isEstablished(u *unstructured.Unstructured) bool {
	return apply.HealthOf(u, time.Time{}).Status == apply.Current
}
