package apply

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestStamp(t *testing.T) {
	rows := []struct{ name, reason, in, want string }{
		{"plain", "label and digest are added beside what is there",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: x}, annotations: {note: why}}, data: {k: v}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: x, PARTOF: ID}, annotations: {note: why, HASH: DIGEST}}, data: {k: v}}"},
		{"a label that is no string", "is the API server's to refuse, and the others must survive",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: x, version: 2}}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: x, version: 2, PARTOF: ID}, annotations: {HASH: DIGEST}}}"},
		{"exported from a cluster", "an apply with managedFields is refused, one with a uid or resourceVersion is about one incarnation",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, uid: u, resourceVersion: '7', creationTimestamp: null, generation: 2, managedFields: [{manager: x}]}, status: {a: b}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {PARTOF: ID}, annotations: {HASH: DIGEST}}}"},
		{"stringData", "is never stored, so it could not be seen to drift; it wins over data, as on the API server",
			"{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: b2xk, b: Yg==}, stringData: {a: new}}",
			"{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {PARTOF: ID}, annotations: {HASH: DIGEST}}, data: {a: bmV3, b: Yg==}}"},
		{"stringData that is no map", "is the API server's to refuse",
			"{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: 1}}",
			"{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {PARTOF: ID}, annotations: {HASH: DIGEST}}, stringData: {a: 1}}"},
		{"stringData beside data that is no map", "is the API server's to refuse",
			"{apiVersion: v1, kind: Secret, metadata: {name: a}, data: [1], stringData: {a: b}}",
			"{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {PARTOF: ID}, annotations: {HASH: DIGEST}}, data: [1], stringData: {a: b}}"},
		{"stringData alone", "becomes data",
			"{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: new}}",
			"{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {PARTOF: ID}, annotations: {HASH: DIGEST}}, data: {a: bmV3}}"},
		{"another Secret", "only the core kind has stringData",
			"{apiVersion: example.com/v1, kind: Secret, metadata: {name: a}, stringData: {a: b}}",
			"{apiVersion: example.com/v1, kind: Secret, metadata: {name: a, labels: {PARTOF: ID}, annotations: {HASH: DIGEST}}, stringData: {a: b}}"},
	}
	for _, row := range rows {
		in := object(t, row.in)
		before := in.DeepCopy()
		got := Stamp("web", NewTarget(render.Object{Unstructured: in, Origin: render.Origin{File: "a.yaml", Document: 3}}, nil))
		want := object(t, strings.NewReplacer("PARTOF", api.ApplySetPartOfLabel, "ID", SetID("web"),
			"HASH", api.AnnotationAppliedHash, "DIGEST", AppliedHash(in)).Replace(row.want))
		if diff := cmp.Diff(want.Object, got.Object); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", row.name, row.reason, diff)
		}
		if diff := cmp.Diff(before.Object, in.Object); diff != "" {
			t.Errorf("%s: the rendered object was modified:\n%s", row.name, diff)
		}
		if got.Origin.Document != 3 {
			t.Errorf("%s: the origin is lost", row.name)
		}
	}
}

func TestAppliedHashTellsChangesAndNothingElse(t *testing.T) {
	base := "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v, l: w}}"
	hash := AppliedHash(object(t, base))
	for what, same := range map[string]string{
		"another order":   "{kind: ConfigMap, data: {l: w, k: v}, metadata: {name: a}, apiVersion: v1}",
		"server's fields": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, creationTimestamp: null}, data: {k: v, l: w}}",
	} {
		if AppliedHash(object(t, same)) != hash {
			t.Errorf("%s changes the hash", what)
		}
	}
	for what, other := range map[string]string{
		"a value":     "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v, l: x}}",
		"a type":      "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v, l: null}}",
		"the version": "{apiVersion: v2, kind: ConfigMap, metadata: {name: a}, data: {k: v, l: w}}",
	} {
		if AppliedHash(object(t, other)) == hash {
			t.Errorf("%s does not change the hash", what)
		}
	}
}

func TestEntryHash(t *testing.T) {
	entry := func(manager, operation, version, sub, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationType(operation), APIVersion: version,
			Subresource: sub, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	ours := entry("gitfleet", "Apply", "v1", "", `{"f:data":{"f:k":{},"f:l":{}}}`)
	hash := EntryHash([]metav1.ManagedFieldsEntry{ours})
	later := ours
	later.Time = &metav1.Time{Time: storyTime}
	rows := []struct {
		reason string
		in     []metav1.ManagedFieldsEntry
		want   string
	}{
		{"others' entries do not count", []metav1.ManagedFieldsEntry{entry("kubectl", "Update", "v1", "", `{}`), ours}, hash},
		{"the time does not count", []metav1.ManagedFieldsEntry{later}, hash},
		{"the order of keys does not count", []metav1.ManagedFieldsEntry{entry("gitfleet", "Apply", "v1", "", `{"f:data": {"f:l":{}, "f:k":{}}}`)}, hash},
		{"no entry", nil, ""},
		{"our updates are no applies", []metav1.ManagedFieldsEntry{entry("gitfleet", "Update", "v1", "", `{}`)}, ""},
		{"our applies of a subresource are something else", []metav1.ManagedFieldsEntry{entry("gitfleet", "Apply", "v1", "status", `{}`)}, ""},
	}
	for _, row := range rows {
		if got := EntryHash(row.in); got != row.want {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
	}
	for _, other := range []metav1.ManagedFieldsEntry{
		entry("gitfleet", "Apply", "v2", "", `{"f:data":{"f:k":{},"f:l":{}}}`),
		entry("gitfleet", "Apply", "v1", "", `{"f:data":{"f:k":{}}}`),
	} {
		if EntryHash([]metav1.ManagedFieldsEntry{other}) == hash {
			t.Errorf("%v has the hash of %v", other, ours)
		}
	}
}

func TestObserveReducesMetadata(t *testing.T) {
	u := object(t, `{apiVersion: v1, kind: Pod, metadata: {namespace: one, name: p, uid: u, resourceVersion: "5", deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [b, a],
  labels: {applyset.kubernetes.io/part-of: set}, annotations: {gitfleet.dev/applied-hash: hash, gitfleet.dev/wave: "-2"},
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: x, controller: true}]}}`)
	want := LiveObject{Ref: api.Ref{Kind: "Pod", Namespace: "one", Name: "p"}, UID: "u", ResourceVersion: "5", SetID: "set", AppliedHash: "hash",
		Wave: -2, Controlled: true, Deleting: true, DeletingSince: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Finalizers: "b,a",
		Health: Health{Terminating, "is being deleted"}}
	if diff := cmp.Diff(want, Observe(api.RefOf(u), u)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	u.SetDeletionTimestamp(nil)
	u.SetAnnotations(map[string]string{api.AnnotationWave: "last"})
	if got := Observe(api.RefOf(u), u); got.Deleting || !got.DeletingSince.IsZero() || got.Finalizers != "" || got.Wave != 0 || got.Health != current() {
		t.Errorf("an object that is not being deleted, with a wave that is no number: %+v", got)
	}
}

func TestStampHoldsWhatIsGivenAway(t *testing.T) {
	replicas := fieldpath.MakePathOrDie("spec", "replicas")
	rule := api.IgnoreRule{Kind: schema.GroupKind{Group: "apps", Kind: "Deployment"}, Path: replicas}
	in := NewTarget(render.Object{Unstructured: object(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 2}}"),
		Directives: api.Directives{Wave: 3}}, []api.IgnoreRule{rule, rule})
	if len(in.HandOut) != 1 || in.Version != "v1" {
		t.Errorf("a path that is named twice is given away %d times; version %q", len(in.HandOut), in.Version)
	}
	out := Stamp("web", in)
	if n, _, _ := unstructured.NestedInt64(out.Object, "spec", "replicas"); n != 2 || out.Directives.Wave != 3 {
		t.Errorf("stamped is %v with %+v, want the field for the creation", out.Object, out.Directives)
	}
	if got := out.GetAnnotations()[api.AnnotationAppliedHash]; got != in.Hash || got == AppliedHash(in.Unstructured) {
		t.Errorf("the annotation is %q, want the digest without the field, %q", got, in.Hash)
	}
	other := NewTarget(render.Object{Unstructured: object(t, "{apiVersion: example.com/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 2}}")},
		[]api.IgnoreRule{rule})
	if len(other.HandOut) > 0 || other.Hash != AppliedHash(other.Unstructured) {
		t.Errorf("the rule of another kind takes effect: %v", other.HandOut)
	}
}

func FuzzStamp(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"a":"b"},"data":{"c":"ZA=="}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":7},"status":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		u := &unstructured.Unstructured{}
		if u.UnmarshalJSON(raw) != nil || u.IsList() {
			return
		}
		o := Stamp("web", NewTarget(render.Object{Unstructured: u}, nil))
		got, found, err := unstructured.NestedString(o.Object, "metadata", "annotations", api.AnnotationAppliedHash)
		if err == nil && found && got != AppliedHash(u) {
			t.Errorf("%s: the annotation is %s, not the hash", raw, got)
		}
		if _, err := json.Marshal(o.Object); err != nil {
			t.Error(err)
		}
	})
}
