package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// slashed is a fleet that follows a branch with slashes in its name.
func slashed() report.Report {
	r := shop()
	r.Head.Ref, r.Applied.Ref = "release/eu/1.2", "release/eu/1.2"
	r.Placements[1].Namespace = "team"
	return r
}

// secretsIn returns a file with the given lines.
func secretsIn(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	rewrite(t, path, lines...)
	return path
}

func rewrite(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBadge(t *testing.T) {
	h := handler(slashed())
	for _, tt := range []struct {
		name, path string
		code       int
		title      string // of the badge
	}{
		{"a branch with slashes", "/badge/release/eu/1.2.svg", 200, "fleet: 1/2 in place, 1 not reached"},
		{"with escaped slashes", "/badge/release%2Feu%2F1.2.svg", 200, "fleet: 1/2 in place, 1 not reached"},
		{"a commit", "/badge/abababa.svg", 200, "fleet at abababa: 1/2 in place, 1 not reached"},
		{"a cluster", "/badge/abababa.svg?cluster=two", 200, "two at abababa: not reached"},
		{"a placement in a namespace", "/badge/release/eu/1.2.svg?placement=team/nowhere", 200, "team/nowhere: 0/1 in place, 1 in progress"},
		{"escaped", "/badge/release/eu/1.2.svg?placement=team%2Fnowhere", 200, "team/nowhere: 0/1 in place, 1 in progress"},
		{"an unknown branch, for image proxies", "/badge/other.svg", 200, "fleet: unknown branch or commit"},
		{"an unknown cluster", "/badge/abababa.svg?cluster=three", 200, "cluster: unknown"},
		{"an address without a name", "/badge/.svg", 404, ""},
		{"an address that is no picture", "/badge/release/eu/1.2", 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := get(t, h, tt.path)
			if w.Code != tt.code || tt.title != "" && !strings.Contains(w.Body.String(), "<title>"+tt.title+"</title>") {
				t.Errorf("%s: %d, want %d and the title %q:\n%s", tt.path, w.Code, tt.code, tt.title, w.Body)
			}
		})
	}
}

func TestBadgeHeaders(t *testing.T) {
	r := slashed()
	h := newServer(Options{Latest: func() report.Report { return r }}, time.Now)
	const path = "/badge/abababa.svg"
	first := get(t, h, path)
	for name, want := range map[string]string{
		"Content-Type":                 "image/svg+xml",
		"Cache-Control":                "max-age=30",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"X-Content-Type-Options":       "nosniff",
	} {
		if got := first.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	tag := first.Header().Get("ETag")
	if again := get(t, h, path, "If-None-Match", tag); tag == "" || again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("asked again with the ETag %q: status %d and %d bytes, want 304 and none", tag, again.Code, again.Body.Len())
	}
	r.Members[1].Joined = "True"
	if changed := get(t, h, path, "If-None-Match", tag); changed.Code != http.StatusOK || changed.Header().Get("ETag") == tag {
		t.Errorf("after a change: status %d, ETag %q, want 200 and another", changed.Code, changed.Header().Get("ETag"))
	}
	head := httptest.NewRecorder()
	h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, path, nil))
	if head.Code != http.StatusOK || head.Body.Len() > 0 {
		t.Errorf("HEAD: status %d and %d bytes, want 200 and none", head.Code, head.Body.Len())
	}
	if other := get(t, h, "/status.json"); other.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Error("what is no badge may be embedded by other sites")
	}
}

func TestBadgeToken(t *testing.T) {
	file := secretsIn(t, "old-token", "", "  new-token  ")
	h := newServer(Options{Latest: slashed, BadgeTokenFile: file, Log: slog.New(slog.DiscardHandler)}, time.Now)
	nowhere := get(t, h, "/nothing")
	ask := func(query string, allowed bool) {
		t.Helper()
		w := get(t, h, "/badge/abababa.svg"+query)
		if allowed && w.Code != http.StatusOK {
			t.Errorf("%q: %d, want the badge", query, w.Code)
		}
		if !allowed && (w.Code != nowhere.Code || w.Body.String() != nowhere.Body.String() || len(w.Header()) != len(nowhere.Header())) {
			t.Errorf("%q: %d %q %v, want what every other path gets: %d %q %v", query, w.Code, w.Body, w.Header(), nowhere.Code, nowhere.Body, nowhere.Header())
		}
	}
	ask("?token=old-token", true)
	ask("?token=new-token", true)
	ask("", false)
	ask("?token=", false)
	ask("?token=old-toke", false)
	ask("?token=old-token%0Anew-token", false)
	rewrite(t, file, "third-token")
	ask("?token=old-token", false)
	ask("?token=third-token", true)
	rewrite(t, file)
	ask("?token=third-token", false)
	ask("?token=", false)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	ask("?token=third-token", false)
	ask("", false)
}
