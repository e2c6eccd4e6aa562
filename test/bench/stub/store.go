package stub

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// collection is the objects of one kind and every change of them. All of it belongs to the member's mutex.
type collection struct {
	objects map[objectKey]*object
	changes []change
	grown   chan struct{} // closed and replaced at each change
}

type objectKey struct{ namespace, name string }

func (k objectKey) compare(o objectKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.name, o.name))
}

// object is one state of an object. It is never modified.
type object struct {
	key           objectKey
	version       int64
	content       map[string]any
	whole, partly []byte // as JSON: all of it, and its metadata
}

// change is one step in the life of an object.
type change struct {
	version int64
	kind    string // ADDED, MODIFIED or DELETED
	object  *object
}

// of returns the collection of a kind. m.mu is held.
func (m *Member) of(k kind) *collection {
	c := m.collections[k.key()]
	if c == nil {
		c = &collection{objects: map[objectKey]*object{}, grown: make(chan struct{})}
		m.collections[k.key()] = c
	}
	return c
}

// put stores content as the next state of an object, or its last one. m.mu is held.
func (m *Member) put(k kind, key objectKey, content map[string]any, event string) *object {
	m.version++
	meta := content["metadata"].(map[string]any)
	meta["resourceVersion"] = fmt.Sprint(m.version)
	o := &object{key: key, version: m.version, content: content, whole: encode(content)}
	o.partly = encode(map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": meta})
	c := m.of(k)
	if event == "DELETED" {
		delete(c.objects, key)
	} else {
		c.objects[key] = o
	}
	c.changes = append(c.changes, change{m.version, event, o})
	close(c.grown)
	c.grown = make(chan struct{})
	if k.plural == definitions {
		m.define(content)
	}
	return o
}

// as returns the object in the shape that a client wants.
func (o *object) as(partial bool) []byte {
	if partial {
		return o.partly
	}
	return o.whole
}

// selector tells whether an object belongs to a list or watch.
type selector struct {
	namespace, name string
	labels          []string // "key" or "key=value"
}

// selectorOf reads a request. Of field selectors only the one for a name is known, of label selectors existence and
// equality: all that gitfleet and the benchmarks use.
func selectorOf(q request) selector {
	s := selector{namespace: q.namespace, name: q.name}
	if name, ok := strings.CutPrefix(q.URL.Query().Get("fieldSelector"), "metadata.name="); ok {
		s.name = name
	}
	if text := q.URL.Query().Get("labelSelector"); text != "" {
		s.labels = strings.Split(text, ",")
	}
	return s
}

func (s selector) matches(o *object) bool {
	if s.namespace != "" && s.namespace != o.key.namespace || s.name != "" && s.name != o.key.name {
		return false
	}
	meta := o.content["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	for _, term := range s.labels {
		key, want, valued := strings.Cut(term, "=")
		if value, there := labels[key]; !there || valued && value != want {
			return false
		}
	}
	return true
}

// selected returns the objects that s selects, sorted. m.mu is held.
func (m *Member) selected(k kind, s selector) []*object {
	var out []*object
	for _, o := range m.of(k).objects {
		if s.matches(o) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *object) int { return a.key.compare(b.key) })
	return out
}

// encode returns v as JSON. Everything that is encoded came out of JSON, or is of types that fit it.
func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("stub: " + err.Error())
	}
	return raw
}
