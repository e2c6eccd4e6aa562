package apply

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
)

// EntryHash digests what the API server recorded about our last apply: apiVersion and fieldsV1 of the managedFields entry
// of api.FieldManager with operation Apply on no subresource, without its time. It is "" when there is no such entry.
//
// Whoever changes or removes a value that we own takes the field out of this entry, so an unchanged hash means that nobody
// has; docs/design.md, "Drift without reading bodies", lists the exceptions.
func EntryHash(entries []metav1.ManagedFieldsEntry) string {
	for i := range entries {
		e := &entries[i]
		if !isOurs(*e) {
			continue
		}
		if e.FieldsV1 == nil {
			return hashFields(e.APIVersion, []byte("{}"))
		}
		return hashFields(e.APIVersion, e.FieldsV1.GetRawBytes())
	}
	return ""
}

// entryHashOf is EntryHash of an object. Of one that was decoded into maps it looks at our entry only: to convert all of them
// costs more than the rest of Observe.
func entryHashOf(m metav1.Object) string {
	u, ok := m.(*unstructured.Unstructured)
	if !ok {
		return EntryHash(m.GetManagedFields())
	}
	field, _, _ := unstructured.NestedFieldNoCopy(u.Object, "metadata", "managedFields")
	entries, _ := field.([]any)
	for _, entry := range entries {
		e, _ := entry.(map[string]any)
		text := func(key string) string { s, _ := e[key].(string); return s }
		if !isOurs(metav1.ManagedFieldsEntry{Manager: text("manager"), Operation: metav1.ManagedFieldsOperationType(text("operation")), Subresource: text("subresource")}) {
			continue
		}
		fields, isMap := e["fieldsV1"].(map[string]any)
		raw, ok := appendFields(make([]byte, 0, 1024), fields)
		if !ok || !isMap {
			return EntryHash(u.GetManagedFields())
		}
		return hashFields(text("apiVersion"), raw)
	}
	return ""
}

// digest is a short SHA-256 over parts: 96 bits, enough to tell versions of one object apart and cheap in an inventory.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0})
	}
	return shortDigest(h.Sum(nil))
}

func shortDigest(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:12]) }

// Observe reduces an object's metadata to what deciding needs. Health is what metadata tells, Terminating or Current: who
// knows the status sets it.
func Observe(ref api.Ref, m metav1.Object) LiveObject {
	lo := LiveObject{
		Ref:             ref,
		UID:             m.GetUID(),
		ResourceVersion: m.GetResourceVersion(),
		SetID:           m.GetLabels()[api.ApplySetPartOfLabel],
		EntryHash:       entryHashOf(m),
		Controlled:      metav1.GetControllerOfNoCopy(m) != nil,
		Health:          Health{Status: Current},
	}
	annotations := m.GetAnnotations()
	lo.AppliedHash = annotations[api.AnnotationAppliedHash]
	if wave, err := strconv.Atoi(annotations[api.AnnotationWave]); err == nil {
		lo.Wave = wave
	}
	if since := m.GetDeletionTimestamp(); since != nil {
		lo.Deleting, lo.DeletingSince = true, since.Time
		lo.Finalizers = strings.Join(m.GetFinalizers(), ",")
		lo.Health = terminating()
	}
	return lo
}

func terminating() Health { return Health{Terminating, "is being deleted"} }
