package gitea_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgetest"
	"github.com/gitfleet/gitfleet/report/gitea"
)

func TestContract(t *testing.T) {
	forgetest.Run(t, forgetest.Subject{
		Repo: "acme/fleet",
		Open: func(c forgetest.Connection) (report.Forge, error) {
			return gitea.New(gitea.Options{BaseURL: c.BaseURL, Repo: c.Repo, Name: c.Name, HTTP: c.HTTP, Token: c.Token})
		},
		Serve:            serve,
		HeadRef:          "refs/pull/NUMBER/head",
		OnlyMergeCommits: true,
	})
}

// open returns a repository on an instance below a path that answers every request with body.
func open(t *testing.T, body string) report.Forge {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/git/api/v1/repos/acme/fleet/") {
			t.Errorf("%s is not below the instance's address", r.URL.Path)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	forge, err := gitea.New(gitea.Options{
		BaseURL: srv.URL + "/git/", Repo: "acme/fleet", HTTP: srv.Client(),
		Token: func(context.Context) (string, error) { return "t", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return forge
}

func TestStatesOfOthers(t *testing.T) {
	got, err := open(t, `[{"id":1,"context":"a","status":"warning"},{"id":2,"context":"b","status":"skipped"},
		{"id":3,"context":"c","status":"of tomorrow"},{"id":4,"context":"d","status":"error"}]`).
		Statuses(t.Context(), strings.Repeat("a", 40))
	want := []report.CommitStatus{
		{Context: "a", State: report.StateFailure}, {Context: "b", State: report.StateSuccess},
		{Context: "c", State: report.StateError}, {Context: "d", State: report.StateError},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

// TestPushedForReview is a pull request without a fork, pushed to refs/for/main by somebody who can only read.
func TestPushedForReview(t *testing.T) {
	prs, err := open(t, `[{"number":3,"state":"open","base":{"label":"main","ref":"main","repo_id":1},
		"head":{"label":"","ref":"refs/pull/3/head","sha":"aa","repo_id":1}}]`).PullRequests(t.Context(), "main")
	if err != nil || len(prs) != 1 || !prs[0].Fork {
		t.Errorf("pull requests %+v, error %v: it is trusted like a branch of the repository's own", prs, err)
	}
}

func TestUnreadablePullRequest(t *testing.T) {
	if prs, err := open(t, `[null]`).PullRequests(t.Context(), "main"); err == nil {
		t.Errorf("a pull request that Gitea could not read is left out: %v", prs)
	}
}

// TestCommentsLeftOut has fewer comments than the forge says there are; gitfleet's own may be among the missing.
func TestCommentsLeftOut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s: a second comment", r.Method, r.URL.Path)
		}
		w.Header().Set("X-Total-Count", "2")
		_, _ = w.Write([]byte(`[{"id":1,"body":"hello","user":{"id":8}}]`))
	}))
	t.Cleanup(srv.Close)
	forge, err := gitea.New(gitea.Options{BaseURL: srv.URL, Repo: "acme/fleet", HTTP: srv.Client(),
		Token: func(context.Context) (string, error) { return "gta-3cr3t", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := forge.Comment(t.Context(), "3", strings.Repeat("a", 40), "the plan"); err == nil || !strings.Contains(err.Error(), "1 of 2 comments") {
		t.Errorf("error %v", err)
	}
}
