package render

import (
	"reflect"

	"github.com/gitfleet/gitfleet/api"
)

// Merge returns what a three-way merge of two revisions renders to, as far as objects tell: what theirs changed since base, on
// top of ours. An object that both changed, and not alike, is a mistake of theirs: they must merge first. The inputs are what
// Build returned, and are not modified.
//
// It stands in for the forge's own merge, where there is none: a commit on a branch that is behind must not seem to take back
// what has been merged meanwhile.
func Merge(base, ours, theirs []Object) ([]Object, ManifestErrors) {
	was, is, wished := byRef(base), byRef(ours), byRef(theirs)
	var out []Object
	var errs ManifestErrors
	for _, o := range ours {
		ref := api.RefOf(o.Unstructured)
		t, kept := wished[ref]
		b, known := was[ref]
		switch {
		case kept && same(o, t):
			out = append(out, t)
		case kept && known && same(b, o):
			out = append(out, t) // only they changed it
		case kept && known && same(b, t), !kept && !known:
			out = append(out, o) // only we did
		case !kept && same(b, o):
			// only they did: it is gone
		default:
			errs = append(errs, conflict(o, t, kept))
		}
	}
	for _, t := range theirs {
		ref := api.RefOf(t.Unstructured)
		if t.Unstructured != wished[ref].Unstructured {
			out = append(out, t) // defined twice, which Compose tells
			continue
		}
		if _, there := is[ref]; there {
			continue
		}
		if b, known := was[ref]; !known {
			out = append(out, t)
		} else if !same(b, t) {
			errs = append(errs, t.mistake("", "%s was removed from the branch that this is to be merged into, and is changed here; merge that branch first", ref))
		}
	}
	return out, MergeErrors(errs)
}

func conflict(ours, theirs Object, kept bool) ManifestError {
	ref := api.RefOf(ours.Unstructured)
	if kept {
		return theirs.mistake("", "%s was changed here and on the branch that this is to be merged into; merge that branch first", ref)
	}
	return ours.mistake("", "%s is removed here, and was changed on the branch that this is to be merged into; merge that branch first", ref)
}

// byRef indexes objects. Of two that are the same Compose tells.
func byRef(objects []Object) map[api.Ref]Object {
	out := make(map[api.Ref]Object, len(objects))
	for _, o := range objects {
		out[api.RefOf(o.Unstructured)] = o
	}
	return out
}

func same(a, b Object) bool { return reflect.DeepEqual(a.Object, b.Object) }
