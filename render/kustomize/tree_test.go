package kustomize

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var _ filesys.FileSystem = (*tree)(nil)

// send streams fsys the way a snapshot reaches the child.
func send(t *testing.T, fsys fs.FS) *tree {
	t.Helper()
	var b bytes.Buffer
	if err := writeTree(t.Context(), &b, fsys, New(Options{}).opt.Limits); err != nil {
		t.Fatal(err)
	}
	tr, err := readTree(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestTree(t *testing.T) {
	link := func(target string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
	}
	tr := send(t, fstest.MapFS{
		"a/file":      {Data: []byte("content")},
		"a/b/c/deep":  {Data: []byte("deep")},
		"a/empty":     {},
		"link":        link("a/file"),
		"dir":         link("a/b"),
		"chain":       link("dir/c"),
		"a/b/up":      link("../../link"),
		"out":         link("../etc"),
		"abs":         link("/etc"),
		"loop":        link("loop"),
		".git/config": {Data: []byte("secret")},
	})
	for name, want := range map[string]string{"a/file": "content", "/a/file": "content", "link": "content", "dir/c/deep": "deep",
		"chain/deep": "deep", "chain/../c/deep": "deep", "a/b/up": "content", "a/empty": "", "a//b/./c/deep": "deep"} {
		got, err := tr.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("ReadFile(%s) = %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{"gone": fs.ErrNotExist, "a/file/x": fs.ErrNotExist, "out": errEscapes, "abs/passwd": errEscapes,
		"../x": errEscapes, "a/../../x": errEscapes, "loop": errLoop, ".git/config": fs.ErrNotExist} {
		if _, err := tr.ReadFile(name); !errors.Is(err, want) {
			t.Errorf("ReadFile(%s): %v, want %v", name, err, want)
		}
	}
	if names, err := tr.ReadDir("dir"); err != nil || cmp.Diff([]string{"c", "up"}, names) != "" {
		t.Errorf("ReadDir(dir) = %q, %v; want c and up", names, err)
	}
	if dir, file, err := tr.CleanedAbs("chain/deep"); err != nil || dir != "/a/b/c" || file != "deep" {
		t.Errorf("CleanedAbs(chain/deep) = %q, %q, %v; want /a/b/c, deep", dir, file, err)
	}
	if tr.IsDir("link") || !tr.IsDir("chain") || !tr.Exists("link") || tr.Exists("out") {
		t.Error("IsDir or Exists does not follow links")
	}
	for what, err := range map[string]error{"WriteFile": tr.WriteFile("x", nil), "RemoveAll": tr.RemoveAll("a"), "MkdirAll": tr.MkdirAll("x"), "Mkdir": tr.Mkdir("x")} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("%s: %v, want %v", what, err, errReadOnly)
		}
	}
}

// TestTreeCut proves that no part of a tree passes for the whole.
func TestTreeCut(t *testing.T) {
	var b bytes.Buffer
	err := writeTree(t.Context(), &b, fstest.MapFS{"a": {Data: []byte(strings.Repeat("x", 600))}, "b": {Data: []byte("y")}}, New(Options{}).opt.Limits)
	if err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	complete := 0 // what follows the last entry is padding
	for n := range whole {
		tr, err := readTree(bytes.NewReader(whole[:n]))
		if err != nil {
			continue
		}
		complete++
		if !tr.Exists("a") || !tr.Exists("b") {
			t.Fatalf("the first %d of %d bytes pass for a tree, and files are missing", n, len(whole))
		}
	}
	if complete == len(whole) {
		t.Error("nothing was cut")
	}
}

// TestPanicIsContained proves that a panic in one root is a mistake there and no more.
func TestPanicIsContained(t *testing.T) {
	broken := &build{tree: &tree{}, checker: nil}
	objects, errs := broken.root(root{path: "a.yaml", plain: true})
	if len(objects) > 0 || len(errs) != 1 || errs[0].File != "a.yaml" || !strings.Contains(errs[0].Message, "nil pointer") {
		t.Errorf("got %v and %v, want one mistake in a.yaml that tells of the panic", objects, errs)
	}
}
