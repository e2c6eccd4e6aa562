// Package web serves what gitfleet knows over HTTP: a status page for people, /status.json for programs, /metrics,
// /healthz and /readyz. It also holds the client that `gitfleet get` asks with.
package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/report"
)

// statusPath is where the Report is served as JSON.
const statusPath = "/status.json"

// server answers from the newest report.
type server struct {
	latest func() report.Report
	now    func() time.Time
	ready  atomic.Bool // has been ready: what was learned since the start is not lost by a member going away
}

// NewServer returns the handler for everything that `gitfleet run` serves. latest returns the newest report; it is
// called for each request, from any goroutine, and must not block.
func NewServer(latest func() report.Report) http.Handler {
	return newServer(latest, time.Now)
}

func newServer(latest func() report.Report, now func() time.Time) http.Handler {
	s := &server{latest: latest, now: now}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET "+statusPath, s.status)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", metrics(latest))
	return harden(mux)
}

// harden sets what keeps a browser from doing more with an answer than to show it.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// status serves the report. The ETag lets a client that asks often transfer it only when it changed.
func (s *server) status(w http.ResponseWriter, r *http.Request) {
	body, err := json.MarshalIndent(s.latest(), "", "  ")
	if err != nil {
		http.Error(w, "the report cannot be encoded: "+err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(body)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(append(body, '\n')))
}

// healthz tells that the process serves requests.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// readyz tells whether the fleet has been taken up: the first revision is rendered, and of every placement on a member
// within reach it is known how it stands. Once ready, the process stays so.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		if reason := unready(s.latest()); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		s.ready.Store(true)
	}
	fmt.Fprintln(w, "ok")
}

// unready returns what readiness waits for, nothing when it waits for nothing.
func unready(r report.Report) string {
	if r.Applied.Commit == "" {
		if r.SourceErr != "" {
			return "no revision has been rendered yet: " + r.SourceErr
		}
		return "no revision has been rendered yet"
	}
	reachable := map[string]bool{}
	for _, m := range r.Members {
		reachable[m.Name] = m.Joined == string(metav1.ConditionTrue)
	}
	for _, p := range r.Placements {
		for _, c := range p.Clusters {
			if reachable[c.Cluster] && c.Applied == string(metav1.ConditionUnknown) {
				return fmt.Sprintf("placement %s on member %s: %s", p.Name, c.Cluster, c.Message)
			}
		}
	}
	return ""
}
