package apply

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Strip returns u without the fields at paths, and without the maps that held nothing else. A key of a path need not be
// whole: [port=80] is every item of that port. The object is not modified, and shares with u what did not change.
func Strip(u *unstructured.Unstructured, paths []fieldpath.Path) *unstructured.Unstructured {
	var out any = u.Object
	for _, p := range paths {
		out, _ = without(out, p)
	}
	return &unstructured.Unstructured{Object: out.(map[string]any)}
}

// Decided returns those of paths about which somebody else decides in live already: the fields that an apply leaves out. The
// others lie in items of lists that are new, and are applied once, like those of a new object.
func Decided(paths []fieldpath.Path, live *unstructured.Unstructured) []fieldpath.Path {
	var out []fieldpath.Path
	for _, p := range paths {
		item := len(p) - 1 // the innermost item of a list that the field is in ends there
		for item > 0 && p[item-1].FieldName != nil {
			item--
		}
		if item <= 0 || holds(live.Object, p[:item]) {
			out = append(out, p)
		}
	}
	return out
}

// without returns v less what p names in it. What changes is copied, the rest is shared.
func without(v any, p fieldpath.Path) (out any, changed bool) {
	if len(p) == 0 {
		return v, false
	}
	switch typed := v.(type) {
	case map[string]any:
		return withoutField(typed, p)
	case []any:
		return withoutItems(typed, p)
	}
	return v, false
}

func withoutField(m map[string]any, p fieldpath.Path) (any, bool) {
	if p[0].FieldName == nil {
		return m, false
	}
	name := *p[0].FieldName
	child, ok := m[name]
	if !ok {
		return m, false
	}
	if len(p) == 1 {
		m = maps.Clone(m)
		delete(m, name)
		return m, true
	}
	child, changed := without(child, p[1:])
	if !changed {
		return m, false
	}
	m = maps.Clone(m)
	m[name] = child
	if left, ok := child.(map[string]any); ok && len(left) == 0 {
		delete(m, name)
	}
	return m, true
}

func withoutItems(list []any, p fieldpath.Path) (any, bool) {
	var out []any
	changed := false
	for i, item := range list {
		if !isItem(p[0], i, item) {
			out = append(out, item)
			continue
		}
		if len(p) == 1 {
			changed = true
			continue
		}
		child, less := without(item, p[1:])
		changed = changed || less
		out = append(out, child)
	}
	if !changed {
		return list, false
	}
	if out == nil {
		out = []any{} // an empty list, as the author would write it
	}
	return out, true
}

// isItem tells whether e names the item at index i of a list.
func isItem(e fieldpath.PathElement, i int, item any) bool {
	switch {
	case e.Key != nil:
		m, ok := item.(map[string]any)
		return ok && !slices.ContainsFunc(*e.Key, func(f value.Field) bool {
			have, ok := m[f.Name]
			return !ok || !value.Equals(value.NewValueInterface(have), f.Value)
		})
	case e.Value != nil:
		return value.Equals(value.NewValueInterface(item), *e.Value)
	}
	return e.Index != nil && *e.Index == i
}

// holds tells whether v has something at p.
func holds(v any, p fieldpath.Path) bool {
	_, changed := without(v, p)
	return changed
}

// covers tells whether a field of a managedFields entry is p or below it. A key of p need not be whole.
func covers(p, owned fieldpath.Path) bool {
	return len(p) <= len(owned) && slices.EqualFunc(p, owned[:len(p)], sameElement)
}

func sameElement(want, have fieldpath.PathElement) bool {
	if want.Key == nil || have.Key == nil {
		return want.Equals(have)
	}
	for _, f := range *want.Key {
		if !slices.ContainsFunc(*have.Key, func(h value.Field) bool { return h.Name == f.Name && value.Equals(h.Value, f.Value) }) {
			return false
		}
	}
	return true
}

// pathNames prints field paths for a person, sorted.
func pathNames(paths []fieldpath.Path) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p.String()
	}
	slices.Sort(out)
	return out
}

// IndivisibleError tells that fields cannot be given away, because the API server treats something around them as one
// value, which has one owner.
type IndivisibleError struct{ Fields []string }

// Error names the fields and the remedy.
func (e *IndivisibleError) Error() string {
	return strings.Join(e.Fields, ", ") + " cannot be given away: the API server treats what is around it as one value; " +
		"name the whole list or map that it is in, or nothing of it"
}
