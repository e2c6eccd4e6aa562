package dir

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/source"
)

// snapshotFS is a listing as a file system. It implements fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and fs.ReadLinkFS as the
// snapshots of commits do: Open, Stat, ReadFile and ReadDir follow symbolic links, also in directories, but never out of
// the tree. Every file has the time of the revision.
type snapshotFS struct {
	when  time.Time
	nodes map[string]*node // by path; the root is "."
}

// node is a file, a link or a directory.
type node struct {
	mode    fs.FileMode
	data    []byte        // the content, or where the link leads; nobody changes it
	entries []fs.DirEntry // of a directory, sorted by name
}

func newSnapshotFS(files listing, when time.Time) *snapshotFS {
	f := &snapshotFS{when: when, nodes: map[string]*node{".": {mode: fs.ModeDir | 0o555}}}
	for name, file := range files {
		f.enter(name, &node{mode: file.mode, data: file.data})
	}
	for _, n := range f.nodes {
		slices.SortFunc(n.entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return f
}

// enter puts a node into its directory, which is made where it is not there yet.
func (f *snapshotFS) enter(name string, n *node) {
	f.nodes[name] = n
	dir := path.Dir(name)
	if f.nodes[dir] == nil {
		f.enter(dir, &node{mode: fs.ModeDir | 0o555})
	}
	parent := f.nodes[dir]
	parent.entries = append(parent.entries, fs.FileInfoToDirEntry(f.info(name, n)))
}

var (
	errNotDir = errors.New("not a directory")
	errIsDir  = errors.New("is a directory")
)

// find returns what name leads to. With follow, a symbolic link at its end is followed too; those before it always are.
func (f *snapshotFS) find(op, name string, follow bool) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	links := 0
	n, err := f.walk(name, follow, &links)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, nil
}

// walk resolves a clean path relative to the root, counting the links that it follows.
func (f *snapshotFS) walk(name string, follow bool, links *int) (*node, error) {
	dir, at := ".", f.nodes["."]
	if name == "." {
		return at, nil
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if !at.mode.IsDir() {
			return nil, errNotDir
		}
		here := path.Join(dir, part)
		next, ok := f.nodes[here]
		if !ok {
			return nil, fs.ErrNotExist
		}
		if next.mode&fs.ModeSymlink != 0 && (follow || i < len(parts)-1) {
			if *links++; *links > source.MaxLinks {
				return nil, source.ErrLinkLoop
			}
			target, err := source.LinkTarget(dir, string(next.data))
			if err != nil {
				return nil, err
			}
			return f.walk(path.Join(append([]string{target}, parts[i+1:]...)...), follow, links)
		}
		dir, at = here, next
	}
	return at, nil
}

// Open implements fs.FS.
func (f *snapshotFS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &openDir{info: f.info(name, n), name: name, entries: n.entries}, nil
	}
	return &openFile{Reader: bytes.NewReader(n.data), info: f.info(name, n)}, nil
}

// Stat implements fs.StatFS.
func (f *snapshotFS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name, true) }

// Lstat implements fs.ReadLinkFS.
func (f *snapshotFS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name, false) }

func (f *snapshotFS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	n, err := f.find(op, name, follow)
	if err != nil {
		return nil, err
	}
	return f.info(name, n), nil
}

// ReadFile implements fs.ReadFileFS.
func (f *snapshotFS) ReadFile(name string) ([]byte, error) {
	n, err := f.find("read", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	return slices.Clone(n.data), nil
}

// ReadDir implements fs.ReadDirFS. Entries are sorted by name.
func (f *snapshotFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return slices.Clone(n.entries), nil
}

// ReadLink implements fs.ReadLinkFS. It returns the target as it stands, also one that leads out of the tree.
func (f *snapshotFS) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return string(n.data), nil
}

// info describes n under the last element of the name that was asked for, also where a link leads to another.
func (f *snapshotFS) info(name string, n *node) fs.FileInfo {
	return fileInfo{name: path.Base(name), node: n, when: f.when}
}

// fileInfo implements fs.FileInfo.
type fileInfo struct {
	name string
	node *node
	when time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return int64(len(i.node.data)) }
func (i fileInfo) Mode() fs.FileMode  { return i.node.mode }
func (i fileInfo) ModTime() time.Time { return i.when }
func (i fileInfo) IsDir() bool        { return i.node.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

// openFile implements fs.File, io.Seeker and io.ReaderAt for a file.
type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

// Stat implements fs.File.
func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements fs.File.
func (f *openFile) Close() error { return nil }

// openDir implements fs.ReadDirFile.
type openDir struct {
	info    fs.FileInfo
	name    string
	entries []fs.DirEntry // those not read yet
}

// Stat implements fs.File.
func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }

// Close implements fs.File.
func (d *openDir) Close() error { return nil }

// Read implements fs.File; a directory has no content.
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errIsDir}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	out := slices.Clone(d.entries[:n])
	d.entries = d.entries[n:]
	return out, nil
}
