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
	st, err := r.bring(ctx, s, head)
	if err != nil {
		return source.Revision{}, err
	}
	return r.accept(st, head)
}

// bring makes head and everything below it present, in the current generation or, where that is not possible, in a new
// one.
func (r *Repository) bring(ctx context.Context, s *session, head plumbing.Hash) (*filesystem.Storage, error) {
	n := r.cache.generation()
	if n > 0 && !r.damaged.Load() && countPacks(r.cache.repoPath(n)) < maxPacks {
		st, err := r.update(ctx, s, head)
		var known *Error
		if err == nil || errors.As(err, &known) {
			return st, err
		}
		r.damaged.Store(true) // not the remote's fault, so the cache's
		// A file URL's process has served its one request.
		s.close()
		fresh, err := r.dial(ctx)
		if err != nil {
			return nil, err
		}
		defer fresh.close()
		if head, err = fresh.head(ctx); err != nil {
			return nil, err
		}
		return r.clone(ctx, fresh, head)
	}
	return r.clone(ctx, s, head)
}

// update fetches what is new into the current generation. An error that is not an *Error means that the generation is
// damaged.
func (r *Repository) update(ctx context.Context, s *session, head plumbing.Hash) (*filesystem.Storage, error) {
	dir := r.cache.repoPath(r.cache.generation())
	st := r.objects
	if st == nil {
		st = openObjects(dir)
	}
	r.objects = nil // taken back by accept
	last, _ := r.Last()
	known := plumbing.NewHash(last.Commit)
	if checkComplete(st, head, known) == nil {
		return st, nil // back to a commit that was here before
	}
	if err := s.fetch(ctx, st, head, haves(st, known)); err != nil {
		_ = removePartial(dir) // in no one's way; opening the cache tries again
		return nil, err
	}
	return st, checkComplete(st, head, known)
}

// clone fetches the whole history into a new generation and switches to it.
func (r *Repository) clone(ctx context.Context, s *session, head plumbing.Hash) (*filesystem.Storage, error) {
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
	if err == nil {
		r.damaged.Store(false)
		return st, nil
	}
	err = errors.Join(err, os.RemoveAll(dir))
	var known *Error
	if errors.As(err, &known) {
		return nil, known
	}
	return nil, &Error{Problem: Damaged, Repo: r.remote.name, Branch: r.branch, Detail: oneLine(s.secret.scrub(err.Error()))}
}

// accept makes head the last good revision.
func (r *Repository) accept(st *filesystem.Storage, head plumbing.Hash) (source.Revision, error) {
	err := setBranch(r.cache.repoPath(r.cache.generation()), r.branch, head)
	var rev source.Revision
	if err == nil {
		rev, err = r.revision(st, head)
	}
	if err != nil {
		r.damaged.Store(true)
		return source.Revision{}, &Error{Problem: Damaged, Repo: r.remote.name, Branch: r.branch, Detail: oneLine(err.Error())}
	}
	r.objects = st
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.Commit != rev.Commit {
		r.rewritten = ""
		if r.last.Commit != "" && !descends(st, head, plumbing.NewHash(r.last.Commit)) {
			r.rewritten = r.last.Commit
		}
	}
	r.last = rev
	return rev, nil
}
