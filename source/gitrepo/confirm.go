package gitrepo

import (
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/gitfleet/gitfleet/source"
)

// maxConfirming bounds the commits that one question after confirmations looks at. The newest come first.
const maxConfirming = 1000

// Confirmations returns the digests that people confirmed (see source.Confirmations) with what commit brings over
// since, both full hashes: in any commit that is reachable from commit and not from since. They are sorted, each
// once. Where the newest 1,000 commits do not show that the two share history, as after a rewrite from scratch or when
// since is empty or not stored, only commit itself and what it merged into its first parent count: an old confirmation
// must not come back to life. History that is not stored is left out. The error is the context's, or that commit itself
// cannot be read.
func (r *Repository) Confirmations(ctx context.Context, since, commit string) ([]string, error) {
	digests, _, err := confirmations(ctx, r.history(), since, commit)
	return digests, err
}

// MistypedConfirmations returns the lines of the same commits that look like confirmations and confirm nothing, for
// telling their authors. They are sorted, each once.
func (r *Repository) MistypedConfirmations(ctx context.Context, since, commit string) ([]string, error) {
	_, mistyped, err := confirmations(ctx, r.history(), since, commit)
	return mistyped, err
}

// history returns a handle on the generation in use.
func (r *Repository) history() storer.EncodedObjectStorer {
	return openObjects(r.cache.repoPath(r.cache.generation()))
}

func confirmations(ctx context.Context, st storer.EncodedObjectStorer, since, commit string) (digests, mistyped []string, err error) {
	tip, err := object.GetCommit(st, plumbing.NewHash(commit))
	if err != nil {
		return nil, nil, fmt.Errorf("confirmations: commit %s cannot be read: %w", commit, err)
	}
	brought, shared, err := commitsBetween(ctx, st, plumbing.NewHash(since), tip)
	if err == nil && !shared {
		brought, err = merged(ctx, st, tip)
	}
	if err != nil {
		return nil, nil, err
	}
	right, wrong := map[string]bool{}, map[string]bool{}
	for _, c := range brought {
		d, m := source.Confirmations(c.Message)
		for _, s := range d {
			right[s] = true
		}
		for _, s := range m {
			wrong[s] = true
		}
	}
	return slices.Sorted(maps.Keys(right)), slices.Sorted(maps.Keys(wrong)), nil
}

// merged returns tip and, if it is a merge, what it merged into its first parent.
func merged(ctx context.Context, st storer.EncodedObjectStorer, tip *object.Commit) ([]*object.Commit, error) {
	if tip.NumParents() < 2 {
		return []*object.Commit{tip}, nil
	}
	brought, shared, err := commitsBetween(ctx, st, tip.ParentHashes[0], tip)
	if !shared {
		brought = []*object.Commit{tip} // the first parent is not stored
	}
	return brought, err
}

// side tells from which ends of a range a commit is reachable.
type side uint8

const (
	fromTip side = 1 << iota
	fromSince
	both = fromTip | fromSince
)

// painter walks the history of two commits at once, newest first, and paints each commit with the ends that reach it,
// as git rev-list does.
type painter struct {
	st     storer.EncodedObjectStorer
	sides  map[plumbing.Hash]side
	queue  newestFirst
	shared bool // a commit is reached from both ends
}

// commitsBetween returns the commits that tip reaches and since does not. Shared tells whether the two are known to have
// a commit in common; without one there is no range.
func commitsBetween(ctx context.Context, st storer.EncodedObjectStorer, since plumbing.Hash, tip *object.Commit) (brought []*object.Commit, shared bool, err error) {
	p := &painter{st: st, sides: map[plumbing.Hash]side{}}
	p.paint(tip.Hash, fromTip)
	p.paint(since, fromSince)
	var walked []*object.Commit
	for seen := 0; p.unsettled() && seen < maxConfirming; seen++ {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		c := heap.Pop(&p.queue).(*object.Commit)
		walked = append(walked, c)
		for _, parent := range c.ParentHashes {
			p.paint(parent, p.sides[c.Hash])
		}
	}
	brought = slices.DeleteFunc(walked, func(c *object.Commit) bool { return p.sides[c.Hash] != fromTip })
	return brought, p.shared, nil
}

// paint adds to the ends that reach a commit, and has its parents looked at when that is news to them.
func (p *painter) paint(hash plumbing.Hash, by side) {
	before := p.sides[hash]
	if before|by == before {
		return
	}
	commit, err := object.GetCommit(p.st, hash)
	if err != nil {
		return // a hole in the history: what is found elsewhere is still true
	}
	p.sides[hash] = before | by
	p.shared = p.shared || before|by == both
	heap.Push(&p.queue, commit)
}

// unsettled tells whether the queue holds a commit that only one end is known to reach. Below all others there is
// nothing but shared history.
func (p *painter) unsettled() bool {
	return slices.ContainsFunc(p.queue, func(c *object.Commit) bool { return p.sides[c.Hash] != both })
}

// newestFirst is a heap of commits by committer time. Clocks that disagree cost time; they do not hide a commit.
type newestFirst []*object.Commit

func (q newestFirst) Len() int { return len(q) }
func (q newestFirst) Less(i, j int) bool {
	return q[i].Committer.When.After(q[j].Committer.When)
}
func (q newestFirst) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *newestFirst) Push(c any) { *q = append(*q, c.(*object.Commit)) }

// Pop implements heap.Interface.
func (q *newestFirst) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
