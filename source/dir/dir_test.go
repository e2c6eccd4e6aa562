package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/gitfleet/gitfleet/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// worktree is a directory, in one whose name contains a space, and the Tree that reads it.
type worktree struct {
	*Tree
	t    *testing.T
	root string
}

// newWorktree holds a.yaml and sub/b.yaml. It waits no longer than needed between two readings.
func newWorktree(t *testing.T) *worktree {
	t.Helper()
	w := &worktree{t: t, root: filepath.Join(t.TempDir(), "a fleet")}
	w.write("a.yaml", "a")
	w.write("sub/b.yaml", "b")
	w.open(newWatcher)
	return w
}

func (w *worktree) open(watching func(string) *watcher) {
	w.t.Helper()
	tree, err := open(w.t.Context(), Options{Dir: w.root}, watching)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { must(w.t, tree.Close()) })
	tree.pause = func(ctx context.Context) error { return ctx.Err() }
	w.Tree = tree
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *worktree) path(name string) string { return filepath.Join(w.root, name) }

func (w *worktree) write(name, content string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	must(w.t, os.WriteFile(w.path(name), []byte(content), 0o644))
}

func (w *worktree) fetch() source.Revision {
	w.t.Helper()
	rev, err := w.Fetch(w.t.Context())
	must(w.t, err)
	if last, ok := w.Last(); !ok || last != rev {
		w.t.Fatalf("Last() = %+v, %v after Fetch returned %+v", last, ok, rev)
	}
	return rev
}

// fsOf returns the tree of a revision.
func (w *worktree) fsOf(rev source.Revision) fs.FS {
	w.t.Helper()
	snap, err := w.Snapshot(rev)
	must(w.t, err)
	if snap.Revision != rev {
		w.t.Errorf("Snapshot(%+v) is of %+v", rev, snap.Revision)
	}
	return snap.FS
}

func (w *worktree) wantFile(rev source.Revision, name, want string) {
	w.t.Helper()
	if got, err := fs.ReadFile(w.fsOf(rev), name); err != nil || string(got) != want {
		w.t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
	}
}

// wantFetchError fetches, and expects an error with these words and the last good revision unchanged.
func (w *worktree) wantFetchError(words ...string) {
	w.t.Helper()
	before, had := w.Last()
	rev, err := w.Fetch(w.t.Context())
	if err == nil {
		w.t.Fatalf("Fetch returned %+v; want an error with %q", rev, words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.t.Errorf("error %q does not contain %q", err, word)
		}
	}
	if after, ok := w.Last(); ok != had || after != before {
		w.t.Errorf("a failed Fetch changed the last revision from %+v to %+v", before, after)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for dir, want := range map[string]string{
		"":             "is empty",
		file:           "is not a directory",
		file + "/x":    "cannot be read",
		file + "-gone": "does not exist",
	} {
		if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open(%q): %v; want an error with the path and %q", dir, err, want)
		}
	}
}

func TestFetch(t *testing.T) {
	w := newWorktree(t)
	if rev, ok := w.Last(); ok {
		t.Errorf("Last() = %+v before any Fetch", rev)
	}
	newest := time.Date(2040, 5, 6, 7, 8, 9, 0, time.UTC)
	must(t, os.Chtimes(w.path("a.yaml"), newest, newest))
	rev := w.fetch()
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(rev.Commit) || rev.Repo != "dir:"+w.root || rev.Ref == "" || rev.Subject == "" || !rev.When.Equal(newest) {
		t.Errorf("Fetch returned %+v; want a digest, dir:%s and the time %v", rev, w.root, newest)
	}
	w.write("sub/deep/c.yaml", "c")
	must(t, os.Chmod(w.path("sub/b.yaml"), 0o700))
	must(t, os.Symlink("sub/deep", w.path("link")))
	must(t, os.Mkdir(w.path("empty"), 0o755))
	next := w.fetch()
	fsys := w.fsOf(next)
	if err := fstest.TestFS(fsys, "a.yaml", "sub/b.yaml", "sub/deep/c.yaml", "link"); err != nil {
		t.Error(err)
	}
	if info, err := fs.Stat(fsys, "sub/b.yaml"); err != nil || info.Mode() != 0o555 || info.Size() != 1 || !info.ModTime().Equal(newest) {
		t.Errorf("Stat(sub/b.yaml) = %v, %v; want an executable of one byte and the revision's time", info, err)
	}
	if _, err := fs.Stat(fsys, "empty"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory is in the tree: %v", err)
	}
	w.write("a.yaml", "later")
	w.wantFile(next, "a.yaml", "a")
	w.wantFile(rev, "sub/b.yaml", "b")
}

// TestRevision tells what makes another revision.
func TestRevision(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *worktree) error
		same   bool
	}{
		{"a file is written", func(w *worktree) error { return os.WriteFile(w.path("a.yaml"), []byte("x"), 0o644) }, false},
		{"a file becomes executable", func(w *worktree) error { return os.Chmod(w.path("a.yaml"), 0o755) }, false},
		{"a file is renamed", func(w *worktree) error { return os.Rename(w.path("a.yaml"), w.path("c.yaml")) }, false},
		{"a file moves to another directory", func(w *worktree) error { return os.Rename(w.path("sub/b.yaml"), w.path("b.yaml")) }, false},
		{"a file is removed", func(w *worktree) error { return os.Remove(w.path("a.yaml")) }, false},
		{"a link takes a file's place", func(w *worktree) error {
			return errors.Join(os.Remove(w.path("a.yaml")), os.Symlink("a", w.path("a.yaml")))
		}, false},
		{"two files swap places", func(w *worktree) error {
			return errors.Join(os.Rename(w.path("a.yaml"), w.path("c")), os.Rename(w.path("sub/b.yaml"), w.path("a.yaml")), os.Rename(w.path("c"), w.path("sub/b.yaml")))
		}, false},
		{"a name holds what ends a name in a digest", func(w *worktree) error { return os.WriteFile(w.path("a.yaml\" 444 0\n\"b"), nil, 0o644) }, false},
		{"what Git ignores counts", func(w *worktree) error {
			return errors.Join(os.WriteFile(w.path(".gitignore"), []byte("*"), 0o644), os.WriteFile(w.path("ignored.yaml"), nil, 0o644))
		}, false},

		{"nothing", func(*worktree) error { return nil }, true},
		{"the same content is written", func(w *worktree) error { return os.WriteFile(w.path("a.yaml"), []byte("a"), 0o644) }, true},
		{"a file is touched", func(w *worktree) error { return os.Chtimes(w.path("a.yaml"), time.Now(), time.Now()) }, true},
		{"bits that Git does not keep", func(w *worktree) error { return os.Chmod(w.path("a.yaml"), 0o600) }, true},
		{"an empty directory", func(w *worktree) error { return os.Mkdir(w.path("empty"), 0o755) }, true},
		{"Git works", func(w *worktree) error {
			return errors.Join(os.Mkdir(w.path(".git"), 0o755), os.WriteFile(w.path(".git/index"), nil, 0o644), os.WriteFile(w.path("sub/.git"), nil, 0o644))
		}, true},
		{"editors leave things", func(w *worktree) error {
			err := os.Symlink("me@host.1:2", w.path(".#a.yaml"))
			for _, name := range []string{"a.yaml~", ".a.yaml.swp", ".a.yaml.swx", "a.swp", "#a.yaml#", "4913", ".DS_Store", "sub/b.yaml___jb_tmp___"} {
				err = errors.Join(err, os.WriteFile(w.path(name), nil, 0o644))
			}
			return err
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorktree(t)
			before := w.fetch()
			must(t, tt.change(w))
			after := w.fetch()
			if tt.same && after != before || !tt.same && after.Commit == before.Commit {
				t.Errorf("the revision was %+v and is %+v; want the same: %v", before, after, tt.same)
			}
			if again := w.fetch(); again != after {
				t.Errorf("Fetch returned %+v and then %+v of an unchanged tree", after, again)
			}
		})
	}
}

// TestHalfWrittenChange writes one change in several steps, one between every two readings.
func TestHalfWrittenChange(t *testing.T) {
	w := newWorktree(t)
	w.fetch()
	w.write("a.yaml", "")
	steps := []func(){
		func() { w.write("a.yaml", "new") },
		func() { must(t, os.Remove(w.path("sub/b.yaml"))) },
		func() { w.write("c.yaml", "new") },
		func() { must(t, os.Chtimes(w.path("a.yaml"), time.Now(), time.Now().Add(time.Second))) },
		func() {},
	}
	w.pause = func(context.Context) error {
		if len(steps) == 0 {
			t.Fatal("the tree is read on although nothing changed")
		}
		steps[0]()
		steps = steps[1:]
		return nil
	}
	rev := w.fetch()
	if len(steps) > 0 {
		t.Fatalf("a revision was made while %d writes were to come", len(steps))
	}
	w.wantFile(rev, "a.yaml", "new")
	w.wantFile(rev, "c.yaml", "new")
	if _, err := fs.Stat(w.fsOf(rev), "sub"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sub, which holds nothing any more, is in the tree: %v", err)
	}
}

func TestNeverQuiet(t *testing.T) {
	w := newWorktree(t)
	w.fetch()
	content := "x"
	w.pause = func(context.Context) error {
		content += "x"
		w.write("sub/b.yaml", content)
		return nil
	}
	w.write("sub/b.yaml", content)
	w.wantFetchError(w.root, "keeps changing", "sub/b.yaml")
	w.pause = func(context.Context) error { return nil }
	w.wantFile(w.fetch(), "sub/b.yaml", content)
}

func TestRootGoesAndComes(t *testing.T) {
	w := newWorktree(t)
	first := w.fetch()
	away := w.root + " away"
	must(t, os.Rename(w.root, away))
	w.wantFetchError(w.root, "does not exist")
	must(t, os.WriteFile(w.root, nil, 0o644))
	w.wantFetchError(w.root, "is not a directory")
	must(t, os.Remove(w.root))
	must(t, os.Symlink(away, w.root))
	if rev := w.fetch(); rev != first {
		t.Errorf("the same tree through a link is %+v, was %+v", rev, first)
	}
	must(t, os.Remove(w.root))
	must(t, os.Mkdir(w.root, 0o755))
	if empty := w.fetch(); empty.Commit == first.Commit || !empty.When.IsZero() {
		t.Errorf("an empty tree is %+v", empty)
	}
}

func TestSnapshotsKept(t *testing.T) {
	w := newWorktree(t)
	var revs []source.Revision
	for _, content := range []string{"1", "2", "3", "4"} {
		w.write("a.yaml", content)
		revs = append(revs, w.fetch())
	}
	for i, content := range []string{"2", "3", "4"} {
		w.wantFile(revs[i+1], "a.yaml", content)
	}
	if _, err := w.Snapshot(revs[0]); err == nil || !strings.Contains(err.Error(), revs[0].Commit) {
		t.Errorf("Snapshot of a revision four changes ago: %v, want an error that names it", err)
	}
}

func TestFetchIsGivenUp(t *testing.T) {
	w := newWorktree(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.pause = wait
	inside := make(chan struct{})
	w.pause = func(ctx context.Context) error {
		close(inside)
		<-ctx.Done()
		return ctx.Err()
	}
	result := make(chan error)
	go func() {
		_, err := w.Fetch(ctx)
		result <- err
	}()
	<-inside
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := w.Fetch(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a Fetch that waits for another: %v, want the context's error", err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: %v, want the context's error", err)
	}
	if _, err := Open(gone, Options{Dir: w.root}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want the context's error", err)
	}
	w.pause = wait // as in earnest
	w.fetch()
}
