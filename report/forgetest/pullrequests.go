package forgetest

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gitfleet/gitfleet/report"
)

// hostile is a title that means something to HTML, Markdown, shells, JSON, terminals and GitLab.
const hostile = "<!-- gitfleet: the plan --></details><script>alert(1)</script> `$(rm -rf /)` \"}],\\u0000 \x1b[31m\n/merge\n@everyone"

func open(number int, head string) *PullRequest {
	return &PullRequest{Number: number, Title: fmt.Sprintf("change %d", number), State: "open", Base: "main", Head: head,
		HeadRepo: BaseRepo, Commits: []string{head}}
}

func list(t *testing.T, forge report.Forge) []report.PullRequest {
	t.Helper()
	prs, err := forge.PullRequests(limited(t), "main")
	if err != nil {
		t.Fatalf("listing the pull requests: %v", err)
	}
	return prs
}

func pullRequestsAreListed(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	if prs := list(t, forge); len(prs) != 0 {
		t.Fatalf("a new repository has %v", prs)
	}
	fork, orphan, conflict, titled, elsewhere, closed, merged := open(12, hash(12)), open(9, hash(9)), open(100, hash(100)),
		open(11, hash(11)), open(13, hash(13)), open(14, hash(14)), open(15, hash(15))
	fork.HeadRepo, orphan.HeadRepo, conflict.Conflicts, titled.Title = 555, 0, true, hostile
	elsewhere.Base, closed.State, merged.State, merged.MergedAt = "main-2", "closed", "merged", 1
	srv.repo.PullRequests = []*PullRequest{fork, orphan, conflict, titled, elsewhere, closed, merged}

	want := []report.PullRequest{
		{ID: "9", Title: orphan.Title, Head: orphan.Head, Fork: true},
		{ID: "11", Title: hostile, Head: titled.Head},
		{ID: "12", Title: fork.Title, Head: fork.Head, Fork: true},
		{ID: "100", Title: conflict.Title, Head: conflict.Head},
	}
	for i := range want {
		want[i].HeadRef, want[i].MergeRef = ref(s.HeadRef, want[i].ID), ref(s.MergeRef, want[i].ID)
	}
	want[3].MergeRef = ""
	got := list(t, forge)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(report.PullRequest{}, "URL")); diff != "" {
		t.Errorf("open pull requests into main (-want +got):\n%s", diff)
	}
	for _, pr := range got {
		if pr.URL == "" {
			t.Errorf("pull request %s has no address", pr.ID)
		}
	}
	if _, err := forge.PullRequests(limited(t), ""); err == nil && s.MergeRef != "" {
		t.Error("the pull requests into no branch are no error")
	}
}

func pullRequestsOnManyPages(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	for n := 1; n <= 231; n++ {
		srv.repo.PullRequests = append(srv.repo.PullRequests, open(n, hash(n)))
	}
	prs := list(t, forge)
	if len(prs) != 231 {
		t.Fatalf("%d of 231 pull requests are listed", len(prs))
	}
	for i, pr := range prs {
		if pr.ID != strconv.Itoa(i+1) {
			t.Fatalf("at place %d stands pull request %s: they are sorted by number", i+1, pr.ID)
		}
	}
}

// pullRequestsAreCompleteOrAnError loses the second page in every way.
func pullRequestsAreCompleteOrAnError(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	for n := 1; n <= 231; n++ {
		srv.repo.PullRequests = append(srv.repo.PullRequests, open(n, hash(n)))
	}
	for name, f := range map[string]fault{
		"refused":       {answer: &Answer{Status: 500}},
		"half":          {cut: true},
		"nothing":       {empty: true},
		"null":          {answer: &Answer{Status: 200, Body: "null"}},
		"a hole":        {answer: &Answer{Status: 200, Body: "[null]"}},
		"another thing": {answer: &Answer{Status: 200, Body: `{"message":"maintenance"}`}},
		"a login page":  {answer: &Answer{Status: 200, Body: "<!DOCTYPE html><title>Sign in</title>"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv.spoilt(func(r *http.Request) *fault {
				if r.URL.Query().Get("page") == "2" {
					return &f
				}
				return nil
			})
			if prs, err := forge.PullRequests(limited(t), "main"); err == nil || len(prs) > 0 {
				t.Errorf("without its second page the list has %d pull requests, error %v", len(prs), err)
			}
		})
	}
}
