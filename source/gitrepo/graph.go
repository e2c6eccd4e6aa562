package gitrepo

import (
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// maxHaves is the number of commits shown to the server. The last head is enough but after a force-push.
const maxHaves = 64

// haves returns the newest commits from last on, which the server need not send: none when last is zero. Last itself has
// been complete; that it cannot be read is an error.
func haves(st storer.EncodedObjectStorer, last plumbing.Hash) ([]plumbing.Hash, error) {
	if last.IsZero() {
		return nil, nil
	}
	commit, err := object.GetCommit(st, last)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", last, err)
	}
	var out []plumbing.Hash
	// A hole in the history ends the walk early; what was found until then is still true.
	_ = object.NewCommitIterCTime(commit, nil, nil).ForEach(func(c *object.Commit) error {
		out = append(out, c.Hash)
		if len(out) == maxHaves {
			return storer.ErrStop
		}
		return nil
	})
	return out, nil
}

// checkComplete reports the first object below the tree of commit head that st does not have. Subtrees that the
// complete commit known has too are not looked at again, so an ordinary push is checked in the time of its changes.
// What known has and cannot be read is an error too; known is zero when there is none.
func checkComplete(st storer.EncodedObjectStorer, head, known plumbing.Hash) error {
	commit, err := object.GetCommit(st, head)
	if err != nil {
		return fmt.Errorf("commit %s: %w", head, err)
	}
	before := plumbing.ZeroHash
	if !known.IsZero() {
		old, err := object.GetCommit(st, known)
		if err != nil {
			return fmt.Errorf("commit %s: %w", known, err)
		}
		before = old.TreeHash
	}
	for _, parent := range commit.ParentHashes {
		if err := st.HasEncodedObject(parent); err != nil {
			return fmt.Errorf("parent %s: %w", parent, err)
		}
	}
	return checkTree(st, commit.TreeHash, before, 0)
}

// checkTree reports the first object below tree that st does not have, except below subtrees that known has at the
// same place. What is nested deeper than maxDepth, beginning at depth, cannot be read through a snapshot and is not checked.
func checkTree(st storer.EncodedObjectStorer, tree, known plumbing.Hash, depth int) error {
	c := checker{st: st, checked: map[pair]bool{}}
	return c.tree(tree, known, depth)
}

// pair is a tree, and what was in its place before.
type pair struct{ tree, known plumbing.Hash }

// checker looks at each pair of trees once: a commit of a few hundred bytes can name the same subtree at billions of places.
type checker struct {
	st      storer.EncodedObjectStorer
	checked map[pair]bool
}

func (c checker) tree(tree, known plumbing.Hash, depth int) error {
	if tree == known || depth == maxDepth || c.checked[pair{tree, known}] {
		return nil
	}
	c.checked[pair{tree, known}] = true
	now, err := object.GetTree(c.st, tree)
	if err != nil {
		return fmt.Errorf("tree %s: %w", tree, err)
	}
	before, err := entries(c.st, known)
	if err != nil {
		return err
	}
	for _, e := range now.Entries {
		old := before[e.Name]
		switch {
		case e.Mode == filemode.Submodule || old.Hash == e.Hash:
		case e.Mode == filemode.Dir && old.Mode == filemode.Dir:
			err = c.tree(e.Hash, old.Hash, depth+1)
		case e.Mode == filemode.Dir:
			err = c.tree(e.Hash, plumbing.ZeroHash, depth+1)
		default:
			err = c.st.HasEncodedObject(e.Hash)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

// entries returns what a tree holds, by name; the zero tree holds nothing.
func entries(st storer.EncodedObjectStorer, tree plumbing.Hash) (map[string]object.TreeEntry, error) {
	if tree.IsZero() {
		return nil, nil
	}
	t, err := object.GetTree(st, tree)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", tree, err)
	}
	byName := make(map[string]object.TreeEntry, len(t.Entries))
	for _, e := range t.Entries {
		byName[e.Name] = e
	}
	return byName, nil
}
