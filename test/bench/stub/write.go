package stub

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"time"
)

const applyPatch = "application/apply-patch+yaml"

// write is create, update and server-side apply.
func (m *Member) write(q request) {
	var content map[string]any
	body, err := io.ReadAll(q.Body)
	if err == nil {
		err = json.Unmarshal(body, &content)
	}
	meta, _ := content["metadata"].(map[string]any)
	if err != nil || meta == nil {
		refuse(q.w, http.StatusBadRequest, "BadRequest", "the body is no object")
		return
	}
	apply := q.Method == http.MethodPatch
	if apply && q.Header.Get("Content-Type") != applyPatch {
		refuse(q.w, http.StatusUnsupportedMediaType, "UnsupportedMediaType", "of patches there is only server-side apply here")
		return
	}
	key := objectKey{q.namespace, q.name}
	if q.Method == http.MethodPost {
		key.name = text(meta, "name")
	}
	m.mu.Lock()
	before := m.of(q.kind).objects[key]
	code, reason, message := m.check(q, key, before, text(meta, "resourceVersion"))
	if code != 0 {
		m.mu.Unlock()
		refuse(q.w, code, reason, message)
		return
	}
	o := m.store(q, key, before, content)
	m.mu.Unlock()
	if before == nil {
		q.w.WriteHeader(http.StatusCreated)
	}
	_, _ = q.w.Write(o.as(q.partial))
}

// check returns why a write cannot be done; code is 0 when it can. m.mu is held.
func (m *Member) check(q request, key objectKey, before *object, version string) (code int, reason, message string) {
	name := fmt.Sprintf("%s %q", q.kind.plural, key.name)
	_, there := m.of(builtin()[0]).objects[objectKey{name: key.namespace}]
	switch {
	case q.kind.namespaced && !there:
		return http.StatusNotFound, "NotFound", fmt.Sprintf("namespaces %q not found", key.namespace)
	case q.Method == http.MethodPost && before != nil:
		return http.StatusConflict, "AlreadyExists", name + " already exists"
	case q.Method == http.MethodPut && before == nil:
		return http.StatusNotFound, "NotFound", name + " not found"
	case before != nil && version != "" && version != fmt.Sprint(before.version):
		return http.StatusConflict, "Conflict", name + " has been modified"
	}
	return 0, "", ""
}

// store stores content in the place of before, unless it is equal to that or the request is a dry run. m.mu is held.
func (m *Member) store(q request, key objectKey, before *object, content map[string]any) *object {
	meta := content["metadata"].(map[string]any)
	event := "ADDED"
	meta["name"] = key.name
	if key.namespace != "" {
		meta["namespace"] = key.namespace
	}
	operation := "Update"
	if q.Method == http.MethodPatch {
		operation = "Apply"
	}
	entry := map[string]any{"manager": q.URL.Query().Get("fieldManager"), "operation": operation, "apiVersion": text(content, "apiVersion"),
		"fieldsType": "FieldsV1", "fieldsV1": fieldsOf(content), "time": time.Now().UTC().Format(time.RFC3339)}
	if before != nil {
		event = "MODIFIED"
		was := before.content["metadata"].(map[string]any)
		for _, field := range []string{"uid", "creationTimestamp", "resourceVersion"} {
			meta[field] = was[field]
		}
		meta["generation"] = was["generation"]
		meta["managedFields"] = was["managedFields"]
		setStatus(q.kind, content, was["generation"])
		if reflect.DeepEqual(before.content, content) {
			return before
		}
		meta["generation"] = was["generation"].(float64) + 1
	} else {
		meta["uid"] = fmt.Sprintf("%x", random())
		meta["creationTimestamp"] = entry["time"]
		meta["generation"] = 1.0
	}
	meta["managedFields"] = []any{entry}
	setStatus(q.kind, content, meta["generation"])
	if q.URL.Query().Get("dryRun") != "" {
		return &object{key: key, content: content, whole: encode(content)}
	}
	return m.put(q.kind, key, content, event)
}

// setStatus says what a controller would say.
func setStatus(k kind, content map[string]any, generation any) {
	condition := func(name string) any {
		return map[string]any{"type": name, "status": "True", "reason": "Stub", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
	}
	delete(content, "status")
	switch k.plural {
	case "deployments":
		spec, _ := content["spec"].(map[string]any)
		n := spec["replicas"]
		content["status"] = map[string]any{"observedGeneration": generation, "replicas": n, "updatedReplicas": n, "readyReplicas": n, "availableReplicas": n,
			"conditions": []any{condition("Available")}}
	case definitions:
		spec, _ := content["spec"].(map[string]any)
		content["status"] = map[string]any{"acceptedNames": spec["names"], "conditions": []any{condition("NamesAccepted"), condition("Established")}}
	case "namespaces":
		content["status"] = map[string]any{"phase": "Active"}
	}
}

// fieldsOf returns the fields of an object as managedFields have them: https://pkg.go.dev/sigs.k8s.io/structured-merge-diff/v6/fieldpath.
// Every list is atomic.
func fieldsOf(content map[string]any) map[string]any {
	out := map[string]any{}
	for field, value := range content {
		if field == "apiVersion" || field == "kind" || field == "status" {
			continue
		}
		inner, ok := value.(map[string]any)
		if !ok {
			out["f:"+field] = map[string]any{}
			continue
		}
		if field == "metadata" {
			inner = maps.Clone(inner)
			for _, server := range []string{"name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "managedFields"} {
				delete(inner, server)
			}
		}
		out["f:"+field] = fieldsOf(inner)
	}
	return out
}

func random() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b
}

// delete removes one object, or all of a collection.
func (m *Member) delete(q request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	objects := m.selected(q.kind, selectorOf(q))
	if q.name != "" && len(objects) == 0 {
		refuse(q.w, http.StatusNotFound, "NotFound", q.kind.plural+" not found")
		return
	}
	for _, o := range objects {
		content := maps.Clone(o.content)
		content["metadata"] = maps.Clone(o.content["metadata"].(map[string]any))
		m.put(q.kind, o.key, content, "DELETED")
	}
	_, _ = q.w.Write([]byte(`{"apiVersion":"v1","kind":"Status","status":"Success"}`))
}
