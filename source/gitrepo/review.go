package gitrepo

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/gitfleet/gitfleet/source"
)

// FetchRef brings what a reference of the remote points to into the cache, with its history, and returns it as a revision of
// the followed branch: what that would become. ref is a full name, as "refs/pull/12/merge". The branch must have been fetched
// before. The error is an *Error, or the context's; Last and what Fetch returns stay as they are.
func (r *Repository) FetchRef(ctx context.Context, ref string) (source.Revision, error) {
	select {
	case <-r.fetching:
		defer func() { r.fetching <- struct{}{} }()
	case <-ctx.Done():
		return source.Revision{}, ctx.Err()
	}
	last, ok := r.Last()
	if !ok {
		return source.Revision{}, fmt.Errorf("repository %s: nothing has been fetched yet, so %s has nothing to be compared with", r.remote.name, ref)
	}
	s, err := r.dial(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	defer s.close()
	refs, err := s.refs(ctx)
	if err != nil {
		return source.Revision{}, err
	}
	hash, ok := refs[ref]
	if !ok {
		return source.Revision{}, &Error{Problem: BranchMissing, Repo: r.remote.name, Branch: ref}
	}
	return r.take(ctx, s, hash, plumbing.NewHash(last.Commit))
}

// take fetches a commit beside the followed branch, whose newest commit is known.
func (r *Repository) take(ctx context.Context, s *session, hash, known plumbing.Hash) (source.Revision, error) {
	dir := r.cache.repoPath(r.cache.generation())
	st := openObjects(dir)
	err := st.HasEncodedObject(hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		shown, failure := haves(st, known)
		if failure != nil {
			return source.Revision{}, r.damage(failure)
		}
		if err = s.fetch(ctx, st, hash, shown); err != nil {
			_ = removePartial(dir) // in no one's way; opening the cache tries again
		}
	}
	if _, theirs := errors.AsType[*Error](err); theirs || ctx.Err() != nil {
		return source.Revision{}, err
	}
	if err != nil {
		return source.Revision{}, r.damage(err)
	}
	if err := checkComplete(st, hash, known); err != nil { // whoever pushed it made it so
		return source.Revision{}, fmt.Errorf("repository %s: %.12s cannot be read: %w", r.remote.name, hash, err)
	}
	return r.revision(st, hash)
}

// MergeBase returns the revision from which two commits in the cache went apart: the newest that both have in their history.
// Of several, as after criss-cross merges, it is the first that git would name. Commits without a common one are an error.
func (r *Repository) MergeBase(ctx context.Context, one, other string) (source.Revision, error) {
	if err := ctx.Err(); err != nil {
		return source.Revision{}, err
	}
	st := openObjects(r.cache.repoPath(r.cache.generation()))
	a, err := object.GetCommit(st, plumbing.NewHash(one))
	if err != nil {
		return source.Revision{}, fmt.Errorf("repository %s: commit %s: %w", r.remote.name, one, err)
	}
	b, err := object.GetCommit(st, plumbing.NewHash(other))
	if err != nil {
		return source.Revision{}, fmt.Errorf("repository %s: commit %s: %w", r.remote.name, other, err)
	}
	bases, err := a.MergeBase(b)
	if err != nil {
		return source.Revision{}, fmt.Errorf("repository %s: the common history of %.12s and %.12s: %w", r.remote.name, one, other, err)
	}
	if len(bases) == 0 {
		return source.Revision{}, fmt.Errorf("repository %s: %.12s and %.12s have no commit in common", r.remote.name, one, other)
	}
	return r.revision(st, bases[0].Hash)
}

// Parents returns the parents of a commit in the cache, the first first.
func (r *Repository) Parents(ctx context.Context, commit string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := object.GetCommit(r.history(), plumbing.NewHash(commit))
	if err != nil {
		return nil, fmt.Errorf("repository %s: commit %s: %w", r.remote.name, commit, err)
	}
	list := make([]string, len(c.ParentHashes))
	for i, p := range c.ParentHashes {
		list[i] = p.String()
	}
	return list, nil
}
