package apply

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
)

// Ownership returns what the managedFields of an object shall be, and whether that is something else than entries.
//
// Our own entry gives up the fields at handOut. They keep their values and whatever other owner they have; without one they
// stay until somebody writes them, because an apply of ours only removes what its entry named before.
//
// When adopted, the entries of kubectl, and of the manager that API servers make up for what existed before the first apply,
// lose what our entry has too: else a field that Git stops naming stays for them. Fields that only they have stay theirs, and
// so do those that they have in another version of the kind.
//
// entries are not modified. The error tells of an entry that is no field set, which an API server never writes.
func Ownership(entries []metav1.ManagedFieldsEntry, handOut []fieldpath.Path, adopted bool) (after []metav1.ManagedFieldsEntry, changed bool, err error) {
	i := slices.IndexFunc(entries, isOurs)
	if i < 0 || len(handOut) == 0 && !(adopted && slices.ContainsFunc(entries, leftBehind)) {
		return entries, false, nil // nearly always
	}
	ours, err := fieldSet(entries[i])
	if err != nil {
		return nil, false, err
	}
	kept := withoutCovered(ours, handOut)
	for j, e := range entries {
		var lessened *fieldpath.Set
		switch {
		case j == i:
			lessened = kept
		case adopted && leftBehind(e) && e.APIVersion == entries[i].APIVersion:
			theirs, err := fieldSet(e)
			if err != nil {
				return nil, false, err
			}
			lessened = theirs.Difference(kept)
		}
		e, less, err := lessen(e, lessened)
		if err != nil {
			return nil, false, err
		}
		changed = changed || less
		if e.FieldsV1 != nil {
			after = append(after, e)
		}
	}
	return after, changed, nil
}

// lessen returns e with the fields of set, of which it had all; without any when nothing is left. A nil set leaves it.
func lessen(e metav1.ManagedFieldsEntry, set *fieldpath.Set) (out metav1.ManagedFieldsEntry, less bool, err error) {
	if set == nil {
		return e, false, nil
	}
	before, err := fieldSet(e)
	if err != nil || set.Size() == before.Size() {
		return e, false, err
	}
	e.FieldsV1 = nil
	if set.Empty() {
		return e, true, nil
	}
	raw, err := set.ToJSON()
	if err != nil {
		return e, false, fmt.Errorf("fields of manager %s: %w", e.Manager, err)
	}
	e.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return e, true, nil
}

// withoutCovered returns set less everything at or below paths.
func withoutCovered(set *fieldpath.Set, paths []fieldpath.Path) *fieldpath.Set {
	var given []fieldpath.Path
	for owned := range set.All() {
		if slices.ContainsFunc(paths, func(p fieldpath.Path) bool { return covers(p, owned) }) {
			given = append(given, owned.Copy())
		}
	}
	if given == nil {
		return set
	}
	return set.Difference(fieldpath.NewSet(given...))
}

// isOurs tells our apply's entry, the one that EntryHash digests.
func isOurs(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == api.FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// leftBehind tells the entries of who had an object before it was handed to Git: the client-side and server-side commands
// of kubectl (k8s.io/kubectl/pkg/cmd names its managers after them), and what an API server puts in for fields that were
// there before the first apply (k8s.io/apimachinery/pkg/util/managedfields).
func leftBehind(e metav1.ManagedFieldsEntry) bool {
	if e.Subresource != "" {
		return false
	}
	return e.Manager == "before-first-apply" || e.Manager == "kubectl" || strings.HasPrefix(e.Manager, "kubectl-")
}

func fieldSet(e metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if e.FieldsV1 == nil {
		return set, nil
	}
	if err := set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())); err != nil {
		return nil, fmt.Errorf("managedFields entry of manager %s: %w", e.Manager, err)
	}
	return set, nil
}

// CheckHandOut returns an *IndivisibleError when object names a value at one of paths that we own in entries as part of a
// larger one only.
func CheckHandOut(object *unstructured.Unstructured, entries []metav1.ManagedFieldsEntry, paths []fieldpath.Path) error {
	i := slices.IndexFunc(entries, isOurs)
	if i < 0 {
		return nil
	}
	ours, err := fieldSet(entries[i])
	if err != nil {
		return err
	}
	var inside []fieldpath.Path
	for leaf := range ours.Leaves().All() {
		for _, p := range paths {
			if len(leaf) < len(p) && covers(p[:len(leaf)], leaf) && holds(object.Object, p) {
				inside = append(inside, p)
			}
		}
	}
	if inside == nil {
		return nil
	}
	return &IndivisibleError{Fields: slices.Compact(pathNames(inside))}
}
