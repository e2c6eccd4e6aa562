package apply

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
)

// TestEntryHashesStay: inventories on members hold them, so they must be the same for ever.
func TestEntryHashesStay(t *testing.T) {
	for _, row := range []struct{ reason, fields, want string }{
		{"a set whose keys are in order", `{"f:data":{"f:k":{},"f:l":{}}}`, "uL4aRX0CNi32aw8Z"},
		{"ports are printed by number, and sorted by text", deploymentFields, "u5tU6QdBW3__CjWk"},
		{"what encoding/json escapes", `{"f:data":{"v:\"<&>\"":{},"v:\"ü\"":{}}}`, "I0guE-hs9QC8BJj2"},
		{"an empty set", `{}`, "yVXaLt82FIkcD1eu"},
	} {
		if got := EntryHash(benchEntries(row.fields)); got != row.want {
			t.Errorf("%s: %s, recorded was %s", row.reason, got, row.want)
		}
	}
}

// fieldSets are field sets and what resembles them.
var fieldSets = []string{
	"", "null", "{}", "[]", "{", "{}}", `{"a"}`, `{"a":}`, `{"a":{},}`, `{"a":{}`, `{"f:a":{},"f:a":{".":{}}}`, `{"f:b":{},"f:a":{},"f:b":{}}`,
	`{"f:data": {"f:l":{}, "f:k":{}}}`, `{"f:b":{"f:d":{},"f:c":{}},"f:a":{}}`, `{"f:b":1,"f:a":[2.50,"x"]}`, `{"v:\"a\"":{},"v:\"#\"":{},"v:\"\\\"":{},"v:\"\\\\\"":{}}`,
	`{"k:{\"a\\\"\":80}":{},"k:{\"a#\":443}":{}}`, `{"v:a\u0041":{},"v:\/":{},"v:\t":{}}`, "{\"f:\x7f\":{},\"f:\x01\":{}}", "{\"f:\xff\":{},\"f:\u2028\":{},\"f:é\":{}}",
	`{"f:<":{},"f:&":{}}`, `{"f:aa":{},"f:a":{},"":{}}`, strings.Repeat(`{"f:b":{},"f:a":`, 250) + "{}" + strings.Repeat("}", 250), deploymentFields,
}

// FuzzHashFields: the short way to a hash leads where the long one leads, for any bytes.
func FuzzHashFields(f *testing.F) {
	for _, set := range fieldSets {
		f.Add("v1", []byte(set))
	}
	f.Fuzz(func(t *testing.T, version string, raw []byte) {
		before := string(raw)
		if got, want := hashFields(version, raw), digest([]byte(version), canonical(raw)); got != want {
			t.Errorf("%s of %q, want %s", got, raw, want)
		}
		if string(raw) != before {
			t.Errorf("%q became %q", before, raw)
		}
	})
}

// FuzzEntryHashOf: an object that was decoded into maps has the hash that its entries have.
func FuzzEntryHashOf(f *testing.F) {
	for _, set := range fieldSets {
		f.Add([]byte(set))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var fields any
		if json.Unmarshal(raw, &fields) != nil {
			return
		}
		other := map[string]any{"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:x": map[string]any{}}}
		status := map[string]any{"manager": api.FieldManager, "operation": "Apply", "apiVersion": "v1", "subresource": "status", "fieldsV1": map[string]any{}}
		ours := map[string]any{"manager": api.FieldManager, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
		for _, entries := range [][]any{nil, {other, status}, {other, status, ours}, {map[string]any{}, ours}} {
			u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"managedFields": entries}}}
			if got, want := entryHashOf(u), EntryHash(u.GetManagedFields()); got != want {
				t.Errorf("%q of %q, want %q", got, raw, want)
			}
		}
	})
}

// TestDeepFields: what encoding/json refuses, because it is nested too deep, is digested as it is.
func TestDeepFields(t *testing.T) {
	raw := []byte(strings.Repeat(`{"f:b":{},"f:a":`, 10001) + "{}" + strings.Repeat("}", 10001))
	if got, want := hashFields("v1", raw), digest([]byte("v1"), raw); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestEntryOfMetadata: who is watched by metadata alone has the hash of the whole object.
func TestEntryOfMetadata(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetManagedFields(benchEntries(deploymentFields))
	whole, partial := entryHashOf(u), entryHashOf(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ManagedFields: benchEntries(deploymentFields)}})
	if whole == "" || whole != partial {
		t.Errorf("the whole object has the hash %q, its metadata %q", whole, partial)
	}
}

func TestEntryWithoutFields(t *testing.T) {
	entry := metav1.ManagedFieldsEntry{Manager: api.FieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "apps/v1"}
	if got, want := EntryHash([]metav1.ManagedFieldsEntry{entry}), EntryHash(benchEntries("{}")); got != want {
		t.Errorf("an entry without fields has the hash %s, one with none %s", got, want)
	}
}
