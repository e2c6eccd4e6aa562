package gitrepo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/gitfleet/gitfleet/source"
)

// treeOf commits what is in o's working tree and returns its snapshot.
func treeOf(t *testing.T, o *origin) fs.FS {
	t.Helper()
	o.commit("tree")
	l, err := OpenLocal(o.work)
	if err != nil {
		t.Fatal(err)
	}
	rev, err := l.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := l.Snapshot(rev)
	if err != nil {
		t.Fatal(err)
	}
	return snap.FS
}

func (o *origin) link(name, target string) {
	o.t.Helper()
	file := filepath.Join(o.work, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Symlink(target, file); err != nil {
		o.t.Fatal(err)
	}
}

func TestTreeIsAFileSystem(t *testing.T) {
	o := newOrigin(t)
	files := []string{"kustomization.yaml", "a/b.yaml", "a/c/d.yaml", "a-b/x.yaml", "a.yaml", "z/empty", "päth/with space.yaml"}
	for _, f := range files {
		o.write(f, f)
	}
	o.write("z/empty", "")
	o.link("z/link", "../a")
	o.link("z/file", "../a/b.yaml")
	fsys := treeOf(t, o)
	if err := fstest.TestFS(fsys, append(files, "z/link", "z/file")...); err != nil {
		t.Error(err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) }) {
		t.Errorf("entries are not sorted by name as fs.ReadDirFS asks: %v", entries)
	}
	if info, err := fs.Stat(fsys, "a/b.yaml"); err != nil || info.Size() != int64(len("a/b.yaml")) ||
		!info.ModTime().Equal(time.Date(2026, 1, 2, 3, 1, 0, 0, time.UTC)) {
		t.Errorf("Stat(a/b.yaml) = %v, %v; want its size and the commit's time", info, err)
	}
}

func TestTreeLinks(t *testing.T) {
	o := newOrigin(t)
	o.write("base/a.yaml", "a")
	o.link("overlay/dir", "../base")
	o.link("overlay/file", "dir/a.yaml")
	o.link("overlay/chain", "file")
	o.link("root", ".")
	o.link("up", "..")
	o.link("deep/up", "../../etc/passwd")
	o.link("deep/inandout", "../base/../../base/a.yaml")
	o.link("abs", "/etc/passwd")
	o.link("loop", "loop")
	o.link("ping", "pong")
	o.link("pong", "ping")
	o.link("dangling", "nowhere")
	fsys := treeOf(t, o)
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
		{"dangling", fs.ErrNotExist},
		{"overlay/file/below", errNotDir},
		{"base/a.yaml/below", errNotDir},
		{"base/missing", fs.ErrNotExist},
		{"../outside", fs.ErrInvalid},
		{"/base/a.yaml", fs.ErrInvalid},
		{"base/../base/a.yaml", fs.ErrInvalid},
		{strings.Repeat("root/", maxDepth) + "base/a.yaml", fs.ErrNotExist},
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
	if entries, err := fs.ReadDir(fsys, "overlay/dir"); err != nil || len(entries) != 1 {
		t.Errorf("ReadDir through a link: %v, %v; want one entry", entries, err)
	}
	if _, err := fs.ReadDir(fsys, "base/a.yaml"); !errors.Is(err, errNotDir) {
		t.Errorf("ReadDir of a file: %v, want %v", err, errNotDir)
	}
	if _, err := fs.ReadFile(fsys, "base"); err == nil {
		t.Error("ReadFile of a directory succeeds")
	}
}

func TestTreeExecutableAndSubmodule(t *testing.T) {
	o := newOrigin(t)
	o.write("run.sh", "#!/bin/sh")
	if err := os.Chmod(filepath.Join(o.work, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	head := o.commit("first")
	o.git(o.work, "update-index", "--add", "--cacheinfo", "160000,"+head+",vendor/lib")
	o.git(o.work, "commit", "-q", "-m", "submodule")
	l, err := OpenLocal(o.work)
	if err != nil {
		t.Fatal(err)
	}
	rev, err := l.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := l.Snapshot(rev)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := fs.Stat(snap.FS, "run.sh"); err != nil || info.Mode() != 0o555 {
		t.Errorf("Stat(run.sh) = %v, %v; want an executable", info, err)
	}
	entries, err := fs.ReadDir(snap.FS, "vendor")
	if err != nil || len(entries) != 1 || entries[0].Type() != fs.ModeIrregular {
		t.Errorf("ReadDir(vendor) = %v, %v; want one irregular file", entries, err)
	}
	for _, name := range []string{"vendor/lib", "vendor/lib/kustomization.yaml"} {
		if _, err := fs.ReadFile(snap.FS, name); !errors.Is(err, ErrSubmodule) {
			t.Errorf("ReadFile(%s): %v, want %v", name, err, ErrSubmodule)
		}
	}
	// A repository with a submodule is complete without the submodule's commit.
	o.push()
	r := open(t, Options{URL: o.fileURL()})
	fetch(t, r, rev.Commit)
}

// TestTreeListsNoHostileNames writes tree objects that git itself would refuse.
func TestTreeListsNoHostileNames(t *testing.T) {
	st := memory.NewStorage()
	blob := st.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	hash, err := st.SetEncodedObject(blob)
	if err != nil {
		t.Fatal(err)
	}
	tree := &object.Tree{}
	for _, name := range []string{".", "..", "a/b", "good", "/etc"} {
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: hash})
	}
	obj := st.NewEncodedObject()
	obj.SetType(plumbing.TreeObject)
	w, err := obj.Writer()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tree.Entries {
		if _, err := w.Write(append([]byte("100644 "+e.Name+"\x00"), e.Hash[:]...)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := st.SetEncodedObject(obj)
	if err != nil {
		t.Fatal(err)
	}
	fsys := &treeFS{st: st, root: root, damaged: func() {}}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		t.Skipf("go-git refuses the tree itself: %v", err)
	}
	if len(entries) != 1 || entries[0].Name() != "good" {
		t.Errorf("ReadDir lists %v, want only good", entries)
	}
}

// FuzzTreePaths walks arbitrary paths over a tree with arbitrary links: no path may read outside it, hang or crash.
func FuzzTreePaths(f *testing.F) {
	f.Add("base/a.yaml", "../base")
	f.Add("link/link/link", "link")
	f.Add("dir/link/..", "../../..")
	f.Add("link", "/")
	f.Add("dir/link/base/a.yaml", "./../.")
	f.Fuzz(func(t *testing.T, name, target string) {
		fsys := memoryTree(t, target)
		data, err := fs.ReadFile(fsys, name)
		if err == nil && string(data) != "content" {
			t.Errorf("ReadFile(%q) with links to %q returned %q, which is no file of the tree", name, target, data)
		}
		var pathErr *fs.PathError
		if err != nil && !errors.As(err, &pathErr) {
			t.Errorf("ReadFile(%q) returned %T, want an *fs.PathError", name, err)
		}
		if _, err := fs.ReadDir(fsys, name); err != nil && !errors.As(err, &pathErr) {
			t.Errorf("ReadDir(%q) returned %T, want an *fs.PathError", name, err)
		}
	})
}

// memoryTree holds base/a.yaml and the links link and dir/link to target.
func memoryTree(t *testing.T, target string) *treeFS {
	st := memory.NewStorage()
	put := func(kind plumbing.ObjectType, content []byte) plumbing.Hash {
		obj := st.NewEncodedObject()
		obj.SetType(kind)
		w, err := obj.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		hash, err := st.SetEncodedObject(obj)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	entry := func(mode, name string, hash plumbing.Hash) []byte {
		return append([]byte(mode+" "+name+"\x00"), hash[:]...)
	}
	link := entry("120000", "link", put(plumbing.BlobObject, []byte(target)))
	base := put(plumbing.TreeObject, entry("100644", "a.yaml", put(plumbing.BlobObject, []byte("content"))))
	dir := put(plumbing.TreeObject, link)
	root := put(plumbing.TreeObject, slices.Concat(entry("40000", "base", base), entry("40000", "dir", dir), link))
	return &treeFS{st: st, root: root, damaged: func() {}}
}
