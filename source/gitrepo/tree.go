package gitrepo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/gitfleet/gitfleet/source"
)

// ErrSubmodule is a submodule or a path below one. Directory listings show it as an irregular file; its content is in
// another repository and is not fetched.
var ErrSubmodule = errors.New("submodules are not read; commit the files to this repository")

const maxDepth = 255 // elements of a path

// treeFS is the tree of a commit as a file system. It implements fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and
// fs.ReadLinkFS. Open, Stat, ReadFile and ReadDir follow symbolic links, also in directories, but never out of the tree.
type treeFS struct {
	st      storer.EncodedObjectStorer
	root    plumbing.Hash
	when    time.Time
	damaged func() // called when an object cannot be read
	trees   map[plumbing.Hash]*object.Tree
}

// node is one entry of the tree: its name there, and what it is.
type node struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}

// Open implements fs.FS.
func (t *treeFS) Open(name string) (fs.File, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := t.info(n)
	if err != nil {
		return nil, t.fail("open", name, err)
	}
	if n.mode == filemode.Dir {
		entries, err := t.list(n.hash)
		if err != nil {
			return nil, t.fail("open", name, err)
		}
		return &dirFile{info: info, name: name, entries: entries}, nil
	}
	r, err := t.reader(n.hash)
	if err != nil {
		return nil, t.fail("open", name, err)
	}
	return &blobFile{ReadCloser: r, info: info}, nil
}

// Stat implements fs.StatFS.
func (t *treeFS) Stat(name string) (fs.FileInfo, error) { return t.stat("stat", name, true) }

// Lstat implements fs.ReadLinkFS.
func (t *treeFS) Lstat(name string) (fs.FileInfo, error) { return t.stat("lstat", name, false) }

func (t *treeFS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	n, err := t.find(op, name, follow)
	if err != nil {
		return nil, err
	}
	info, err := t.info(n)
	if err != nil {
		return nil, t.fail(op, name, err)
	}
	return info, nil
}

// ReadFile implements fs.ReadFileFS.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode == filemode.Dir {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	data, err := t.content(n.hash)
	if err != nil {
		return nil, t.fail("read", name, err)
	}
	return data, nil
}

// ReadDir implements fs.ReadDirFS. Entries are sorted by name.
func (t *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode != filemode.Dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	entries, err := t.list(n.hash)
	if err != nil {
		return nil, t.fail("readdir", name, err)
	}
	return entries, nil
}

// ReadLink implements fs.ReadLinkFS. It returns the target as committed, also one that leads out of the tree.
func (t *treeFS) ReadLink(name string) (string, error) {
	n, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode != filemode.Symlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	target, err := t.content(n.hash)
	if err != nil {
		return "", t.fail("readlink", name, err)
	}
	return string(target), nil
}

// find walks to name. With follow, a symbolic link at its end is followed too; those before it always are.
func (t *treeFS) find(op, name string, follow bool) (node, error) {
	if !fs.ValidPath(name) {
		return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	links := 0
	n, err := t.walk(name, follow, &links)
	if err != nil {
		return node{}, t.fail(op, name, err)
	}
	// The name is the one asked for, also where a link leads to another, as os.Stat has it.
	n.name = path.Base(name)
	return n, nil
}

// walk resolves a clean path relative to the root, counting the links that it follows.
func (t *treeFS) walk(name string, follow bool, links *int) (node, error) {
	at := node{name: ".", mode: filemode.Dir, hash: t.root}
	if name == "." {
		return at, nil
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return node{}, fs.ErrNotExist
	}
	for i, part := range parts {
		next, err := t.entry(at, part)
		if err != nil {
			return node{}, err
		}
		last := i == len(parts)-1
		switch {
		case next.mode == filemode.Symlink && (follow || !last):
			target, err := t.target(next.hash, parts[:i], links)
			if err != nil {
				return node{}, err
			}
			return t.walk(path.Join(append([]string{target}, parts[i+1:]...)...), follow, links)
		case next.mode == filemode.Submodule && (follow || !last):
			return node{}, ErrSubmodule
		}
		at = next
	}
	return at, nil
}

// target returns where the link with this content, which stands in the directory dir, leads: a clean path relative to
// the root.
func (t *treeFS) target(link plumbing.Hash, dir []string, links *int) (string, error) {
	if *links++; *links > source.MaxLinks {
		return "", source.ErrLinkLoop
	}
	content, err := t.content(link)
	if err != nil {
		return "", err
	}
	return source.LinkTarget(path.Join(dir...), string(content))
}

var errNotDir = errors.New("not a directory")

// entry returns the child of a directory.
func (t *treeFS) entry(dir node, name string) (node, error) {
	if dir.mode != filemode.Dir {
		return node{}, errNotDir
	}
	tree, err := t.tree(dir.hash)
	if err != nil {
		return node{}, err
	}
	for _, e := range tree.Entries {
		if e.Name == name {
			return node{name: e.Name, mode: e.Mode, hash: e.Hash}, nil
		}
	}
	return node{}, fs.ErrNotExist
}

// tree reads a directory once: a build opens the same ones again and again.
func (t *treeFS) tree(hash plumbing.Hash) (*object.Tree, error) {
	if tree, ok := t.trees[hash]; ok {
		return tree, nil
	}
	tree, err := object.GetTree(t.st, hash)
	if err != nil {
		return nil, missing("tree", hash, err)
	}
	if t.trees == nil {
		t.trees = map[plumbing.Hash]*object.Tree{}
	}
	t.trees[hash] = tree
	return tree, nil
}

func (t *treeFS) list(hash plumbing.Hash) ([]fs.DirEntry, error) {
	tree, err := t.tree(hash)
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, 0, len(tree.Entries))
	for _, e := range tree.Entries {
		if !fs.ValidPath(e.Name) || e.Name == "." || strings.Contains(e.Name, "/") {
			return nil, &source.NameError{Name: e.Name}
		}
		entries = append(entries, &dirEntry{fsys: t, node: node{name: e.Name, mode: e.Mode, hash: e.Hash}})
	}
	// Git sorts directories as if their names ended in a slash.
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (t *treeFS) reader(hash plumbing.Hash) (io.ReadCloser, error) {
	blob, err := object.GetBlob(t.st, hash)
	if err != nil {
		return nil, missing("blob", hash, err)
	}
	return blob.Reader()
}

func (t *treeFS) content(hash plumbing.Hash) ([]byte, error) {
	r, err := t.reader(hash)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// errObject is an object that should be there and cannot be read.
type errObject struct{ error }

func (e errObject) Unwrap() error { return e.error }

// missing hides go-git's "object not found": an author must not take a damaged cache for a file that does not exist.
func missing(kind string, hash plumbing.Hash, err error) error {
	return errObject{fmt.Errorf("%s %s of the local cache cannot be read: %w", kind, hash, err)}
}

// fail wraps err as file systems do and reports an unreadable object as damage.
func (t *treeFS) fail(op, name string, err error) error {
	var unreadable errObject
	if errors.As(err, &unreadable) {
		t.damaged()
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
