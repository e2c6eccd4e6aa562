package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plan is the digest of a plan that a test calls by one digit.
func plan(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// confirm makes a commit that confirms a plan and returns its hash.
func (o *origin) confirm(digit string) string {
	o.t.Helper()
	return o.commit("commit " + digit + "\n\nGitfleet-Confirm: " + plan(digit))
}

func wantConfirmed(t *testing.T, r *Repository, since, commit, digits string) {
	t.Helper()
	got, err := r.Confirmations(t.Context(), since, commit)
	if err != nil {
		t.Fatalf("Confirmations(%.8s, %.8s): %v", since, commit, err)
	}
	var want []string
	for _, d := range strings.Fields(digits) {
		want = append(want, plan(d))
	}
	if !slices.Equal(got, want) {
		t.Errorf("Confirmations(%.8s, %.8s) = %.9q, want those of %q", since, commit, got, digits)
	}
}

func TestConfirmationsOfARange(t *testing.T) {
	o := newOrigin(t)
	h := map[string]string{"1": o.confirm("1"), "2": o.confirm("2")}
	o.git(o.work, "checkout", "-q", "-b", "side", h["1"])
	h["a"], h["b"] = o.confirm("a"), o.confirm("b")
	o.git(o.work, "checkout", "-q", "main")
	h["3"] = o.confirm("3")
	o.tick++
	o.git(o.work, "merge", "-q", "--no-ff", "-m", "merge side\n\nGitfleet-Confirm: "+plan("f"), "side")
	h["merge"] = o.git(o.work, "rev-parse", "HEAD")
	h["4"] = o.confirm("4")
	o.push()
	r := open(t, Options{URL: o.fileURL()})
	fetch(t, r, h["4"])
	unknown := strings.Repeat("1", 40)
	for _, tt := range []struct{ why, since, commit, want string }{
		{"one push of one commit", h["merge"], h["4"], "4"},
		{"a push of several, with what was merged", h["2"], h["4"], "3 4 a b f"},
		{"a merge brings the other side", h["3"], h["merge"], "a b f"},
		{"a merge brings the other side, seen from there", h["b"], h["merge"], "2 3 f"},
		{"nothing is new", h["4"], h["4"], ""},
		{"back to an older commit", h["4"], h["2"], ""},
		{"a side that is not merged, from the other", h["2"], h["b"], "a b"},
		{"without a beginning, a commit speaks for itself", "", h["4"], "4"},
		{"without a beginning, a merge speaks for what it merged", "", h["merge"], "a b f"},
		{"the first commit", "", h["1"], "1"},
		{"a beginning that is not stored", unknown, h["3"], "3"},
		{"a beginning that is not stored, and a merge", unknown, h["merge"], "a b f"},
		{"a beginning that is no hash", "main", h["3"], "3"},
	} {
		t.Run(tt.why, func(t *testing.T) { wantConfirmed(t, r, tt.since, tt.commit, tt.want) })
	}
	if got, err := r.Confirmations(t.Context(), h["1"], unknown); err == nil || !strings.Contains(err.Error(), unknown) {
		t.Errorf("Confirmations of a commit that is not stored = %q, %v; want an error that names it", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Confirmations(ctx, h["1"], h["4"]); !errors.Is(err, context.Canceled) {
		t.Errorf("Confirmations for nobody: %v, want the context's error", err)
	}
}

func TestConfirmationsAfterForcePush(t *testing.T) {
	o := newOrigin(t)
	base := o.confirm("1")
	old := o.confirm("2")
	o.git(o.work, "reset", "-q", "--hard", base)
	o.confirm("3")
	forced := o.confirm("4")
	o.git(o.work, "checkout", "-q", "--orphan", "scratch")
	o.confirm("5")
	scratch := o.confirm("6")
	r := openHistory(t, o, old, forced, scratch)
	wantConfirmed(t, r, old, forced, "3 4")
	// A history written from scratch holds old confirmations; only its head is the word of now.
	wantConfirmed(t, r, old, scratch, "6")
}

// openHistory returns a repository whose cache holds the histories of all these commits, the last as its head.
func openHistory(t *testing.T, o *origin, commits ...string) *Repository {
	t.Helper()
	r := open(t, Options{URL: o.fileURL()})
	for _, c := range commits {
		o.git(o.work, "push", "-q", "--force", "origin", c+":refs/heads/main")
		fetch(t, r, c)
	}
	return r
}

func TestConfirmationsAreBounded(t *testing.T) {
	o := newOrigin(t)
	first := o.confirm("1")
	var stream strings.Builder
	for i := range maxConfirming + 10 {
		message := "t\n\nGitfleet-Confirm: " + plan("2")
		if i >= 100 {
			message = "t\n\nGitfleet-Confirm: " + plan("3")
		}
		fmt.Fprintf(&stream, "commit refs/heads/long\ncommitter c <c@example.com> %d +0000\ndata %d\n%s\n", 1800000000+i, len(message), message)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", first)
		}
		fmt.Fprintf(&stream, "M 644 inline a.yaml\ndata 4\n%04d\n\n", i)
	}
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = o.work, strings.NewReader(stream.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
	r := openHistory(t, o, o.git(o.work, "rev-parse", "long"))
	last, _ := r.Last()
	// The beginning is further away than anybody looks: the head's own word counts.
	wantConfirmed(t, r, first, last.Commit, "3")
	near := o.git(o.work, "rev-parse", "long~990")
	wantConfirmed(t, r, near, last.Commit, "2 3")
}

func TestConfirmationsOfAShallowHistory(t *testing.T) {
	o := newOrigin(t)
	before := o.confirm("1")
	for _, d := range []string{"2", "3", "4"} {
		o.confirm(d)
	}
	o.push()
	shallow := filepath.Join(t.TempDir(), "shallow.git")
	o.git(o.work, "clone", "-q", "--bare", "--depth", "2", o.fileURL(), shallow)
	st := openObjects(shallow)
	head := o.git(o.work, "rev-parse", "HEAD")
	for since, want := range map[string]string{before: "4", o.git(o.work, "rev-parse", "HEAD~1"): "4"} {
		got, _, err := confirmations(t.Context(), st, since, head)
		if err != nil || !slices.Equal(got, []string{plan(want)}) {
			t.Errorf("confirmations since %.8s = %.9q, %v; want that of %s", since, got, err, want)
		}
	}
}

func TestMistypedConfirmations(t *testing.T) {
	o := newOrigin(t)
	first := o.commit("first\n\nGitfleet-Confirm: old mistake")
	o.commit("second\n\nGitfleet-Confirm: yes")
	head := o.confirm("1")
	r := openHistory(t, o, head)
	got, err := r.MistypedConfirmations(t.Context(), first, head)
	if want := []string{"Gitfleet-Confirm: yes"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("MistypedConfirmations = %q, %v; want %q", got, err, want)
	}
	wantConfirmed(t, r, first, head, "1")
}
