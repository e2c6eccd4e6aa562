package gitrepo

import (
	"context"
	"errors"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitfleet/gitfleet/source"
)

// maxPacks is the number of packs (each fetch adds one) at which the repository is cloned anew, as packs slow every
// read down and go-git cannot join them without reading everything.
const maxPacks = 200

// Fetch asks the remote for the branch's head and, if it moved, fetches what is new. It returns the head's revision,
// which Last returns from then on. On error Last still returns the revision of before. The error is an *Error, or the
// context's when waiting for another Fetch was given up.
func (r *Repository) Fetch(ctx context.Context) (source.Revision, error) {
	select {
	case <-r.fetching:
		defer func() { r.fetching <- struct{}{} }()
	case <-ctx.Done():
		return source.Revision{}, ctx.Err()
	}
	s, err := r.dial(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	defer s.close()
	head, err := s.head(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	last, ok := r.Last()
	if ok && last.Commit == head.String() && !r.damaged.Load() {
		return last, nil
	}
	if n := r.cache.generation(); n > 0 && !r.damaged.Load() && countPacks(r.cache.repoPath(n)) < maxPacks {
		st, err := r.update(ctx, s, head)
		if err == nil {
			return r.accept(st, head)
		}
		if _, ok := errors.AsType[*Error](err); ok {
			return source.Revision{}, err
		}
		r.damaged.Store(true) // not the remote's fault, so the cache's
		return r.cloneAgain(ctx)
	}
	return r.clone(ctx, s, head)
}

// cloneAgain is clone in a conversation of its own, after another one has had its pack: the process behind a file URL
// gives only one.
func (r *Repository) cloneAgain(ctx context.Context) (source.Revision, error) {
	s, err := r.dial(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	defer s.close()
	head, err := s.head(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	return r.clone(ctx, s, head)
}

// update fetches what is new into the current generation. An error that is not an *Error means that the generation is
// damaged.
func (r *Repository) update(ctx context.Context, s *session, head plumbing.Hash) (*filesystem.Storage, error) {
	dir := r.cache.repoPath(r.cache.generation())
	// A handle that was kept would answer from its memory what the disk has lost.
	st := openObjects(dir)
	last, _ := r.Last()
	known := plumbing.NewHash(last.Commit)
	shown, err := haves(st, known)
	if err != nil {
		return nil, err
	}
	// A commit that the index names has been here before and must be whole. Were one that cannot be read fetched again,
	// its objects would be in two packs, and go-git reads them from either at random.
	err = st.HasEncodedObject(head)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		if err = s.fetch(ctx, st, head, shown); err != nil {
			_ = removePartial(dir) // in no one's way; opening the cache tries again
		}
	}
	if err != nil {
		return nil, err
	}
	return st, checkComplete(st, head, known)
}

// clone fetches the whole history into a new generation, switches to it and accepts head.
func (r *Repository) clone(ctx context.Context, s *session, head plumbing.Hash) (source.Revision, error) {
	n := r.cache.free()
	dir := r.cache.repoPath(n)
	st, err := initBare(dir)
	if err == nil {
		err = s.fetch(ctx, st, head, nil)
	}
	if err == nil {
		err = checkComplete(st, head, plumbing.ZeroHash)
	}
	if err == nil {
		err = setBranch(dir, r.branch, head)
	}
	if err == nil {
		err = r.cache.use(n)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(dir))
		if known, ok := errors.AsType[*Error](err); ok {
			return source.Revision{}, known
		}
		return source.Revision{}, r.damage(err)
	}
	r.damaged.Store(false)
	return r.accept(st, head)
}

// damage returns the error for a cache that cannot be used, and has the next Fetch replace it.
func (r *Repository) damage(err error) error {
	r.damaged.Store(true)
	return &Error{Problem: Damaged, Repo: r.remote.name, Branch: r.branch, Detail: oneLine(err.Error())}
}

// accept makes head the last good revision.
func (r *Repository) accept(st *filesystem.Storage, head plumbing.Hash) (source.Revision, error) {
	err := setBranch(r.cache.repoPath(r.cache.generation()), r.branch, head)
	var rev source.Revision
	if err == nil {
		rev, err = r.revision(st, head)
	}
	if err != nil {
		return source.Revision{}, r.damage(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = rev
	return rev, nil
}
