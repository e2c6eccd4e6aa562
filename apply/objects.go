package apply

import (
	"iter"
	"maps"

	"github.com/gitfleet/gitfleet/api"
)

// Objects are objects on a cluster by their refs: an immutable value. What With and Without return shares most of it, so that
// one change among thousands of objects costs little. The zero Objects are none.
type Objects struct {
	most   map[api.Ref]*LiveObject // as they were some changes ago
	recent map[api.Ref]*LiveObject // what has changed since; nil for what went
	n      int
}

// ObjectsOf returns these objects, which the caller gives away; the last one of a ref counts.
func ObjectsOf(objects ...*LiveObject) Objects {
	o := Objects{most: make(map[api.Ref]*LiveObject, len(objects))}
	for _, lo := range objects {
		o.most[lo.Ref] = lo
	}
	o.n = len(o.most)
	return o
}

// Get returns the object of that ref; ok is false when there is none.
func (o Objects) Get(ref api.Ref) (lo LiveObject, ok bool) {
	if found := o.find(ref); found != nil {
		return *found, true
	}
	return LiveObject{}, false
}

func (o Objects) find(ref api.Ref) *LiveObject {
	if lo, changed := o.recent[ref]; changed {
		return lo
	}
	return o.most[ref]
}

// Len returns how many there are.
func (o Objects) Len() int { return o.n }

// All returns every object, in no order.
func (o Objects) All() iter.Seq[LiveObject] {
	return func(yield func(LiveObject) bool) {
		for _, lo := range o.recent {
			if lo != nil && !yield(*lo) {
				return
			}
		}
		for ref, lo := range o.most {
			if _, changed := o.recent[ref]; !changed && !yield(*lo) {
				return
			}
		}
	}
}

// With returns o with these objects, which the caller gives away, added or put in the place of others.
func (o Objects) With(objects ...*LiveObject) Objects {
	return o.change(len(objects), func(set func(api.Ref, *LiveObject)) {
		for _, lo := range objects {
			set(lo.Ref, lo)
		}
	})
}

// Without returns o without the objects of these refs.
func (o Objects) Without(refs ...api.Ref) Objects {
	return o.change(len(refs), func(set func(api.Ref, *LiveObject)) {
		for _, ref := range refs {
			set(ref, nil)
		}
	})
}

// recentMin is how many changes are kept apart at least before most is made anew.
const recentMin = 16

// change returns o with at most so many changes. Each costs a copy of recent; most is copied once recent is so large that
// this costs no more, which is at the root of its size.
func (o Objects) change(most int, changes func(set func(api.Ref, *LiveObject))) Objects {
	if most == 0 {
		return o
	}
	recent := make(map[api.Ref]*LiveObject, len(o.recent)+most)
	maps.Copy(recent, o.recent)
	changes(func(ref api.Ref, lo *LiveObject) {
		before := o.most[ref]
		if r, changed := recent[ref]; changed {
			before = r
		}
		switch {
		case before == nil && lo != nil:
			o.n++
		case before != nil && lo == nil:
			o.n--
		}
		recent[ref] = lo
	})
	o.recent = recent
	if len(recent) > recentMin && len(recent)*len(recent) > len(o.most) {
		o.settle()
	}
	return o
}

// settle brings the changes into most.
func (o *Objects) settle() {
	most := make(map[api.Ref]*LiveObject, len(o.most)+len(o.recent))
	maps.Copy(most, o.most)
	for ref, lo := range o.recent {
		if lo == nil {
			delete(most, ref)
		} else {
			most[ref] = lo
		}
	}
	o.most, o.recent = most, nil
}
