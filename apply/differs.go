package apply

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Differs tells whether a dry-run apply of ours would change the object: a value, or only who owns it. Live is the object
// as read, answer what the API server answered to the dry run. Neither the status nor what the API server counts and
// records by itself is compared: they move between the two answers without anybody touching what is ours.
func Differs(live, answer *unstructured.Unstructured) bool {
	if EntryHash(live.GetManagedFields()) != EntryHash(answer.GetManagedFields()) {
		return true
	}
	return !equality.Semantic.DeepEqual(comparable(live), comparable(answer))
}

func comparable(u *unstructured.Unstructured) map[string]any {
	out := make(map[string]any, len(u.Object))
	for k, v := range u.Object {
		out[k] = v
	}
	if meta, ok := u.Object["metadata"].(map[string]any); ok {
		m := make(map[string]any, len(meta))
		for k, v := range meta {
			m[k] = v
		}
		for _, k := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(m, k)
		}
		out["metadata"] = m
	}
	delete(out, "status")
	return out
}
