// Package dir reads a fleet repository from a directory, usually a Git working tree, so that a change can be tried on a
// local fleet before it is committed.
//
// Everything in the directory counts, as for gitfleet render, but .git and what editors leave for a moment. What
// .gitignore names counts too: Git keeps a tracked file that is ignored, so which files a commit would hold takes Git's
// index to tell, and a guess that leaves a file out would take its objects off the fleet. Empty directories do not count,
// as Git has none. There are no commits, and so nobody's confirmation in one: what waits for a person waits until it is
// committed.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gitfleet/gitfleet/source"
)

// Options says which directory to read.
type Options struct {
	Dir string // relative to the working directory or absolute; a symbolic link is followed anew at each reading
}

// Tree is a directory that is read as a repository. Its methods may be called concurrently.
type Tree struct {
	root   string // absolute
	limits limits
	pause  func(context.Context) error // between two readings that have to agree
	watch  *watcher

	fetching chan struct{} // holds a token while nobody fetches, so that waiting can be given up
	files    listing       // behind the last revision; used only by who holds the token; nil before the first

	mu   sync.Mutex
	kept []source.Snapshot // newest first
}

const (
	settle    = 100 * time.Millisecond // a tree that did not change for this long is not being written
	maxPasses = 30                     // readings of a tree that keeps changing
	maxKept   = 3                      // snapshots: the one in force, the one being rendered, and one fetched meanwhile
)

// Open begins to watch the directory. It does not read it yet: Last returns nothing before the first Fetch. The error is
// the operator's to mend: there is no such directory.
func Open(ctx context.Context, opts Options) (*Tree, error) {
	return open(ctx, opts, newWatcher)
}

func open(ctx context.Context, opts Options, watching func(root string) *watcher) (*Tree, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opts.Dir == "" {
		return nil, errors.New("the directory to read is empty; give the path of a fleet repository")
	}
	root, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", opts.Dir, err)
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	t := &Tree{root: root, limits: defaultLimits, pause: wait, watch: watching(root), fetching: make(chan struct{}, 1)}
	t.fetching <- struct{}{}
	t.watch.start()
	return t, nil
}

func checkRoot(root string) error {
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("directory %s does not exist; give the path of a fleet repository", root)
	case err != nil:
		return fmt.Errorf("directory %s cannot be read: %w", root, err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory; give the path of a fleet repository", root)
	}
	return nil
}

func wait(ctx context.Context) error {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the watching. Snapshots stay readable.
func (t *Tree) Close() error {
	t.watch.close()
	return nil
}

// Changed holds a token when the directory may have changed since the token was last taken. A burst of changes costs one
// token, 100 ms after its last change and at most a second after its first. Where changes cannot be seen, see WatchErr.
func (t *Tree) Changed() <-chan struct{} { return t.watch.changed }

// WatchErr tells why changes may not be noticed at once: the system's limit on watches, or a directory that cannot be
// read; nil when all are watched. Nothing is lost meanwhile, as every Fetch looks at all files: changes are noticed at
// the caller's interval, and watching is tried again. A change to a link or directory above the parent of the tree is
// noticed at that interval in any case.
func (t *Tree) WatchErr() error { return t.watch.failure() }

// Fetch reads the directory into memory and returns its revision, which Last returns from then on. The commit is a digest
// of all paths, modes and contents in 40 hexadecimal digits; When is the newest change of a file. A changed tree is read
// until it stays the same for 100 ms, so that no half-written change becomes a revision; one that does not come to rest
// is an error. Files that the file system shows as unchanged are not read again. A directory that is missing, and
// anything in it that cannot be read or is no file, directory or symbolic link, is an error that names it: on error Last
// still returns the revision of before.
func (t *Tree) Fetch(ctx context.Context) (source.Revision, error) {
	select {
	case <-t.fetching:
		defer func() { t.fetching <- struct{}{} }()
	case <-ctx.Done():
		return source.Revision{}, ctx.Err()
	}
	defer t.watch.recheck()
	files, err := t.readQuiet(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	last, ok := t.Last()
	if commit := files.digest(); !ok || last.Commit != commit {
		last = source.Revision{Repo: "dir:" + t.root, Ref: "worktree", Commit: commit, Subject: "working tree", When: files.newest()}
		t.keep(source.Snapshot{Revision: last, FS: newSnapshotFS(files, last.When)})
	}
	t.files = files
	return last, nil
}

// readQuiet reads the tree until two readings in a row agree, or until it is what it was at the last revision.
func (t *Tree) readQuiet(ctx context.Context) (listing, error) {
	before, err := t.read(ctx, t.files)
	if err == nil && t.files != nil && before.digest() == t.files.digest() {
		return before, nil
	}
	var where string
	for range maxPasses {
		changing, moved := errors.AsType[*changingError](err)
		if err != nil && !moved {
			return nil, err
		}
		if err := t.pause(ctx); err != nil {
			return nil, err
		}
		known := t.files
		if !moved {
			known = before
		}
		now, errNow := t.read(ctx, known)
		switch {
		case moved:
			where = changing.path
		case errNow == nil:
			if where = now.difference(before); where == "" {
				return now, nil
			}
		}
		before, err = now, errNow
	}
	return nil, fmt.Errorf("directory %s keeps changing, last at %s; it is read again when it is quiet", t.root, where)
}

func (t *Tree) keep(snap source.Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append([]source.Snapshot{snap}, t.kept[:min(len(t.kept), maxKept-1)]...)
}

// Last returns the revision that Fetch returned last, and false before the first. It does not outlive the process.
func (t *Tree) Last() (source.Revision, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return source.Revision{}, false
	}
	return t.kept[0].Revision, true
}

// Snapshot returns the tree of one of the last three revisions that Fetch returned, from memory. It may be read by any
// number of goroutines.
func (t *Tree) Snapshot(rev source.Revision) (source.Snapshot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, snap := range t.kept {
		if snap.Commit == rev.Commit {
			return source.Snapshot{Revision: rev, FS: snap.FS}, nil
		}
	}
	return source.Snapshot{}, fmt.Errorf("directory %s: its state %s is not known any more", t.root, rev.Commit)
}
