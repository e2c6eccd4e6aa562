package fleet

import (
	"fmt"
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
	key, kept, err := r.reduce(obj)
	if err != nil {
		return err
	}
	r.changed(key, kept)
	return nil
}

// Delete implements cache.ReflectorStore.
func (r *reflectorStore) Delete(obj any) error {
	key, _, err := r.reduce(obj)
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
		key, kept, err := r.reduce(obj)
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
	w.session.touch()
}

// reduce returns an object's key and what is kept of it.
func (r *reflectorStore) reduce(obj any) (objectKey, any, error) {
	u, err := r.unstructured(obj)
	if err != nil {
		return objectKey{}, nil, err
	}
	return objectKey{u.GetNamespace(), u.GetName()}, r.source.watch.spec.Reduce(u), nil
}

// unstructured converts what the clients return. Metadata comes as kind PartialObjectMetadata and gets its own kind back.
func (r *reflectorStore) unstructured(obj any) (*unstructured.Unstructured, error) {
	switch typed := obj.(type) {
	case *unstructured.Unstructured:
		return typed, nil
	case *metav1.PartialObjectMetadata:
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{Object: content}
		w := r.source.watch
		u.SetAPIVersion(w.spec.Resource.GroupVersion().String())
		u.SetKind(w.kind)
		return u, nil
	default:
		return nil, fmt.Errorf("unexpected %T in a list or watch of %s", obj, r.source.watch.what())
	}
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
