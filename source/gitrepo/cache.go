package gitrepo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// cacheDir is the directory of one repository's cache:
//
//	lock        held by the process that uses the cache
//	current     the number of the generation in use
//	1.git 2.git bare repositories; a damaged one is replaced by cloning the next beside it
//
// Generations that are not current are removed when the cache is opened, and not while it is in use: snapshots may
// still read them.
type cacheDir struct {
	path string
	lock *os.File
}

// openCache creates or opens the cache of the named repository below dir, and locks it.
func openCache(dir, name string) (*cacheDir, error) {
	sum := sha256.Sum256([]byte(name))
	c := &cacheDir{path: filepath.Join(dir, hex.EncodeToString(sum[:8]))}
	if err := os.MkdirAll(c.path, 0o700); err != nil {
		return nil, fmt.Errorf("cache directory: %w; give a directory that can be written", err)
	}
	lock, err := os.OpenFile(filepath.Join(c.path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cache directory: %w; give a directory that can be written", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		defer func() { _ = lock.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cache directory %s is in use by another gitfleet%s; stop it, or give this one a cache directory of its own", dir, holder(lock))
		}
		return nil, fmt.Errorf("cache directory %s cannot be locked: %w", dir, err)
	}
	c.lock = lock
	return c, errors.Join(c.noteHolder(), c.removeOld())
}

// holder reads who wrote the lock file, " (process 17)", or nothing if that cannot be told.
func holder(lock *os.File) string {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0) // a short read is the normal case; without an answer the message is only shorter
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

func (c *cacheDir) noteHolder() error {
	if err := c.lock.Truncate(0); err != nil {
		return fmt.Errorf("cache directory: %w", err)
	}
	if _, err := c.lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("cache directory: %w", err)
	}
	return nil
}

// close gives the cache up. The lock goes with the file.
func (c *cacheDir) close() error { return c.lock.Close() }

// generation returns the number of the repository in use, 0 when there is none yet.
func (c *cacheDir) generation() int {
	text, err := os.ReadFile(filepath.Join(c.path, "current"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 {
		return 0 // written by nobody we know; the clone that follows replaces it
	}
	return n
}

// use makes generation n the one in use, atomically.
func (c *cacheDir) use(n int) error {
	return replaceFile(filepath.Join(c.path, "current"), filepath.Join(c.path, "current.new"), strconv.Itoa(n)+"\n")
}

// replaceFile gives the file at path this content, whenever the process is killed: by way of a file at temp.
func replaceFile(path, temp, content string) error {
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func (c *cacheDir) repoPath(n int) string { return filepath.Join(c.path, strconv.Itoa(n)+".git") }

// free returns the first number above the current generation that no directory uses. Where that cannot be told, whoever
// makes the directory gets the reason.
func (c *cacheDir) free() int {
	n := c.generation() + 1
	for {
		if _, err := os.Lstat(c.repoPath(n)); err != nil {
			return n
		}
		n++
	}
}

// removeOld removes generations that are not in use, and what a broken fetch left in the one that is.
func (c *cacheDir) removeOld() error {
	current := c.repoPath(c.generation())
	all, err := filepath.Glob(filepath.Join(escapeGlob(c.path), "*.git"))
	if err != nil {
		return fmt.Errorf("cache directory: %w", err)
	}
	for _, dir := range all {
		if dir != current {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return errors.Join(err, removePartial(current))
}

// removePartial removes the packs that a fetch began and did not finish in the repository dir.
func removePartial(dir string) error { return os.RemoveAll(filepath.Join(dir, incoming)) }

var globSpecial = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func escapeGlob(path string) string { return globSpecial.Replace(path) }

// objectCache bounds the memory that one open repository keeps decoded objects in.
const objectCache = 16 * cache.MiByte

// incoming is the directory below a repository where packs are written until they are complete.
const incoming = "incoming"

// packFS writes temporary files outside the directory of packs. In go-git a file that vanishes while that directory is
// listed, as a pack under construction does, makes a reader see no pack at all.
type packFS struct{ billy.Filesystem }

// TempFile implements billy.TempFile.
func (f packFS) TempFile(_, prefix string) (billy.File, error) {
	return f.Filesystem.TempFile(incoming, prefix)
}

// openObjects returns a handle on the Git directory dir. Handles have no locks: each goroutine needs its own.
func openObjects(dir string) *filesystem.Storage {
	return filesystem.NewStorage(packFS{osfs.New(dir)}, cache.NewObjectLRU(objectCache))
}

// countPacks returns the number of packs in the Git directory dir.
func countPacks(dir string) int {
	packs, err := filepath.Glob(filepath.Join(escapeGlob(dir), "objects", "pack", "*.pack"))
	if err != nil {
		return 0
	}
	return len(packs)
}

// initBare makes dir a bare repository.
func initBare(dir string) (*filesystem.Storage, error) {
	st := openObjects(dir)
	_, err := git.Init(st, nil)
	return st, err
}

// setBranch makes head the commit of branch, and branch the HEAD, in the repository dir. go-git truncates a reference's
// file before writing it, so a process killed in between would lose its last good revision.
func setBranch(dir, branch string, head plumbing.Hash) error {
	name := plumbing.NewBranchReferenceName(branch)
	path, temp := filepath.Join(dir, filepath.FromSlash(name.String())), filepath.Join(dir, "ref.new")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := replaceFile(path, temp, head.String()+"\n"); err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, "HEAD"), temp, "ref: "+name.String()+"\n")
}
