package gitrepo

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// branchesOf returns the branches among references, by their short names.
func branchesOf(refs map[string]plumbing.Hash) map[string]plumbing.Hash {
	heads := map[string]plumbing.Hash{}
	for name, hash := range refs {
		if short, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			heads[short] = hash
		}
	}
	return heads
}

// branches asks the remote for its branches and their heads. A repository without commits has none.
func (r *Repository) branches(ctx context.Context) (map[string]plumbing.Hash, error) {
	s, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	refs, err := s.refs(ctx)
	if e, ok := errors.AsType[*Error](err); ok && e.Problem == Empty {
		return nil, nil
	}
	return branchesOf(refs), err
}

type hashSet = map[plumbing.Hash]bool

// mergedHeads remembers which commits a head of the followed branch has in its history. For one head that never changes.
type mergedHeads struct {
	mu    sync.Mutex
	into  plumbing.Hash
	known hashSet
}

// OpenBranches returns the heads of all branches but the followed one that are not merged into it, by the branch's name.
// It asks the remote, and fetches the followed branch when that has moved.
func (r *Repository) OpenBranches(ctx context.Context) (map[string]string, error) {
	heads, err := r.branches(ctx)
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	into, err := r.fetched(ctx, heads[r.branch])
	if err != nil {
		return nil, err
	}
	delete(heads, r.branch)
	merged, err := r.mergedInto(ctx, into, heads)
	if err != nil {
		return nil, err
	}
	open := map[string]string{}
	for name, head := range heads {
		if !merged[head] {
			open[name] = head.String()
		}
	}
	return open, nil
}

// fetched makes sure that the history of head, which the remote has for the followed branch, is in the cache. It returns
// the commit that the cache has: a later one when the branch moved meanwhile.
func (r *Repository) fetched(ctx context.Context, head plumbing.Hash) (plumbing.Hash, error) {
	last, _ := r.Last()
	if head.IsZero() || last.Commit != head.String() {
		var err error
		if last, err = r.Fetch(ctx); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return plumbing.NewHash(last.Commit), nil
}

// mergedInto returns the heads that the history of into has.
func (r *Repository) mergedInto(ctx context.Context, into plumbing.Hash, heads map[string]plumbing.Hash) (hashSet, error) {
	m := &r.merged
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.into != into {
		m.into, m.known = into, hashSet{}
	}
	st := r.history()
	asked := hashSet{}
	for _, head := range heads {
		if _, ok := m.known[head]; !ok && st.HasEncodedObject(head) == nil {
			asked[head] = true // what is not in the cache is not merged: the cache has all of the branch
		}
	}
	found, err := ancestors(ctx, st, into, asked)
	if err != nil {
		if ctx.Err() == nil {
			err = r.damage(err)
		}
		return nil, err
	}
	for head := range asked {
		m.known[head] = found[head]
	}
	merged := hashSet{}
	for _, head := range heads {
		if m.known[head] {
			merged[head] = true
		}
	}
	return merged, nil
}

// ancestors returns which of the commits asked for the history of tip has. It walks the newest commits first and stops
// when all are found.
func ancestors(ctx context.Context, st storer.EncodedObjectStorer, tip plumbing.Hash, asked hashSet) (hashSet, error) {
	found := hashSet{}
	if len(asked) == 0 {
		return found, nil
	}
	seen := hashSet{tip: true}
	queue := newestFirst{}
	for next := []plumbing.Hash{tip}; ; {
		for _, hash := range next {
			c, err := object.GetCommit(st, hash)
			if err != nil {
				return nil, fmt.Errorf("commit %s: %w", hash, err)
			}
			heap.Push(&queue, c)
		}
		if len(queue) == 0 || len(found) == len(asked) {
			return found, ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := heap.Pop(&queue).(*object.Commit)
		if asked[c.Hash] {
			found[c.Hash] = true
		}
		next = next[:0]
		for _, parent := range c.ParentHashes {
			if !seen[parent] {
				seen[parent] = true
				next = append(next, parent)
			}
		}
	}
}

// HasCommit tells whether the repository has a commit: in the history of the followed branch, as that is now or was when
// it was fetched, or as the head of any branch. Commits further down in other branches are not known of.
func (r *Repository) HasCommit(ctx context.Context, commit string) (bool, error) {
	if !plumbing.IsHash(commit) {
		return false, fmt.Errorf("repository %s: %q is not the full hash of a commit", r.remote.name, commit)
	}
	hash := plumbing.NewHash(commit)
	if r.stored(hash) {
		return true, nil
	}
	heads, err := r.branches(ctx)
	if err != nil {
		return false, err
	}
	for _, head := range heads {
		if head == hash {
			return true, nil
		}
	}
	if last, _ := r.Last(); heads[r.branch].IsZero() || heads[r.branch].String() == last.Commit {
		return false, nil
	}
	if _, err := r.Fetch(ctx); err != nil {
		return false, err
	}
	return r.stored(hash), nil
}

// stored tells whether the cache has a commit.
func (r *Repository) stored(hash plumbing.Hash) bool {
	if _, ok := r.Last(); !ok {
		return false
	}
	_, err := object.GetCommit(r.history(), hash)
	return err == nil
}

// MergedBranches returns the branches, by name with their heads, that commit may have brought into the followed branch:
// those whose head is one of the commits that it merged, and those whose head it is. The latter were merged without a
// merge commit, or only begun there.
func (r *Repository) MergedBranches(ctx context.Context, commit string) (map[string]string, error) {
	heads, err := r.branches(ctx)
	if err != nil {
		return nil, err
	}
	delete(heads, r.branch)
	brought := hashSet{plumbing.NewHash(commit): true}
	if r.stored(plumbing.NewHash(commit)) {
		c, err := object.GetCommit(r.history(), plumbing.NewHash(commit))
		if err != nil {
			return nil, r.damage(err)
		}
		for i, parent := range c.ParentHashes {
			if i > 0 {
				brought[parent] = true
			}
		}
	}
	found := map[string]string{}
	for name, head := range heads {
		if brought[head] {
			found[name] = head.String()
		}
	}
	return found, nil
}
