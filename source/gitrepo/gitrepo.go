// Package gitrepo reads fleet repositories with go-git: a remote branch, kept in a bare cache that survives every kind
// of failure with its last good revision, or the local repository that encloses a directory. Snapshots read Git objects
// directly; there is no checkout. All it ever writes to a remote are notes.
package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitfleet/gitfleet/source"
)

// Options says which branch of which repository to follow and where to keep its history.
type Options struct {
	URL      string // https://, file://, and http:// where no credentials are sent to other machines
	Ref      string // branch, with or without refs/heads/; empty means main
	CacheDir string // for bare repositories, one below it for each URL; created when missing
	AuthFile string // token or user:password on one line, read at each use; empty means none but the URL's own
	CAFile   string // PEM certificates trusted besides the system's, read at each use; empty means none
}

// Repository is one branch of a remote repository and the cache of its history. Its methods may be called concurrently.
type Repository struct {
	opts   Options
	remote remote
	branch string
	cache  *cacheDir
	stall  time.Duration // silence after which a server counts as hung
	pause  time.Duration // before an edit of a note is tried again

	fetching chan struct{} // holds a token while nobody fetches, so that waiting can be given up
	damaged  atomic.Bool   // the cache could not be read; the next Fetch clones anew

	merged mergedHeads

	mu    sync.Mutex
	last  source.Revision   // zero when there is none
	notes map[string]*notes // by reference; made when first asked for
}

// Open prepares the cache of a repository and locks it against other processes. It needs no network: Last returns the
// revision of the run before. Errors are the operator's to mend: a URL that cannot be used, no git binary for a
// file URL, a cache directory that cannot be written or that another process uses.
func Open(ctx context.Context, opts Options) (*Repository, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rem, err := parseRemote(opts.URL)
	if err != nil {
		return nil, err
	}
	branch, err := branchName(opts.Ref)
	if err != nil {
		return nil, err
	}
	if opts.CacheDir == "" {
		return nil, errors.New("the cache directory is empty; give a directory that can be written")
	}
	if err := rem.checkGit(); err != nil {
		return nil, err
	}
	c, err := openCache(opts.CacheDir, rem.name)
	if err != nil {
		return nil, err
	}
	r := &Repository{opts: opts, remote: rem, branch: branch, cache: c, stall: defaultStall, pause: defaultPause, fetching: make(chan struct{}, 1)}
	r.fetching <- struct{}{}
	r.restore()
	return r, nil
}

func branchName(ref string) (string, error) {
	if ref == "" {
		return "main", nil
	}
	name := strings.TrimPrefix(ref, "refs/heads/")
	if err := plumbing.NewBranchReferenceName(name).Validate(); err != nil || strings.HasPrefix(name, "refs/") {
		return "", fmt.Errorf("ref %q is not the name of a branch; give one such as main", ref)
	}
	return name, nil
}

// restore takes up what the cache holds. A cache that cannot be read is no error: the next Fetch replaces it.
func (r *Repository) restore() {
	n := r.cache.generation()
	if n == 0 {
		return
	}
	st := openObjects(r.cache.repoPath(n))
	ref, err := st.Reference(plumbing.NewBranchReferenceName(r.branch))
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return // another branch of the same repository has been followed here
	}
	if err == nil {
		err = checkComplete(st, ref.Hash(), plumbing.ZeroHash)
	}
	var rev source.Revision
	if err == nil {
		rev, err = r.revision(st, ref.Hash())
	}
	if err != nil {
		r.damaged.Store(true)
		return
	}
	r.last = rev
}

// Close gives the cache up for other processes. Snapshots must not be used any more.
func (r *Repository) Close() error { return r.cache.close() }

// Last returns the last revision that was fetched completely, also after a restart, and false when there is none.
func (r *Repository) Last() (source.Revision, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.last.Commit != ""
}

// Resolve returns the revision that a commit-ish names in the cache: HEAD~1, a hash or its beginning, the branch. It
// does not ask the remote.
func (r *Repository) Resolve(ctx context.Context, rev string) (source.Revision, error) {
	if _, ok := r.Last(); !ok {
		return source.Revision{}, fmt.Errorf("repository %s: nothing has been fetched yet, so revision %q is not known", r.remote.name, rev)
	}
	return resolve(ctx, openObjects(r.cache.repoPath(r.cache.generation())), rev, r.describe())
}

// Snapshot returns the tree of a revision that Fetch, Last or Resolve returned. It stays readable while later revisions
// are fetched. Each snapshot has a handle of its own, for one goroutine. What cannot be read of the last good revision
// or below any other makes the next Fetch replace the cache.
func (r *Repository) Snapshot(rev source.Revision) (source.Snapshot, error) {
	damaged := func() { r.damaged.Store(true) }
	snap, err := snapshot(openObjects(r.cache.repoPath(r.cache.generation())), rev, damaged)
	if last, _ := r.Last(); err != nil && rev.Commit == last.Commit {
		damaged()
	}
	return snap, err
}

func (r *Repository) describe() source.Revision {
	return source.Revision{Repo: r.remote.name, Ref: r.branch}
}

func (r *Repository) revision(st *filesystem.Storage, hash plumbing.Hash) (source.Revision, error) {
	return revision(st, hash, r.describe())
}
