package apply

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
)

// Drift is one foreign change of what gitfleet applied.
type Drift struct {
	Ref    api.Ref        `json:"ref"`
	Time   time.Time      `json:"time"`             // when it was put back
	What   string         `json:"what"`             // for a person: "deleted", "fields were changed", "managedFields were cleared"
	Fields []DriftedField `json:"fields,omitempty"` // sorted by path; never values
}

// DriftedField is one field that somebody else changed or took over.
type DriftedField struct {
	Path        string    `json:"path"`                  // ".spec.replicas"
	Manager     string    `json:"manager,omitempty"`     // who owns the field now, as managedFields names it; empty when nobody does
	Operation   string    `json:"operation,omitempty"`   // Apply or Update
	Subresource string    `json:"subresource,omitempty"` // such as scale
	Time        time.Time `json:"time,omitzero"`         // when that manager last wrote
}

// What happened to an object, in the words of Drift.What.
const (
	driftDeleted   = "deleted"
	driftUnlabeled = "our label was removed"
	driftCleared   = "managedFields were cleared"
	driftRemade    = "deleted and made again by somebody else, or taken from us"
	driftChanged   = "fields were changed"
	driftTaken     = "fields were taken over, with the values that Git says"
)

// DriftOf tells what others did to an object that was put back at now. live is the object before that, nil when it was gone;
// answer is what the API server made of our apply, in earnest or as a dry run.
//
// A field is told by what our entry of managedFields holds in answer and live has not: another value, or another owner. Who
// removed a field, and who changed one in an admission webhook, no API server remembers.
func DriftOf(live, answer *unstructured.Unstructured, now time.Time) Drift {
	d := Drift{Ref: api.RefOf(answer), Time: now}
	if live == nil {
		d.What = driftDeleted
		return d
	}
	before, mine := live.GetManagedFields(), slices.IndexFunc(answer.GetManagedFields(), isOurs)
	if mine < 0 {
		d.What = driftChanged // an answer to an apply of ours has an entry of ours
		return d
	}
	ours := entrySet(answer.GetManagedFields()[mine])
	owners := ownersOf(before)
	changed, taken := compareOwned(live, answer, ours, owners)
	d.What = driftWord(live, owners, changed)
	d.Fields = changed
	if d.What == driftTaken {
		d.Fields = taken
	}
	return d
}

func driftWord(live *unstructured.Unstructured, owners []owner, changed []DriftedField) string {
	ours := slices.ContainsFunc(owners, func(o owner) bool { return isOurs(o.entry) })
	switch {
	case len(owners) == 0:
		return driftCleared
	case !ours:
		return driftRemade
	case live.GetLabels()[api.ApplySetPartOfLabel] == "":
		return driftUnlabeled
	case len(changed) > 0:
		return driftChanged
	}
	return driftTaken
}

// owner is one entry of managedFields, read.
type owner struct {
	entry  metav1.ManagedFieldsEntry
	fields *fieldpath.Set
}

// ownersOf reads entries, the latest first.
func ownersOf(entries []metav1.ManagedFieldsEntry) []owner {
	var out []owner
	for _, e := range entries {
		if e.Manager == "" && e.FieldsV1 == nil {
			continue
		}
		out = append(out, owner{e, entrySet(e)})
	}
	slices.SortStableFunc(out, func(a, b owner) int { return written(b.entry).Compare(written(a.entry)) })
	return out
}

// entrySet returns no fields for what is no field set, which an API server never writes.
func entrySet(e metav1.ManagedFieldsEntry) *fieldpath.Set {
	set, err := fieldSet(e)
	if err != nil {
		return &fieldpath.Set{}
	}
	return set
}

func written(e metav1.ManagedFieldsEntry) time.Time {
	if e.Time == nil {
		return time.Time{}
	}
	return e.Time.Time
}

// compareOwned returns the fields of ours that differ between live and answer, and those that only lost their owner.
func compareOwned(live, answer *unstructured.Unstructured, ours *fieldpath.Set, owners []owner) (changed, taken []DriftedField) {
	mine := &fieldpath.Set{}
	for _, o := range owners {
		if isOurs(o.entry) {
			mine = o.fields
		}
	}
	seen := map[string]bool{}
	for p := range ours.Leaves().All() {
		p := p.Copy()
		was, is := valuesAt(live.Object, p), valuesAt(answer.Object, p)
		differs := !equality.Semantic.DeepEqual(was, is)
		name := withoutValues(p).String()
		if !differs && mine.Has(p) || seen[name] {
			continue
		}
		seen[name] = true
		field := driftedField(name, p, owners)
		if differs {
			changed = append(changed, field)
		} else {
			taken = append(taken, field)
		}
	}
	byPath := func(a, b DriftedField) int { return cmp.Compare(a.Path, b.Path) }
	slices.SortFunc(changed, byPath)
	slices.SortFunc(taken, byPath)
	return changed, taken
}

func driftedField(name string, p fieldpath.Path, owners []owner) DriftedField {
	f := DriftedField{Path: name}
	for _, o := range owners {
		if isOurs(o.entry) || !o.fields.Has(p) {
			continue
		}
		f.Manager, f.Operation, f.Subresource = o.entry.Manager, string(o.entry.Operation), o.entry.Subresource
		f.Time = written(o.entry)
		break
	}
	return f
}

// valuesAt returns what v has at p: nothing, or one value; several when a key of p is not whole.
func valuesAt(v any, p fieldpath.Path) []any {
	if len(p) == 0 {
		return []any{v}
	}
	switch typed := v.(type) {
	case map[string]any:
		if p[0].FieldName == nil {
			return nil
		}
		if child, ok := typed[*p[0].FieldName]; ok {
			return valuesAt(child, p[1:])
		}
	case []any:
		var out []any
		for i, item := range typed {
			if isItem(p[0], i, item) {
				out = append(out, valuesAt(item, p[1:])...)
			}
		}
		return out
	}
	return nil
}

// withoutValues cuts p off before the first item of a list that is named by its value.
func withoutValues(p fieldpath.Path) fieldpath.Path {
	for i, e := range p {
		if e.Value != nil {
			return p[:i]
		}
	}
	return p
}

// String tells who changed what, for a person: "kubectl-edit (Update) changed .spec.replicas". Many fields are counted.
func (d Drift) String() string {
	const most = 3
	switch {
	case d.What == driftDeleted:
		return "somebody deleted it"
	case len(d.Fields) == 0:
		return d.What
	}
	did := "changed"
	if d.What == driftTaken {
		did = "took over"
	}
	var parts []string
	for rest := d.Fields; len(rest) > 0; {
		who := rest[0].who()
		var names []string
		var others []DriftedField
		for _, f := range rest {
			if f.who() == who {
				names = append(names, f.Path)
			} else {
				others = append(others, f)
			}
		}
		rest = others
		if more := len(names) - most; more > 0 {
			names = append(names[:most], fmt.Sprintf("%d more", more))
		}
		parts = append(parts, fmt.Sprintf("%s %s %s", who, did, strings.Join(names, ", ")))
	}
	if d.What == driftChanged || d.What == driftTaken {
		return strings.Join(parts, "; ")
	}
	return d.What + "; " + strings.Join(parts, "; ")
}

func (f DriftedField) who() string {
	switch {
	case f.Manager == "":
		return "somebody"
	case f.Subresource != "":
		return fmt.Sprintf("%s (%s of %s)", f.Manager, f.Operation, f.Subresource)
	}
	return fmt.Sprintf("%s (%s)", f.Manager, f.Operation)
}
