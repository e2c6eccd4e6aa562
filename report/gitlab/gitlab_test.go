package gitlab_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgetest"
	"github.com/gitfleet/gitfleet/report/gitlab"
)

const (
	project = "acme/platform/fleet"
	token   = "glpat-3cr3t"
)

func TestContract(t *testing.T) {
	forgetest.Run(t, forgetest.Subject{
		Repo: project,
		Open: func(c forgetest.Connection) (report.Forge, error) {
			return gitlab.New(gitlab.Options{BaseURL: c.BaseURL, Repo: c.Repo, Name: c.Name, HTTP: c.HTTP, Token: c.Token})
		},
		Serve:    serve,
		HeadRef:  "refs/merge-requests/NUMBER/head",
		MergeRef: "refs/merge-requests/NUMBER/merge",
		Patience: []forgetest.Patience{
			{Name: "rate limit", Answer: forgetest.Answer{Status: 429, Body: "Retry later\n",
				Header: map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "1777896045"}}, Want: 45 * time.Second},
		},
		FixedPendingWords: true,
	})
}

// start returns a project with what is in repo.
func start(t *testing.T, repo *forgetest.Repo) report.Forge {
	t.Helper()
	repo.Name, repo.Token = project, token
	handler := serve(repo)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo.Lock()
		defer repo.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	forge, err := gitlab.New(gitlab.Options{
		BaseURL: srv.URL, Repo: project, HTTP: srv.Client(), Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return forge
}

var (
	head = strings.Repeat("a", 40)
	plan = report.CommitStatus{Context: report.ContextPlan, State: report.StateSuccess, Description: "no change"}
)

func openMR(number int) *forgetest.PullRequest {
	return &forgetest.PullRequest{Number: number, State: "open", Base: "main", Head: head, HeadRepo: 555, Commits: []string{head}}
}

// TestHeadOfAFork is a commit on no branch here. The fork's branch is called main, which must not get the status.
func TestHeadOfAFork(t *testing.T) {
	repo := &forgetest.Repo{Commits: map[string]*forgetest.Commit{head: {}}}
	older := openMR(2) // it contains the commit, but has gone on
	older.Head = strings.Repeat("b", 40)
	repo.PullRequests = []*forgetest.PullRequest{older, openMR(3)}
	if err := start(t, repo).SetStatus(t.Context(), head, plan); err != nil {
		t.Fatal(err)
	}
	statuses := repo.Commits[head].Statuses
	if len(statuses) != 1 || statuses[0].Ref != "refs/merge-requests/3/head" {
		t.Errorf("the status went to %+v", statuses)
	}
}

func TestCommitOnNoBranch(t *testing.T) {
	repo := &forgetest.Repo{Commits: map[string]*forgetest.Commit{head: {}}}
	if err := start(t, repo).SetStatus(t.Context(), head, plan); err == nil || !strings.Contains(err.Error(), "no branch") {
		t.Errorf("error %v", err)
	}
}

// TestSeveralPipelines has one context in the pipelines of a branch and of a merge request: the newest counts.
func TestSeveralPipelines(t *testing.T) {
	repo := &forgetest.Repo{Commits: map[string]*forgetest.Commit{head: {Branch: "topic"}}}
	commit := repo.Commits[head]
	repo.AddStatus(commit, forgetest.Status{Context: report.ContextPlan, State: "failed", Description: "old", Ref: "topic"})
	repo.AddStatus(commit, forgetest.Status{Context: "build", State: "manual", Ref: "refs/merge-requests/3/head"})
	repo.AddStatus(commit, forgetest.Status{Context: "lint", State: "canceled", Ref: "topic"})
	repo.AddStatus(commit, forgetest.Status{Context: "test", State: "running", Ref: "refs/merge-requests/3/head"})
	forge := start(t, repo)
	if err := forge.SetStatus(t.Context(), head, plan); err != nil {
		t.Fatal(err)
	}
	if last := commit.Statuses[len(commit.Statuses)-1]; last.Ref != "refs/merge-requests/3/head" {
		t.Errorf("the status went to the pipeline of %s, not to the newest", last.Ref)
	}
	got, err := forge.Statuses(t.Context(), head)
	want := []report.CommitStatus{{Context: "build", State: report.StatePending}, plan,
		{Context: "lint", State: report.StateError}, {Context: "test", State: report.StatePending}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

// TestRefusedTransition is refused for a status that says something else: that is a failure.
func TestRefusedTransition(t *testing.T) {
	pending := report.CommitStatus{Context: report.ContextApply, State: report.StatePending, Description: "1 of 3"}
	for name, c := range map[string]struct {
		shown string // what GitLab lists; empty for nothing
		want  bool   // whether it is an error
	}{
		"the same":          {`[{"id":1,"name":"gitfleet/apply","status":"running","description":"1 of 3"}]`, false},
		"pending":           {`[{"id":1,"name":"gitfleet/apply","status":"pending","description":"1 of 3"}]`, false},
		"other words":       {`[{"id":1,"name":"gitfleet/apply","status":"running","description":"0 of 3"}]`, false},
		"another state":     {`[{"id":1,"name":"gitfleet/apply","status":"success","description":"1 of 3"}]`, true},
		"newer of another":  {`[{"id":1,"name":"gitfleet/apply","status":"running"},{"id":2,"name":"gitfleet/apply","status":"failed"}]`, true},
		"another context's": {`[{"id":1,"name":"gitfleet/apply/east","status":"running","description":"1 of 3"}]`, true},
		"nothing":           {`[]`, true},
	} {
		posts := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				posts++
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"message":"Cannot transition status via :run from :running (Reason(s): ...)"}`))
				return
			}
			_, _ = w.Write([]byte(c.shown))
		}))
		forge, err := gitlab.New(gitlab.Options{BaseURL: srv.URL, Repo: project, HTTP: srv.Client(),
			Token: func(context.Context) (string, error) { return token, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err = forge.SetStatus(t.Context(), head, pending); (err != nil) != c.want {
			t.Errorf("%s: error %v", name, err)
		}
		srv.Close()
		if posts != 1 {
			t.Errorf("%s: posted %d times", name, posts)
		}
	}
}

// TestQuickActions comments with what GitLab would carry out with the token's rights.
func TestQuickActions(t *testing.T) {
	repo := &forgetest.Repo{PullRequests: []*forgetest.PullRequest{openMR(3)}}
	forge := start(t, repo)
	body := "/merge\n\r/approve\r\n  /close\nkept: a/b\n\t/lock\r/assign @me"
	for range 2 {
		if err := forge.Comment(t.Context(), "3", strings.Repeat("a", 40), body); err != nil {
			t.Fatal(err)
		}
	}
	comments := repo.PullRequests[0].Comments
	if len(comments) != 1 || repo.Writes != 1 {
		t.Fatalf("%d comments, %d writes", len(comments), repo.Writes)
	}
	lines := strings.Split(comments[0].Body, "\n")
	obeyed := func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "/") }
	if slices.ContainsFunc(lines, obeyed) || strings.Contains(comments[0].Body, "\r") {
		t.Errorf("GitLab would obey %q", comments[0].Body)
	}
	if !slices.Contains(lines, "kept: a/b") {
		t.Errorf("what GitLab would not obey was changed: %q", comments[0].Body)
	}
}

// TestNewMergeRequest is not yet prepared: it has neither a head nor a merge.
func TestNewMergeRequest(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`[{"iid":4,"state":"opened","target_branch":"main","sha":null,"source_project_id":1,
			"target_project_id":1,"detailed_merge_status":"preparing"}]`))
	}))
	t.Cleanup(srv.Close)
	forge, err := gitlab.New(gitlab.Options{BaseURL: srv.URL, Repo: project, HTTP: srv.Client(),
		Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	prs, err := forge.PullRequests(t.Context(), "main")
	if err != nil || len(prs) != 1 || prs[0].Head != "" || prs[0].MergeRef != "" || prs[0].Fork {
		t.Errorf("pull requests %+v, error %v", prs, err)
	}
}
