package gitrepo

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// A tree of notes names each after the commit it is on. Git spreads many notes over directories of two digits, ab/cd…,
// and directories in those; it reads any mixture of the layouts, and other files besides: git-notes(1).

// maxFlat is the number of notes in one directory above which new ones go into directories below it, as Git has it.
const maxFlat = 256

// maxNote bounds what is read of a note, in bytes.
const maxNote = 1 << 20

var errLongNote = fmt.Errorf("is longer than %d bytes and is not read; shorten or remove it with git notes", maxNote)

// findNote returns the blob that a tree of notes has for a commit, the zero hash when it has none.
func findNote(st storer.EncodedObjectStorer, tree plumbing.Hash, commit string) (plumbing.Hash, error) {
	for rest := commit; ; rest = rest[2:] {
		t, err := object.GetTree(st, tree)
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("tree %s: %w", tree, err)
		}
		if i := indexNote(t.Entries, rest); i >= 0 {
			return t.Entries[i].Hash, nil
		}
		i := indexFan(t.Entries, rest)
		if i < 0 {
			return plumbing.ZeroHash, nil
		}
		tree = t.Entries[i].Hash
	}
}

// indexNote returns where a directory has the note whose remaining name is rest, or -1.
func indexNote(entries []object.TreeEntry, rest string) int {
	for i, e := range entries {
		if e.Name == rest && e.Mode.IsFile() {
			return i
		}
	}
	return -1
}

// indexFan returns where a directory has the one that the note belongs into, or -1.
func indexFan(entries []object.TreeEntry, rest string) int {
	for i, e := range entries {
		if len(rest) > 2 && e.Mode == filemode.Dir && e.Name == rest[:2] {
			return i
		}
	}
	return -1
}

// spread tells whether a new note goes into a directory below the one with these entries.
func spread(entries []object.TreeEntry, rest string) bool {
	flat := 0
	for _, e := range entries {
		switch {
		case e.Mode == filemode.Dir && len(e.Name) == 2 && isHex(e.Name):
			return len(rest) > 2
		case len(e.Name) == len(rest) && isHex(e.Name):
			flat++
		}
	}
	return flat >= maxFlat && len(rest) > 2
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// readNote returns the text of a note.
func readNote(st storer.EncodedObjectStorer, hash plumbing.Hash) (string, error) {
	size, err := st.EncodedObjectSize(hash)
	if err != nil {
		return "", fmt.Errorf("blob %s: %w", hash, err)
	}
	if size > maxNote {
		return "", errLongNote
	}
	blob, err := object.GetBlob(st, hash)
	if err != nil {
		return "", fmt.Errorf("blob %s: %w", hash, err)
	}
	r, err := blob.Reader()
	if err != nil {
		return "", fmt.Errorf("blob %s: %w", hash, err)
	}
	text, err := io.ReadAll(r)
	return string(text), errors.Join(err, r.Close())
}

// noteWriter makes new objects on top of those in a repository.
type noteWriter struct {
	st     storer.EncodedObjectStorer
	fresh  *memory.Storage // the new objects
	hashes []plumbing.Hash // theirs
}

func newNoteWriter(st storer.EncodedObjectStorer) *noteWriter {
	return &noteWriter{st: st, fresh: memory.NewStorage()}
}

// put returns the tree, zero for none, with this text as the note on a commit.
func (w *noteWriter) put(tree plumbing.Hash, commit, text string) (plumbing.Hash, error) {
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.BlobObject)
	if _, err := o.Write([]byte(text)); err != nil {
		return plumbing.ZeroHash, err
	}
	blob, err := w.store(o)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return w.place(tree, commit, blob)
}

// place returns the tree with a blob as the note whose remaining name is rest. A note that is there is replaced where it
// is; a new one goes where the layout of the tree wants it.
func (w *noteWriter) place(tree plumbing.Hash, rest string, blob plumbing.Hash) (plumbing.Hash, error) {
	next := &object.Tree{}
	if !tree.IsZero() {
		t, err := object.GetTree(w.st, tree)
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("tree %s: %w", tree, err)
		}
		next.Entries = append(next.Entries, t.Entries...) // t may be shared with later readers
	}
	note, fan := indexNote(next.Entries, rest), indexFan(next.Entries, rest)
	switch {
	case note >= 0:
		next.Entries[note].Hash = blob
	case fan >= 0 || spread(next.Entries, rest):
		below := plumbing.ZeroHash
		if fan >= 0 {
			below = next.Entries[fan].Hash
		} else {
			fan = len(next.Entries)
			next.Entries = append(next.Entries, object.TreeEntry{Name: rest[:2], Mode: filemode.Dir})
		}
		var err error
		if next.Entries[fan].Hash, err = w.place(below, rest[2:], blob); err != nil {
			return plumbing.ZeroHash, err
		}
	case slices.ContainsFunc(next.Entries, func(e object.TreeEntry) bool { return e.Name == rest }):
		return plumbing.ZeroHash, fmt.Errorf("%s is no file", rest)
	default:
		next.Entries = append(next.Entries, object.TreeEntry{Name: rest, Mode: filemode.Regular, Hash: blob})
	}
	sort.Sort(object.TreeEntrySorter(next.Entries))
	return w.add(next)
}

// add stores a new tree or commit.
func (w *noteWriter) add(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := &plumbing.MemoryObject{}
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return w.store(encoded)
}

func (w *noteWriter) store(o plumbing.EncodedObject) (plumbing.Hash, error) {
	hash, err := w.fresh.SetEncodedObject(o)
	if err == nil {
		w.hashes = append(w.hashes, hash)
	}
	return hash, err
}
