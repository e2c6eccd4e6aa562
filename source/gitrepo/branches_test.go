package gitrepo

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
)

func wantBranches(t *testing.T, what string, got map[string]string, err error, want map[string]string) {
	t.Helper()
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%s: %v, %v; want %v", what, got, err, want)
	}
}

// branch commits one file on a new branch from the present commit, pushes it and goes back to main.
func (o *origin) branch(name string) string {
	o.t.Helper()
	o.git(o.work, "checkout", "-q", "-b", name)
	o.write(strings.ReplaceAll(name, "/", "-")+".yaml", "on "+name)
	head := o.commit("work on " + name)
	o.git(o.work, "push", "-q", "--force", "origin", name)
	o.git(o.work, "checkout", "-q", "main")
	return head
}

func TestOpenBranches(t *testing.T) {
	o := newOrigin(t)
	r := open(t, Options{URL: o.fileURL()})
	got, err := r.OpenBranches(t.Context())
	wantBranches(t, "a repository without commits", got, err, nil)

	first := o.publish("a.yaml", "one")
	got, err = r.OpenBranches(t.Context())
	wantBranches(t, "only the followed branch", got, err, nil)

	feature, fix := o.branch("feature/x"), o.branch("fix")
	o.git(o.work, "push", "-q", "origin", first+":refs/heads/begun", "HEAD:refs/tags/v1", fix+":refs/pull/1/head")
	want := map[string]string{"feature/x": feature, "fix": fix}
	for range 2 { // the second answer comes from what is remembered
		got, err = r.OpenBranches(t.Context())
		wantBranches(t, "two branches with work, one without", got, err, want)
	}

	o.publish("a.yaml", "two")
	o.git(o.work, "merge", "-q", "--no-edit", "--no-ff", "feature/x")
	merge := o.git(o.work, "rev-parse", "HEAD")
	o.push()
	delete(want, "feature/x")
	got, err = r.OpenBranches(t.Context())
	wantBranches(t, "after a merge that nobody has fetched", got, err, want)
	if last, _ := r.Last(); last.Commit != merge {
		t.Errorf("the followed branch was not fetched: %s", last.Commit)
	}

	late := o.branch("fix2")
	o.git(o.work, "merge", "-q", "--ff-only", "fix2")
	o.push()
	got, err = r.OpenBranches(t.Context())
	wantBranches(t, "after a merge without a commit", got, err, want)
	o.publish("a.yaml", "three")
	got, err = r.OpenBranches(t.Context())
	wantBranches(t, "and one commit later", got, err, want)

	o.git(o.work, "reset", "-q", "--hard", first)
	o.push()
	want["fix2"], want["feature/x"] = late, feature
	got, err = r.OpenBranches(t.Context())
	wantBranches(t, "after the followed branch went back", got, err, want)

	o.git(o.bare, "update-ref", "-d", "refs/heads/main")
	if _, err := r.OpenBranches(t.Context()); err == nil || !strings.Contains(err.Error(), `"main"`) {
		t.Errorf("without the followed branch: %v", err)
	}
}

func TestOpenBranchesAreCompleteOrAnError(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	s := serve(t, o)
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	fetch(t, r, first)
	s.behave(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		git.ServeHTTP(&cutWriter{ResponseWriter: w, left: 200}, r)
	})
	o.branch("fix")
	if got, err := r.OpenBranches(t.Context()); err == nil {
		t.Errorf("half an answer gives %v", got)
	}
	s.behave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if got, err := r.OpenBranches(t.Context()); err == nil {
		t.Errorf("an error gives %v", got)
	}
}

func TestHasCommit(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	head := o.branch("fix")
	r := open(t, Options{URL: o.fileURL()})
	second := o.publish("a.yaml", "two")
	for _, tt := range []struct {
		name, commit string
		want         bool
	}{
		{"a head of a branch, before anything was fetched", head, true},
		{"in the history of the followed branch", first, true},
		{"the followed branch's head", second, true},
		{"no commit", strings.Repeat("1", 40), false},
		{"a tree", o.git(o.work, "rev-parse", "HEAD^{tree}"), false},
	} {
		if got, err := r.HasCommit(t.Context(), tt.commit); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := r.HasCommit(t.Context(), "main"); err == nil {
		t.Error("a name was taken for a commit")
	}
	third := o.publish("a.yaml", "three")
	o.publish("a.yaml", "four")
	if got, err := r.HasCommit(t.Context(), third); !got || err != nil {
		t.Errorf("a commit that was pushed since: %v, %v", got, err)
	}
	var e *Error
	r = open(t, Options{URL: "file:///nowhere/at/all.git"})
	if _, err := r.HasCommit(t.Context(), head); !errors.As(err, &e) || e.Problem != NotFound || e.Remedy() == "" {
		t.Errorf("a repository that is not there: %v, want %q and a remedy", err, NotFound)
	}
}

func TestMergedBranches(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", "one")
	feature := o.branch("feature")
	begun := o.publish("a.yaml", "two")
	o.git(o.work, "merge", "-q", "--no-edit", "--no-ff", "feature")
	merge := o.git(o.work, "rev-parse", "HEAD")
	o.push()
	o.git(o.work, "push", "-q", "origin", begun+":refs/heads/begun", feature+":refs/heads/same")
	r := open(t, Options{URL: o.fileURL()})
	fetch(t, r, merge)
	for _, tt := range []struct {
		name, commit string
		want         map[string]string
	}{
		{"a merge", merge, map[string]string{"feature": feature, "same": feature}},
		{"where a branch begins", begun, map[string]string{"begun": begun}},
		{"not known", strings.Repeat("1", 40), nil},
	} {
		got, err := r.MergedBranches(t.Context(), tt.commit)
		wantBranches(t, tt.name, got, err, tt.want)
	}
}
