package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/report"
)

// TestWebhook follows a repository with an interval in which nobody would notice anything, and tells gitfleet to look.
// There are no members with credentials: what a webhook does is over before they matter.
func TestWebhook(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	w := &world{t: t, dir: t.TempDir()}
	w.access, w.state = w.dir, filepath.Join(w.dir, "state")
	w.git(w.dir, "init", "--quiet", "--bare", "--initial-branch=main", w.remote())
	w.git(w.dir, "clone", "--quiet", w.remote(), w.tree())
	w.git(w.tree(), "switch", "--quiet", "--orphan", "main")
	first := w.push("begin", map[string]string{"registry.yaml": registry([]string{"one"})})
	secret := filepath.Join(w.dir, "secret")
	if err := os.WriteFile(secret, []byte("word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.access, "members"), 0o700); err != nil {
		t.Fatal(err)
	}
	empty := "apiVersion: v1\nkind: Config\n"
	if err := os.WriteFile(filepath.Join(w.access, "members", "none.kubeconfig"), []byte(empty), 0o600); err != nil {
		t.Fatal(err)
	}
	p := w.start("--hub-kubeconfig", "", "--interval", "6h", "--hook-secret-file", secret, "--badge-token-file", secret)
	inForce := func(commit string) func(report.Report) error {
		return func(r report.Report) error {
			if r.Applied.Commit != commit {
				return fmt.Errorf("%q is in force, want %q", r.Applied.Commit, commit)
			}
			return nil
		}
	}
	p.await("the first commit", inForce(first))

	second := w.push("go on", map[string]string{"registry.yaml": registry([]string{"one", "two"})})
	if code := p.hook(t, "nonsense"); code != http.StatusUnauthorized {
		t.Errorf("a webhook with a wrong secret: %d, want 401", code)
	}
	for range 20 { // a flood is as good as one
		if code := p.hook(t, "word"); code != http.StatusAccepted {
			t.Errorf("a webhook: %d, want 202", code)
		}
	}
	p.await("the second commit", inForce(second))
	third := w.push("and on", map[string]string{"registry.yaml": registry([]string{"one", "two", "three"})})
	if code := p.hook(t, "word"); code != http.StatusAccepted {
		t.Errorf("a webhook: %d, want 202", code)
	}
	p.await("the third commit", inForce(third))

	if code, _ := p.get(t, "/badge/main.svg"); code != http.StatusNotFound {
		t.Errorf("a badge without its token: %d, want 404", code)
	}
	if code, svg := p.get(t, "/badge/main.svg?token=word"); code != http.StatusOK || !strings.Contains(svg, "0/3 in place, 3 not reached") {
		t.Errorf("the badge of three members without credentials: %d\n%s", code, svg)
	}
	if strings.Contains(p.output(), "word") {
		t.Errorf("the log contains the secret:\n%s", p.output())
	}
	p.stop()
}

// hook sends a webhook that shows a secret, and returns the status of the answer.
func (p *process) hook(t *testing.T, secret string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/hook/generic", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
