package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// limits bound what one reading takes into memory.
type limits struct {
	entries int   // files, links and directories
	bytes   int64 // of all files together
}

// Several times the largest fleet repository one would commit, and little enough to hold in memory.
var defaultLimits = limits{entries: 50_000, bytes: 128 << 20}

const maxDepth = 255 // elements of a path, as in a commit

// changingError is a file that changed while it was read.
type changingError struct{ path string }

func (e *changingError) Error() string { return e.path + " changes while it is read" }

// reader makes one listing.
type reader struct {
	ctx    context.Context
	root   string // for errors
	known  listing
	limits limits
	out    listing
	count  int
	bytes  int64
}

// read lists the directory as it is now. Files that known holds unchanged are not read again.
func (t *Tree) read(ctx context.Context, known listing) (listing, error) {
	if err := checkRoot(t.root); err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, root: t.root, known: known, limits: t.limits, out: listing{}}
	root, err := os.OpenRoot(t.root)
	if err != nil {
		return nil, r.fail(".", err)
	}
	defer root.Close()
	if err := r.dir(root, ".", 0); err != nil {
		return nil, err
	}
	return r.out, nil
}

// fail names what cannot be read. What vanished since it was listed is only a change.
func (r *reader) fail(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return &changingError{name}
	}
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err // its path is relative to some directory below
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; make it readable or move it out of the directory", err)
	}
	return fmt.Errorf("directory %s: %s cannot be read: %w", r.root, name, err)
}

// refuse names what a repository cannot hold.
func (r *reader) refuse(format string, args ...any) error {
	return fmt.Errorf("directory %s: %w", r.root, fmt.Errorf(format, args...))
}

// dir reads what is in the open directory at, whose path is name.
func (r *reader) dir(at *os.Root, name string, depth int) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return r.refuse("%.100s... is nested more than %d directories deep", name, maxDepth)
	}
	names, err := list(at)
	if err != nil {
		return r.fail(name, err)
	}
	for _, base := range names {
		if leftOut(base) {
			continue
		}
		entry := path.Join(name, base)
		if !fs.ValidPath(entry) {
			return r.refuse("the name %q is not UTF-8; rename the file", entry)
		}
		info, err := at.Lstat(base)
		if err != nil {
			return r.fail(entry, err)
		}
		if r.count++; r.count > r.limits.entries {
			return r.refuse("it holds more than %d files and directories; keep manifests in a directory of their own", r.limits.entries)
		}
		if err := r.entry(at, entry, info, depth); err != nil {
			return err
		}
	}
	return nil
}

// list returns the names in a directory, sorted.
func list(at *os.Root) ([]string, error) {
	d, err := at.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (r *reader) entry(at *os.Root, name string, info fs.FileInfo, depth int) error {
	switch info.Mode().Type() {
	case fs.ModeDir:
		return r.subdir(at, name, info, depth)
	case fs.ModeSymlink:
		target, err := at.Readlink(path.Base(name))
		if err != nil {
			return r.fail(name, err)
		}
		r.out[name] = newFile(fs.ModeSymlink|0o777, []byte(target), stampOf(info), time.Time{})
		return nil
	case 0:
		return r.file(at, name, info)
	}
	return r.refuse("%s is %s; remove it: Git keeps only files, directories and symbolic links", name, special(info.Mode()))
}

func special(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

func (r *reader) subdir(at *os.Root, name string, info fs.FileInfo, depth int) error {
	// With the slash the type is checked once more right before the opening, so that a pipe that took the directory's
	// place does not hold everything up.
	sub, err := at.OpenRoot(path.Base(name) + "/")
	if err != nil {
		return r.fail(name, err)
	}
	defer sub.Close()
	opened, err := sub.Stat(".")
	if err != nil {
		return r.fail(name, err)
	}
	if !os.SameFile(info, opened) {
		return &changingError{name} // perhaps a link by now, to who knows where
	}
	return r.dir(sub, name, depth+1)
}

// file takes a regular file over from the listing before, or reads it.
func (r *reader) file(at *os.Root, name string, info fs.FileInfo) error {
	stamp := stampOf(info)
	f, ok := r.known[name]
	if !ok || f.stamp != stamp || !f.settled() {
		began := time.Now()
		data, err := r.content(at, name, stamp)
		if err != nil {
			return err
		}
		f = newFile(committedMode(info.Mode()), data, stamp, began)
	}
	if r.bytes += int64(len(f.data)); r.bytes > r.limits.bytes {
		return r.tooLarge(name)
	}
	r.out[name] = f
	return nil
}

func (r *reader) tooLarge(name string) error {
	return r.refuse("its files hold more than %d MiB, counted up to %s; keep manifests in a directory of their own", r.limits.bytes>>20, name)
}

// committedMode is the mode that the file has in a commit: of all bits Git keeps only whether the owner may execute it.
func committedMode(m fs.FileMode) fs.FileMode {
	if m&0o100 != 0 {
		return 0o555
	}
	return 0o444
}

// content reads a file that does not change meanwhile. O_NONBLOCK keeps a pipe that took the file's place from holding
// everything up.
func (r *reader) content(at *os.Root, name string, want stamp) ([]byte, error) {
	f, err := at.OpenFile(path.Base(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, r.fail(name, err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, r.fail(name, err)
	}
	if stampOf(before) != want {
		return nil, &changingError{name}
	}
	room := r.limits.bytes - r.bytes
	data, err := io.ReadAll(io.LimitReader(f, room+1))
	if err != nil {
		return nil, r.fail(name, err)
	}
	if int64(len(data)) > room {
		return nil, r.tooLarge(name)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, r.fail(name, err)
	}
	if stampOf(after) != want || int64(len(data)) != want.size {
		return nil, &changingError{name}
	}
	return data, nil
}

func newFile(mode fs.FileMode, data []byte, s stamp, began time.Time) file {
	return file{mode: mode, data: data, sum: sha256.Sum256(data), stamp: s, read: began}
}

// leftOut tells whether a file or directory of this name is not part of the repository: Git's own, and what editors and
// desktops put beside the files they work on. Such names are never rendered, also where somebody committed one.
func leftOut(name string) bool {
	switch name {
	case ".git", ".DS_Store", "4913": // the last is Vim's, which tries out whether it may write
		return true
	}
	swap, isSwap := strings.CutPrefix(path.Ext(name), ".sw") // .swp, .swo, ... of Vim
	return isSwap && len(swap) == 1 && strings.HasPrefix(name, ".") ||
		strings.HasSuffix(name, ".swp") ||
		strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, ".#") || // a lock of Emacs, a link that leads nowhere
		len(name) > 2 && strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") ||
		strings.HasSuffix(name, "___jb_tmp___") || strings.HasSuffix(name, "___jb_old___")
}
