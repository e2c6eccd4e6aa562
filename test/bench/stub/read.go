package stub

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

func (m *Member) get(q request) {
	m.mu.Lock()
	o := m.of(q.kind).objects[objectKey{q.namespace, q.name}]
	m.mu.Unlock()
	if o == nil {
		refuse(q.w, http.StatusNotFound, "NotFound", q.kind.plural+" "+strconv.Quote(q.name)+" not found")
		return
	}
	_, _ = q.w.Write(o.as(q.partial))
}

func (m *Member) list(q request) {
	m.mu.Lock()
	objects, version := m.selected(q.kind, selectorOf(q)), m.version
	m.mu.Unlock()
	apiVersion, name := q.kind.GroupVersion().String(), q.kind.Kind+"List"
	if q.partial {
		apiVersion, name = "meta.k8s.io/v1", "PartialObjectMetadataList"
	}
	out := fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"%d"},"items":[`, apiVersion, name, version)
	for i, o := range objects {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, o.as(q.partial)...)
	}
	_, _ = q.w.Write(append(out, "]}\n"...))
}

// watch streams changes since the version that the client names until the client goes or the time is up.
func (m *Member) watch(q request) {
	limit := 30 * time.Minute
	if seconds, err := strconv.Atoi(q.URL.Query().Get("timeoutSeconds")); err == nil && seconds > 0 {
		limit = time.Duration(seconds) * time.Second
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	version, err := strconv.ParseInt(q.URL.Query().Get("resourceVersion"), 10, 64)
	if err != nil {
		refuse(q.w, http.StatusBadRequest, "BadRequest", "a watch must say from which resource version on")
		return
	}
	s := selectorOf(q)
	stream := http.NewResponseController(q.w)
	for {
		changes, more := m.since(q.kind, version)
		for _, c := range changes {
			version = c.version
			if !s.matches(c.object) {
				continue
			}
			frame := append(fmt.Appendf(nil, `{"type":%q,"object":`, c.kind), c.object.as(q.partial)...)
			if _, err := q.w.Write(append(frame, "}\n"...)); err != nil {
				return
			}
		}
		if stream.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			return
		case <-m.ctx.Done():
			return
		case <-q.Context().Done():
			return
		}
	}
}

// since returns the changes of a kind after a version, and a channel that is closed when there are more.
func (m *Member) since(k kind, version int64) ([]change, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.of(k)
	first := len(c.changes)
	for first > 0 && c.changes[first-1].version > version {
		first--
	}
	return c.changes[first:len(c.changes):len(c.changes)], c.grown
}
