package apply

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gitfleet/gitfleet/api"
)

// deploymentFields is our entry of a Deployment with two containers, as an API server printed it.
const deploymentFields = `{"f:metadata":{"f:annotations":{"f:gitfleet.dev/applied-hash":{}},"f:labels":{"f:app":{},"f:applyset.kubernetes.io/part-of":{}}},` +
	`"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:containers":{` +
	`"k:{\"name\":\"proxy\"}":{".":{},"f:args":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}},` +
	`"k:{\"containerPort\":443,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}},` +
	`"k:{\"name\":\"web\"}":{".":{},"f:env":{"k:{\"name\":\"MODE\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:name":{},"f:resources":{"f:limits":{"f:memory":{}},"f:requests":{"f:cpu":{},"f:memory":{}}}}}}}}}`

// BenchmarkEntryHash is what it costs to digest one entry, as it arrives with every event.
func BenchmarkEntryHash(b *testing.B) {
	for _, row := range []struct{ name, fields string }{
		{"config map", `{"f:data":{"f:a":{},"f:b":{}},"f:metadata":{"f:annotations":{"f:gitfleet.dev/applied-hash":{}},"f:labels":{"f:applyset.kubernetes.io/part-of":{}}}}`},
		{"deployment", deploymentFields},
	} {
		entries := benchEntries(row.fields)
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if EntryHash(entries) == "" {
					b.Fatal("no entry")
				}
			}
		})
	}
}

// BenchmarkObserve is what it costs to reduce one object.
func BenchmarkObserve(b *testing.B) {
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "web", Name: "web", UID: "3f8d6e4e-2a51-4c4e-9d55-0c7f2f4f9c11", ResourceVersion: "1234567",
		Labels:        map[string]string{"app": "web", api.ApplySetPartOfLabel: "applyset-0123456789-v1"},
		Annotations:   map[string]string{api.AnnotationAppliedHash: "0123456789abcdef"},
		ManagedFields: benchEntries(deploymentFields),
	}}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(m)
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		object metav1.Object
	}{{"metadata", m}, {"whole object", &unstructured.Unstructured{Object: content}}} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Observe(api.Ref{}, row.object).EntryHash == "" {
					b.Fatal("no entry")
				}
			}
		})
	}
}

// benchEntries is our entry, and that of the controller that writes the status.
func benchEntries(fields string) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{
		{Manager: api.FieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "apps/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)},
		{Manager: "controller", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", FieldsType: "FieldsV1", Subresource: "status",
			FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Available\"}":{".":{},"f:status":{},"f:type":{}}},"f:replicas":{}}}`)},
	}
}
