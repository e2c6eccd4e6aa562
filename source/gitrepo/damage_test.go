package gitrepo

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCutAnswers hangs up at every kind of place in the answers and expects the old content, then recovery.
func TestCutAnswers(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", "one")
	s := serve(t, o)
	for _, tt := range []struct {
		name   string
		method string
		after  int
	}{
		{"no byte of the list", http.MethodGet, 0},
		{"in the middle of the list", http.MethodGet, 60},
		{"no byte of the pack", http.MethodPost, 0},
		{"in the pack's header", http.MethodPost, 20},
		{"in the middle of the pack", http.MethodPost, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.behave(nil)
			r := open(t, Options{URL: s.url(), CAFile: s.caFile})
			rev, err := r.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			content := rev.Commit
			o.write("big.yaml", strings.Repeat(tt.name+crand.Text(), 100))
			next := o.publish("b.yaml", content)
			s.behave(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				if r.Method != tt.method {
					git.ServeHTTP(w, r)
					return
				}
				if tt.after == 0 {
					panic(http.ErrAbortHandler)
				}
				git.ServeHTTP(&cutWriter{ResponseWriter: w, left: tt.after}, r)
			})
			wantProblem(t, r, Unreachable)
			wantFile(t, r, "a.yaml", "one")
			s.behave(nil)
			fetch(t, r, next)
			wantFile(t, r, "b.yaml", content)
			if left, _ := filepath.Glob(filepath.Join(r.cache.repoPath(1), incoming, "*")); len(left) > 0 {
				t.Errorf("the cut fetch left %v", left)
			}
		})
	}
}

func TestCutCloneLeavesNothing(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", strings.Repeat(crand.Text(), 50))
	s := serve(t, o)
	s.behave(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodPost {
			w = &cutWriter{ResponseWriter: w, left: 200}
		}
		git.ServeHTTP(w, r)
	})
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	wantProblem(t, r, Unreachable)
	if left, _ := filepath.Glob(filepath.Join(r.cache.path, "*.git")); len(left) > 0 {
		t.Errorf("the cut clone left %v", left)
	}
	s.behave(nil)
	fetch(t, r, first)
}

func TestHungServer(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", strings.Repeat(crand.Text(), 50))
	s := serve(t, o)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			release := make(chan struct{})
			s.behave(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				if r.Method != method {
					git.ServeHTTP(w, r)
					return
				}
				git.ServeHTTP(&hangWriter{ResponseWriter: w, left: 50, release: release}, r)
			})
			r := open(t, Options{URL: s.url(), CAFile: s.caFile})
			r.stall = 200 * time.Millisecond
			wantProblem(t, r, Unreachable, "no data from the server for 200ms")
			close(release)
		})
	}
}

// hangWriter stops after so many bytes until it is released.

type hangWriter struct {
	http.ResponseWriter
	left    int
	release chan struct{}
}

func (h *hangWriter) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p[:min(len(p), h.left)])
	if h.left -= n; h.left == 0 {
		h.ResponseWriter.(http.Flusher).Flush()
		<-h.release
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestDamagedCacheIsClonedAnew(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, repo string)
	}{
		{"a truncated index", func(t *testing.T, repo string) { truncate(t, repo, "*.idx", 40) }},
		{"a truncated pack", func(t *testing.T, repo string) { truncate(t, repo, "*.pack", 40) }},
		{"no packs", func(t *testing.T, repo string) {
			if err := os.RemoveAll(filepath.Join(repo, "objects", "pack")); err != nil {
				t.Fatal(err)
			}
		}},
		{"no references", func(t *testing.T, repo string) {
			if err := os.RemoveAll(filepath.Join(repo, "refs")); err != nil {
				t.Fatal(err)
			}
		}},
		{"no repository", func(t *testing.T, repo string) {
			if err := os.RemoveAll(repo); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, when := range []string{"while running", "while stopped"} {
			t.Run(tt.name+" "+when, func(t *testing.T) {
				o := newOrigin(t)
				first := o.publish("a.yaml", "one")
				dir := t.TempDir()
				r := open(t, Options{URL: o.fileURL(), CacheDir: dir})
				fetch(t, r, first)
				tt.damage(t, r.cache.repoPath(1))
				if when == "while stopped" {
					if err := r.Close(); err != nil {
						t.Fatal(err)
					}
					r = open(t, Options{URL: o.fileURL(), CacheDir: dir})
					fetch(t, r, first)
					wantFile(t, r, "a.yaml", "one")
				}
				fetch(t, r, o.publish("b.yaml", "two"))
				wantFile(t, r, "a.yaml", "one")
				wantFile(t, r, "b.yaml", "two")
				wantReadablePacks(t, r)
			})
		}
	}
}

// TestDamageBelowTheLastHead loses what only an older commit needs, and has the branch set back to that commit: the
// server believes that it is here and sends nothing.
func TestDamageBelowTheLastHead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, pack string)
	}{
		{"a truncated pack", func(t *testing.T, pack string) { truncateFile(t, pack, 40) }},
		{"no pack", func(t *testing.T, pack string) {
			for _, file := range []string{pack, strings.TrimSuffix(pack, ".pack") + ".idx"} {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t)
			first := o.publish("a.yaml", "one")
			s := serve(t, o)
			r := open(t, Options{URL: s.url(), CAFile: s.caFile})
			fetch(t, r, first)
			older, err := filepath.Glob(filepath.Join(r.cache.repoPath(1), "objects", "pack", "*.pack"))
			if err != nil || len(older) != 1 {
				t.Fatalf("the packs of the first fetch are %v, %v; want one", older, err)
			}
			fetch(t, r, o.publish("a.yaml", "two"))
			tt.damage(t, older[0])
			o.git(o.work, "reset", "-q", "--hard", first)
			o.push()
			fetch(t, r, first)
			wantFile(t, r, "a.yaml", "one")
			wantReadablePacks(t, r)
		})
	}
}

// wantReadablePacks has git check every object in the generation in use. Reading them with go-git proves less: of an
// object in two packs it takes either, so a damaged pack shows only now and then.
func wantReadablePacks(t *testing.T, r *Repository) {
	t.Helper()
	cmd := exec.Command("git", "fsck", "--full", "--strict")
	cmd.Dir = r.cache.repoPath(r.cache.generation())
	cmd.Env = append(os.Environ(), "GIT_DIR=.", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("git fsck in the cache: %v\n%s", err, out)
	}
}

func truncate(t *testing.T, repo, pattern string, size int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repo, "objects", "pack", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in the cache: %v", pattern, err)
	}
	for _, f := range files {
		truncateFile(t, f, size)
	}
}

func truncateFile(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotReportsDamage loses a blob behind an unchanged head: reading says so, and the next fetch repairs.
func TestSnapshotReportsDamage(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	r := open(t, Options{URL: o.fileURL()})
	rev := fetch(t, r, head)
	snap, err := r.Snapshot(rev)
	if err != nil {
		t.Fatal(err)
	}
	truncate(t, r.cache.repoPath(1), "*.pack", 40)
	if _, err := fs.ReadFile(snap.FS, "a.yaml"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("reading a lost object: %v; want an error that is not taken for a missing file", err)
	}
	fetch(t, r, head)
	wantFile(t, r, "a.yaml", "one")
	if n := r.cache.generation(); n != 2 {
		t.Errorf("generation %d is in use after the repair, want 2", n)
	}
}

func TestManyPacksAreClonedAnew(t *testing.T) {
	o := newOrigin(t)
	r := open(t, Options{URL: o.fileURL()})
	fetch(t, r, o.publish("a.yaml", "one"))
	packs := filepath.Join(r.cache.repoPath(1), "objects", "pack")
	for i := range maxPacks {
		if err := os.WriteFile(filepath.Join(packs, fmt.Sprintf("old-%d.pack", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fetch(t, r, o.publish("a.yaml", "two"))
	wantFile(t, r, "a.yaml", "two")
	if n := countPacks(r.cache.repoPath(r.cache.generation())); n != 1 {
		t.Errorf("%d packs in the new generation, want 1", n)
	}
}

// TestLeftoversAreRemoved opens a cache in which processes were killed at several places.
func TestLeftoversAreRemoved(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	opts := Options{URL: o.fileURL(), CacheDir: filepath.Join(t.TempDir(), "odd [name]*")}
	r := open(t, opts)
	fetch(t, r, head)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	leftovers := []string{
		filepath.Join(r.cache.path, "2.git", "HEAD"),                        // while cloning anew
		filepath.Join(r.cache.repoPath(1), incoming, "tmp_pack_1"),          // while fetching
		filepath.Join(r.cache.repoPath(1), "ref.new"),                       // before accepting a head
		filepath.Join(r.cache.path, "current.new"),                          // before switching
		filepath.Join(r.cache.repoPath(1), "objects", "pack", "pack-1.idx"), // an index without its pack
	}
	for _, file := range leftovers {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = open(t, opts)
	wantFile(t, r, "a.yaml", "one")
	for _, file := range leftovers[:2] {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", file, err)
		}
	}
	fetch(t, r, o.publish("a.yaml", "two"))
	wantFile(t, r, "a.yaml", "two")
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	o := newOrigin(t)
	r := open(t, Options{URL: o.fileURL()})
	fetch(t, r, o.publish("a.yaml", "one"))
	next := o.publish("a.yaml", "two")
	// A file where packs are to be built, and nothing but files where clones are to be made: as on a full disk, every
	// write fails.
	block := filepath.Join(r.cache.repoPath(1), incoming)
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(block, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := r.cache.path
	r.cache.path = filepath.Join(block, "below")
	if _, err := r.Fetch(t.Context()); err == nil {
		t.Error("Fetch succeeds without a place to write")
	}
	r.cache.path = path
	fetch(t, r, next)
	wantFile(t, r, "a.yaml", "two")
}
