package forgetest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/report"
)

func comment(t *testing.T, forge report.Forge, body string) {
	t.Helper()
	if err := forge.Comment(limited(t), "12", hash(12), body); err != nil {
		t.Fatalf("commenting: %v", err)
	}
}

// thread starts a forge with pull request 12.
func thread(t *testing.T, s Subject) (*server, report.Forge, *PullRequest) {
	t.Helper()
	srv := serve(t, s)
	pr := open(12, hash(12))
	srv.repo.PullRequests = []*PullRequest{pr}
	return srv, srv.open(t, s), pr
}

// has wants a thread of n comments, the one at place i of which is gitfleet's and says body.
func has(t *testing.T, pr *PullRequest, n, i int, body string) {
	t.Helper()
	if len(pr.Comments) != n {
		t.Fatalf("the pull request has %d comments, not %d: %s", len(pr.Comments), n, bodies(pr))
	}
	if c := pr.Comments[i]; c.Author != Self || !strings.HasSuffix(c.Body, body) {
		t.Fatalf("comment %d is by %d and says %q, not gitfleet's %q", i, c.Author, c.Body, body)
	}
	shown := strings.TrimSpace(strings.TrimSuffix(pr.Comments[i].Body, body))
	if !strings.HasPrefix(shown, "<!--") || !strings.HasSuffix(shown, "-->") {
		t.Fatalf("before its text the comment shows %q", shown)
	}
}

func bodies(pr *PullRequest) string {
	var all []string
	for _, c := range pr.Comments {
		all = append(all, fmt.Sprintf("%d: %.80q", c.Author, c.Body))
	}
	return strings.Join(all, "\n")
}

func commentIsOne(t *testing.T, s Subject) {
	srv, forge, pr := thread(t, s)
	comment(t, forge, "## Plan\n\n1 object\n")
	has(t, pr, 1, 0, "## Plan\n\n1 object")
	before := srv.writes()
	comment(t, forge, "## Plan\n\n1 object\n")
	comment(t, srv.open(t, s), "## Plan\r\n\r\n1 object") // another process
	if wrote := srv.writes() - before; wrote != 0 {
		t.Errorf("the same words are written %d times more", wrote)
	}
	comment(t, forge, "## Plan\n\n2 objects")
	has(t, pr, 1, 0, "## Plan\n\n2 objects")
	comment(t, forge, "") // nothing is left to say; it stays one comment
	has(t, pr, 1, 0, "")
}

// commentOfSomebodyElse has gitfleet's own words in comments of others, and in quotations.
func commentOfSomebodyElse(t *testing.T, s Subject) {
	srv, forge, pr := thread(t, s)
	comment(t, forge, "the plan")
	ours := pr.Comments[0].Body
	pr.Comments = nil
	quoted := "> " + strings.ReplaceAll(ours, "\n", "\n> ") + "\n\nI do not agree."
	srv.repo.AddComment(pr, Somebody, ours)
	srv.repo.AddComment(pr, 0, ours) // of a deleted user
	srv.repo.AddComment(pr, Self, quoted)
	system := srv.repo.AddComment(pr, Somebody, "changed the title")
	system.System = true
	comment(t, forge, "another plan")
	has(t, pr, 5, 4, "another plan")
	comment(t, forge, "a third plan")
	has(t, pr, 5, 4, "a third plan")
	for i, want := range []string{ours, ours, quoted, "changed the title"} {
		if pr.Comments[i].Body != want {
			t.Errorf("comment %d of somebody else was changed to %q", i, pr.Comments[i].Body)
		}
	}
}

// commentOfAnotherGitfleet is one that works with the same token and another name.
func commentOfAnotherGitfleet(t *testing.T, s Subject) {
	srv, _, pr := thread(t, s)
	names := []string{"", "gitfleet-staging", "gitfleet -->", "gitfleet"} // the first and the last are the same
	for _, name := range names {
		srv.name = name
		comment(t, srv.open(t, s), "the plan of "+name)
	}
	has(t, pr, 3, 0, "the plan of gitfleet")
	has(t, pr, 3, 1, "the plan of gitfleet-staging")
	has(t, pr, 3, 2, "the plan of gitfleet -->")
	if strings.Count(pr.Comments[2].Body, "-->") != 2 {
		t.Errorf("the name ends the mark: %q", pr.Comments[2].Body)
	}
}

func commentEditedByAPerson(t *testing.T, s Subject) {
	_, forge, pr := thread(t, s)
	comment(t, forge, "the plan deletes everything")
	pr.Comments[0].Body = strings.Replace(pr.Comments[0].Body, "deletes everything", "is harmless", 1)
	comment(t, forge, "the plan deletes everything")
	has(t, pr, 1, 0, "the plan deletes everything")

	pr.Comments[0].Body = "nothing to see here" // the mark is gone, so it is gitfleet's no longer
	comment(t, forge, "the plan deletes everything")
	has(t, pr, 2, 1, "the plan deletes everything")
}

func commentBehindManyOthers(t *testing.T, s Subject) {
	srv, forge, pr := thread(t, s)
	for n := range 230 {
		srv.repo.AddComment(pr, Somebody, fmt.Sprintf("remark %d", n))
	}
	comment(t, forge, "the plan")
	has(t, pr, 231, 230, "the plan")
	for n := range 120 {
		srv.repo.AddComment(pr, Somebody, fmt.Sprintf("answer %d", n))
	}
	comment(t, forge, "another plan")
	has(t, pr, 351, 230, "another plan")
}

// commentWhoseAnswerWasLost is written, but its writer does not know.
func commentWhoseAnswerWasLost(t *testing.T, s Subject) {
	srv, forge, pr := thread(t, s)
	srv.spoilt(func(r *http.Request) *fault {
		if r.Method == http.MethodPost {
			return &fault{answer: &Answer{Status: 502, Body: "<html>bad gateway"}, after: true}
		}
		return nil
	})
	if err := forge.Comment(limited(t), "12", hash(12), "the plan"); err == nil {
		t.Error("a lost answer is no error")
	}
	srv.spoilt(nil)
	comment(t, forge, "the plan")
	has(t, pr, 1, 0, "the plan")
}

func commentThatNoForgeTakes(t *testing.T, s Subject) {
	srv, forge, pr := thread(t, s)
	comment(t, forge, strings.Repeat("x", report.LongestComment))
	has(t, pr, 1, 0, strings.Repeat("x", report.LongestComment))
	srv.requests()
	for name, c := range map[string]struct{ id, head, body string }{
		"too long":        {"12", hash(12), strings.Repeat("x", report.LongestComment+1)},
		"no number":       {"main", hash(12), "the plan"},
		"a path":          {"12/../../13", hash(12), "the plan"},
		"number zero":     {"0", hash(12), "the plan"},
		"negative number": {"-1", hash(12), "the plan"},
		"no head":         {"12", "", "the plan"},
		"a branch":        {"12", "main", "the plan"},
	} {
		if err := forge.Comment(limited(t), c.id, c.head, c.body); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if asked := srv.requests(); len(asked) > 0 {
		t.Errorf("the forge was asked for what it cannot take: %v", asked)
	}
	if err := forge.Comment(limited(t), "13", hash(12), "the plan"); err == nil {
		t.Error("a comment on a pull request that does not exist is no error")
	}
	comment(t, forge, "broken \xff and \x00 end")
	before := srv.writes()
	comment(t, forge, "broken \xff and \x00 end")
	if wrote := srv.writes() - before; wrote != 0 {
		t.Errorf("words that forges do not keep as they are, are written %d times more", wrote)
	}
	if strings.Contains(pr.Comments[0].Body, "\x00") {
		t.Error("the comment has a NUL, which databases of forges do not take")
	}
}
