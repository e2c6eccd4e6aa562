package apply

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const ourFields = `gitfleet Apply v1 {"f:metadata":{"f:labels":{"f:applyset.kubernetes.io/part-of":{}},"f:finalizers":{"v:\"a/b\"":{}}},` +
	`"f:spec":{"f:replicas":{},"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{}}}},"f:data":{"f:password":{}}}`

const asApplied = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"web","name":"shop","labels":{"applyset.kubernetes.io/part-of":"s"},"finalizers":["a/b"]},
"spec":{"replicas":2,"containers":[{"name":"app","image":"i"}]},"data":{"password":"hunter2"}}`

// withEntries returns the object with those managedFields entries, the first written last.
func withEntries(t *testing.T, body string, lines ...string) *unstructured.Unstructured {
	t.Helper()
	u := object(t, body)
	entries := entriesOf(lines)
	for i := range entries {
		at := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 60-i, 0, time.UTC))
		entries[i].Time = &at
	}
	u.SetManagedFields(entries)
	return u
}

func lacking(line string, fields ...string) string {
	for _, f := range fields {
		line = strings.NewReplacer(f+",", "", ","+f, "", f, "").Replace(line)
	}
	return line
}

func TestDriftOf(t *testing.T) {
	const replicas, image = `"f:replicas":{}`, `"f:image":{}`
	for _, row := range []struct {
		reason  string
		live    string   // a merge patch over asApplied; "" when the object is gone
		entries []string // of live
		what    string
		fields  string // path manager operation subresource, separated by "; "
		words   string
	}{
		{"deleted", "", nil, "deleted", "", "somebody deleted it"},
		{"a changed value", `{"spec":{"replicas":9}}`, []string{lacking(ourFields, replicas), `kubectl-edit Update v1 {"f:spec":{"f:replicas":{}}}`},
			"fields were changed", ".spec.replicas kubectl-edit Update ", "kubectl-edit (Update) changed .spec.replicas"},
		{"through a subresource", `{"spec":{"replicas":9}}`, []string{lacking(ourFields, replicas), `kubectl Update/scale v1 {"f:spec":{"f:replicas":{}}}`},
			"fields were changed", ".spec.replicas kubectl Update scale", "kubectl (Update of scale) changed .spec.replicas"},
		{"the latest of two owners", `{"spec":{"replicas":9}}`, []string{`late Apply v1 {"f:spec":{"f:replicas":{}}}`, `early Update v1 {"f:spec":{"f:replicas":{}}}`, lacking(ourFields, replicas)},
			"fields were changed", ".spec.replicas late Apply ", "late (Apply) changed .spec.replicas"},
		{"a field that was removed has no owner", `{"spec":{"replicas":null}}`, []string{lacking(ourFields, replicas)},
			"fields were changed", ".spec.replicas   ", "somebody changed .spec.replicas"},
		{"a field of an item", `{"spec":{"containers":[{"name":"app","image":"theirs"}]}}`, []string{lacking(ourFields, image), `kubectl-set Update v1 {"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:image":{}}}}}`},
			"fields were changed", `.spec.containers[name="app"].image kubectl-set Update `, `kubectl-set (Update) changed .spec.containers[name="app"].image`},
		{"a webhook altered a value that stays ours", `{"spec":{"replicas":9}}`, []string{ourFields},
			"fields were changed", ".spec.replicas   ", "somebody changed .spec.replicas"},
		{"several who changed several", `{"spec":{"replicas":9},"data":{"password":"theirs"}}`,
			[]string{`b Update v1 {"f:spec":{"f:replicas":{}}}`, `a Update v1 {"f:data":{"f:password":{}}}`, ourFields},
			"fields were changed", ".data.password a Update ; .spec.replicas b Update ", "a (Update) changed .data.password; b (Update) changed .spec.replicas"},
		{"the owner only", `{}`, []string{lacking(ourFields, replicas), `kubectl-edit Update v1 {"f:spec":{"f:replicas":{}}}`},
			"fields were taken over, with the values that Git says", ".spec.replicas kubectl-edit Update ", "kubectl-edit (Update) took over .spec.replicas"},
		{"an item that its value names shows as its list: the value may be nobody's business", `{"metadata":{"finalizers":["theirs"]}}`, []string{lacking(ourFields, `"v:\"a/b\"":{}`)},
			"fields were changed", ".metadata.finalizers   ", "somebody changed .metadata.finalizers"},
		{"the label", `{"metadata":{"labels":null}}`, []string{lacking(ourFields, `"f:labels":{"f:applyset.kubernetes.io/part-of":{}}`)},
			"our label was removed", ".metadata.labels.applyset.kubernetes.io/part-of   ", "our label was removed; somebody changed .metadata.labels.applyset.kubernetes.io/part-of"},
		{"managedFields cleared", `{}`, nil, "managedFields were cleared", "", "managedFields were cleared"},
		{"made again by another", `{"spec":{"replicas":9}}`, []string{`kubectl-create Update v1 {"f:spec":{"f:replicas":{}}}`},
			"deleted and made again by somebody else, or taken from us", ".spec.replicas kubectl-create Update ", ""},
		{"what is not ours is no drift", `{"spec":{"paused":true},"status":{"replicas":1}}`, []string{ourFields, `x Update v1 {"f:spec":{"f:paused":{}}}`},
			"fields were taken over, with the values that Git says", "", ""},
	} {
		now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		answer := withEntries(t, asApplied, ourFields)
		var live *unstructured.Unstructured
		if row.live != "" {
			live = withEntries(t, jsonOf(t, merge(t, object(t, asApplied).Object, row.live)), row.entries...)
		}
		d := DriftOf(live, answer, now)
		var fields []string
		for _, f := range d.Fields {
			fields = append(fields, strings.Join([]string{f.Path, f.Manager, f.Operation, f.Subresource}, " "))
			if (f.Manager == "") != f.Time.IsZero() {
				t.Errorf("%s: %s by %q at %s", row.reason, f.Path, f.Manager, f.Time)
			}
		}
		if d.What != row.what || strings.Join(fields, "; ") != row.fields || d.Time != now || d.Ref.Name != "shop" {
			t.Errorf("%s:\n got %q %q\nwant %q %q", row.reason, d.What, fields, row.what, row.fields)
		}
		if row.words != "" && d.String() != row.words {
			t.Errorf("%s: %q, want %q", row.reason, d, row.words)
		}
		if all := jsonOf(t, d) + d.String(); strings.Contains(all, "hunter2") || strings.Contains(all, "theirs") {
			t.Errorf("%s: the drift tells a value: %s", row.reason, all)
		}
	}
}

// TestDriftOfWhatNoServerWrites: entries that cannot be read are nobody's, and the change shows all the same.
func TestDriftOfWhatNoServerWrites(t *testing.T) {
	changed := jsonOf(t, merge(t, object(t, asApplied).Object, `{"spec":{"replicas":9}}`))
	live, answer := withEntries(t, changed, ourFields), withEntries(t, asApplied, ourFields)
	if d := DriftOf(live, withEntries(t, asApplied, `kubectl Update v1 {}`), storyTime); d.What != driftChanged || d.Fields != nil {
		t.Errorf("an answer without an entry of ours: %+v", d)
	}
	entries := entriesOf([]string{`broken Update v1 {"what":1}`, ourFields, `timeless Update v1 {"f:spec":{"f:replicas":{}}}`})
	live.SetManagedFields(append(entries, metav1.ManagedFieldsEntry{}))
	d := DriftOf(live, answer, storyTime)
	if len(d.Fields) != 1 || d.Fields[0] != (DriftedField{Path: ".spec.replicas", Manager: "timeless", Operation: "Update"}) {
		t.Errorf("beside entries that are none: %+v", d)
	}
	live.SetManagedFields([]metav1.ManagedFieldsEntry{{}})
	if d := DriftOf(live, answer, storyTime); d.What != driftCleared || len(d.Fields) != 1 {
		t.Errorf("one empty entry is how managedFields are cleared: %+v", d)
	}
	live = withEntries(t, jsonOf(t, merge(t, object(t, asApplied).Object, `{"spec":{"containers":{"app":"i"}}}`)), ourFields)
	if d := DriftOf(live, answer, storyTime); d.What != driftChanged || !strings.Contains(d.String(), ".spec.containers") {
		t.Errorf("a map where a list was applied: %+v", d)
	}
}

// TestDriftIsShort: an Event has little room.
func TestDriftIsShort(t *testing.T) {
	d := Drift{What: driftChanged}
	for _, name := range strings.Split("abcdefgh", "") {
		d.Fields = append(d.Fields, DriftedField{Path: "." + name, Manager: "m", Operation: "Update"})
	}
	if got, want := d.String(), "m (Update) changed .a, .b, .c, 5 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzDriftOf(f *testing.F) {
	f.Add([]byte(asApplied), `{"f:spec":{"f:replicas":{}}}`)
	f.Add([]byte(`{"spec":[1],"metadata":{"labels":7}}`), `{"f:spec":{"v:1":{},"i:0":{},"k:{\"a\":1}":{}}}`)
	f.Fuzz(func(t *testing.T, raw []byte, fields string) {
		live := &unstructured.Unstructured{}
		if live.UnmarshalJSON(raw) != nil || live.IsList() {
			return
		}
		answer := withEntries(t, asApplied, "gitfleet Apply v1 "+fields)
		_ = DriftOf(live, answer, time.Time{}).String()
	})
}
