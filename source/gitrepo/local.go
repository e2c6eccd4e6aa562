package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitfleet/gitfleet/source"
)

// Local is a repository on this machine, read in place: what is committed in it, not what its working tree holds.
type Local struct {
	root string
	of   source.Revision
}

// OpenLocal finds the repository that encloses dir, which may be a working tree, a linked one or a bare repository.
func OpenLocal(dir string) (*Local, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	repo, err := openEnclosing(abs)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%s is not inside a Git repository; run this in the fleet repository or name it with --repo", abs)
	}
	if err != nil {
		return nil, fmt.Errorf("the repository at %s: %w", abs, err)
	}
	l := &Local{root: abs}
	if tree, err := repo.Worktree(); err == nil {
		l.root = tree.Filesystem.Root()
	}
	l.of.Repo = (&url.URL{Scheme: "file", Path: filepath.ToSlash(l.root)}).String()
	if origin, err := repo.Remote(git.DefaultRemoteName); err == nil && len(origin.Config().URLs) > 0 {
		if r, err := parseRemote(origin.Config().URLs[0]); err == nil {
			l.of.Repo = r.name
		}
	}
	if head, err := repo.Head(); err == nil && head.Name().IsBranch() {
		l.of.Ref = head.Name().Short()
	}
	return l, nil
}

// openEnclosing opens the repository at dir, bare or not, or else the one whose working tree dir is in.
func openEnclosing(dir string) (*git.Repository, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	}
	return repo, err
}

// Root returns the absolute path of the working tree, or of the repository itself when it is bare.
func (l *Local) Root() string { return l.root }

// Resolve returns the revision that a commit-ish names: HEAD, HEAD~1, a hash or its beginning, a branch, a tag.
func (l *Local) Resolve(ctx context.Context, rev string) (source.Revision, error) {
	st, err := l.objects()
	if err != nil {
		return source.Revision{}, err
	}
	return resolve(ctx, st, rev, l.of)
}

// Snapshot returns the tree of a revision that Resolve returned, for one goroutine.
func (l *Local) Snapshot(rev source.Revision) (source.Snapshot, error) {
	st, err := l.objects()
	if err != nil {
		return source.Snapshot{}, err
	}
	return snapshot(st, rev, func() {}) // there is no cache to repair
}

// objects returns a new handle on the repository.
func (l *Local) objects() (*filesystem.Storage, error) {
	repo, err := openEnclosing(l.root)
	if err != nil {
		return nil, fmt.Errorf("the repository at %s: %w", l.root, err)
	}
	st, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("the repository at %s is stored as %T, which cannot be read", l.root, repo.Storer)
	}
	// The file system of alternates is the machine's: they are absolute paths, or relative ones that lead out of dir.
	opts := filesystem.Options{AlternatesFS: osfs.New("/")}
	return filesystem.NewStorageWithOptions(st.Filesystem(), cache.NewObjectLRU(objectCache), opts), nil
}
