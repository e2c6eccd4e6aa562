package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	maxPushes    = 8                     // that others may spoil before an edit is given up
	maxRefusals  = 3                     // in the same words, with the reference where it was: a lock that somebody holds is gone by then
	defaultPause = 50 * time.Millisecond // after the first push that was spoiled, on average; doubled three times

	notesAuthor = "gitfleet"
	notesEmail  = "gitfleet@localhost"
)

// notes is one reference below refs/notes/ of the remote, with a copy of its newest commit that lasts as long as the
// process: a copy that cannot be read is thrown away and fetched again.
type notes struct {
	repo *Repository
	name plumbing.ReferenceName
	dir  string
	busy chan struct{} // holds a token while nobody uses what follows

	st  *filesystem.Storage // nil when there is no copy
	tip plumbing.Hash       // of the copy; zero when the remote has no such reference
}

// Note returns the note on a commit, a full hash, in a reference such as refs/notes/commits: empty when there is none. It
// asks the remote where the reference is, and fetches only when that has moved.
func (r *Repository) Note(ctx context.Context, ref, commit string) (string, error) {
	n, err := r.openNotes(ctx, ref, commit)
	if err != nil {
		return "", err
	}
	defer n.release()
	if err := n.follow(ctx); err != nil {
		return "", err
	}
	return n.read(commit)
}

// EditNote replaces the note on a commit by what edit makes of it; edit is given an empty text when there is no note, and
// is called again when somebody else pushed meanwhile. Nothing is pushed when the text stays the same. Notes on other
// commits, and whatever else the reference has, stay as they are.
func (r *Repository) EditNote(ctx context.Context, ref, commit string, edit func(text string) string) error {
	n, err := r.openNotes(ctx, ref, commit)
	if err != nil {
		return err
	}
	defer n.release()
	var last attempt
	same := 0
	for i := range maxPushes {
		if i > 0 {
			if err := r.waitTurn(ctx, i); err != nil {
				return err
			}
		}
		a, err := n.tryEdit(ctx, commit, edit)
		if err != nil || a.done {
			return err
		}
		if a != last {
			same = 0
		}
		// Whoever loses a race finds the reference elsewhere. Where it does not move, a rule or a right is in the way.
		if same++; same == maxRefusals {
			return &Error{Problem: ReadOnly, Repo: r.remote.name, Branch: r.branch, Detail: fmt.Sprintf("%s was refused: %s", ref, a.refusal)}
		}
		last = a
	}
	return &Error{Problem: Contended, Repo: r.remote.name, Branch: r.branch, Detail: fmt.Sprintf("%s: %s", ref, last.refusal)}
}

// waitTurn waits a little before the i-th new attempt, and not as long as another who waits for the same reason.
func (r *Repository) waitTurn(ctx context.Context, i int) error {
	timer := time.NewTimer(rand.N(r.pause << min(i, 4)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openNotes returns the notes behind a reference once nobody else uses them; release lets the next one in.
func (r *Repository) openNotes(ctx context.Context, ref, commit string) (*notes, error) {
	name := plumbing.ReferenceName(ref)
	if !name.IsNote() || name.Validate() != nil {
		return nil, fmt.Errorf("repository %s: %q is no reference for notes; give one such as refs/notes/commits", r.remote.name, ref)
	}
	if !plumbing.IsHash(commit) || strings.ToLower(commit) != commit {
		return nil, fmt.Errorf("repository %s: %q is not the full hash of a commit", r.remote.name, commit)
	}
	n := r.notesOf(name)
	select {
	case <-n.busy:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *Repository) notesOf(name plumbing.ReferenceName) *notes {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notes == nil {
		r.notes = map[string]*notes{}
	}
	n := r.notes[name.String()]
	if n == nil {
		// No generation has such a name, so the directory goes when the cache is opened the next time.
		dir := "notes-" + url.PathEscape(strings.TrimPrefix(name.String(), "refs/notes/")) + ".git"
		n = &notes{repo: r, name: name, dir: filepath.Join(r.cache.path, dir), busy: make(chan struct{}, 1)}
		n.busy <- struct{}{}
		r.notes[name.String()] = n
	}
	return n
}

func (n *notes) release() { n.busy <- struct{}{} }

// follow brings the copy to where the remote has the reference.
func (n *notes) follow(ctx context.Context) error {
	s, err := n.repo.dial(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	refs, err := s.refs(ctx)
	if e, ok := errors.AsType[*Error](err); ok && e.Problem == Empty {
		refs, err = nil, nil // no commits, so no notes
	}
	if err != nil {
		return err
	}
	tip := refs[n.name.String()]
	if tip == n.tip {
		return nil
	}
	if err := n.fetch(ctx, s, tip); err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			return n.damage(err)
		}
		return err
	}
	return nil
}

// fetch brings the copy to tip. An error that is not an *Error is about the files of the copy.
func (n *notes) fetch(ctx context.Context, s *session, tip plumbing.Hash) error {
	if tip.IsZero() {
		n.tip = tip
		return nil
	}
	if n.tip.IsZero() || countPacks(n.dir) >= maxPacks {
		if err := n.reset(); err != nil {
			return err
		}
	}
	if err := n.st.HasEncodedObject(tip); err != nil { // not one that the reference was moved back to
		req, err := n.request(ctx, s, tip)
		if err != nil {
			return err
		}
		cut, err := s.receive(ctx, n.st, req)
		if err == nil && len(cut) > 0 {
			err = n.st.SetShallow(cut)
		}
		if err != nil {
			_ = removePartial(n.dir) // in no one's way; the directory goes with the process
			return err
		}
	}
	commit, err := object.GetCommit(n.st, tip)
	if err != nil {
		return fmt.Errorf("commit %s: %w", tip, err)
	}
	if err := checkTree(n.st, commit.TreeHash, n.treeOf(n.tip), 0); err != nil {
		return err
	}
	n.tip = tip
	return nil
}

// request asks for tip: without its history the first time, later with what came since.
func (n *notes) request(ctx context.Context, s *session, tip plumbing.Hash) (*packp.UploadPackRequest, error) {
	req := packp.NewUploadPackRequestFromCapabilities(s.adv.Capabilities)
	req.Wants = []plumbing.Hash{tip}
	if !n.tip.IsZero() {
		var err error
		req.Haves = []plumbing.Hash{n.tip}
		if req.Shallows, err = n.st.Shallow(); err != nil {
			return nil, err
		}
	}
	if n.tip.IsZero() && s.adv.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(1)
	}
	if len(req.Shallows) > 0 || !req.Depth.IsZero() {
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return nil, s.wrap(ctx, err)
		}
	}
	return req, nil
}

// treeOf returns the tree of a commit that has been complete, the zero hash where that cannot be told.
func (n *notes) treeOf(commit plumbing.Hash) plumbing.Hash {
	c, err := object.GetCommit(n.st, commit)
	if err != nil {
		return plumbing.ZeroHash
	}
	return c.TreeHash
}

// reset begins an empty copy.
func (n *notes) reset() error {
	n.drop()
	if err := os.RemoveAll(n.dir); err != nil {
		return err
	}
	st, err := initBare(n.dir)
	if err != nil {
		return err
	}
	n.st = st
	return nil
}

// drop forgets the copy. Its files go when the next one begins.
func (n *notes) drop() { n.st, n.tip = nil, plumbing.ZeroHash }

// damage forgets the copy, and returns the error for the call that found it unreadable.
func (n *notes) damage(err error) error {
	n.drop()
	return &Error{Problem: Damaged, Repo: n.repo.remote.name, Branch: n.repo.branch, Detail: oneLine(fmt.Sprintf("%s: %v", n.name, err))}
}

// read returns the note on a commit in the copy.
func (n *notes) read(commit string) (string, error) {
	if n.tip.IsZero() {
		return "", nil
	}
	c, err := object.GetCommit(n.st, n.tip)
	if err != nil {
		return "", n.damage(err)
	}
	blob, err := findNote(n.st, c.TreeHash, commit)
	if err != nil {
		return "", n.damage(err)
	}
	if blob.IsZero() {
		return "", nil
	}
	text, err := readNote(n.st, blob)
	if errors.Is(err, errLongNote) {
		return "", fmt.Errorf("repository %s: %s: the note on commit %s %w", n.repo.remote.name, n.name, commit, err)
	}
	if err != nil {
		return "", n.damage(err)
	}
	return text, nil
}

// attempt is what became of one try to push an edit.
type attempt struct {
	done    bool
	tip     plumbing.Hash // on which the edit was based
	refusal string        // the server's reason
}

// tryEdit edits the note as it is on the remote now, and pushes.
func (n *notes) tryEdit(ctx context.Context, commit string, edit func(string) string) (attempt, error) {
	push, err := n.repo.dialPush(ctx)
	if err != nil {
		return attempt{}, err
	}
	defer push.close()
	tip, err := push.ref(ctx, n.name)
	if err != nil {
		return attempt{}, err
	}
	if tip != n.tip {
		// It may have moved on between the two questions: the server compares when it is pushed to.
		if err := n.follow(ctx); err != nil {
			return attempt{}, err
		}
	}
	before, err := n.read(commit)
	if err != nil {
		return attempt{}, err
	}
	after := edit(before)
	if after == before {
		return attempt{done: true}, nil
	}
	next, pack, err := n.build(commit, after)
	if err != nil {
		return attempt{}, n.damage(err)
	}
	refusal, err := push.push(ctx, packp.Command{Name: n.name, Old: n.tip, New: next}, pack)
	if err != nil || refusal != "" {
		return attempt{tip: n.tip, refusal: refusal}, err
	}
	n.keep(next, pack)
	return attempt{done: true}, nil
}

// build makes the commit that gives a commit its note, on top of the copy, and the pack of what is new in it.
func (n *notes) build(commit, text string) (plumbing.Hash, []byte, error) {
	tree, parents := plumbing.ZeroHash, []plumbing.Hash(nil)
	if !n.tip.IsZero() {
		c, err := object.GetCommit(n.st, n.tip)
		if err != nil {
			return plumbing.ZeroHash, nil, err
		}
		tree, parents = c.TreeHash, []plumbing.Hash{n.tip}
	}
	w := newNoteWriter(n.st)
	root, err := w.put(tree, commit, text)
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	by := object.Signature{Name: notesAuthor, Email: notesEmail, When: time.Now()}
	next, err := w.add(&object.Commit{
		Author: by, Committer: by, Message: fmt.Sprintf("gitfleet's note on %.12s\n", commit), TreeHash: root, ParentHashes: parents,
	})
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, w.fresh, false).Encode(w.hashes, 0); err != nil {
		return plumbing.ZeroHash, nil, err
	}
	return next, pack.Bytes(), nil
}

// keep adds to the copy what has been pushed. Where it cannot, or the copy has grown too many packs, the copy goes: the
// remote has it all, and the next call fetches.
func (n *notes) keep(next plumbing.Hash, pack []byte) {
	var err error
	if n.tip.IsZero() {
		err = n.reset()
	}
	if err == nil {
		err = packfile.UpdateObjectStorage(n.st, bytes.NewReader(pack))
	}
	if err != nil || countPacks(n.dir) >= maxPacks {
		n.drop()
		return
	}
	n.tip = next
}
