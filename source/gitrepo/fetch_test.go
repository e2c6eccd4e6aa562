package gitrepo

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestFetchFileURL(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	r := open(t, Options{URL: o.fileURL()})
	if rev, ok := r.Last(); ok {
		t.Fatalf("Last before any fetch: %+v", rev)
	}
	rev := fetch(t, r, first)
	if rev.Ref != "main" || rev.Subject != "set a.yaml" || !rev.When.Equal(time.Date(2026, 1, 2, 3, 1, 0, 0, time.UTC)) {
		t.Errorf("revision %+v lacks its ref, subject or committer time", rev)
	}
	wantFile(t, r, "a.yaml", "one")
	old, err := r.Snapshot(rev)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, r, o.publish("a.yaml", "two"))
	wantFile(t, r, "a.yaml", "two")
	if got, err := fs.ReadFile(old.FS, "a.yaml"); err != nil || string(got) != "one" {
		t.Errorf("the older snapshot reads %q, %v after a later fetch; want the old content", got, err)
	}
}

func TestFetchIsIncrementalAndSkipsAnUnchangedHead(t *testing.T) {
	o := newOrigin(t)
	noise := make([]byte, 1<<20) // does not compress, so its transfer shows
	if _, err := crand.Read(noise); err != nil {
		t.Fatal(err)
	}
	o.write("big.bin", string(noise))
	first := o.publish("a.yaml", "one")
	s := serve(t, o)
	received := 0
	s.behave(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		counting := &countWriter{ResponseWriter: w}
		git.ServeHTTP(counting, r)
		s.mu.Lock()
		received += counting.n
		s.mu.Unlock()
	})
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	fetch(t, r, first)
	for range 3 {
		fetch(t, r, first)
	}
	if lists, packs := s.counts(); lists != 4 || packs != 1 {
		t.Errorf("4 fetches of one head made %d list and %d pack requests, want 4 and 1", lists, packs)
	}
	s.mu.Lock()
	full := received
	received = 0
	s.mu.Unlock()
	fetch(t, r, o.publish("a.yaml", "two"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if full < len(noise) || received > 8<<10 {
		t.Errorf("clone received %d bytes and the next commit %d; want more than %d and less than 8 KiB", full, received, len(noise))
	}
}

type countWriter struct {
	http.ResponseWriter
	n int
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += n
	return n, err
}

func TestLastSurvivesARestart(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	dir := t.TempDir()
	r := open(t, Options{URL: o.fileURL(), CacheDir: dir})
	want := fetch(t, r, first)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(o.bare); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{URL: o.fileURL(), CacheDir: dir})
	if got, ok := again.Last(); !ok || got != want {
		t.Fatalf("Last after a restart is %+v, %v; want %+v", got, ok, want)
	}
	wantFile(t, again, "a.yaml", "one")
	wantProblem(t, again, NotFound)
	wantFile(t, again, "a.yaml", "one")
}

func TestProblemsKeepTheLastGoodRevision(t *testing.T) {
	o := newOrigin(t)
	s := serve(t, o)
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	wantProblem(t, r, Empty, "push a first commit", `"main"`)

	fetch(t, r, o.publish("a.yaml", "one"))
	o.git(o.work, "push", "-q", "origin", "HEAD:refs/heads/release", "HEAD:refs/heads/dev")
	o.git(o.bare, "update-ref", "-d", "refs/heads/main")
	e := wantProblem(t, r, BranchMissing, `"main"`, "dev, release")
	if strings.Join(e.Branches, " ") != "dev release" {
		t.Errorf("existing branches are %v, want dev and release", e.Branches)
	}
	wantFile(t, r, "a.yaml", "one")
	o.push()
	wantFile(t, r, "a.yaml", "one")

	s.behave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		http.Error(w, "boom", http.StatusInternalServerError)
	})
	wantProblem(t, r, Unreachable, "500")
	s.behave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		_, _ = fmt.Fprint(w, "<html>please log in</html>")
	})
	wantProblem(t, r, Unreachable)
	s.behave(nil)
	fetch(t, r, o.publish("a.yaml", "two"))

	s.Close()
	wantProblem(t, r, Unreachable, "refused")
	wantFile(t, r, "a.yaml", "two")
}

func TestForcePush(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", "one")
	old := o.publish("a.yaml", "two")
	r := open(t, Options{URL: o.fileURL()})
	rev := fetch(t, r, old)
	o.git(o.work, "reset", "-q", "--hard", "HEAD~1")
	forced := o.publish("a.yaml", "other")
	fetch(t, r, forced)
	wantFile(t, r, "a.yaml", "other")
	if snap, err := r.Snapshot(rev); err != nil {
		t.Errorf("the revision that was pushed away cannot be read any more: %v", err)
	} else if got, err := fs.ReadFile(snap.FS, "a.yaml"); err != nil || string(got) != "two" {
		t.Errorf("the revision that was pushed away reads %q, %v", got, err)
	}
	fetch(t, r, o.publish("a.yaml", "next"))
}

func TestForcePushBackNeedsNoPack(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	s := serve(t, o)
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	fetch(t, r, first)
	fetch(t, r, o.publish("a.yaml", "two"))
	o.git(o.work, "reset", "-q", "--hard", first)
	o.push()
	fetch(t, r, first)
	wantFile(t, r, "a.yaml", "one")
	if _, packs := s.counts(); packs != 2 {
		t.Errorf("%d pack requests; want 2, as the older commit is in the cache", packs)
	}
}

func TestFetchIsGivenUpWithItsContext(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", "one")
	s := serve(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	s.behave(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	})
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	if _, err := r.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch returned %v, want the context's error", err)
	}
}

func TestFetchAndSnapshotAtOnce(t *testing.T) {
	o := newOrigin(t)
	r := open(t, Options{URL: o.fileURL()})
	fetch(t, r, o.publish("a.yaml", "0"))
	done := make(chan error)
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			rev, _ := r.Last()
			snap, err := r.Snapshot(rev)
			if err == nil {
				_, err = fs.ReadFile(snap.FS, "a.yaml")
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 5 {
		fetch(t, r, o.publish("a.yaml", fmt.Sprint(i)))
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("reading while fetching: %v", err)
	}
}

func TestWaitingForAnotherFetchIsGivenUp(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	s := serve(t, o)
	asked, release := make(chan struct{}, 1), make(chan struct{})
	s.behave(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		asked <- struct{}{}
		<-release
		git.ServeHTTP(w, r)
	})
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	done := make(chan error)
	go func() {
		_, err := r.Fetch(t.Context())
		done <- err
	}()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a Fetch that waits for another returned %v, want the context's error", err)
	}
	s.behave(nil)
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the Fetch that was waited for: %v", err)
	}
	if rev, _ := r.Last(); rev.Commit != first {
		t.Errorf("Last is %+v, want %s", rev, first)
	}
}

func TestSnapshotOfAnUnknownCommit(t *testing.T) {
	o := newOrigin(t)
	head := o.publish("a.yaml", "one")
	r := open(t, Options{URL: o.fileURL()})
	rev := fetch(t, r, head)
	rev.Commit = strings.Repeat("1", 40)
	if _, err := r.Snapshot(rev); err == nil || !strings.Contains(err.Error(), rev.Commit) {
		t.Errorf("Snapshot of a commit that is not there: %v, want an error with its hash", err)
	}
	fetch(t, r, head)
	if n := r.cache.generation(); n != 1 {
		t.Errorf("generation %d is in use: asking for an unknown commit had the repository cloned anew", n)
	}
}
