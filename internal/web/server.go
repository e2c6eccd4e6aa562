// Package web serves what gitfleet knows over HTTP: a status page for people, /status.json for programs, badges, /metrics,
// /healthz and /readyz. It takes webhooks, and holds the client that `gitfleet get` asks with.
package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/report"
)

// statusPath is where the Report is served as JSON.
const statusPath = "/status.json"

// server answers from the newest report.
type server struct {
	latest      func() report.Report
	now         func() time.Time
	badgeTokens *secretFile // nil when badges are for everybody
	ready       atomic.Bool // has been ready: what was learned since the start is not lost by a member going away
}

// Options says what is served.
type Options struct {
	// Latest returns the newest report. It is called for each request, from any goroutine, and must not block.
	Latest func() report.Report
	// BadgeTokenFile holds the tokens of which a badge's address needs one, one a line. Without it badges are for everybody.
	BadgeTokenFile string
	// HookSecretFile holds the secrets of which a webhook's sender must know one, one a line. Without it there are no webhooks.
	HookSecretFile string
	// Look asks for a look at the repository. It is called for each webhook, from any goroutine, and must not block.
	Look func()
	// Collectors are for /metrics, besides the figures of the report and the process.
	Collectors []prometheus.Collector
	// Log hears when one of the files cannot be read.
	Log *slog.Logger
}

// NewServer returns the handler for everything that `gitfleet run` serves.
func NewServer(o Options) http.Handler { return newServer(o, time.Now) }

// NewPublicServer returns the handler for what people and forges outside need: badges and webhooks, and nothing else.
func NewPublicServer(o Options) http.Handler {
	mux := http.NewServeMux()
	(&server{latest: o.Latest, now: time.Now}).servePublic(mux, o)
	return harden(mux)
}

func newServer(o Options, now func() time.Time) http.Handler {
	s := &server{latest: o.Latest, now: now}
	mux := http.NewServeMux()
	s.servePublic(mux, o)
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET "+statusPath, s.status)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", metrics(o.Latest, o.Collectors))
	return harden(mux)
}

// servePublic adds what may be reached from outside: each has a token or a secret of its own, or is meant for everybody.
func (s *server) servePublic(mux *http.ServeMux, o Options) {
	if o.BadgeTokenFile != "" {
		s.badgeTokens = &secretFile{path: o.BadgeTokenFile, log: o.Log}
	}
	mux.HandleFunc("GET /badge/{name...}", s.badge)
	if o.HookSecretFile != "" {
		h := hook{secrets: &secretFile{path: o.HookSecretFile, log: o.Log}, look: o.Look}
		for sender, read := range schemes() {
			mux.HandleFunc("POST /hook/"+sender, h.receive(read))
		}
	}
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

// status serves the report.
func (s *server) status(w http.ResponseWriter, r *http.Request) {
	body, err := json.MarshalIndent(s.latest(), "", "  ")
	if err != nil {
		http.Error(w, "the report cannot be encoded: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	serveTagged(w, r, append(body, '\n'))
}

// serveTagged serves body with an ETag, so that a client that asks often transfers it only when it changed.
func serveTagged(w http.ResponseWriter, r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
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
