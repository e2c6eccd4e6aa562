package gitrepo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/gitfleet/gitfleet/source"
)

// revision fills in what a commit adds to what is known of its repository.
func revision(st storer.EncodedObjectStorer, hash plumbing.Hash, of source.Revision) (source.Revision, error) {
	commit, err := object.GetCommit(st, hash)
	if err != nil {
		return source.Revision{}, fmt.Errorf("commit %s: %w", hash, err)
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(commit.Message), "\n")
	of.Commit = hash.String()
	of.Subject = strings.TrimSpace(strings.ToValidUTF8(subject, "\uFFFD"))
	of.When = commit.Committer.When.UTC()
	return of, nil
}

// errUnknown is a revision that names nothing in the repository.
var errUnknown = errors.New("is not known here; give a commit hash, a branch, a tag or something like HEAD~1")

// ErrNoParent is a revision such as HEAD^ that steps beyond the first commit.
var ErrNoParent = errors.New("goes beyond the history")

// resolve finds the commit that rev names in the repository behind st.
func resolve(ctx context.Context, st *filesystem.Storage, rev string, of source.Revision) (source.Revision, error) {
	if err := ctx.Err(); err != nil {
		return source.Revision{}, err
	}
	hash, err := lookup(st, rev)
	if err != nil {
		return source.Revision{}, fmt.Errorf("repository %s: revision %q %w", of.Repo, rev, err)
	}
	return revision(st, hash, of)
}

// lookup resolves BASE followed by any number of ~N and ^N, as gitrevisions(7) defines them. go-git's own resolution
// crashes on some input and picks any commit for an ambiguous abbreviation.
func lookup(st *filesystem.Storage, rev string) (plumbing.Hash, error) {
	end := strings.IndexAny(rev, "~^")
	if end < 0 {
		end = len(rev)
	}
	commit, err := lookupBase(st, rev[:end])
	for rest := rev[end:]; err == nil && rest != ""; {
		var step byte
		var n int
		if step, n, rest, err = nextStep(rest); err != nil {
			break
		}
		commit, err = walk(commit, step, n)
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return commit.Hash, nil
}

// nextStep cuts "~N" or "^N" off the beginning of s. N is 1 when it is left out.
func nextStep(s string) (step byte, n int, rest string, err error) {
	step, s = s[0], s[1:]
	if step != '~' && step != '^' {
		return 0, 0, "", fmt.Errorf("has an unexpected %q; only ~N and ^N may follow the commit", string(step))
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits == 0 {
		return step, 1, s, nil
	}
	if n, err = strconv.Atoi(s[:digits]); err != nil {
		return 0, 0, "", fmt.Errorf("has a number out of range: %s", s[:digits])
	}
	return step, n, s[digits:], nil
}

// walk goes to the n-th parent (^) or n times to the first parent (~).
func walk(commit *object.Commit, step byte, n int) (*object.Commit, error) {
	times, parent := n, 0
	if step == '^' {
		times, parent = min(n, 1), n-1
	}
	for range times {
		if parent >= commit.NumParents() {
			return nil, fmt.Errorf("%w: commit %.12s has %d parents", ErrNoParent, commit.Hash, commit.NumParents())
		}
		next, err := commit.Parent(parent)
		if err != nil {
			return nil, fmt.Errorf("goes beyond the history that is stored: commit %.12s is not", commit.ParentHashes[parent])
		}
		commit = next
	}
	return commit, nil
}

// lookupBase resolves a full hash, a reference or the beginning of a hash, in git's order.
func lookupBase(st *filesystem.Storage, name string) (*object.Commit, error) {
	if name == "@" {
		name = "HEAD"
	}
	if plumbing.IsHash(name) {
		return commitOf(st, plumbing.NewHash(name))
	}
	for _, rule := range plumbing.RefRevParseRules {
		ref, err := storer.ResolveReference(st, plumbing.ReferenceName(fmt.Sprintf(rule, name)))
		if err == nil {
			return commitOf(st, ref.Hash())
		}
	}
	return abbreviated(st, name)
}

// abbreviated finds the one commit whose hash begins with prefix, four digits at least as in git.
func abbreviated(st *filesystem.Storage, prefix string) (*object.Commit, error) {
	prefix = strings.ToLower(prefix)
	whole, err := hex.DecodeString(prefix[:len(prefix)&^1])
	if err != nil || len(prefix) < 4 || len(prefix) > 40 {
		return nil, errUnknown
	}
	hashes, err := st.HashesWithPrefix(whole)
	if err != nil {
		return nil, err
	}
	var found *object.Commit
	for _, h := range hashes {
		if !strings.HasPrefix(h.String(), prefix) {
			continue
		}
		commit, err := object.GetCommit(st, h)
		if err != nil {
			continue // a tree or a blob with the same beginning
		}
		if found != nil && found.Hash != commit.Hash {
			return nil, errors.New("is the beginning of several commits; give more digits")
		}
		found = commit
	}
	if found == nil {
		return nil, errUnknown
	}
	return found, nil
}

// commitOf returns the commit with this hash, or the one that the annotated tag with this hash points to.
func commitOf(st storer.EncodedObjectStorer, hash plumbing.Hash) (*object.Commit, error) {
	commit, err := object.GetCommit(st, hash)
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return commit, err
	}
	tag, err := object.GetTag(st, hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, errUnknown
	}
	if err != nil {
		return nil, err
	}
	if commit, err = tag.Commit(); err != nil {
		return nil, errors.New("is a tag of something that is not a commit")
	}
	return commit, nil
}

// snapshot opens the tree of rev in the repository behind st. Reading calls damaged when an object below it is missing.
func snapshot(st *filesystem.Storage, rev source.Revision, damaged func()) (source.Snapshot, error) {
	commit, err := object.GetCommit(st, plumbing.NewHash(rev.Commit))
	if err != nil {
		return source.Snapshot{}, fmt.Errorf("repository %s: commit %s cannot be read: %w", rev.Repo, rev.Commit, err)
	}
	fsys := &treeFS{st: st, root: commit.TreeHash, when: commit.Committer.When.UTC(), damaged: damaged}
	return source.Snapshot{Revision: rev, FS: fsys}, nil
}
