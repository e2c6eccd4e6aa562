package memfleet

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Dump returns all objects as sorted YAML documents, each under a line that names it, without what differs from run to
// run (uid, resourceVersion, times) and without managedFields. A Secret's values are replaced by digests.
func (s *Server) Dump() string {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	var b strings.Builder
	for _, k := range s.store.sortedKinds() {
		if k.gvk.GroupVersion() != k.storage {
			continue // another name for the same objects
		}
		for _, obj := range s.store.list(k.gvr().GroupResource()) {
			text, err := yaml.Marshal(steady(obj).Object)
			if err != nil {
				panic(fmt.Sprintf("memfleet: %s %s: %v", k.gvk, obj.GetName(), err)) // it came as JSON, so it has a YAML form
			}
			fmt.Fprintf(&b, "--- %s %s\n%s", k.gvk.GroupKind(), strings.TrimPrefix(obj.GetNamespace()+"/"+obj.GetName(), "/"), text)
		}
	}
	return b.String()
}

// Objects returns all objects, by kind, namespace and name. They are the server's own: nobody may change them.
func (s *Server) Objects() []*unstructured.Unstructured {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	var objects []*unstructured.Unstructured
	for _, k := range s.store.sortedKinds() {
		if k.gvk.GroupVersion() == k.storage {
			objects = append(objects, s.store.list(k.gvr().GroupResource())...)
		}
	}
	return objects
}

// steady returns a copy of what does not differ from run to run.
func steady(obj *unstructured.Unstructured) *unstructured.Unstructured {
	obj = obj.DeepCopy()
	for _, name := range []string{"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields"} {
		unstructured.RemoveNestedField(obj.Object, "metadata", name)
	}
	dropTimes(obj.Object["status"])
	if data, ok := obj.Object["data"].(map[string]any); ok && obj.GetKind() == "Secret" {
		for key, value := range data {
			data[key] = fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Append(nil, value)))[:19]
		}
	}
	return obj
}

// dropTimes removes the times of conditions.
func dropTimes(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "lastTransitionTime")
		delete(v, "lastUpdateTime")
		for _, value := range v {
			dropTimes(value)
		}
	case []any:
		for _, value := range v {
			dropTimes(value)
		}
	}
}
