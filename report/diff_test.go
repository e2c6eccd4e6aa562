package report

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/render"
)

// object parses YAML; what stands in an object's head does not matter to most diffs.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(data, &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDiff(t *testing.T) {
	long := strings.Repeat("x", 200)
	tests := map[string]struct {
		reason        string
		before, after string
		want          string
	}{
		"Nothing":      {"equal objects have no diff", "a: {b: [1, {c: 2}]}", "a: {b: [1, {c: 2}]}", ""},
		"Number":       {"one field, one line", "spec: {replicas: 2}", "spec: {replicas: 3}", "spec.replicas: 2 -> 3"},
		"Text":         {"plain text needs no quotes", "image: a:1", "image: a:2", "image: a:1 -> a:2"},
		"OtherType":    {"text that looks like another type is quoted", `a: 80`, `a: "80"`, `a: 80 -> "80"`},
		"Words":        {"text with spaces is quoted", `a: x y`, `a: ""`, `a: "x y" -> ""`},
		"Boolean":      {"as is a word of YAML", `a: true`, `a: "Yes"`, `a: true -> "Yes"`},
		"Control":      {"nothing in a value reaches the terminal", `a: x`, `a: "x\u001b[31m"`, `a: x -> "x\x1b[31m"`},
		"ControlKey":   {"nor in a key", `a: x`, `{a: x, "\u001b[31m": z}`, `["\x1b[31m"]: (none) -> z`},
		"Added":        {"a new map is told leaf by leaf", "a: {}", "a: {b: {c: 1, d: 2}}", "a.b.c: (none) -> 1\na.b.d: (none) -> 2"},
		"Removed":      {"and so is one that goes", "a: {b: [1, 2]}", "a: {}", "a.b[0]: 1 -> (none)\na.b[1]: 2 -> (none)"},
		"Empty":        {"an empty map is not an absent one", "{}", "a: {}", "a: (none) -> {}"},
		"EmptyList":    {"nor is an empty list", "a: []", "{}", "a: [] -> (none)"},
		"Null":         {"nor is null", "a: null", "{}", "a: null -> (none)"},
		"Kind":         {"a field may become another kind of value", "a: {b: 1}", "a: [1]", `a: {"b":1} -> [1]`},
		"EmptyKinds":   {"also an empty one", "a: {}", "a: []", `a: {} -> []`},
		"Dotted":       {"a key with dots is quoted", "m: {a.b/c: x}", "m: {a.b/c: z}", `m["a.b/c"]: x -> z`},
		"ByPosition":   {"lists without names go by position", "l: [1, 2]", "l: [1, 3, 4]", "l[1]: 2 -> 3\nl[2]: (none) -> 4"},
		"ByName":       {"an element in front does not touch the others", "l: [{name: a, v: 1}]", "l: [{name: b, v: 2}, {name: a, v: 1}]", "l[b].name: (none) -> b\nl[b].v: (none) -> 2"},
		"SameNames":    {"names that repeat are no names", "l: [{name: a}, {name: a}]", "l: [{name: a}, {name: b}]", "l[1].name: a -> b"},
		"OddName":      {"a strange name is quoted", `l: [{name: "a b", v: 1}]`, `l: [{name: "a b", v: 2}]`, `l["a b"].v: 1 -> 2`},
		"Order":        {"order may matter, so it is told", "l: [{name: a}, {name: b}]", "l: [{name: b}, {name: a}]", `l: order "a, b" -> order "b, a"`},
		"Lines":        {"of long text only the lines that differ", "f: \"one\\ntwo\\nthree\\n\"", "f: \"one\\n2\\nthree\\n\"", `f: two -> "2"`},
		"NewLine":      {"a line may be added", "f: \"one\\ntwo\\n\"", "f: \"one\\nmore\\ntwo\\n\"", `f: "" -> more`},
		"Long":         {"a long line is cut to where it differs", "f: " + long + "a", "f: " + long + "b", `f: "…` + strings.Repeat("x", 20) + `a" -> "…` + strings.Repeat("x", 20) + `b"`},
		"LongNew":      {"and a new one is cut", "{}", "f: " + long, `f: (none) -> "` + strings.Repeat("x", 119) + `…"`},
		"Binary":       {"binary data is named by size and digest", "binaryData: {a: aGVsbG8=}", "binaryData: {a: aGVsbG8h}", "binaryData.a: 5 bytes sha256:2cf24dba5fb0 -> 6 bytes sha256:ce06092fb948"},
		"BinaryAbsent": {"also when it is new", "{}", "binaryData: {a: aGVsbG8=}", "binaryData.a: (none) -> 5 bytes sha256:2cf24dba5fb0"},
		"BinaryBroken": {"and what is not base64 is text", "binaryData: {a: '!'}", "binaryData: {a: '?'}", `binaryData.a: "!" -> "?"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := NewMask().Diff(object(t, tc.before), object(t, tc.after))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDiffHidesSecrets(t *testing.T) {
	secret := func(text string) render.Object {
		return render.Object{Unstructured: object(t, "{apiVersion: v1, kind: Secret, "+text+"}")}
	}
	old := secret(`data: {a: b2xkLXNlY3JldA==}, stringData: {pin: "42"}`) // old-secret
	changed := secret(`data: {a: bmV3LXNlY3JldA==, b: 7}, stringData: {pin: "43", pem: "-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----\n", quoted: "say \"friend\""}`)
	mask := NewMask([]render.Object{old, {Unstructured: object(t, "{apiVersion: v1, kind: ConfigMap, data: {a: plain-text}}")}}, []render.Object{changed})
	tests := map[string]struct {
		reason        string
		before, after *unstructured.Unstructured
		want          string
	}{
		"Secret": {"every value of a Secret is hidden, that it changed is not", old.Unstructured, changed.Unstructured,
			"data.a: *** -> *** (changed)\ndata.b: (none) -> ***\nstringData.pem: (none) -> ***\nstringData.pin: *** -> *** (changed)\nstringData.quoted: (none) -> ***"},
		"Whole":   {"a value stands elsewhere", object(t, "a: old-secret"), object(t, "a: plain-text"), "a: *** -> plain-text"},
		"Part":    {"or is part of another", object(t, "{}"), object(t, "a: user:new-secret@host"), `a: (none) -> user:***@host`},
		"Base64":  {"or stands there encoded", object(t, "{}"), object(t, "a: x bmV3LXNlY3JldA=="), `a: (none) -> "x ***"`},
		"Line":    {"or one line of it does", object(t, "{}"), object(t, "a: '  MIIEvQIBADANBg'"), `a: (none) -> "  ***"`},
		"JSON":    {"or inside JSON", object(t, "{}"), object(t, `a: '{"x": "say \"friend\""}'`), `a: (none) -> "{\"x\": \"***\"}"`},
		"Short":   {"a short value is hidden where it is all there is", object(t, "a: '42'"), object(t, "a: '142'"), `a: *** -> "142"`},
		"Number":  {"also when it is no text", object(t, "a: 42"), object(t, "a: [43, '43', {b: '43'}]"), `a: *** -> [43,"***",{"b":"***"}]`},
		"Cut":     {"cutting text cannot cut a secret in two", object(t, "a: 1\n"), object(t, "a: "+strings.Repeat("x", 115)+"new-secret"), "a: 1 -> " + strings.Repeat("x", 115) + "***"},
		"Binary":  {"nor is its digest told", object(t, "{}"), object(t, "binaryData: {a: bmV3LXNlY3JldA==}"), "binaryData.a: (none) -> ***"},
		"Changed": {"a change that is all hidden still shows", object(t, "a: old-secret"), object(t, "a: new-secret"), "a: *** -> *** (changed)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, mask.Diff(tc.before, tc.after)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// FuzzDiff checks what must hold of any two objects: no panic, a diff exactly when they differ, one line a field, and
// no secret in it.
func FuzzDiff(f *testing.F) {
	f.Add("spec: {replicas: 2, l: [{name: a}, {name: b}]}", "spec: {replicas: 3, l: [{name: b}, {name: a, c: null}]}", "hunter2-hunter2")
	f.Add(`{"a": "user:hunter2-hunter2@host", "binaryData": {"x": "aHVudGVyMi1odW50ZXIy"}}`, "a: hunter2-hunter2", "hunter2-hunter2")
	f.Add("[]", "a: \"x\\ny\"", "short")
	f.Fuzz(func(t *testing.T, a, b, secret string) {
		var before, after map[string]any
		if yaml.Unmarshal([]byte(a), &before) != nil || yaml.Unmarshal([]byte(b), &after) != nil {
			t.Skip("not YAML")
		}
		mask := NewMask([]render.Object{{Unstructured: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "stringData": map[string]any{"s": secret}}}}})
		if after == nil {
			after = map[string]any{}
		}
		after["planted"] = fmt.Sprintf("before %s after", secret)
		got := mask.Diff(&unstructured.Unstructured{Object: before}, &unstructured.Unstructured{Object: after})
		if same := reflect.DeepEqual(before, after); same != (got == "") {
			t.Errorf("equal: %v, but the diff is %q", same, got)
		}
		for _, line := range strings.Split(got, "\n") {
			if got != "" && !strings.Contains(line, " -> ") {
				t.Errorf("line %q is no \"path: before -> after\"", line)
			}
		}
	})
}

// FuzzMask checks that a secret of a reviewable length is never printed, whatever surrounds it.
func FuzzMask(f *testing.F) {
	f.Add("hunter2", "postgres://u:", "@host")
	f.Add("a\nb\nlonger line", "x", "y")
	f.Add("aaaaaaa", "a", "aaa")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if len(secret) < shortestPart || strings.Contains(hidden, secret) {
			t.Skip("too short to be told from other text")
		}
		for _, form := range []string{"data", "stringData"} {
			value := secret
			if form == "data" {
				value = base64.StdEncoding.EncodeToString([]byte(secret))
			}
			mask := NewMask([]render.Object{{Unstructured: &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": "Secret", form: map[string]any{"s": value}}}}})
			if got := mask.Text(before + secret + after); strings.Contains(got, secret) && !strings.Contains(before+hidden+after, secret) {
				t.Errorf("%s: %q shows through in %q", form, secret, got)
			}
		}
	})
}
