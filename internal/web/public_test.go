package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/report"
)

// TestPublicServer asks for everything that there is inside, and wants only badges and webhooks to be there outside.
func TestPublicServer(t *testing.T) {
	looks := 0
	o := Options{Latest: shop, BadgeTokenFile: secretsIn(t, "badge"), HookSecretFile: secretsIn(t, "hook"), Look: func() { looks++ }, Log: slog.New(slog.DiscardHandler)}
	outside, inside := NewPublicServer(o), NewServer(o)
	for _, tt := range []struct {
		method, path string
		in, out      int
	}{
		{http.MethodGet, "/badge/abababa.svg?token=badge", 200, 200},
		{http.MethodGet, "/badge/abababa.svg", 404, 404},
		{http.MethodPost, "/hook/generic", 202, 202},
		{http.MethodPost, "/hook/github", 401, 401},
		{http.MethodGet, "/", 200, 404},
		{http.MethodGet, "/status.json", 200, 404},
		{http.MethodGet, "/metrics", 200, 404},
		{http.MethodGet, "/healthz", 200, 404},
		{http.MethodGet, "/readyz", 200, 404},
		{http.MethodGet, "/badge/../status.json", 307, 307}, // to /status.json, which is not there either
		{http.MethodPost, "/", 405, 404},
	} {
		for which, h := range map[string]http.Handler{"inside": inside, "outside": outside} {
			req := httptest.NewRequest(tt.method, tt.path, nil)
			req.Header.Set("Authorization", "Bearer hook")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			want := tt.in
			if which == "outside" {
				want = tt.out
			}
			if w.Code != want || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s, %s %s: %d with headers %v, want %d and those that keep a browser in bounds", which, tt.method, tt.path, w.Code, w.Header(), want)
			}
			if secret := "Deployment.apps"; which == "outside" && strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s tells outside what the status page says:\n%s", tt.path, w.Body)
			}
		}
	}
	if looks != 2 {
		t.Errorf("%d looks, want one for each webhook with a secret", looks)
	}
	without := NewPublicServer(Options{Latest: func() report.Report { return report.Report{} }})
	w := httptest.NewRecorder()
	if without.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/hook/generic", nil)); w.Code != http.StatusNotFound {
		t.Errorf("a webhook where no secret is configured: %d, want 404", w.Code)
	}
}
