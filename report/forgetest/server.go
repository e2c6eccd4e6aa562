package forgetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// Connection is what an implementation is given.
type Connection struct {
	BaseURL string
	Repo    string
	Name    string // under which gitfleet speaks
	HTTP    *http.Client
	Token   func(ctx context.Context) (string, error)
}

// Answer is what a forge says besides what it does.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// A fault spoils the answer to a request.
type fault struct {
	answer *Answer // instead of the answer
	after  bool    // the request is carried out before
	hang   bool    // nothing comes until the client gives up
	cut    bool    // half of the body comes
	empty  bool    // the headers come, the body does not
}

// A seen is a request as it came in.
type seen struct{ method, path, authorization string }

// A server is a forge, with faults and a memory of what it was asked.
type server struct {
	*httptest.Server
	repo *Repo
	name string // under which gitfleet speaks

	mu    sync.Mutex
	seen  []seen
	spoil func(r *http.Request) *fault // nil for no faults
	done  chan struct{}                // closed when the test ends
}

// serve starts a forge with one commit on main and nothing else.
func serve(t *testing.T, s Subject) *server {
	t.Helper()
	repo := &Repo{Name: s.Repo, Token: "tok-3cr3t", Commits: map[string]*Commit{commitA: {Branch: "main"}}}
	srv := &server{repo: repo, done: make(chan struct{})}
	handler := s.Serve(repo)
	srv.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { srv.answer(w, r, handler) }))
	t.Cleanup(func() {
		close(srv.done)
		srv.Close()
	})
	return srv
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, forge http.Handler) {
	s.mu.Lock()
	s.seen = append(s.seen, seen{r.Method, r.URL.Path, r.Header.Get("Authorization")})
	var f *fault
	if s.spoil != nil {
		f = s.spoil(r)
	}
	s.mu.Unlock()
	if f == nil {
		s.forward(w, r, forge)
		return
	}
	if f.hang {
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return
	}
	rec := httptest.NewRecorder()
	if f.answer == nil || f.after {
		s.forward(rec, r, forge)
	}
	f.write(w, rec)
}

func (s *server) forward(w http.ResponseWriter, r *http.Request, forge http.Handler) {
	s.repo.Lock()
	defer s.repo.Unlock()
	forge.ServeHTTP(w, r)
}

// write spoils an answer.
func (f *fault) write(w http.ResponseWriter, good *httptest.ResponseRecorder) {
	switch {
	case f.answer != nil:
		for name, value := range f.answer.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(f.answer.Status)
		_, _ = w.Write([]byte(f.answer.Body))
	case f.empty:
		w.WriteHeader(good.Code)
	case f.cut:
		for name, values := range good.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(good.Code)
		_, _ = w.Write(bytes.TrimSpace(good.Body.Bytes())[:good.Body.Len()/2])
	}
}

// open returns the implementation under test.
func (s *server) open(t *testing.T, subject Subject) report.Forge {
	t.Helper()
	return s.openWith(t, subject, func(context.Context) (string, error) { return s.repo.Token + "\n", nil })
}

func (s *server) openWith(t *testing.T, subject Subject, token func(context.Context) (string, error)) report.Forge {
	t.Helper()
	forge, err := subject.Open(Connection{BaseURL: s.URL, Repo: subject.Repo, Name: s.name, HTTP: s.Client(), Token: token})
	if err != nil {
		t.Fatalf("cannot open: %v", err)
	}
	return forge
}

// spoilt sets what goes wrong from now on.
func (s *server) spoilt(spoil func(r *http.Request) *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = spoil
}

// requests returns and forgets what came in.
func (s *server) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// always returns the same fault for every request.
func always(f fault) func(*http.Request) *fault {
	return func(*http.Request) *fault { return &f }
}

// writes returns how often something was written.
func (s *server) writes() int {
	s.repo.Lock()
	defer s.repo.Unlock()
	return s.repo.Writes
}

// JSON writes an answer.
func JSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client hung up; its test sees that
}

// Decode reads the body of a request.
func Decode[T any](r *http.Request) (body T) {
	_ = json.NewDecoder(r.Body).Decode(&body) // fields that do not come are found missing
	return body
}

// limited returns a context that ends before the test does.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// hash returns the nth commit.
func hash(n int) string { return fmt.Sprintf("%040x", n) }
