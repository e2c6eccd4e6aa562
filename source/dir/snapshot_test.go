package dir

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gitfleet/gitfleet/source"
)

// treeOf makes a snapshot of files by path; those that begin with "-> " are links.
func treeOf(files map[string]string) *snapshotFS {
	l := listing{}
	for name, content := range files {
		l[name] = file{mode: 0o444, data: []byte(content)}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			l[name] = file{mode: fs.ModeSymlink | 0o777, data: []byte(target)}
		}
	}
	return newSnapshotFS(l, time.Unix(1, 0))
}

func TestSnapshotIsAFileSystem(t *testing.T) {
	fsys := treeOf(map[string]string{
		"kustomization.yaml": "", "a/b.yaml": "b", "a/c/d.yaml": "d", "a-b/x.yaml": "x", "a.yaml": "a",
		"päth/with space.yaml": "p", "z/link": "-> ../a", "z/file": "-> ../a/b.yaml",
	})
	if err := fstest.TestFS(fsys, "kustomization.yaml", "a/b.yaml", "a/c/d.yaml", "a-b/x.yaml", "päth/with space.yaml", "z/link", "z/file"); err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(treeOf(nil)); err != nil {
		t.Errorf("an empty tree: %v", err)
	}
	data, err := fs.ReadFile(fsys, "a/b.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data[0] = 'x'
	if again, err := fs.ReadFile(fsys, "a/b.yaml"); err != nil || string(again) != "b" {
		t.Errorf("a reader changed the file to %q, %v", again, err)
	}
}

// TestSnapshotLinks holds the snapshot to what snapshots of commits do.
func TestSnapshotLinks(t *testing.T) {
	fsys := treeOf(map[string]string{
		"base/a.yaml": "a", "overlay/dir": "-> ../base", "overlay/file": "-> dir/a.yaml", "overlay/chain": "-> file",
		"root": "-> .", "up": "-> ..", "deep/up": "-> ../../etc/passwd", "deep/inandout": "-> ../base/../../base/a.yaml",
		"abs": "-> /etc/passwd", "loop": "-> loop", "ping": "-> pong", "pong": "-> ping", "dangling": "-> nowhere",
		"growing": "-> growing/growing/growing",
	})
	for _, tt := range []struct {
		name string
		want error // nil: reads "a"
	}{
		{"overlay/file", nil},
		{"overlay/chain", nil},
		{"overlay/dir/a.yaml", nil},
		{"root/root/overlay/chain", nil},
		{"up", source.ErrEscapes},
		{"up/base/a.yaml", source.ErrEscapes},
		{"deep/up", source.ErrEscapes},
		{"deep/inandout", source.ErrEscapes},
		{"abs", source.ErrEscapes},
		{"loop", source.ErrLinkLoop},
		{"ping", source.ErrLinkLoop},
		{"growing", source.ErrLinkLoop},
		{"dangling", fs.ErrNotExist},
		{"overlay/file/below", errNotDir},
		{"base/a.yaml/below", errNotDir},
		{"base/missing", fs.ErrNotExist},
		{"../outside", fs.ErrInvalid},
		{"/base/a.yaml", fs.ErrInvalid},
		{strings.Repeat("root/", source.MaxLinks+1) + "base/a.yaml", source.ErrLinkLoop},
	} {
		data, err := fs.ReadFile(fsys, tt.name)
		if tt.want == nil && (err != nil || string(data) != "a") || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("ReadFile(%s) = %q, %v; want error %v", tt.name, data, err, tt.want)
		}
		if _, err := fs.Stat(fsys, tt.name); (tt.want == nil) != (err == nil) {
			t.Errorf("Stat(%s): %v; want error %v", tt.name, err, tt.want)
		}
	}
	for link, want := range map[string]string{"abs": "/etc/passwd", "overlay/chain": "file", "overlay/dir": "../base", "root/loop": "loop"} {
		if got, err := fs.ReadLink(fsys, link); err != nil || got != want {
			t.Errorf("ReadLink(%s) = %q, %v; want %q", link, got, err, want)
		}
		if info, err := fs.Lstat(fsys, link); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("Lstat(%s) = %v, %v; want a symbolic link", link, info, err)
		}
	}
	if _, err := fs.ReadLink(fsys, "base/a.yaml"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink of a file: %v, want %v", err, fs.ErrInvalid)
	}
	if _, err := fs.ReadDir(fsys, "base/a.yaml"); !errors.Is(err, errNotDir) {
		t.Errorf("ReadDir of a file: %v, want %v", err, errNotDir)
	}
	if entries, err := fs.ReadDir(fsys, "overlay/dir"); err != nil || len(entries) != 1 || entries[0].Name() != "a.yaml" {
		t.Errorf("ReadDir through a link = %v, %v; want a.yaml", entries, err)
	}
	if _, err := fs.ReadFile(fsys, "base"); !errors.Is(err, errIsDir) {
		t.Errorf("ReadFile of a directory: %v, want %v", err, errIsDir)
	}
}

// FuzzSnapshotPaths walks arbitrary paths over a tree with arbitrary links: no path may hang, crash or read anything
// that is not in the tree.
func FuzzSnapshotPaths(f *testing.F) {
	f.Add("base/a.yaml", "../base")
	f.Add("link/link/link", "link")
	f.Add("dir/link/..", "../../..")
	f.Add("link", "/")
	f.Add("dir/link/base/a.yaml", "./../.")
	f.Add("link", "link/link/../link")
	f.Fuzz(func(t *testing.T, name, target string) {
		fsys := treeOf(map[string]string{"base/a.yaml": "content", "link": "-> " + target, "dir/link": "-> " + target})
		data, err := fs.ReadFile(fsys, name)
		if err == nil && string(data) != "content" {
			t.Errorf("ReadFile(%q) with links to %q returned %q, which is no file of the tree", name, target, data)
		}
		if _, ok := errors.AsType[*fs.PathError](err); err != nil && !ok {
			t.Errorf("ReadFile(%q) returned %T, want an *fs.PathError", name, err)
		}
	})
}
