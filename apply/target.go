package apply

import (
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// Target is one object that a Set wants, prepared once for all clusters and all events: reading and digesting every object
// again at each change of anything would be most of what deciding costs. It is immutable.
type Target struct {
	render.Object
	Ref     api.Ref
	Version string // of the API, that it is applied with
	// Hash is the digest of what is applied without the fields at HandOut, so that a change of those in Git writes nothing.
	Hash string
	// HandOut are the fields that are given away once the object exists: its own directive's and its placement's, sorted.
	HandOut []fieldpath.Path
}

// NewTarget prepares o. rules are those of its placement; the ones for other kinds are skipped.
func NewTarget(o render.Object, rules []api.IgnoreRule) *Target {
	t := &Target{Object: o, Ref: api.RefOf(o.Unstructured), Version: o.GroupVersionKind().Version, HandOut: o.Directives.IgnoreFields}
	for _, r := range rules {
		if r.Kind == t.Ref.GroupKind() {
			t.HandOut = append(t.HandOut[:len(t.HandOut):len(t.HandOut)], r.Path)
		}
	}
	if len(t.HandOut) > len(o.Directives.IgnoreFields) {
		slices.SortFunc(t.HandOut, fieldpath.Path.Compare)
		t.HandOut = slices.CompactFunc(t.HandOut, fieldpath.Path.Equals)
	}
	t.Hash = hashOf(Strip(normal(o.Unstructured), t.HandOut))
	return t
}
