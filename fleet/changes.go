package fleet

import (
	"reflect"
	"slices"
	"time"
)

// changelogMax bounds a changelog: who is further behind reads everything, and what the log keeps alive stays little.
const changelogMax = 16

// changelog is the latest changes of what a Watch keeps, as far as they only added or replaced something.
type changelog struct {
	version uint64 // grows with every change
	kept    []any  // that the last versions came with, one each
}

func (l *changelog) add(kept any) {
	l.version++
	if len(l.kept) == changelogMax {
		l.kept = slices.Delete(l.kept, 0, 1)
	}
	l.kept = append(l.kept, kept)
}

// cut notes a change that nobody can follow from what was before.
func (l *changelog) cut() {
	l.version++
	l.kept = nil
}

// since returns what came after version; ok is false when the log does not go back so far.
func (l *changelog) since(version uint64) (kept []any, ok bool) {
	if version > l.version || l.version-version > uint64(len(l.kept)) {
		return nil, false
	}
	return slices.Clone(l.kept[len(l.kept)-int(l.version-version):]), true
}

// sameness compares what is kept. Most often that is one type for all objects of a watch, and a plain one.
type sameness struct {
	of    reflect.Type // the type that was looked at last
	plain bool         // what isPlain says of it
}

// equal is reflect.DeepEqual, without its price where == says the same.
func (s *sameness) equal(a, b any) bool {
	t := reflect.TypeOf(a)
	if t != reflect.TypeOf(b) {
		return false
	}
	if t != s.of {
		s.of, s.plain = t, t != nil && isPlain(t)
	}
	if s.plain {
		return a == b
	}
	return reflect.DeepEqual(a, b)
}

// isPlain tells whether == compares all that a value of the type holds. Times count as plain: that the same moment in the
// same zone is told apart, when its zone was loaded twice, costs one needless notification.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return true
		}
		for i := range t.NumField() {
			if !isPlain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Pointer, reflect.UnsafePointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func:
		return false
	}
	return true
}
