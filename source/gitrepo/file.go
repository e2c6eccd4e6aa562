package gitrepo

import (
	"io"
	"io/fs"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// fileInfo implements fs.FileInfo for an entry of a commit's tree. Every file has the commit's time.
type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
	when time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.when }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

// fileMode translates Git's modes. What they do not say is read-only for all.
func fileMode(m filemode.FileMode) fs.FileMode {
	switch m {
	case filemode.Dir:
		return fs.ModeDir | 0o555
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Submodule:
		return fs.ModeIrregular
	case filemode.Executable:
		return 0o555
	}
	return 0o444
}

// info describes n. The size is read from the object's header alone.
func (t *treeFS) info(n node) (fs.FileInfo, error) {
	info := fileInfo{name: n.name, mode: fileMode(n.mode), when: t.when}
	if n.mode == filemode.Dir || n.mode == filemode.Submodule {
		return info, nil
	}
	size, err := t.st.EncodedObjectSize(n.hash)
	if err == nil {
		info.size = size
		return info, nil
	}
	// EncodedObjectSize does not look into alternates, which a local repository may have.
	blob, err := t.st.EncodedObject(plumbing.BlobObject, n.hash)
	if err != nil {
		return nil, missing("blob", n.hash, err)
	}
	info.size = blob.Size()
	return info, nil
}

// dirEntry implements fs.DirEntry.
type dirEntry struct {
	fsys *treeFS
	node node
}

func (e *dirEntry) Name() string               { return e.node.name }
func (e *dirEntry) IsDir() bool                { return e.node.mode == filemode.Dir }
func (e *dirEntry) Type() fs.FileMode          { return fileMode(e.node.mode).Type() }
func (e *dirEntry) Info() (fs.FileInfo, error) { return e.fsys.info(e.node) }
func (e *dirEntry) String() string             { return fs.FormatDirEntry(e) }

// blobFile implements fs.File for a file.
type blobFile struct {
	io.ReadCloser
	info fs.FileInfo
}

// Stat implements fs.File.
func (f *blobFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// dirFile implements fs.ReadDirFile.
type dirFile struct {
	info    fs.FileInfo
	name    string
	entries []fs.DirEntry // those not read yet
}

// Stat implements fs.File.
func (d *dirFile) Stat() (fs.FileInfo, error) { return d.info, nil }

// Close implements fs.File.
func (d *dirFile) Close() error { return nil }

// Read implements fs.File; a directory has no content.
func (d *dirFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	out := d.entries[:n:n]
	d.entries = d.entries[n:]
	return out, nil
}
