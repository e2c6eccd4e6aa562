package dir

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKnownFiles proves that what did not change is not read again, and that a stamp alone is not trusted too early.
func TestKnownFiles(t *testing.T) {
	w := newWorktree(t)
	files, err := w.read(t.Context(), nil)
	must(t, err)
	for _, tt := range []struct {
		why  string
		read time.Duration // after the last change of the file
		want string
	}{
		{"long after its last write", time.Minute, "known"},
		{"so soon that another write might not show", granularity, "a"},
		{"by a clock behind that of the file system", -time.Minute, "a"},
	} {
		f := files["a.yaml"]
		f.data, f.read = []byte("known"), time.Unix(0, f.stamp.changed).Add(tt.read)
		now, err := w.read(t.Context(), listing{"a.yaml": f})
		must(t, err)
		if got := string(now["a.yaml"].data); got != tt.want {
			t.Errorf("a file that was read %s is taken to hold %q, want %q", tt.why, got, tt.want)
		}
	}
	f := files["a.yaml"]
	f.data, f.read = []byte("known"), time.Unix(0, f.stamp.changed).Add(time.Minute)
	must(t, os.Chtimes(w.path("a.yaml"), time.Now(), time.Unix(0, f.stamp.modified).Add(time.Second)))
	now, err := w.read(t.Context(), listing{"a.yaml": f})
	must(t, err)
	if got := string(now["a.yaml"].data); got != "a" {
		t.Errorf("a file with another time is taken to hold %q without reading it", got)
	}
}

// TestChangesWhileRead replaces what was just listed, as a writer may at any time.
func TestChangesWhileRead(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"by a pipe":                func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"by a file":                func(path string) error { return os.WriteFile(path, []byte("b"), 0o644) },
		"by a directory":           func(path string) error { return os.Mkdir(path, 0o755) },
		"by a link to a file":      func(path string) error { return os.Symlink("other/b.yaml", path) },
		"by a link to a directory": func(path string) error { return os.Symlink("other", path) },
		"by nothing":               func(string) error { return nil },
	} {
		for _, was := range []string{"a.yaml", "sub"} {
			t.Run(was+" "+name, func(t *testing.T) {
				w := newWorktree(t)
				w.write("other/b.yaml", "b")
				root, err := os.OpenRoot(w.root)
				must(t, err)
				defer root.Close()
				info, err := root.Lstat(was)
				must(t, err)
				must(t, os.Rename(w.path(was), w.path("old"))) // keeps its inode in use
				must(t, replace(w.path(was)))
				r := &reader{ctx: t.Context(), root: w.root, limits: defaultLimits, out: listing{}}
				err = r.entry(root, was, info, 0)
				if _, ok := errors.AsType[*changingError](err); !ok || len(r.out) > 0 {
					t.Errorf("it became %v with error %v, want a change", r.out, err)
				}
			})
		}
	}
}

func TestWhatNoCommitHolds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(w *worktree) error
		words []string
	}{
		{"a pipe", func(w *worktree) error { return syscall.Mkfifo(w.path("sub/pipe"), 0o644) }, []string{"sub/pipe is a named pipe", "remove it"}},
		{"a socket", func(w *worktree) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "s"})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		}, []string{"s is a socket"}},
		{"a name that is no text", func(w *worktree) error { return os.WriteFile(w.path("\xff.yaml"), nil, 0o644) }, []string{`"\xff.yaml"`, "rename"}},
		{"too many files", func(w *worktree) error { w.limits.entries = 2; return nil }, []string{"more than 2 files"}},
		{"too much content", func(w *worktree) error { w.limits.bytes = 1; return nil }, []string{"MiB", "a.yaml"}},
		{"directories nested too deep", func(w *worktree) error { return os.MkdirAll(w.path(strings.Repeat("d/", maxDepth+2)), 0o755) }, []string{"255 directories deep"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorktree(t)
			before := w.fetch()
			t.Chdir(w.root) // the path of a socket must be short
			must(t, tt.make(w))
			w.write("a.yaml", "a and more")
			w.wantFetchError(append(tt.words, w.root)...)
			w.wantFile(before, "a.yaml", "a")
		})
	}
}
