package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
	}))
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func shop() report.Report {
	nodes := 3
	return report.Report{
		Time: start, Converged: true,
		Head:    source.Revision{Repo: "https://git.example.com/fleet.git", Ref: "main", Commit: strings.Repeat("ab", 20), Subject: "open the <b>shop</b>", When: start},
		Applied: source.Revision{Repo: "https://git.example.com/fleet.git", Ref: "main", Commit: strings.Repeat("ab", 20), Subject: "open the <b>shop</b>", When: start},
		Members: []report.Member{
			{Name: "one", Joined: "True", LastSeen: start.Add(-time.Minute), Nodes: &nodes, Labels: map[string]string{"region": "west"}},
			{Name: "two", Joined: "Unknown", Message: "connection refused"},
		},
		Placements: []report.Placement{
			{
				Name: "shop",
				Conditions: []metav1.Condition{{Type: placementv1beta1.ConditionScheduled, Status: metav1.ConditionTrue,
					Reason: "SchedulingPolicyFulfilled", LastTransitionTime: metav1.NewTime(start)}},
				Clusters: []report.PlacementOnCluster{
					{Cluster: "one", Applied: "True", Healthy: "False", Message: "Deployment.apps shop/web is InProgress"},
					{Cluster: "two", Applied: "Unknown", Healthy: "Unknown", Message: "not reachable"},
				},
			},
			{Name: "nowhere"},
		},
		Exports:  []report.Export{{Cluster: "one", Namespace: "shop", Name: "web", Valid: "True", Conflicted: "False", Endpoints: 2, Created: start}},
		Imports:  []report.Import{{Namespace: "shop", Name: "web", Clusters: []string{"one"}, Ports: []string{"80/TCP"}, Endpoints: 2}},
		Services: []report.Service{{Cluster: "one", Namespace: "shop", Name: "web", Import: "web", ExternalIP: "192.0.2.1", Valid: "True", Created: start}},
	}
}

func handler(r report.Report) http.Handler {
	return newServer(Options{Latest: func() report.Report { return r }}, func() time.Time { return start.Add(90 * time.Second) })
}

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestStatusRoundTrip(t *testing.T) {
	want := shop()
	s := httptest.NewServer(handler(want))
	defer s.Close()
	for _, address := range []string{s.URL, s.URL + "/", s.Listener.Addr().String()} {
		got, err := FetchStatus(t.Context(), address)
		if err != nil {
			t.Fatalf("FetchStatus(%s): %v", address, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("report from %s (-want +got):\n%s", address, diff)
		}
	}
}

func TestStatusETag(t *testing.T) {
	r := shop()
	h := newServer(Options{Latest: func() report.Report { return r }}, time.Now)
	first := get(t, h, "/status.json")
	tag := first.Header().Get("ETag")
	if first.Code != http.StatusOK || tag == "" || first.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, ETag %q, type %q", first.Code, tag, first.Header().Get("Content-Type"))
	}
	if again := get(t, h, "/status.json", "If-None-Match", tag); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("asked again with its ETag: status %d and %d bytes, want 304 and none", again.Code, again.Body.Len())
	}
	r.Converged = false
	if changed := get(t, h, "/status.json", "If-None-Match", tag); changed.Code != http.StatusOK || changed.Header().Get("ETag") == tag {
		t.Errorf("after a change: status %d, ETag %q, want 200 and another", changed.Code, changed.Header().Get("ETag"))
	}
}

func TestFetchStatusErrors(t *testing.T) {
	answer := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"another server", answer(404, "text/plain", "no such page"), "is not gitfleet: it says 404 Not Found"},
		{"a page for everything", answer(200, "text/html", "<html>"), `is not gitfleet: it says 200 OK, "text/html"`},
		{"broken JSON", answer(200, "application/json", `{"members": 1}`), "not a report"},
		{"a cut answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"converged": true`)
		}, "was cut"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.answer)
			defer s.Close()
			r, err := FetchStatus(t.Context(), s.URL)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("FetchStatus: %v, want an error containing %q", err, tt.want)
			}
			if r.Converged {
				t.Error("part of a failed answer is returned")
			}
		})
	}
	for _, address := range []string{"", "ftp://127.0.0.1", "http://", "http://a b"} {
		if _, err := FetchStatus(t.Context(), address); err == nil || !strings.Contains(err.Error(), "write it like") {
			t.Errorf("FetchStatus(%q): %v, want an error with the form of an address", address, err)
		}
	}
}

func TestFetchStatusFromNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = FetchStatus(t.Context(), address)
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "no gitfleet answers at http://"+address) || !strings.Contains(err.Error(), "gitfleet run") {
		t.Errorf("FetchStatus where nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FetchStatus(ctx, address); !errors.Is(err, context.Canceled) {
		t.Errorf("FetchStatus with an ended context: %v", err)
	}
}

func TestReadyz(t *testing.T) {
	r := report.Report{SourceErr: "unreachable"}
	h := newServer(Options{Latest: func() report.Report { return r }}, time.Now)
	want := func(code int, words string) {
		t.Helper()
		w := get(t, h, "/readyz")
		if w.Code != code || !strings.Contains(w.Body.String(), words) {
			t.Errorf("/readyz says %d %q, want %d %q", w.Code, w.Body, code, words)
		}
	}
	want(503, "no revision has been rendered yet: unreachable")
	r = shop()
	r.Placements[0].Clusters[0].Applied, r.Placements[0].Clusters[0].Message = "Unknown", "not everything there has been seen yet"
	want(503, "placement shop on member one: not everything")
	r.Placements[0].Clusters[0].Applied = "False"
	want(200, "ok") // it is known how it stands, and the other member is out of reach
	r = report.Report{}
	want(200, "ok") // what was taken up stays taken up
	if w := get(t, h, "/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("/healthz says %d %q", w.Code, w.Body)
	}
}

func TestMetrics(t *testing.T) {
	w := get(t, handler(shop()), "/metrics")
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "gitfleet_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	commit := strings.Repeat("ab", 20)
	want := []string{
		`gitfleet_confirmation_wanted 0`,
		`gitfleet_converged 1`,
		`gitfleet_manifest_errors 0`,
		`gitfleet_member_nodes{cluster="one"} 3`,
		`gitfleet_member_up{cluster="one"} 1`,
		`gitfleet_member_up{cluster="two"} 0`,
		`gitfleet_multi_cluster_service_valid{cluster="one",name="web",namespace="shop"} 1`,
		`gitfleet_placement_applied{cluster="one",placement="shop"} 1`,
		`gitfleet_placement_applied{cluster="two",placement="shop"} 0`,
		`gitfleet_placement_available{cluster="one",placement="shop"} 0`,
		`gitfleet_placement_available{cluster="two",placement="shop"} 0`,
		`gitfleet_placement_clusters{placement="nowhere"} 0`,
		`gitfleet_placement_clusters{placement="shop"} 2`,
		`gitfleet_removals_waiting 0`,
		fmt.Sprintf(`gitfleet_revision_timestamp_seconds{commit="%s",revision="applied"} 1.767323045e+09`, commit),
		fmt.Sprintf(`gitfleet_revision_timestamp_seconds{commit="%s",revision="head"} 1.767323045e+09`, commit),
		`gitfleet_service_export_endpoints{cluster="one",name="web",namespace="shop"} 2`,
		`gitfleet_service_export_valid{cluster="one",name="web",namespace="shop"} 1`,
		`gitfleet_source_up 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if w := get(t, handler(report.Report{}), "/metrics"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "gitfleet_converged 0") {
		t.Errorf("metrics before the first report: %d\n%s", w.Code, w.Body)
	}
}

func TestPage(t *testing.T) {
	r := shop()
	r.Converged, r.SourceErr = false, "server is unreachable"
	r.Head.Commit = strings.Repeat("cd", 20)
	r.Errors = []render.ManifestError{{File: "shop/web.yaml", Document: 2, Field: "spec.replica", Message: `unknown field; did you mean "replicas"?`}}
	w := get(t, handler(r), "/")
	page := w.Body.String()
	for _, want := range []string{
		"not converged", "abababababab", "cdcdcdcdcdcd", "open the &lt;b&gt;shop&lt;/b&gt;", "server is unreachable",
		"shop/web.yaml, document 2, spec.replica:", "did you mean &#34;replicas&#34;?",
		"connection refused", "region=west", ">2m30s</time>", ">never</time>", "<td>3</td>", "<td>unknown</td>",
		`Scheduled <span class="good"`, "Deployment.apps shop/web is InProgress", "on no cluster", "192.0.2.1", "80/TCP",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	for _, outside := range []string{"<script", "src=", "http://", "@import", "url("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page contains %q: it must not load anything", outside)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", csp)
	}
	balanced(t, page)
	balanced(t, get(t, handler(report.Report{}), "/").Body.String())
}

// balanced checks that every table row and cell is closed: rows come out of nested ranges.
func balanced(t *testing.T, page string) {
	t.Helper()
	for _, tag := range []string{"tr", "td", "th", "table", "section", "div", "p", "span", "time"} {
		opened := strings.Count(page, "<"+tag+">") + strings.Count(page, "<"+tag+" ")
		if closed := strings.Count(page, "</"+tag+">"); opened != closed {
			t.Errorf("%d <%s> are opened and %d closed", opened, tag, closed)
		}
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	h := handler(shop())
	if w := get(t, h, "/nothing"); w.Code != http.StatusNotFound {
		t.Errorf("/nothing: %d, want 404", w.Code)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/status.json", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /status.json: %d, want 405", w.Code)
	}
}

func TestStatusIsTheContract(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal(get(t, handler(shop()), "/status.json").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"time", "head", "applied", "converged", "members", "placements", "serviceExports", "serviceImports", "multiClusterServices"} {
		if _, ok := got[field]; !ok {
			t.Errorf("status.json lacks %q", field)
		}
	}
}
