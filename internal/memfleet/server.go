// Package memfleet is a fleet for tests: an API server in memory that is good enough for client-go, and a proxy before
// any API server that counts requests and breaks the ones it is told to.
package memfleet

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// Server is an API server in memory. It does discovery, get, list, watch, create, update, delete, server-side apply, JSON,
// merge and strategic merge patches, the status subresource, optimistic concurrency, finalizers, generations, dry runs,
// namespaces and CustomResourceDefinitions.
//
// It is known to differ from a real API server in this:
//   - No defaults, no validation, no immutable fields, no pruning of unknown fields; a Service gets no cluster IP.
//   - No authentication, authorization, admission, OpenAPI, tables, and no subresource but status.
//   - No controllers: nothing gets a status, owners' deletion deletes nothing. Only namespaces and
//     CustomResourceDefinitions act, and at once: a CustomResourceDefinition is established when it is created, a
//     namespace without finalizers inside is gone when its deletion is answered.
//   - In custom resources every list is atomic for server-side apply, whatever its schema says, and versions differ in
//     name only.
//   - A list comes in one piece whatever its limit. Field selectors know metadata.name and metadata.namespace, and two fields of Pods.
//   - A watch sends no bookmarks but the one that ends initial events.
type Server struct {
	http  *httptest.Server
	store *store
	ctx   context.Context
	stop  context.CancelFunc
}

// NewServer starts an API server with the namespaces default and kube-system.
func NewServer() *Server {
	s := &Server{store: newStore()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, name := range []string{"default", "kube-system"} {
		ns := &unstructured.Unstructured{Object: map[string]any{}}
		ns.SetGroupVersionKind(namespaceKind.gvk)
		ns.SetName(name)
		kind := s.store.kinds[namespaceKind.gvr()]
		if _, err := (&write{store: s.store, kind: kind, manager: "memfleet"}).create(ns); err != nil {
			panic(fmt.Sprintf("memfleet: namespace %s: %v", name, err)) // only a bug in this package can do that
		}
	}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// Close stops the server and breaks every connection.
func (s *Server) Close() {
	s.stop()
	s.http.CloseClientConnections()
	s.http.Close()
}

// Config returns how to reach the server.
func (s *Server) Config() *rest.Config { return &rest.Config{Host: s.http.URL} }

// Compact forgets all history: a watch from an older resource version gets the error 410.
func (s *Server) Compact() { s.store.compact() }

// Version returns the resource version of the latest change of anything: when it stays, nothing was written.
func (s *Server) Version() int64 {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.version
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	x, err := newCall(w, r.WithContext(ctx), s.store)
	if err == nil {
		err = x.serve()
	}
	if err != nil {
		writeError(w, err)
	}
}

// serve answers one request; whatever is wrong with it is the error.
func (x *call) serve() error {
	path := strings.TrimSuffix(x.r.URL.Path, "/")
	switch {
	case path == "/readyz" || path == "/livez" || path == "/healthz":
		_, err := x.w.Write([]byte("ok"))
		return ignoreGone(err)
	case path == "/version":
		return x.writeJSON(http.StatusOK, map[string]string{"major": "1", "minor": "37", "gitVersion": "v1.37.0-memfleet"})
	case x.request.Resource == "":
		return x.discover(path)
	}
	if err := x.findKind(); err != nil {
		return err
	}
	switch {
	case x.request.Class == Watch:
		return x.watch()
	case x.request.Class == List:
		return x.list()
	case x.r.Method == http.MethodGet:
		return x.get()
	case x.r.Method == http.MethodDelete && x.request.Name == "":
		return x.deleteCollection()
	default:
		return x.write()
	}
}

// ignoreGone drops the error of writing to a client that is gone: it needs no answer.
func ignoreGone(error) error { return nil }

// deleteOptions reads the options of a delete from its body, if it has one.
func (x *call) deleteOptions() (metav1.DeleteOptions, error) {
	var options metav1.DeleteOptions
	if len(x.body) == 0 {
		return options, nil
	}
	return options, x.decode(&options)
}
