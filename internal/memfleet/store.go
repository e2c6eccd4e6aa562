package memfleet

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// store is what the server keeps: objects, and every change of them. Objects are never modified once they are in it.
type store struct {
	mu      sync.Mutex // held for a whole request that writes
	version int64      // resource version of the latest change
	kinds   map[schema.GroupVersionResource]*kind
	objects map[schema.GroupResource]map[objectKey]*unstructured.Unstructured
	history []change
	oldest  int64         // changes up to this version are forgotten
	grown   chan struct{} // closed and replaced when history or kinds change
}

type objectKey struct{ namespace, name string }

func (k objectKey) compare(o objectKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.name, o.name))
}

func keyOf(u *unstructured.Unstructured) objectKey { return objectKey{u.GetNamespace(), u.GetName()} }

// change is one step in the life of an object: before is nil when it was created, after when it is gone. last is the
// object at that moment.
type change struct {
	version             int64
	resource            schema.GroupResource
	before, after, last *unstructured.Unstructured
}

func newStore() *store {
	s := &store{
		kinds:   map[schema.GroupVersionResource]*kind{},
		objects: map[schema.GroupResource]map[objectKey]*unstructured.Unstructured{},
		grown:   make(chan struct{}),
	}
	for _, k := range builtinKinds() {
		s.kinds[k.gvr()] = k
	}
	return s
}

// sortedKinds returns the served kinds in the order of compareKinds.
func (s *store) sortedKinds() []*kind {
	return slices.SortedFunc(maps.Values(s.kinds), compareKinds)
}

// list returns the objects of a resource, by namespace and name.
func (s *store) list(gr schema.GroupResource) []*unstructured.Unstructured {
	objects := slices.Collect(maps.Values(s.objects[gr]))
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int { return keyOf(a).compare(keyOf(b)) })
	return objects
}

func (s *store) get(gr schema.GroupResource, key objectKey) *unstructured.Unstructured {
	return s.objects[gr][key]
}

// put stores after in the place of before (nil when it is new) and returns what is stored. It removes the object when
// after is marked as deleted and waits for no finalizer, and does nothing when nothing has changed.
func (s *store) put(gr schema.GroupResource, before, after *unstructured.Unstructured) *unstructured.Unstructured {
	if before != nil && equalButTimes(before, after) {
		return before
	}
	s.version++
	after.SetResourceVersion(strconv.FormatInt(s.version, 10))
	if s.objects[gr] == nil {
		s.objects[gr] = map[objectKey]*unstructured.Unstructured{}
	}
	c := change{version: s.version, resource: gr, before: before, after: after, last: after}
	if after.GetDeletionTimestamp() != nil && len(after.GetFinalizers()) == 0 {
		delete(s.objects[gr], keyOf(after))
		c.after = nil
	} else {
		s.objects[gr][keyOf(after)] = after
	}
	s.history = append(s.history, c)
	s.grow()
	return after
}

func (s *store) grow() {
	close(s.grown)
	s.grown = make(chan struct{})
}

// since returns the changes of a resource after a version, the version they lead to and a channel that is closed when
// there are more. ok is false when they are forgotten.
func (s *store) since(gr schema.GroupResource, version int64) (changes []change, until int64, more <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version < s.oldest {
		return nil, 0, nil, false
	}
	first, _ := slices.BinarySearchFunc(s.history, version+1, func(c change, v int64) int { return cmp.Compare(c.version, v) })
	for _, c := range s.history[first:] {
		if c.resource == gr {
			changes = append(changes, c)
		}
	}
	return changes, s.version, s.grown, true
}

// compact forgets the history.
func (s *store) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history, s.oldest = nil, s.version
}

// event returns how a change looks to somebody who sees only what match accepts; ok is false when it does not show.
func (c change) event(match func(*unstructured.Unstructured) bool) (kind watch.EventType, ok bool) {
	was := c.before != nil && match(c.before)
	is := c.after != nil && match(c.after)
	switch {
	case is && was:
		return watch.Modified, true
	case is:
		return watch.Added, true
	case was:
		return watch.Deleted, true
	default:
		return "", false
	}
}

// equalButTimes compares two states of an object, not minding when its field managers acted.
func equalButTimes(a, b *unstructured.Unstructured) bool {
	return equality.Semantic.DeepEqual(timeless(a).Object, timeless(b).Object)
}

func timeless(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	u.SetResourceVersion("")
	managed := u.GetManagedFields()
	for i := range managed {
		managed[i].Time = &metav1.Time{}
	}
	u.SetManagedFields(managed)
	return u
}
