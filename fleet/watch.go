package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// WatchSpec is what to watch and what to keep of it.
type WatchSpec struct {
	Key           string // names the watch within its session
	Resource      schema.GroupVersionResource
	Namespace     string // empty for all, or for cluster-scoped kinds
	LabelSelector string
	FieldSelector string
	// Metadata asks for metadata only; Reduce then sees apiVersion, kind and metadata.
	Metadata bool
	// Reduce turns an object into what is kept of it, on arrival; nil keeps nothing. It must be pure: not change the
	// object, and give an equal result for an equal object. Who keeps part of the object must copy what it changes.
	// Without Reduce the object itself is kept.
	Reduce func(*unstructured.Unstructured) any
	// ReduceMetadata takes the place of Reduce where Metadata is asked for, and costs a fraction of it. It also gets the kind,
	// which metadata alone does not tell. What holds for Reduce holds for it.
	ReduceMetadata func(schema.GroupVersionKind, metav1.Object) any
	// Minor tells that what is kept of an object changed in a way that nobody waits for: it is kept, and nobody notified. nil
	// when every change matters.
	Minor func(before, now any) bool
}

// Watch is the live content of one WatchSpec. All methods may be called from any goroutine.
type Watch struct {
	spec     WatchSpec
	session  *Session
	ctx      context.Context
	cancel   context.CancelFunc
	builtin  bool                            // every API server serves the kind, so discovery is not asked
	onChange func(name string, initial bool) // of each object, when it comes, changes or goes
	throttle *throttle                       // of notifications of changes; nil for none

	mu     sync.Mutex
	items  map[objectKey]any
	same   sameness
	log    changelog // of items
	sorted []any     // of items; nil when it must be built anew
	folded any       // of items; nil when it must be built anew
	kind   string    // of the resource; set before the first list
	listed bool      // a complete list has arrived
	epoch  int       // connection that the last complete list was read on
	// Two reasons why the content may be behind, nil when there is none: only a new list ends the first, only a stream of
	// changes that is accepted again ends the second.
	listDoubt, streamDoubt error
}

type objectKey struct{ namespace, name string }

func (k objectKey) compare(o objectKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.name, o.name))
}

var (
	errNotListed = errors.New("the first list has not arrived yet")
	errStopped   = errors.New("no longer watched")
	errRelist    = errors.New("being listed anew")
)

func (s *Session) newWatch(spec WatchSpec) *Watch {
	if spec.Reduce == nil {
		spec.Reduce = func(u *unstructured.Unstructured) any { return u }
	}
	w := &Watch{spec: spec, session: s, items: map[objectKey]any{}, log: changelog{version: 1}}
	w.ctx, w.cancel = context.WithCancel(s.ctx)
	return w
}

// Synced tells whether the content is complete and current: a complete list has arrived since the member was last
// unreachable, and the stream of changes behind it has not been interrupted, or goes on where it was. Only while Synced
// does the absence of an object mean anything. A regular renewal of the stream is no interruption.
func (w *Watch) Synced() bool { return w.Err() == nil }

// Err returns why the watch is not Synced, or nil when it is: the member is unreachable, the kind is not served, access
// is denied, a list failed, or the watch was stopped.
func (w *Watch) Err() error {
	epoch, err := w.session.link.current()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ctx.Err() != nil:
		err = errStopped
	case err == nil && w.listDoubt != nil:
		err = w.listDoubt
	case err == nil && w.streamDoubt != nil:
		err = w.streamDoubt
	case err == nil && !w.listed:
		err = errNotListed
	case err == nil && w.epoch != epoch:
		err = errRelist
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*UnreachableError](err); ok {
		return err
	}
	return fmt.Errorf("member %s: %s: %w", w.session.name, w.what(), err)
}

// what names the watched resource for people: "deployments.apps in namespace web".
func (w *Watch) what() string {
	s := w.spec.Resource.GroupResource().String()
	if w.spec.Namespace != "" {
		s += " in namespace " + w.spec.Namespace
	}
	return s
}

// Objects returns what was kept of each object, sorted by namespace and name. The slice is the caller's, its elements
// are shared. While the watch is not Synced this is what was last known.
func (w *Watch) Objects() []any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sorted == nil {
		keys := make([]objectKey, 0, len(w.items))
		for key := range w.items {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, objectKey.compare)
		w.sorted = make([]any, len(keys))
		for i, key := range keys {
			w.sorted[i] = w.items[key]
		}
	}
	return slices.Clone(w.sorted)
}

// Get returns what was kept of one object; ok is false when there is none, or none known.
func (w *Watch) Get(namespace, name string) (kept any, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept, ok = w.items[objectKey{namespace, name}]
	return kept, ok
}

// Changes returns what was kept of the objects that came or changed since version, the oldest first, and the version that
// leads to. Where that cannot be told, because something went or too much happened since, whole is true and all that is kept
// is returned, in no order. A version of another Watch means nothing; 0 is always answered whole.
func (w *Watch) Changes(version uint64) (kept []any, now uint64, whole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if news, ok := w.log.since(version); ok {
		return news, w.log.version, false
	}
	kept = make([]any, 0, len(w.items))
	for _, k := range w.items {
		kept = append(kept, k)
	}
	return kept, w.log.version, true
}

// count returns the number of objects, and whether they were ever listed.
func (w *Watch) count() (n int, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.items), w.listed
}

// fold returns what f, always the same, makes of all that is kept, whatever its order.
func (w *Watch) fold(f func(items map[objectKey]any) any) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.folded == nil {
		w.folded = f(w.items)
	}
	return w.folded
}

// set keeps or drops one object and reports whether that changed anything that somebody waits for.
func (w *Watch) set(key objectKey, kept any) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, had := w.items[key]
	if kept == nil && !had || had && w.same.equal(before, kept) {
		return false
	}
	w.sorted, w.folded = nil, nil
	if kept == nil {
		delete(w.items, key)
		w.log.cut()
		return true
	}
	w.items[key] = kept
	w.log.add(kept)
	return !had || w.spec.Minor == nil || !w.spec.Minor(before, kept)
}

// replace keeps the content of a complete list that was read on connection epoch, and returns the keys that changed.
func (w *Watch) replace(items map[objectKey]any, epoch int) (changed []objectKey, initial bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, kept := range items {
		if before, had := w.items[key]; !had || !w.same.equal(before, kept) {
			changed = append(changed, key)
		}
	}
	for key := range w.items {
		if _, there := items[key]; !there {
			changed = append(changed, key)
		}
	}
	slices.SortFunc(changed, objectKey.compare)
	initial = !w.listed
	w.items, w.sorted, w.folded = items, nil, nil
	w.log.cut()
	w.listed, w.epoch, w.listDoubt = true, epoch, nil
	return changed, initial
}

// opened implements observer: the stream of changes begins, or goes on where it was.
func (w *Watch) opened() { w.setDoubt(&w.streamDoubt, nil) }

// broken implements observer: the stream of changes was cut, or not accepted.
func (w *Watch) broken(err error) { w.setDoubt(&w.streamDoubt, err) }

// outdated notes why only a new list can tell the content.
func (w *Watch) outdated(err error) { w.setDoubt(&w.listDoubt, err) }

// streamError notes an error that came as an event. A cut stream ends in one too, which says less than the cut itself.
func (w *Watch) streamError(err error) {
	w.mu.Lock()
	cut := w.streamDoubt != nil
	w.mu.Unlock()
	if !cut {
		w.outdated(err)
	}
}

func (w *Watch) setDoubt(doubt *error, err error) {
	w.mu.Lock()
	before := *doubt
	*doubt = err
	w.mu.Unlock()
	if (before == nil) != (err == nil) || err != nil && err.Error() != before.Error() {
		w.session.touch()
	}
}
