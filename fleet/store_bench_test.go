package fleet

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// BenchmarkReduce is what one event costs, from the decoded object to what is kept of it, for objects as a fleet has them:
// two managers, a few labels and annotations.
func BenchmarkReduce(b *testing.B) {
	type kept struct{ namespace, name, version, label, annotation, entry string }
	reduce := func(m metav1.Object) any {
		k := kept{namespace: m.GetNamespace(), name: m.GetName(), version: m.GetResourceVersion(), label: m.GetLabels()["app"], annotation: m.GetAnnotations()["hash"]}
		for _, e := range m.GetManagedFields() {
			if e.Manager == "gitfleet" {
				k.entry = e.FieldsV1.GetRawString()
			}
		}
		return k
	}
	whole := WatchSpec{Reduce: func(u *unstructured.Unstructured) any { return reduce(u) }}
	for _, row := range []struct {
		name  string
		spec  WatchSpec
		event func(i int) any
	}{
		{"metadata", WatchSpec{ReduceMetadata: func(_ schema.GroupVersionKind, m metav1.Object) any { return reduce(m) }}, func(i int) any { return benchMetadata(i) }},
		{"metadata through a map", whole, func(i int) any { return benchMetadata(i) }},
		{"a whole object", whole, func(i int) any { return benchObject(b, i) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			row.spec.Resource = configMaps
			w := (&Session{ctx: b.Context(), changed: make(chan struct{}, 1)}).newWatch(row.spec)
			store := &reflectorStore{&listWatcher{watch: w}}
			events := []any{row.event(0), row.event(1)} // they take turns, so each is a change
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := store.Update(events[i%2]); err != nil {
					b.Fatal(err)
				}
			}
			if len(w.items) != 1 {
				b.Fatalf("kept %v", w.items)
			}
		})
	}
}

func benchMetadata(i int) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "web", Name: "settings", UID: types.UID("3f8d6e4e-2a51-4c4e-9d55-0c7f2f4f9c11"), ResourceVersion: fmt.Sprint(1000 + i),
		Labels:      map[string]string{"app": "web", "tier": "front"},
		Annotations: map[string]string{"hash": "0123456789abcdef"},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "gitfleet", Operation: "Apply", APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:a":{},"f:b":{}},"f:metadata":{"f:annotations":{"f:hash":{}},"f:labels":{"f:app":{}}}}`)},
			{Manager: "controller", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", Subresource: "status",
				FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}}}}`)},
		},
	}}
}

func benchObject(b *testing.B, i int) *unstructured.Unstructured {
	b.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(benchMetadata(i))
	if err != nil {
		b.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}
