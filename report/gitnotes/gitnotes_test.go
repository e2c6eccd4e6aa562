package gitnotes_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/gitnotes"
	"github.com/gitfleet/gitfleet/source/gitrepo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a bare repository with a working tree beside it.
type origin struct {
	t          *testing.T
	bare, work string
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{t: t, bare: filepath.Join(t.TempDir(), "origin.git"), work: filepath.Join(t.TempDir(), "work")}
	o.git(".", "init", "-q", "--bare", "-b", "main", o.bare)
	o.git(".", "clone", "-q", o.bare, o.work)
	o.git(o.work, "checkout", "-q", "-b", "main")
	return o
}

func (o *origin) git(dir string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a",
		"GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// publish pushes an empty commit on a branch, which begins at the present one when it is new, and returns its hash.
func (o *origin) publish(branch, message string) string {
	o.t.Helper()
	o.git(o.work, "checkout", "-q", "-B", branch)
	o.git(o.work, "commit", "-q", "--allow-empty", "-m", message)
	o.git(o.work, "push", "-q", "origin", branch)
	return o.git(o.work, "rev-parse", "HEAD")
}

// byHand changes notes as a person does: fetch, edit, push.
func (o *origin) byHand(ref string, args ...string) {
	o.t.Helper()
	o.git(o.work, "fetch", "-q", "origin", "+refs/notes/*:refs/notes/*")
	o.git(o.work, append([]string{"notes", "--ref", ref}, args...)...)
	o.git(o.work, "push", "-q", "origin", ref)
}

// forge opens the repository, as one process does.
func (o *origin) forge() *gitnotes.Forge {
	o.t.Helper()
	r, err := gitrepo.Open(o.t.Context(), gitrepo.Options{URL: "file://" + o.bare, CacheDir: o.t.TempDir()})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = r.Close() })
	return gitnotes.New(r, "main")
}

func status(context string, state report.State, description string) report.CommitStatus {
	return report.CommitStatus{Context: context, State: state, Description: description}
}

func wantStatuses(t *testing.T, f *gitnotes.Forge, commit string, want ...report.CommitStatus) {
	t.Helper()
	got, err := f.Statuses(t.Context(), commit)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("the statuses of %.8s are %+v, %v; want %+v", commit, got, err, want)
	}
}

func set(t *testing.T, f *gitnotes.Forge, commit string, s report.CommitStatus) {
	t.Helper()
	if err := f.SetStatus(t.Context(), commit, s); err != nil {
		t.Fatalf("SetStatus(%.8s, %+v): %v", commit, s, err)
	}
}

func TestStatusesShowInTheLog(t *testing.T) {
	o := newOrigin(t)
	first, second := o.publish("main", "one"), o.publish("main", "two")
	f := o.forge()
	wantStatuses(t, f, first)
	pending := status(report.ContextApply, report.StatePending, "3 of 5 clusters")
	plan := status(report.ContextPlan, report.StateSuccess, "12 changes on 5 clusters")
	plan.URL = "https://gitfleet.example.com/plan"
	set(t, f, first, plan)
	set(t, f, first, pending)
	set(t, f, second, pending)
	wantStatuses(t, f, first, pending, plan)
	o.byHand(gitnotes.StatusRef, "append", "-m", "Ann: looks\tgood", first)
	set(t, f, first, status(report.ContextApply, report.StateSuccess, "5 clusters"))
	wantStatuses(t, o.forge(), first, status(report.ContextApply, report.StateSuccess, "5 clusters"), plan)
	wantStatuses(t, f, second, pending)

	want := `two
gitfleet/apply: pending: 3 of 5 clusters

one
gitfleet/apply: success: 5 clusters
gitfleet/plan: success: 12 changes on 5 clusters
    see https://gitfleet.example.com/plan

Ann: looks	good`
	if got := o.git(o.bare, "log", "--notes=gitfleet", "--format=%s%n%N", "main"); got != want {
		t.Errorf("git log shows\n%s\nwant\n%s", got, want)
	}
}

func TestTheSameStatusIsWrittenOnce(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("main", "one")
	s := status(report.ContextApply, report.StateSuccess, "5 clusters")
	for range 3 {
		f := o.forge() // a process that was started again
		set(t, f, head, s)
		set(t, f, head, s)
	}
	if got := o.git(o.bare, "rev-list", "--count", gitnotes.StatusRef); got != "1" {
		t.Errorf("%s commits of notes for one status, want 1", got)
	}
}

func TestUnreadableNotesAreKept(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("main", "one")
	file := filepath.Join(t.TempDir(), "note")
	text := "gitfleet/apply: exploded: who knows\r\n\x1b[31m\xff\xfe\x00 no text"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.byHand(gitnotes.StatusRef, "add", "-C", o.git(o.work, "hash-object", "-w", file), head)
	f := o.forge()
	wantStatuses(t, f, head)
	s := status(report.ContextApply, report.StateError, "member: out of reach")
	set(t, f, head, s)
	wantStatuses(t, f, head, s)
	want := text + "\n\n" + "gitfleet/apply: error: member: out of reach"
	if got := o.git(o.bare, "notes", "--ref", gitnotes.StatusRef, "show", head); got != want {
		t.Errorf("the note is %q, want %q", got, want)
	}
}

func TestTwoProcessesAtOnce(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("main", "one")
	var wg sync.WaitGroup
	for _, name := range []string{"red", "blue"} {
		f := o.forge()
		wg.Go(func() {
			for i := range 5 {
				s := status(fmt.Sprintf("%s/%s/%d", report.ContextApply, name, i), report.StateSuccess, name)
				var err error
				for range 5 { // as the loop does after any failure
					if err = f.SetStatus(t.Context(), head, s); err == nil {
						break
					}
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := o.forge().Statuses(t.Context(), head); err != nil || len(got) != 10 {
		t.Errorf("%d statuses, %v; want those of both, 10", len(got), err)
	}
}

func TestUnknownCommits(t *testing.T) {
	o := newOrigin(t)
	o.publish("main", "one")
	head := o.publish("fix", "work")
	f := o.forge()
	s := status(report.ContextPlan, report.StatePending, "planning")
	for _, commit := range []string{strings.Repeat("1", 40), "main", ""} {
		if _, err := f.Statuses(t.Context(), commit); err == nil {
			t.Errorf("Statuses(%q): no error", commit)
		}
		if err := f.SetStatus(t.Context(), commit, s); err == nil {
			t.Errorf("SetStatus(%q): no error", commit)
		}
		if id, err := f.MergedFrom(t.Context(), commit, "main"); err == nil {
			t.Errorf("MergedFrom(%q): %q and no error", commit, id)
		}
	}
	set(t, f, head, s)
	o.publish("fix", "more work")
	done := status(report.ContextPlan, report.StateSuccess, "there is a newer head")
	set(t, o.forge(), head, done) // a head of before, which only its note shows
	wantStatuses(t, f, head, done)
	for _, bad := range []report.CommitStatus{
		status("", report.StateError, "x"), status("x", "done", "x"),
		status("x", report.StateError, strings.Repeat("x", report.LongestDescription+1)),
	} {
		if err := f.SetStatus(t.Context(), head, bad); err == nil {
			t.Errorf("SetStatus(%+v): no error", bad)
		}
	}
}

func TestBranchesArePullRequests(t *testing.T) {
	o := newOrigin(t)
	o.publish("main", "one")
	fix := o.publish("fix/typo", "mend a typo")
	o.git(o.work, "checkout", "-q", "main")
	add := o.publish("add", "add an object")
	f := o.forge()
	got, err := f.PullRequests(t.Context(), "main")
	want := []report.PullRequest{
		{ID: "add", Title: "add", Head: add, HeadRef: "refs/heads/add"},
		{ID: "fix/typo", Title: "fix/typo", Head: fix, HeadRef: "refs/heads/fix/typo"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("PullRequests: %+v, %v; want %+v", got, err, want)
	}
	if _, err := f.PullRequests(t.Context(), "other"); err == nil || !strings.Contains(err.Error(), "main") {
		t.Errorf("PullRequests of a branch that is not followed: %v", err)
	}
	if id, err := f.MergedFrom(t.Context(), add, "other"); err == nil || !strings.Contains(err.Error(), "main") {
		t.Errorf("MergedFrom of a branch that is not followed: %q, %v", id, err)
	}

	for id, head := range map[string]string{"add": add, "fix/typo": fix} {
		if err := f.Comment(t.Context(), id, head, "# Plan\n\n- 3 objects"); err != nil {
			t.Fatal(err)
		}
	}
	o.byHand(gitnotes.PlanRef, "append", "-m", "Ann: go ahead", add)
	if err := f.Comment(t.Context(), "add", add, "# Plan\n\n- 4 objects\n"); err != nil {
		t.Fatal(err)
	}
	commits := o.git(o.bare, "rev-list", "--count", gitnotes.PlanRef)
	if err := o.forge().Comment(t.Context(), "add", add, "# Plan\n\n- 4 objects\n"); err != nil {
		t.Fatal(err)
	}
	if again := o.git(o.bare, "rev-list", "--count", gitnotes.PlanRef); again != commits {
		t.Errorf("the same comment was written again: %s commits became %s", commits, again)
	}
	note := o.git(o.bare, "notes", "--ref", gitnotes.PlanRef, "show", add)
	if !strings.Contains(note, "- 4 objects") || strings.Contains(note, "- 3 objects") || !strings.HasSuffix(note, "Ann: go ahead") {
		t.Errorf("the note of the plan is\n%s", note)
	}
	if err := f.Comment(t.Context(), "gone", add, "x"); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("Comment on no branch: %v", err)
	}
	if err := f.Comment(t.Context(), "add", add, strings.Repeat("x", report.LongestComment+1)); err == nil {
		t.Error("a comment that is too long was taken")
	}

	o.git(o.work, "checkout", "-q", "main")
	o.git(o.work, "merge", "-q", "--no-ff", "-m", "merge", "fix/typo")
	merge := o.publish("main", "after") // and one commit on it
	merge = o.git(o.work, "rev-parse", merge+"~1")
	if got, err := f.PullRequests(t.Context(), "main"); err != nil || len(got) != 1 || got[0].ID != "add" {
		t.Errorf("after the merge of fix/typo: %+v, %v; want only add", got, err)
	}
	o.git(o.work, "reset", "-q", "--hard", add)
	o.git(o.work, "push", "-q", "--force", "origin", "main", add+":refs/heads/z", merge+":refs/heads/begun")
	for _, tt := range []struct{ name, commit, want string }{
		{"a merge", merge, "fix/typo"},
		{"merged without a commit of its own", add, "add"},
		{"where a branch begins", o.git(o.work, "rev-parse", add+"~1"), ""},
	} {
		if got, err := f.MergedFrom(t.Context(), tt.commit, "main"); got != tt.want || err != nil {
			t.Errorf("%s: merged from %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

// TestThePlanOfAnOldHeadStaysThere: a push between planning and telling does not put the old plan on the new head.
func TestThePlanOfAnOldHeadStaysThere(t *testing.T) {
	o := newOrigin(t)
	o.publish("main", "one")
	before := o.publish("fix", "work")
	f := o.forge()
	set(t, f, before, status(report.ContextPlan, report.StatePending, "being planned"))
	now := o.publish("fix", "more work")
	if err := f.Comment(t.Context(), "fix", before, "the old plan"); err != nil {
		t.Fatal(err)
	}
	if noted := o.git(o.bare, "notes", "--ref", gitnotes.PlanRef, "list"); strings.Contains(noted, now) || !strings.Contains(noted, before) {
		t.Errorf("plans are on\n%s\nof which %s is the old head and %s the new one", noted, before, now)
	}
	for _, head := range []string{strings.Repeat("1", 40), "fix", ""} {
		if err := f.Comment(t.Context(), "fix", head, "a plan of what the repository does not have"); err == nil {
			t.Errorf("a comment about %q was taken", head)
		}
	}
}

func TestAReadOnlyRepositoryNeedsAnOperator(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("main", "one")
	fix := o.publish("fix", "work")
	hook := filepath.Join(o.bare, "hooks", "update")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho nobody may push; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := o.forge()
	for name, err := range map[string]error{
		"SetStatus": f.SetStatus(t.Context(), head, status(report.ContextApply, report.StateSuccess, "x")),
		"Comment":   f.Comment(t.Context(), "fix", fix, "plan"),
	} {
		fe, ok := errors.AsType[*report.ForgeError](err)
		if !ok || !strings.Contains(fe.Remedy, "refs/notes/") || !strings.Contains(err.Error(), "nobody may push") {
			t.Errorf("%s: %v; want the server's words and a remedy", name, err)
		}
	}
	wantStatuses(t, f, fix)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.SetStatus(ctx, head, status(report.ContextApply, report.StateSuccess, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("SetStatus returned %v, want the context's error", err)
	}
	if err := os.RemoveAll(o.bare); err != nil {
		t.Fatal(err)
	}
	_, err := f.Statuses(t.Context(), head)
	if fe, ok := errors.AsType[*report.ForgeError](err); !ok || fe.Remedy == "" {
		t.Errorf("Statuses of a repository that is gone: %v; want a remedy", err)
	}
}

// patient is an error of a repository that asks for time.
type patient struct{ gitnotes.Repository }

func (patient) Note(context.Context, string, string) (string, error) { return "", patient{} }
func (patient) Error() string                                        { return "too many requests" }
func (patient) RetryAfter() (time.Duration, bool)                    { return time.Minute, true }

func TestPatienceIsPassedOn(t *testing.T) {
	_, err := gitnotes.New(patient{}, "main").Statuses(t.Context(), strings.Repeat("1", 40))
	if fe, ok := errors.AsType[*report.ForgeError](err); !ok || fe.RetryAfter != time.Minute || fe.Remedy != "" {
		t.Errorf("the error is %#v, want one that asks for a minute", err)
	}
}
