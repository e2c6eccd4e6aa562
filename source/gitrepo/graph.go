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

// haves returns the newest commits below last, which the server need not send.
func haves(st storer.EncodedObjectStorer, last plumbing.Hash) []plumbing.Hash {
	commit, err := object.GetCommit(st, last)
	if err != nil {
		return nil // nothing is known: everything is sent
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
	return out
}

// checkComplete reports the first object below the tree of commit head that st does not have. Subtrees that the
// complete commit known has too are not looked at again, so an ordinary push is checked in the time of its changes.
func checkComplete(st storer.EncodedObjectStorer, head, known plumbing.Hash) error {
	commit, err := object.GetCommit(st, head)
	if err != nil {
		return err
	}
	before := plumbing.ZeroHash
	if !known.IsZero() {
		if old, err := object.GetCommit(st, known); err == nil {
			before = old.TreeHash
		}
	}
	for _, parent := range commit.ParentHashes {
		if err := st.HasEncodedObject(parent); err != nil {
			return err
		}
	}
	return checkTree(st, commit.TreeHash, before, 0)
}

// checkTree reports the first object below tree that st does not have, except below subtrees that known has at the
// same place. What is nested deeper than maxDepth cannot be read through a snapshot and is not checked.
func checkTree(st storer.EncodedObjectStorer, tree, known plumbing.Hash, depth int) error {
	if tree == known || depth == maxDepth {
		return nil
	}
	now, err := object.GetTree(st, tree)
	if err != nil {
		return fmt.Errorf("tree %s: %w", tree, err)
	}
	before := map[string]plumbing.Hash{}
	if !known.IsZero() {
		if old, err := object.GetTree(st, known); err == nil {
			for _, e := range old.Entries {
				before[e.Name] = e.Hash
			}
		}
	}
	for _, e := range now.Entries {
		switch {
		case e.Mode == filemode.Submodule || before[e.Name] == e.Hash:
		case e.Mode == filemode.Dir:
			err = checkTree(st, e.Hash, before[e.Name], depth+1)
		default:
			err = st.HasEncodedObject(e.Hash)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}
