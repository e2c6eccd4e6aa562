// Package stub is a lean API server in memory for benchmarks with hundreds of members in one process. It really serves
// discovery, list, watch, create, update, delete and server-side apply, by TLS and HTTP/2, to one writer: what is applied
// replaces what was applied before, with the managedFields entry that tells so. It checks no schema and no rights, and says
// of a Deployment at once that its replicas run. internal/memfleet is the one to test behaviour with.
package stub

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Member is one API server.
type Member struct {
	server *http.Server
	url    string
	ctx    context.Context // ends with the server
	stop   context.CancelFunc

	mu          sync.Mutex
	version     int64
	kinds       []kind
	collections map[string]*collection // by group and plural
}

// Start starts an API server with a certificate for 127.0.0.1.
func Start(certificate tls.Certificate) (*Member, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &Member{url: "https://" + listener.Addr().String(), kinds: builtin(), collections: map[string]*collection{}, version: 1}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.server = &http.Server{
		Handler:   http.HandlerFunc(m.serve),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that go away are no news
	}
	go func() { _ = m.server.ServeTLS(listener, "", "") }() // ends with Close
	return m, nil
}

// URL returns where the server is.
func (m *Member) URL() string { return m.url }

// Close stops the server and breaks its connections.
func (m *Member) Close() error {
	m.stop()
	return m.server.Close()
}

// request is one request as its path has it.
type request struct {
	*http.Request
	w               http.ResponseWriter
	kind            kind
	namespace, name string
	subresource     string
	partial         bool // the client wants metadata only
}

func (m *Member) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/readyz":
		_, _ = w.Write([]byte("ok"))
		return
	case "/version":
		_, _ = w.Write([]byte(`{"major":"1","minor":"37","gitVersion":"v1.37.0-stub"}`))
		return
	case "/api", "/apis":
		m.discover(w, r.URL.Path == "/api")
		return
	}
	q, ok := m.parse(r)
	if !ok {
		refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	q.w = w
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		m.watch(q)
	case r.Method == http.MethodGet && q.name == "":
		m.list(q)
	case r.Method == http.MethodGet:
		m.get(q)
	case r.Method == http.MethodDelete:
		m.delete(q)
	default:
		m.write(q)
	}
}

// parse splits a resource path: /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NS/]RESOURCE[/NAME[/SUB]].
func (m *Member) parse(r *http.Request) (request, bool) {
	q := request{Request: r, partial: strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var group, version string
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		group, version, parts = parts[1], parts[2], parts[3:]
	default:
		return q, false
	}
	if parts[0] == "namespaces" && len(parts) >= 3 {
		q.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 1 {
		q.name = parts[1]
	}
	if len(parts) > 2 {
		q.subresource = parts[2]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.kinds {
		if k.Group == group && k.Version == version && k.plural == parts[0] {
			q.kind = k
			return q, true
		}
	}
	return q, false
}

// refuse answers with a Status.
func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.WriteHeader(code)
	_, _ = w.Write(encode(map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure",
		"code": code, "reason": reason, "message": message}))
}
