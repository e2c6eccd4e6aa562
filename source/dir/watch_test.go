package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// wantNoticed waits for tokens, and fetches at each, until the file of the newest revision holds want; "-" is no file.
// Nothing is fetched without a token: a change that nobody notices is never seen.
func (w *worktree) wantNoticed(name, want string) {
	w.t.Helper()
	deadline := time.After(patience)
	got := "no token came"
	for {
		select {
		case <-w.Changed():
		case <-deadline:
			w.t.Fatalf("%s: no token led to %q; last: %s (WatchErr: %v)", name, want, got, w.WatchErr())
		}
		rev, err := w.Fetch(w.t.Context())
		if err != nil {
			got = err.Error()
			if strings.Contains(got, want) {
				return
			}
			continue
		}
		data, err := fs.ReadFile(w.fsOf(rev), name)
		if got = string(data); err != nil {
			got = "-"
		}
		if got == want {
			return
		}
	}
}

func TestChangesAreNoticed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps func(w *worktree)
	}{
		{"a file is written", func(w *worktree) {
			w.write("sub/b.yaml", "new")
			w.wantNoticed("sub/b.yaml", "new")
		}},
		{"an editor renames over the file, twice", func(w *worktree) {
			for _, content := range []string{"one", "two"} {
				must(w.t, os.Rename(w.path("a.yaml"), w.path("a.yaml~")))
				w.write(".a.yaml.tmp", content)
				must(w.t, os.Rename(w.path(".a.yaml.tmp"), w.path("a.yaml")))
				w.wantNoticed("a.yaml", content)
			}
		}},
		{"a file is removed and made again", func(w *worktree) {
			must(w.t, os.Remove(w.path("a.yaml")))
			w.wantNoticed("a.yaml", "-")
			w.write("a.yaml", "back")
			w.wantNoticed("a.yaml", "back")
		}},
		{"a file becomes executable", func(w *worktree) {
			before := w.fetch()
			must(w.t, os.Chmod(w.path("a.yaml"), 0o755))
			<-w.Changed()
			if w.fetch() == before {
				w.t.Error("the mode is not in the revision")
			}
		}},
		{"directories are made, and written to later", func(w *worktree) {
			w.write("x/y/z/a.yaml", "new")
			w.wantNoticed("x/y/z/a.yaml", "new")
			w.write("x/y/z/a.yaml", "newer")
			w.wantNoticed("x/y/z/a.yaml", "newer")
		}},
		{"a directory is removed and made again", func(w *worktree) {
			must(w.t, os.RemoveAll(w.path("sub")))
			w.wantNoticed("sub/b.yaml", "-")
			w.write("sub/b.yaml", "back")
			w.wantNoticed("sub/b.yaml", "back")
			w.write("sub/b.yaml", "again")
			w.wantNoticed("sub/b.yaml", "again")
		}},
		{"a directory is renamed, with directories in it", func(w *worktree) {
			w.write("sub/deep/c.yaml", "c")
			w.wantNoticed("sub/deep/c.yaml", "c")
			must(w.t, os.Rename(w.path("sub"), w.path("moved")))
			w.wantNoticed("moved/deep/c.yaml", "c")
			w.write("moved/deep/c.yaml", "new")
			w.wantNoticed("moved/deep/c.yaml", "new")
		}},
		{"a directory is replaced whole", func(w *worktree) {
			must(w.t, os.Rename(w.path("sub"), w.root+" old sub"))
			must(w.t, os.MkdirAll(w.root+" new sub/deep", 0o755))
			must(w.t, os.Rename(w.root+" new sub", w.path("sub")))
			w.wantNoticed("sub/b.yaml", "-")
			w.write("sub/deep/c.yaml", "new")
			w.wantNoticed("sub/deep/c.yaml", "new")
		}},
		{"the tree is replaced whole", func(w *worktree) {
			must(w.t, os.MkdirAll(w.root+" new/sub", 0o755))
			must(w.t, os.Rename(w.root, w.root+" old"))
			must(w.t, os.Rename(w.root+" new", w.root))
			w.wantNoticed("a.yaml", "-")
			w.write("sub/b.yaml", "new")
			w.wantNoticed("sub/b.yaml", "new")
		}},
		{"the tree goes, and comes back later", func(w *worktree) {
			must(w.t, os.Rename(w.root, w.root+" away"))
			w.wantNoticed("a.yaml", "does not exist")
			must(w.t, os.Rename(w.root+" away", w.root))
			w.wantNoticed("a.yaml", "a")
			w.write("sub/b.yaml", "new")
			w.wantNoticed("sub/b.yaml", "new")
		}},
		{"the tree and the directory above it go, and are made again", func(w *worktree) {
			must(w.t, os.RemoveAll(filepath.Dir(w.root)))
			w.wantNoticed("a.yaml", "does not exist")
			w.write("a.yaml", "back")
			w.wantNoticed("a.yaml", "back")
			w.write("a.yaml", "again")
			w.wantNoticed("a.yaml", "again")
		}},
		{"the tree is behind a link that comes to lead elsewhere", func(w *worktree) {
			must(w.t, os.Rename(w.root, w.root+" 1"))
			must(w.t, os.Symlink(w.root+" 1", w.root))
			w.wantNoticed("a.yaml", "a")
			must(w.t, os.Mkdir(w.root+" 2", 0o755))
			must(w.t, os.WriteFile(w.root+" 2/a.yaml", []byte("2"), 0o644))
			must(w.t, os.Symlink(w.root+" 2", w.root+" link"))
			must(w.t, os.Rename(w.root+" link", w.root))
			w.wantNoticed("a.yaml", "2")
			w.write("a.yaml", "new")
			w.wantNoticed("a.yaml", "new")
		}},
		{"a burst", func(w *worktree) {
			for i := range 500 {
				w.write(fmt.Sprintf("burst/%d/a.yaml", i%20), fmt.Sprint(i))
			}
			w.wantNoticed("burst/19/a.yaml", "499")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorktree(t)
			w.fetch()
			tt.steps(w)
			if err := w.WatchErr(); err != nil {
				t.Errorf("WatchErr() = %v", err)
			}
		})
	}
}

// TestBurst follows a burst with the clock as an argument.
func TestBurst(t *testing.T) {
	start := time.Unix(1000, 0)
	var b burst
	for _, tt := range []struct {
		why   string
		after time.Duration
		want  time.Duration
	}{
		{"the first event", 0, quiet},
		{"another extends it", 90 * time.Millisecond, quiet},
		{"no further than the latest", latest - 30*time.Millisecond, 30 * time.Millisecond},
		{"an event at the end", latest, 0},
		{"an event after the end", latest + time.Second, 0},
	} {
		if got := b.rest(start.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v are left of the burst, want %v", tt.why, got, tt.want)
		}
	}
}

func TestWhatConcernsATree(t *testing.T) {
	w := newWatcher("/srv/fleet")
	for name, want := range map[string]bool{
		"/srv/fleet": true, "/srv/fleet/a.yaml": true, "/srv/fleet/sub/b.yaml": true, "/srv": true, "/": true, "//srv": true,
		"/srv/other": false, "/srv/fleet2": false, "/srv/fleet.tmp": false, "/other": false, "": false,
		"/srv/fleet/.git": false, "/srv/fleet/sub/.a.yaml.swp": false, "/srv/fleet/.#a.yaml": false,
	} {
		if got := w.concerns(fsnotify.Event{Name: name, Op: fsnotify.Create}); got != want {
			t.Errorf("an event at %q concerns the tree: %v, want %v", name, got, want)
		}
	}
}

func TestWhatMovesDirectories(t *testing.T) {
	w := newWorktree(t)
	link := w.root + " link"
	must(t, os.Symlink(w.root, link))
	gone := w.root + " gone/fleet"
	for _, tt := range []struct {
		root, name string
		op         fsnotify.Op
		want       bool
	}{
		{w.root, w.root, fsnotify.Rename, true},
		{link, link, fsnotify.Create, true}, // it is followed
		{gone, gone, fsnotify.Remove, true},
		{gone, filepath.Dir(gone), fsnotify.Remove, true},
		{w.root, w.path("sub"), fsnotify.Create, true},
		{w.root, w.path("sub"), fsnotify.Chmod, true}, // it may be readable now
		{w.root, w.path("a.yaml"), fsnotify.Create, false},
		{w.root, w.path("gone"), fsnotify.Create, false},
	} {
		e := fsnotify.Event{Name: tt.name, Op: tt.op}
		if got := newWatcher(tt.root).moves(e); got != tt.want {
			t.Errorf("%v moves a directory for %s: %v, want %v", e, tt.root, got, tt.want)
		}
	}
}

// TestNoMoreWatches has the system refuse watches, until it does not any more.
func TestNoMoreWatches(t *testing.T) {
	w := newWorktree(t)
	refuse := make(chan error, 1)
	refuse <- syscall.ENOSPC
	w.open(func(root string) *watcher {
		watch := newWatcher(root)
		watch.add = func(n *fsnotify.Watcher, dir string) error {
			select {
			case err := <-refuse:
				refuse <- err
				if strings.HasSuffix(dir, "sub") {
					return err
				}
			default:
			}
			return n.Add(dir)
		}
		return watch
	})
	err := w.WatchErr()
	if err == nil || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") || !strings.Contains(err.Error(), "polling interval") {
		t.Errorf("WatchErr() = %v; want what to raise and what happens meanwhile", err)
	}
	w.wantFile(w.fetch(), "sub/b.yaml", "b")
	w.write("sub/b.yaml", "polled")
	w.wantFile(w.fetch(), "sub/b.yaml", "polled") // nothing depends on being told
	<-refuse
	w.write("sub/b.yaml", "watched")
	w.fetch() // tries the watches again, and says so with a token
	<-w.Changed()
	if err := w.WatchErr(); err != nil {
		t.Errorf("WatchErr() = %v when there are watches again", err)
	}
	w.write("sub/b.yaml", "noticed")
	w.wantNoticed("sub/b.yaml", "noticed")
}

// TestLookAfter proves that looking after the watches makes a token for news only: a token makes the caller fetch, and
// each fetch has the watches looked after.
func TestLookAfter(t *testing.T) {
	w := newWorktree(t)
	watch := newWatcher(w.root)
	var refused error
	watch.add = func(n *fsnotify.Watcher, dir string) error {
		if refused != nil {
			return refused
		}
		return n.Add(dir)
	}
	watch.rebuild()
	defer watch.drop()
	for _, tt := range []struct {
		why    string
		before func() error
		token  bool
	}{
		{"all is well", func() error { return nil }, false},
		{"the tree was replaced and no event told", func() error {
			return errors.Join(os.Rename(w.root, w.root+" old"), os.Mkdir(w.root, 0o755))
		}, true},
		{"that is known", func() error { return nil }, false},
		{"the tree is gone", func() error { return os.Remove(w.root) }, true},
		{"it is still gone", func() error { return nil }, false},
		{"the tree is back, but there are no watches any more", func() error {
			refused = syscall.ENOSPC
			return os.Mkdir(w.root, 0o755)
		}, true},
		{"there are still none", func() error { return nil }, false},
		{"there are watches again", func() error { refused = nil; return nil }, true},
		{"all is well again", func() error { return nil }, false},
	} {
		must(t, tt.before())
		watch.lookAfter()
		select {
		case <-watch.changed:
			if !tt.token {
				t.Errorf("%s: there is a token", tt.why)
			}
		default:
			if tt.token {
				t.Errorf("%s: there is no token", tt.why)
			}
		}
	}
}

// TestOneDirectoryCannotBeWatched has the others watched all the same.
func TestOneDirectoryCannotBeWatched(t *testing.T) {
	w := newWorktree(t)
	w.write("z/c.yaml", "c")
	w.open(func(root string) *watcher {
		watch := newWatcher(root)
		watch.add = func(n *fsnotify.Watcher, dir string) error {
			if strings.HasSuffix(dir, "sub") {
				return &fs.PathError{Op: "watch", Path: dir, Err: syscall.EACCES}
			}
			return n.Add(dir)
		}
		return watch
	})
	w.fetch()
	if err := w.WatchErr(); err == nil || !strings.Contains(err.Error(), w.path("sub")) {
		t.Errorf("WatchErr() = %v, want one that names sub", err)
	}
	w.write("z/c.yaml", "seen")
	w.wantNoticed("z/c.yaml", "seen")
}

func TestLostEvents(t *testing.T) {
	w := newWorktree(t)
	w.fetch()
	w.watch.notify.Errors <- fsnotify.ErrEventOverflow // run does not touch the field before
	select {
	case <-w.Changed():
	case <-time.After(patience):
		t.Fatal("no token although events were lost")
	}
}

func TestCloseTwice(t *testing.T) {
	w := newWorktree(t)
	must(t, errors.Join(w.Close(), w.Close()))
	w.fetch() // looks at the files, not at the watches
}
