package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// TestPlanKnowsTheLimits plans for a gitfleet that runs with limits of its own: what would wait for a person, and with whose
// rights members are asked, must be what that one comes to.
func TestPlanKnowsTheLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	const dir, ns, limit = "teams/web", "web", "teams/web=web/deployer"
	w, asked := newGuardedMember(t)
	all := map[string]string{"registry.yaml": chaosRegistry("m1"), dir + "/place.yaml": placeAs(ns, ns, ""),
		dir + "/namespace.yaml": namespace(ns), dir + "/many.yaml": manyConfigMaps(ns, 30)}
	w.push("begin", all)
	if code, out, errs := command("run", "--once", "--repo", "file://"+w.remote(), "--kubeconfig", w.members(), "--state-dir", w.state); code != exitOK {
		t.Fatalf("the beginning: exit %d\n%s%s", code, out, errs)
	}
	fewer := w.propose("five fewer", dir+"/many.yaml", manyConfigMaps(ns, 25))
	most := w.propose("most of them gone", dir+"/many.yaml", manyConfigMaps(ns, 5))
	changed := w.propose("a change", dir+"/many.yaml", strings.Replace(manyConfigMaps(ns, 30), `"1"`, `"2"`, 1))
	other := w.propose("another account", dir+"/place.yaml", strings.Replace(placeAs(ns, ns, ""), "{name: web}",
		"{name: web, annotations: {"+api.AnnotationServiceAccount+": web/somebody}}", 1))

	for _, tt := range []struct {
		name, head string
		args       []string
		risks      []string // of those that are about the limits
		as         bool     // the member was asked in the name of the account
	}{
		{"few are deleted", fewer, nil, nil, false},
		{"more than may be", fewer, []string{"--confirm-above", "4"}, []string{report.RiskConfirm}, false},
		{"as many as may be", fewer, []string{"--confirm-above", "5"}, nil, false},
		{"more than half of all", most, nil, []string{report.RiskConfirm}, false},
		{"any number may be", most, []string{"--confirm-above", "0"}, nil, false},
		{"what the account may not do", changed, []string{"--service-account", limit}, []string{report.RiskRefused}, true},
		{"what another account may do", changed, []string{"--service-account", "teams=web/" + mayAll}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked.Store(0)
			for _, mode := range [][]string{{"--kubeconfig", w.members()}, {"--offline"}} {
				offline := mode[0] == "--offline"
				plan, code, errs := w.planOf(t, append(append(mode, "--head", tt.head, "--base", tt.head+"^"), tt.args...)...)
				var risks []string
				for _, r := range plan.Risks {
					if r.Kind == report.RiskConfirm || r.Kind == report.RiskRefused {
						risks = append(risks, r.Kind)
					}
				}
				want := tt.risks
				if offline { // nobody is asked who could refuse
					want = slices.DeleteFunc(slices.Clone(want), func(kind string) bool { return kind == report.RiskRefused })
				}
				if slices.Sort(risks); !slices.Equal(slices.Compact(risks), want) || code != exitChanges {
					t.Errorf("%s: exit %d, risks %q, want %d and %q:\n%s%s", mode[0], code, plan.Risks, exitChanges, want, planText(plan), errs)
				}
			}
			if as := asked.Load() > 0; as != tt.as {
				t.Errorf("the member was asked %d times in the name of an account, want that: %t", asked.Load(), tt.as)
			}
		})
	}
	for _, mode := range [][]string{{"--kubeconfig", w.members()}, {"--offline"}} {
		plan, code, _ := w.planOf(t, append(mode, "--head", other, "--base", other+"^", "--service-account", limit)...)
		told := slices.ContainsFunc(plan.Errors, func(e render.ManifestError) bool {
			return e.File == dir+"/place.yaml" && strings.Contains(e.Message, "remove the annotation")
		})
		if code != exitError || !told {
			t.Errorf("%s, a placement that names another account: exit %d, %q; want the mistake and its file", mode[0], code, plan.Errors)
		}
	}
}

func (w *world) members() string { return filepath.Join(w.access, "members") }

// propose commits a change of a file and takes it back: a commit that nobody has pushed.
func (w *world) propose(message, file, content string) string {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.tree(), file), []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.git(w.tree(), "commit", "--quiet", "--all", "--message", message)
	commit := w.git(w.tree(), "rev-parse", "HEAD")
	w.git(w.tree(), "reset", "--quiet", "--hard", "HEAD^")
	return commit
}

// planOf runs `gitfleet plan` in the working tree.
func (w *world) planOf(t *testing.T, args ...string) (plan report.Plan, code int, errs string) {
	t.Helper()
	code, out, errs := command(append([]string{"plan", "--repo", w.tree(), "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatalf("gitfleet plan %q: exit %d: %v\n%s%s", args, code, err, out, errs)
	}
	return plan, code, errs
}

// TestLimitFlags: run and plan take the same flags and find the same mistakes in them.
func TestLimitFlags(t *testing.T) {
	repo := t.TempDir()
	for _, tt := range []struct{ flag, value, want string }{
		{"--confirm-above", "-1", "--confirm-above -1: must not be negative"},
		{"--service-account", "web/deployer", "want DIR=NAMESPACE/NAME"},
		{"--service-account", "teams/web=deployer", "want DIR=NAMESPACE/NAME"},
		{"--service-account", "teams/web=Web/deployer", "want DIR=NAMESPACE/NAME"},
		{"--service-account", "../web=web/deployer", "the directory is one of the repository"},
	} {
		for _, args := range [][]string{
			{"run", "--repo", "https://git.example.com/fleet.git", "--kubeconfig", "x", "--state-dir", repo}, {"plan", "--repo", repo, "--kubeconfig", "x"},
			{"plan", "--repo", repo, "--offline"},
		} {
			code, _, errs := command(append(args, tt.flag, tt.value)...)
			if code != exitError || !strings.Contains(errs, tt.flag) || !strings.Contains(errs, tt.want) {
				t.Errorf("%q with %s %s: exit %d, %q; want %d and %q", args, tt.flag, tt.value, code, errs, exitError, tt.want)
			}
		}
	}
}

// mayAll is the account of whom the member of newGuardedMember refuses nothing.
const mayAll = "may-all"

// newGuardedMember returns a world whose one member, m1, is in memory. It refuses what accounts other than mayAll would write;
// asked counts what was asked in the name of any.
func newGuardedMember(t *testing.T) (w *world, asked *atomic.Int32) {
	t.Helper()
	server := memfleet.NewServer()
	t.Cleanup(server.Close)
	upstream, asked := server.Config(), &atomic.Int32{}
	upstream.Wrap(func(next http.RoundTripper) http.RoundTripper { return impersonated{next, asked} })
	proxy, err := memfleet.NewProxy(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	w = &world{t: t, dir: t.TempDir()}
	w.access = w.dir
	w.fresh()
	if err := os.Mkdir(w.members(), 0o700); err != nil {
		t.Fatal(err)
	}
	contextFile(t, proxy, w.members(), "m1")
	w.git(w.tree(), "remote", "set-url", "origin", "file://"+w.remote()) // as gitfleet names the repository, by which a plan knows it
	return w, asked
}

// impersonated answers as an API server's access rules would.
type impersonated struct {
	http.RoundTripper
	asked *atomic.Int32
}

func (i impersonated) RoundTrip(r *http.Request) (*http.Response, error) {
	user := r.Header.Get("Impersonate-User")
	if user != "" {
		i.asked.Add(1)
	}
	if user == "" || strings.HasSuffix(user, ":"+mayAll) || r.Method == http.MethodGet {
		return i.RoundTripper.RoundTrip(r)
	}
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,
		"message":"configmaps is forbidden: User %q cannot %s resource \"configmaps\" in API group \"\""}`, user, strings.ToLower(r.Method))
	return &http.Response{StatusCode: http.StatusForbidden, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}
