package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const notesRef = "refs/notes/gitfleet"

// writable lets a server take pushes, as git http-backend does it.
func writable(t *testing.T, o *origin) http.Handler {
	t.Helper()
	o.git(o.bare, "config", "http.receivepack", "true")
	return &cgi.Handler{
		Path: filepath.Join(o.git(o.bare, "--exec-path"), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(o.bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=gitfleet",
			"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: io.Discard,
	}
}

// serveWritable is serve for pushing too.
func serveWritable(t *testing.T, o *origin) *gitServer {
	t.Helper()
	s := serve(t, o)
	backend := writable(t, o)
	s.behave(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { backend.ServeHTTP(w, r) })
	return s
}

// pushNotes pushes the notes of the working tree, by force.
func (o *origin) pushNotes() {
	o.t.Helper()
	o.git(o.work, "push", "-q", "--force", "origin", notesRef)
}

// noteOn returns what git shows of the notes on a commit.
func (o *origin) noteOn(commit string) string {
	o.t.Helper()
	return o.git(o.bare, "notes", "--ref", notesRef, "show", commit)
}

func wantNote(t *testing.T, r *Repository, commit, want string) {
	t.Helper()
	got, err := r.Note(t.Context(), notesRef, commit)
	if err != nil || got != want {
		t.Fatalf("the note on %.8s is %q, %v; want %q", commit, got, err, want)
	}
}

func add(line string) func(string) string {
	return func(text string) string { return text + line + "\n" }
}

func editNote(t *testing.T, r *Repository, commit, line string) {
	t.Helper()
	if err := r.EditNote(t.Context(), notesRef, commit, add(line)); err != nil {
		t.Fatalf("EditNote(%.8s): %v", commit, err)
	}
}

func wantNoteProblem(t *testing.T, err error, problem Problem, words ...string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Problem != problem {
		t.Fatalf("error %v, want one with problem %q", err, problem)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not contain %q", err, w)
		}
	}
	return e
}

func TestNotesAreSharedWithGit(t *testing.T) {
	for _, transport := range []string{"file", "https"} {
		t.Run(transport, func(t *testing.T) {
			o := newOrigin(t)
			first, second := o.publish("a.yaml", "one"), o.publish("a.yaml", "two")
			opts := Options{URL: o.fileURL()}
			if transport == "https" {
				s := serveWritable(t, o)
				opts = Options{URL: s.url(), CAFile: s.caFile}
			}
			r := open(t, opts)
			wantNote(t, r, first, "")
			editNote(t, r, first, "ours")
			if got := o.noteOn(first); got != "ours" {
				t.Fatalf("git shows the note %q, want ours", got)
			}
			o.git(o.work, "fetch", "-q", "origin", notesRef+":"+notesRef)
			o.git(o.work, "notes", "--ref", notesRef, "append", "-m", "by hand", first)
			o.git(o.work, "notes", "--ref", notesRef, "add", "-m", "elsewhere", second)
			o.pushNotes()
			wantNote(t, r, first, "ours\n\nby hand\n")
			editNote(t, r, first, "ours again")
			if got, want := o.noteOn(first), "ours\n\nby hand\nours again"; got != want {
				t.Errorf("git shows the note %q, want %q", got, want)
			}
			wantNote(t, r, second, "elsewhere\n")
			if got := o.git(o.bare, "rev-list", "--count", notesRef); got != "4" {
				t.Errorf("the reference has %s commits, want 4: nobody's was replaced", got)
			}
			o.git(o.bare, "fsck", "--strict")
		})
	}
}

func TestNotesAreFetchedWhenTheyMove(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	s := serveWritable(t, o)
	for i := range 5 {
		editNote(t, open(t, Options{URL: o.fileURL()}), head, fmt.Sprint(i))
	}
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	steps := []struct {
		name         string
		do           func()
		lists, packs int
	}{
		{"the first read", func() { wantNote(t, r, head, "0\n1\n2\n3\n4\n") }, 1, 1},
		{"a read of what has not moved", func() { wantNote(t, r, head, "0\n1\n2\n3\n4\n") }, 1, 0},
		{"an edit of what has not moved", func() { editNote(t, r, head, "5") }, 1, 1},
		{"a read of what was pushed here", func() { wantNote(t, r, head, "0\n1\n2\n3\n4\n5\n") }, 1, 0},
		{"an edit that changes nothing", func() {
			if err := r.EditNote(t.Context(), notesRef, head, func(text string) string { return text }); err != nil {
				t.Fatal(err)
			}
		}, 1, 0},
		{"an edit after somebody else's", func() {
			editNote(t, open(t, Options{URL: o.fileURL()}), head, "6")
			editNote(t, r, head, "7")
		}, 2, 2},
	}
	for _, step := range steps {
		lists, packs := s.counts()
		step.do()
		if l, p := s.counts(); l-lists != step.lists || p-packs != step.packs {
			t.Errorf("%s made %d list and %d pack requests, want %d and %d", step.name, l-lists, p-packs, step.lists, step.packs)
		}
	}
	if got, err := os.ReadFile(filepath.Join(r.notes[notesRef].dir, "shallow")); err != nil || strings.Count(string(got), "\n") != 1 {
		t.Errorf("the copy's cut is %q, %v; want one commit: older ones are not needed", got, err)
	}
}

// writeNotes replaces the notes by a tree with these files.
func (o *origin) writeNotes(files map[string]string) {
	o.t.Helper()
	var in strings.Builder
	fmt.Fprintf(&in, "commit %s\ncommitter c <c@example.com> 1767322800 +0000\ndata 0\n", notesRef)
	for name, content := range files {
		fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(content), content)
	}
	file := filepath.Join(o.t.TempDir(), "import")
	if err := os.WriteFile(file, []byte(in.String()), 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.git(o.bare, "-c", "alias.in=!git fast-import --quiet --force <"+"'"+file+"'", "in")
}

func fan(commit string, levels int) string {
	for i := range levels {
		commit = commit[:3*i+2] + "/" + commit[3*i+2:]
	}
	return commit
}

func TestTheLayoutOfNotesIsKept(t *testing.T) {
	other := func(i int) string { return fmt.Sprintf("%040x", 1<<60*(i+1)) }
	many := func(n, levels int, first string) map[string]string {
		files := map[string]string{}
		for i := range n {
			files[fan(fmt.Sprintf("%s%0*x", first, 40-len(first), i), levels)] = "x"
		}
		return files
	}
	o := newOrigin(t)
	noted, fresh := o.publish("a.yaml", "one"), o.publish("a.yaml", "two")
	for _, tt := range []struct {
		name   string
		files  map[string]string
		at     string // where the note is
		levels int    // of the directories that a new note goes into
	}{
		{"flat", map[string]string{other(1): "x"}, noted, 0},
		{"directories", map[string]string{fan(other(1), 1): "x"}, fan(noted, 1), 1},
		{"two levels where the note is", map[string]string{fan(other(1), 1): "x"}, fan(noted, 2), 1},
		{"two levels where the new one goes", map[string]string{fan(fresh[:4]+strings.Repeat("0", 36), 2): "x"}, fan(noted, 1), 2},
		{"a flat note among directories", map[string]string{fan(other(1), 1): "x"}, noted, 1},
		{"other files", map[string]string{"README": "x", "docs/a": "y", fresh[:2] + "x": "z", other(1): "x"}, noted, 0},
		{"flat and one too many", many(300, 0, ""), noted, 1},
		{"a full directory", many(300, 1, fresh[:2]), fan(noted, 1), 2},
		{"a name of two digits that is a file", map[string]string{fresh[:2]: "x"}, noted, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.files[tt.at] = "before\n"
			o.writeNotes(tt.files)
			r := open(t, Options{URL: o.fileURL()})
			wantNote(t, r, noted, "before\n")
			editNote(t, r, noted, "after")
			editNote(t, r, fresh, "new")
			tt.files[tt.at], tt.files[fan(fresh, tt.levels)] = "before\nafter\n", "new\n"
			if got := o.git(o.bare, "ls-tree", "-r", "--name-only", notesRef); len(strings.Split(got, "\n")) != len(tt.files) {
				t.Errorf("the tree has other files than the %d it should have:\n%s", len(tt.files), got)
			}
			for _, name := range []string{tt.at, fan(fresh, tt.levels)} {
				if got := o.git(o.bare, "cat-file", "blob", notesRef+":"+name); got+"\n" != tt.files[name] {
					t.Errorf("%s holds %q, want %q", name, got, tt.files[name])
				}
			}
			if a, b := o.noteOn(noted), o.noteOn(fresh); a != "before\nafter" || b != "new" {
				t.Errorf("git shows the notes %q and %q", a, b)
			}
			o.git(o.bare, "fsck", "--strict")
		})
	}
}

func TestAnEditIsRepeatedOnWhatOthersPushed(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	r, other := open(t, Options{URL: o.fileURL()}), open(t, Options{URL: o.fileURL()})
	var seen []string
	err := r.EditNote(t.Context(), notesRef, head, func(text string) string {
		seen = append(seen, text)
		if len(seen) < 4 {
			editNote(t, other, head, fmt.Sprint("theirs ", len(seen)))
		}
		return text + "ours\n"
	})
	if err != nil || len(seen) != 4 {
		t.Fatalf("after 3 lost races: %v, edited %d times", err, len(seen))
	}
	if got, want := o.noteOn(head), "theirs 1\ntheirs 2\ntheirs 3\nours"; got != want {
		t.Errorf("the note is %q, want %q", got, want)
	}
}

func TestAnEditIsGivenUpWhenOthersAreAlwaysFaster(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	r, other := open(t, Options{URL: o.fileURL()}), open(t, Options{URL: o.fileURL()})
	r.pause = time.Millisecond
	edits := 0
	err := r.EditNote(t.Context(), notesRef, head, func(text string) string {
		edits++
		editNote(t, other, head, "theirs")
		return text + "ours\n"
	})
	e := wantNoteProblem(t, err, Contended, notesRef)
	if edits != maxPushes || e.Remedy() != "" {
		t.Errorf("%d edits and the remedy %q; want %d, and that waiting helps", edits, e.Remedy(), maxPushes)
	}
}

func TestTwoWritersAtOnce(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	s := serveWritable(t, o)
	var wg sync.WaitGroup
	const each = 8
	for _, name := range []string{"red", "blue"} {
		r := open(t, Options{URL: s.url(), CAFile: s.caFile})
		wg.Go(func() {
			for i := range each {
				for {
					err := r.EditNote(t.Context(), notesRef, head, add(fmt.Sprint(name, i)))
					var e *Error
					if errors.As(err, &e) && e.Problem == Contended {
						continue // the other was lucky, and made progress
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	lines := strings.Fields(o.noteOn(head))
	count := map[string]int{}
	for _, line := range lines {
		count[line]++
	}
	if len(lines) != 2*each || len(count) != 2*each {
		t.Errorf("the note has %d lines, %d of them different; want %d: %q", len(lines), len(count), 2*each, lines)
	}
}

func TestOneRepositoryIsEditedFromManySides(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	r := open(t, Options{URL: o.fileURL()})
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if err := r.EditNote(t.Context(), notesRef, head, add(fmt.Sprint("line", i))); err != nil {
				t.Error(err)
			}
			if _, err := r.Note(t.Context(), notesRef, head); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := strings.Fields(o.noteOn(head)); len(got) != 5 {
		t.Errorf("the note is %q, want 5 lines", got)
	}
}

func TestPushesThatAreRefused(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	hook := func(script string) func(*testing.T, *gitServer) {
		return func(t *testing.T, _ *gitServer) {
			path := filepath.Join(o.bare, "hooks", "pre-receive")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(path) })
		}
	}
	for _, tt := range []struct {
		name  string
		given func(*testing.T, *gitServer)
		words []string
	}{
		{"a server that takes no pushes", func(*testing.T, *gitServer) { o.git(o.bare, "config", "http.receivepack", "false") }, []string{"403"}},
		{"credentials that may only read", func(_ *testing.T, s *gitServer) {
			s.behave(requireBasic("bob", "other"))
		}, []string{"does not accept the credentials"}},
		{"a hook that refuses", hook("echo no notes for s3cret >&2; exit 1"), []string{notesRef, "hook declined", "no notes for ***"}},
		{"a reference in the way", func(*testing.T, *gitServer) {
			o.git(o.bare, "update-ref", notesRef+"/below", head)
		}, []string{notesRef, "failed to update ref"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serveWritable(t, o)
			tt.given(t, s)
			token := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(token, []byte("bob:s3cret"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := open(t, Options{URL: s.url(), CAFile: s.caFile, AuthFile: token})
			err := r.EditNote(t.Context(), notesRef, head, add("ours"))
			e := wantNoteProblem(t, err, ReadOnly, tt.words...)
			if !strings.Contains(e.Remedy(), "push") || strings.Contains(e.Error(), "s3cret") {
				t.Errorf("the error %q has the remedy %q; want one, and no password", e, e.Remedy())
			}
		})
	}
}

func TestAPushWithoutAnAnswerIsNotRepeated(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	s := serve(t, o)
	backend := writable(t, o)
	s.behave(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
			w = &cutWriter{ResponseWriter: w, left: 10}
		}
		backend.ServeHTTP(w, r)
	})
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	once := func(text string) string {
		if text == "" {
			return "ours\n"
		}
		return text
	}
	wantNoteProblem(t, r.EditNote(t.Context(), notesRef, head, once), Unreachable)
	if err := r.EditNote(t.Context(), notesRef, head, once); err != nil {
		t.Fatalf("again: %v", err)
	}
	if got := o.git(o.bare, "rev-list", "--count", notesRef); got != "1" {
		t.Errorf("the reference has %s commits, want 1", got)
	}
}

func TestNotesThatWereRewritten(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	r := open(t, Options{URL: o.fileURL()})
	editNote(t, r, head, "one")
	old := o.git(o.bare, "rev-parse", notesRef)
	o.writeNotes(map[string]string{head: "other\n"})
	wantNote(t, r, head, "other\n")
	o.git(o.bare, "update-ref", notesRef, old)
	wantNote(t, r, head, "one\n")
	o.git(o.bare, "update-ref", "-d", notesRef)
	wantNote(t, r, head, "")
	editNote(t, r, head, "again")
	wantNote(t, r, head, "again\n")
	if got := o.noteOn(head); got != "again" {
		t.Errorf("git shows the note %q", got)
	}
}

func TestNotesThatAreNoText(t *testing.T) {
	o := newOrigin(t)
	head, long := o.publish("a.yaml", "one"), o.publish("a.yaml", "two")
	o.writeNotes(map[string]string{head: "\x00\xff", long: strings.Repeat("x", maxNote+1)})
	r := open(t, Options{URL: o.fileURL()})
	editNote(t, r, head, "ours")
	wantNote(t, r, head, "\x00\xffours\n")
	err := r.EditNote(t.Context(), notesRef, long, add("ours"))
	if err == nil || !strings.Contains(err.Error(), long) || !strings.Contains(err.Error(), "shorten") {
		t.Errorf("editing a note of more than 1 MiB: %v", err)
	}
	wantNote(t, r, head, "\x00\xffours\n")

	o.writeNotes(map[string]string{head + "/file": "x"})
	wantNote(t, r, head, "")
	wantNoteProblem(t, r.EditNote(t.Context(), notesRef, head, add("ours")), Damaged, head+" is no file")
}

func TestADamagedCopyOfNotesIsFetchedAgain(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	editNote(t, open(t, Options{URL: o.fileURL()}), head, "one")
	r := open(t, Options{URL: o.fileURL()})
	wantNote(t, r, head, "one\n")
	packs := filepath.Join(r.notes[notesRef].dir, "objects", "pack")
	if err := os.RemoveAll(packs); err != nil {
		t.Fatal(err)
	}
	r.notes[notesRef].st = openObjects(r.notes[notesRef].dir) // one that remembers nothing
	if _, err := r.Note(t.Context(), notesRef, head); err != nil {
		wantNoteProblem(t, err, Damaged)
	} else {
		t.Error("the note was read from nowhere, so this test proves nothing")
	}
	wantNote(t, r, head, "one\n")

	for i := range maxPacks {
		if err := os.WriteFile(filepath.Join(packs, fmt.Sprintf("filler-%d.pack", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	editNote(t, r, head, "two")
	wantNote(t, r, head, "one\ntwo\n")
	if n := countPacks(r.notes[notesRef].dir); n != 1 {
		t.Errorf("the copy has %d packs, want 1: it was to be made anew", n)
	}
}

func TestNotesAndTheirErrors(t *testing.T) {
	o := newOrigin(t)
	r := open(t, Options{URL: o.fileURL()})
	zero := strings.Repeat("0", 40)
	wantNote(t, r, zero, "") // a repository without commits has no notes
	for _, tt := range []struct{ name, ref, commit, want string }{
		{"no reference for notes", "refs/heads/main", zero, "refs/notes/"},
		{"a reference that climbs", "refs/notes/../heads/main", zero, "refs/notes/"},
		{"an abbreviated commit", notesRef, "abcdef", "full hash"},
		{"a commit in capitals", notesRef, strings.Repeat("A", 40), "full hash"},
	} {
		if _, err := r.Note(t.Context(), tt.ref, tt.commit); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error containing %q", tt.name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Note(ctx, notesRef, zero); !errors.Is(err, context.Canceled) {
		t.Errorf("Note returned %v, want the context's error", err)
	}
	if err := r.EditNote(ctx, notesRef, zero, add("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("EditNote returned %v, want the context's error", err)
	}
}

func TestServerAsksForPatience(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	s := serve(t, o)
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	for _, tt := range []struct {
		status      int
		after, date string
		want        time.Duration
		asked       bool
	}{
		{429, "90", "", 90 * time.Second, true},
		{503, "90", "", 90 * time.Second, true},
		{429, "Fri, 02 Jan 2026 03:02:00 GMT", "Fri, 02 Jan 2026 03:00:00 GMT", 2 * time.Minute, true},
		{429, "Fri, 02 Jan 2026 03:02:00 GMT", "Fri, 02 Jan 2026 04:00:00 GMT", time.Second, true},
		{429, "99999999999", "", maxRetryAfter, true},
		{429, "-1", "", time.Second, true},
		{429, "soon", "", 0, true},
		{503, "", "", 0, false},
	} {
		s.behave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Retry-After", tt.after)
			if tt.date != "" {
				w.Header().Set("Date", tt.date)
			}
			w.WriteHeader(tt.status)
		})
		err := r.EditNote(t.Context(), notesRef, head, add("x"))
		e := wantNoteProblem(t, err, Unreachable, fmt.Sprint(tt.status))
		if wait, asked := e.RetryAfter(); wait != tt.want || asked != tt.asked || e.Remedy() != "" {
			t.Errorf("%d, Retry-After: %s means %v, %v, %q; want %v, %v", tt.status, tt.after, wait, asked, e.Remedy(), tt.want, tt.asked)
		}
	}
}
