package kube

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/apply"
)

// watched is the side of a fleet.Watch that is read.
type watched interface {
	Err() error
	Changes(version uint64) (kept []any, now uint64, whole bool)
}

// source is the content of a watch in one version.
type source struct {
	watch   watched
	version uint64
}

// reading is what a watch answered to who knew a version of its content; nobody knows version 0.
type reading struct {
	source
	kept  []any
	whole bool // kept is all there is, not only what came or changed
}

// read asks w for what is new since version, and why the content may be incomplete. It asks in this order because what
// arrives in between only makes the content better than the answer says.
func read(w watched, version uint64) (reading, error) {
	err := w.Err()
	return readContent(w, version), err
}

func readContent(w watched, version uint64) reading {
	kept, now, whole := w.Changes(version)
	return reading{source{w, now}, kept, whole}
}

// snapshot is the objects of all kinds.
type snapshot struct {
	objects apply.Objects
	of      map[schema.GroupKind]source // what objects was made of
}

// take brings the snapshot up to readings, each of what is new since the version in s.of. Kinds without one have no objects.
func (s *snapshot) take(readings map[schema.GroupKind]reading) {
	if !s.leadsTo(readings) {
		for gk, r := range readings {
			if !r.whole {
				r = readContent(r.watch, 0)
				readings[gk] = r
			}
		}
		s.objects, s.of = apply.ObjectsOf(objectsOf(readings)...), make(map[schema.GroupKind]source, len(readings))
	} else {
		s.objects = s.objects.With(objectsOf(readings)...)
	}
	for gk, r := range readings {
		s.of[gk] = r.source
	}
}

func objectsOf(readings map[schema.GroupKind]reading) []*apply.LiveObject {
	n := 0
	for _, r := range readings {
		n += len(r.kept)
	}
	out := make([]*apply.LiveObject, 0, n)
	for _, r := range readings {
		for _, kept := range r.kept {
			out = append(out, kept.(*apply.LiveObject))
		}
	}
	return out
}

// leadsTo tells whether readings only add to or replace what s has. A version that another watch had says nothing.
func (s *snapshot) leadsTo(readings map[schema.GroupKind]reading) bool {
	for gk, known := range s.of {
		if r, ok := readings[gk]; !ok || r.watch != known.watch || r.whole {
			return false
		}
	}
	return s.of != nil
}

// listing is what the parents say, in one version. Its maps are handed out, and never changed.
type listing struct {
	source
	parents map[string]apply.Parent
	damaged map[string]string
	kinds   []schema.GroupVersionKind // that the parents name
}

// take brings the listing up to what w holds.
func (i *listing) take(w watched) {
	r := readContent(w, i.version)
	if !r.whole && len(r.kept) == 0 {
		return
	}
	if !r.whole {
		r = readContent(w, 0)
	}
	*i = listing{source: r.source, parents: map[string]apply.Parent{}, damaged: map[string]string{}}
	for _, kept := range r.kept {
		switch p := kept.(parentSeen); {
		case p.damage != "":
			i.damaged[p.configMap] = p.damage
		default:
			i.parents[p.parent.Name] = p.parent
		}
	}
	i.kinds = apply.Kinds(i.parents)
}

// shared keeps one copy of the texts that many objects of a member have in common.
type shared struct {
	mu    sync.Mutex
	known map[string]string
}

// sharedMax bounds the texts, which come and go with namespaces and Sets: past it they are collected anew.
const sharedMax = 4096

// object shares the texts of one object.
func (s *shared) object(lo *apply.LiveObject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range []*string{&lo.SetID, &lo.Ref.Group, &lo.Ref.Kind, &lo.Ref.Namespace} {
		one, ok := s.known[*text]
		if !ok {
			if s.known == nil || len(s.known) == sharedMax {
				s.known = map[string]string{}
			}
			one = *text
			s.known[one] = one
		}
		*text = one
	}
}
