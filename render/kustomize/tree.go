package kustomize

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// tree is the snapshot in the child's memory, as a file system for kustomize: read-only, rooted at "/", with symbolic
// links that work inside it and lead nowhere else.
type tree struct {
	nodes map[string]*node // by clean slash path; "." is the root
	// edited holds files that kustomize shall see with another content than they have, by real path.
	edited map[string][]byte
}

type node struct {
	kind     fs.FileMode // fs.ModeDir, fs.ModeSymlink or 0
	data     []byte
	target   string   // of a link
	children []string // of a directory, names, sorted
	tooLarge int64    // size of a file that was left out because of it
}

var (
	errEscapes  = errors.New("the symbolic link leads out of the repository")
	errTooLarge = errors.New("the file is too large to render")
	errReadOnly = errors.New("the repository is read-only while it is rendered")
	errLoop     = errors.New("too many symbolic links")
)

// readTree reads the tar stream that writeTree wrote.
func readTree(r io.Reader) (*tree, error) {
	t := &tree{nodes: map[string]*node{".": {kind: fs.ModeDir}}}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the snapshot: %w", err)
		}
		n := &node{target: h.Linkname}
		switch {
		case h.Name == endOfTree:
			t.sortChildren()
			return t, nil
		case h.Typeflag == tar.TypeSymlink:
			n.kind = fs.ModeSymlink
		case h.PAXRecords[paxTooLarge] != "":
			if _, err := fmt.Sscan(h.PAXRecords[paxTooLarge], &n.tooLarge); err != nil {
				return nil, fmt.Errorf("read the snapshot: %s: %w", h.Name, err)
			}
		default:
			if n.data, err = io.ReadAll(tr); err != nil {
				return nil, fmt.Errorf("read the snapshot: %s: %w", h.Name, err)
			}
		}
		t.add(path.Clean(h.Name), n)
	}
	return nil, fmt.Errorf("read the snapshot: %w: it ends early", io.ErrUnexpectedEOF)
}

// add puts n at name and makes the directories above it.
func (t *tree) add(name string, n *node) {
	t.nodes[name] = n
	for name != "." {
		dir := path.Dir(name)
		parent, exists := t.nodes[dir]
		if !exists {
			parent = &node{kind: fs.ModeDir}
			t.nodes[dir] = parent
		}
		parent.children = append(parent.children, path.Base(name))
		if exists {
			return
		}
		name = dir
	}
}

func (t *tree) sortChildren() {
	for _, n := range t.nodes {
		slices.Sort(n.children)
		n.children = slices.Compact(n.children)
	}
}

// lookup resolves symbolic links as the kernel does and returns the real path, slash-separated and without the leading
// slash, with what is there.
func (t *tree) lookup(name string) (string, *node, error) {
	real, hops := ".", 0
	rest := splitPath(name)
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == ".." {
			if real == "." {
				return "", nil, &fs.PathError{Op: "open", Path: name, Err: errEscapes}
			}
			real = path.Dir(real)
			continue
		}
		next := path.Join(real, part)
		n, ok := t.nodes[next]
		switch {
		case !ok:
			return "", nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		case n.kind != fs.ModeSymlink:
			real = next
			continue
		}
		if hops++; hops > 40 {
			return "", nil, &fs.PathError{Op: "open", Path: name, Err: errLoop}
		}
		if path.IsAbs(n.target) {
			return "", nil, &fs.PathError{Op: "open", Path: name, Err: errEscapes}
		}
		rest = append(splitPath(n.target), rest...)
	}
	return real, t.nodes[real], nil
}

// splitPath returns the parts of name. Unlike path.Clean it keeps "..", which after a link means something else. A
// leading slash is the tree's own root.
func splitPath(name string) []string {
	parts := strings.Split(filepath.ToSlash(name), "/")
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" || p == "." })
}

// ReadFile returns the content of a file. It implements filesys.FileSystem, as all methods below.
func (t *tree) ReadFile(name string) ([]byte, error) {
	real, n, err := t.lookup(name)
	switch {
	case err != nil:
		return nil, err
	case n.kind.IsDir():
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	case n.tooLarge > 0:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: %d bytes", errTooLarge, n.tooLarge)}
	}
	if data, ok := t.edited[real]; ok {
		return data, nil
	}
	return n.data, nil
}

// CleanedAbs returns the real directory of name and, if it is a file, its base name.
func (t *tree) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	real, n, err := t.lookup(name)
	switch {
	case err != nil:
		return "", "", err
	case n.kind.IsDir():
		return filesys.ConfirmedDir(path.Join("/", real)), "", nil
	default:
		return filesys.ConfirmedDir(path.Join("/", path.Dir(real))), path.Base(real), nil
	}
}

// IsDir is true for directories and links to them.
func (t *tree) IsDir(name string) bool {
	_, n, err := t.lookup(name)
	return err == nil && n.kind.IsDir()
}

// Exists is true if name leads to something.
func (t *tree) Exists(name string) bool {
	_, _, err := t.lookup(name)
	return err == nil
}

// ReadDir returns the names in a directory, sorted.
func (t *tree) ReadDir(name string) ([]string, error) {
	_, n, err := t.lookup(name)
	switch {
	case err != nil:
		return nil, err
	case !n.kind.IsDir():
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("is not a directory")}
	}
	return slices.Clone(n.children), nil
}

// Open is not needed by builds: they read whole files.
func (t *tree) Open(name string) (filesys.File, error) { return nil, refuse("open", name) }

// Create refuses.
func (t *tree) Create(name string) (filesys.File, error) { return nil, refuse("create", name) }

// Mkdir refuses.
func (t *tree) Mkdir(name string) error { return refuse("mkdir", name) }

// MkdirAll refuses.
func (t *tree) MkdirAll(name string) error { return refuse("mkdir", name) }

// RemoveAll refuses.
func (t *tree) RemoveAll(name string) error { return refuse("remove", name) }

// WriteFile refuses.
func (t *tree) WriteFile(name string, _ []byte) error { return refuse("write", name) }

// Glob is not needed by builds.
func (t *tree) Glob(pattern string) ([]string, error) { return nil, refuse("glob", pattern) }

// Walk is not needed by builds.
func (t *tree) Walk(name string, _ filepath.WalkFunc) error { return refuse("walk", name) }

func refuse(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: errReadOnly} }
