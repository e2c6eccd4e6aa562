package fleet

import (
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// reflectorStore is the side of a watch that a reflector writes to: it reduces what arrives.
type reflectorStore struct{ source *listWatcher }

// Add implements cache.ReflectorStore.
func (r *reflectorStore) Add(obj any) error { return r.Update(obj) }

// Update implements cache.ReflectorStore.
func (r *reflectorStore) Update(obj any) error {
	key, kept, err := r.source.watch.reduce(obj)
	if err != nil {
		return err
	}
	r.changed(key, kept)
	return nil
}

// Delete implements cache.ReflectorStore.
func (r *reflectorStore) Delete(obj any) error {
	key, _, err := r.source.watch.reduce(obj)
	if err != nil {
		return err
	}
	r.changed(key, nil)
	return nil
}

// Replace implements cache.ReflectorStore. It is called with complete lists only.
func (r *reflectorStore) Replace(objs []any, _ string) error {
	items := make(map[objectKey]any, len(objs))
	for _, obj := range objs {
		key, kept, err := r.source.watch.reduce(obj)
		if err != nil {
			return err
		}
		if kept != nil {
			items[key] = kept
		}
	}
	w := r.source.watch
	changed, initial := w.replace(items, r.source.epoch)
	if w.onChange != nil {
		for _, key := range changed {
			w.onChange(key.name, initial)
		}
	}
	w.session.touch() // at least Synced has changed
	return nil
}

// Resync implements cache.ReflectorStore. There is nobody to tell everything again.
func (r *reflectorStore) Resync() error { return nil }

func (r *reflectorStore) changed(key objectKey, kept any) {
	w := r.source.watch
	if !w.set(key, kept) {
		return
	}
	if w.onChange != nil {
		w.onChange(key.name, false)
	}
	if w.throttle != nil {
		w.throttle.call(w.session.touch)
		return
	}
	w.session.touch()
}

// reduce returns an object's key and what is kept of it.
func (w *Watch) reduce(obj any) (objectKey, any, error) {
	if known, ok := obj.(*arrival); ok {
		return known.key, known.kept, nil
	}
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok && w.spec.ReduceMetadata != nil {
		return objectKey{m.Namespace, m.Name}, w.spec.ReduceMetadata(w.spec.Resource.GroupVersion().WithKind(w.kind), m), nil
	}
	u, err := w.unstructured(obj)
	if err != nil {
		return objectKey{}, nil, err
	}
	return objectKey{u.GetNamespace(), u.GetName()}, w.spec.Reduce(u), nil
}

// unstructured converts what the clients return. Metadata comes as kind PartialObjectMetadata and gets its own kind back.
func (w *Watch) unstructured(obj any) (*unstructured.Unstructured, error) {
	switch typed := obj.(type) {
	case *unstructured.Unstructured:
		return typed, nil
	case *metav1.PartialObjectMetadata:
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{Object: content}
		u.SetAPIVersion(w.spec.Resource.GroupVersion().String())
		u.SetKind(w.kind)
		return u, nil
	default:
		return nil, fmt.Errorf("unexpected %T in a list or watch of %s", obj, w.what())
	}
}

// arrival is an object of a list, reduced.
type arrival struct {
	metav1.TypeMeta
	key  objectKey
	kept any
}

// DeepCopyObject implements runtime.Object. What is kept is never changed, so it is shared.
func (a *arrival) DeepCopyObject() runtime.Object { return &arrival{a.TypeMeta, a.key, a.kept} }

// page is a page of a list, reduced.
type page struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []*arrival
}

// DeepCopyObject implements runtime.Object.
func (p *page) DeepCopyObject() runtime.Object {
	return &page{p.TypeMeta, *p.ListMeta.DeepCopy(), slices.Clone(p.Items)}
}

// reducePage reduces a page of a list as a client returned it.
func reducePage[T any](w *Watch, list metav1.ListInterface, items []T) (*page, error) {
	p := &page{
		ListMeta: metav1.ListMeta{
			ResourceVersion: list.GetResourceVersion(), Continue: list.GetContinue(), RemainingItemCount: list.GetRemainingItemCount(),
		},
		Items: make([]*arrival, 0, len(items)),
	}
	for i := range items {
		key, kept, err := w.reduce(&items[i])
		if err != nil {
			return nil, err
		}
		if kept != nil {
			p.Items = append(p.Items, &arrival{key: key, kept: kept})
		}
	}
	return p, nil
}

// relay passes a stream of events on and tells of an error event, which a reflector only logs.
type relay struct {
	source watch.Interface
	result chan watch.Event
	done   chan struct{}
	stop   sync.Once
}

// newRelay relays source until it ends or Stop is called; then it calls over.
func newRelay(source watch.Interface, failed func(error), over func()) *relay {
	r := &relay{source: source, result: make(chan watch.Event), done: make(chan struct{})}
	go func() {
		defer over()
		r.run(failed)
	}()
	return r
}

func (r *relay) run(failed func(error)) {
	defer close(r.result)
	defer r.source.Stop()
	for {
		select {
		case <-r.done:
			return
		case event, ok := <-r.source.ResultChan():
			if !ok {
				return
			}
			if event.Type == watch.Error {
				failed(apierrors.FromObject(event.Object))
			}
			select {
			case <-r.done:
				return
			case r.result <- event:
			}
		}
	}
}

// Stop implements watch.Interface.
func (r *relay) Stop() { r.stop.Do(func() { close(r.done) }) }

// ResultChan implements watch.Interface.
func (r *relay) ResultChan() <-chan watch.Event { return r.result }
