package memfleet

import (
	"encoding/base64"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// prepare sets what a real API server's strategies set and clients rely on.
func (w *write) prepare(obj *unstructured.Unstructured) {
	switch w.kind.gvk.Kind {
	case "Namespace":
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["kubernetes.io/metadata.name"] = obj.GetName()
		obj.SetLabels(labels)
		if w.before == nil {
			obj.Object["status"] = map[string]any{"phase": "Active"}
		}
	case "Secret":
		prepareSecret(obj)
	}
}

// prepareSecret moves stringData, which is never stored, to data.
func prepareSecret(obj *unstructured.Unstructured) {
	texts, _, _ := unstructured.NestedStringMap(obj.Object, "stringData")
	delete(obj.Object, "stringData")
	if len(texts) == 0 {
		return
	}
	data, _, _ := unstructured.NestedMap(obj.Object, "data")
	if data == nil {
		data = map[string]any{}
	}
	for key, text := range texts {
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	obj.Object["data"] = data
}

// follow does what controllers do in a real cluster, at once.
func (s *store) follow(k *kind, obj *unstructured.Unstructured) {
	if k.gvk == definitionKind.gvk {
		s.serve(obj)
	}
	s.release(obj.GetNamespace())
	if k.gvk == namespaceKind.gvk {
		s.release(obj.GetName())
	}
}

// serve makes the kinds of a CustomResourceDefinition available and says so in its status.
func (s *store) serve(crd *unstructured.Unstructured) {
	gr := definitionKind.gvr().GroupResource()
	if s.get(gr, keyOf(crd)) == nil {
		s.unserve(crd.GetName())
		return
	}
	s.unserve(crd.GetName())
	var stored []any
	for _, k := range definedKinds(crd) {
		s.kinds[k.gvr()] = k
	}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		if version, ok := v.(map[string]any); ok && version["storage"] == true {
			stored = append(stored, version["name"])
		}
	}
	names, _, _ := unstructured.NestedMap(crd.Object, "spec", "names")
	if _, done, _ := unstructured.NestedSlice(crd.Object, "status", "conditions"); done {
		return
	}
	now := metav1.Now().UTC().Format("2006-01-02T15:04:05Z")
	condition := func(kind, reason, message string) any {
		return map[string]any{"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
	}
	after := crd.DeepCopy()
	after.Object["status"] = map[string]any{
		"acceptedNames": names, "storedVersions": stored,
		"conditions": []any{
			condition("NamesAccepted", "NoConflicts", "no conflicts found"),
			condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
		},
	}
	s.put(gr, crd, after)
}

// unserve makes the kinds of a CustomResourceDefinition unavailable.
func (s *store) unserve(definition string) {
	for gvr, k := range s.kinds {
		if k.definition == definition {
			delete(s.kinds, gvr)
		}
	}
	s.grow()
}

// remove deletes an object and what it contains, or marks it as deleted while finalizers hold it. It returns its last
// state.
func (s *store) remove(k *kind, obj *unstructured.Unstructured) *unstructured.Unstructured {
	gr := k.gvr().GroupResource()
	if obj.GetDeletionTimestamp() != nil {
		return obj
	}
	switch k.gvk {
	case definitionKind.gvk:
		s.removeAll(func(other *kind, _ *unstructured.Unstructured) bool { return other.definition == obj.GetName() })
	case namespaceKind.gvk:
		return s.removeNamespace(obj)
	}
	after := obj.DeepCopy()
	now, grace := metav1.Now().Rfc3339Copy(), int64(0)
	after.SetDeletionTimestamp(&now)
	after.SetDeletionGracePeriodSeconds(&grace)
	if k.generation {
		after.SetGeneration(obj.GetGeneration() + 1)
	}
	after = s.put(gr, obj, after)
	s.follow(k, after)
	return after
}

// removeNamespace marks a namespace and deletes its content; it goes when that is gone.
func (s *store) removeNamespace(ns *unstructured.Unstructured) *unstructured.Unstructured {
	gr := namespaceKind.gvr().GroupResource()
	after := ns.DeepCopy()
	now := metav1.Now().Rfc3339Copy()
	after.SetDeletionTimestamp(&now)
	after.Object["status"] = map[string]any{"phase": "Terminating"}
	after.SetFinalizers(append(after.GetFinalizers(), namespaceContent))
	after = s.put(gr, ns, after)
	s.removeAll(func(k *kind, obj *unstructured.Unstructured) bool {
		return k.namespaced && obj.GetNamespace() == ns.GetName()
	})
	s.release(ns.GetName())
	return after
}

// namespaceContent stands for spec.finalizers of a real namespace: it is held by its content.
const namespaceContent = "memfleet.gitfleet.io/content"

// release lets a namespace that is marked as deleted go when nothing is left in it.
func (s *store) release(name string) {
	gr := namespaceKind.gvr().GroupResource()
	ns := s.get(gr, objectKey{name: name})
	if ns == nil || ns.GetDeletionTimestamp() == nil {
		return
	}
	for _, k := range s.sortedKinds() {
		for _, obj := range s.list(k.gvr().GroupResource()) {
			if k.namespaced && obj.GetNamespace() == name {
				return
			}
		}
	}
	after := ns.DeepCopy()
	var rest []string
	for _, f := range ns.GetFinalizers() {
		if f != namespaceContent {
			rest = append(rest, f)
		}
	}
	after.SetFinalizers(rest)
	s.put(gr, ns, after)
}

// removeAll removes every object that match chooses.
func (s *store) removeAll(match func(*kind, *unstructured.Unstructured) bool) {
	for _, k := range s.sortedKinds() {
		for _, obj := range s.list(k.gvr().GroupResource()) {
			if match(k, obj) && s.get(k.gvr().GroupResource(), keyOf(obj)) != nil {
				s.remove(k, obj)
			}
		}
	}
}
