package apply

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
)

// EntryHash digests what the API server recorded about our last apply: apiVersion and fieldsV1 of the managedFields entry
// of api.FieldManager with operation Apply on no subresource, without its time. It is "" when there is no such entry.
//
// Whoever changes or removes a value that we own takes the field out of this entry, so an unchanged hash means that nobody
// has; docs/design.md, "Drift without reading bodies", lists the exceptions.
func EntryHash(entries []metav1.ManagedFieldsEntry) string {
	for _, e := range entries {
		if e.Manager != api.FieldManager || e.Operation != metav1.ManagedFieldsOperationApply || e.Subresource != "" {
			continue
		}
		fields := []byte("{}")
		if e.FieldsV1 != nil {
			fields = canonical(e.FieldsV1.GetRawBytes())
		}
		return digest([]byte(e.APIVersion), fields)
	}
	return ""
}

// canonical sorts the keys of a JSON document: the order in which an API server prints a field set depends on whether it
// passed through a Go struct or a map. What is no JSON is returned as it is, to be digested byte for byte.
func canonical(raw []byte) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

// digest is a short SHA-256 over parts: 96 bits, enough to tell versions of one object apart and cheap in an inventory.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// Observe reduces an object's metadata to what deciding needs. Health is Current: who knows the status sets it.
func Observe(ref api.Ref, m metav1.Object) LiveObject {
	lo := LiveObject{
		Ref:             ref,
		UID:             m.GetUID(),
		ResourceVersion: m.GetResourceVersion(),
		SetID:           m.GetLabels()[api.ApplySetPartOfLabel],
		EntryHash:       EntryHash(m.GetManagedFields()),
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
	}
	return lo
}
