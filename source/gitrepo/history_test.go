package gitrepo

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// history is a repository with four commits, a merge and a tag; it returns the hashes by name.
func history(t *testing.T) (*origin, map[string]string) {
	o := newOrigin(t)
	h := map[string]string{}
	h["first"] = o.publish("a.yaml", "1")
	h["second"] = o.publish("a.yaml", "2")
	o.git(o.work, "checkout", "-q", "-b", "side", h["first"])
	h["side"] = o.publish("b.yaml", "side")
	o.git(o.work, "checkout", "-q", "main")
	o.tick++
	o.git(o.work, "merge", "-q", "--no-ff", "-m", "merge side", "side")
	h["merge"] = o.git(o.work, "rev-parse", "HEAD")
	o.git(o.work, "tag", "-a", "-m", "release", "v1", h["second"])
	o.push()
	return o, h
}

func TestLocalResolve(t *testing.T) {
	o, h := history(t)
	if err := os.MkdirAll(filepath.Join(o.work, "sub", "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLocal(filepath.Join(o.work, "sub", "dir"))
	if err != nil {
		t.Fatal(err)
	}
	if real, _ := filepath.EvalSymlinks(o.work); l.Root() != o.work && l.Root() != real {
		t.Errorf("Root() = %s, want %s", l.Root(), o.work)
	}
	for rev, want := range map[string]string{
		"HEAD": "merge", "@": "merge", "main": "merge", "refs/heads/main": "merge", "origin/main": "merge",
		"HEAD~1": "second", "HEAD~": "second", "HEAD^": "second", "HEAD^1": "second", "HEAD^2": "side", "HEAD~2": "first",
		"HEAD^^": "first", "HEAD^2~1": "first", "HEAD^0": "merge", "HEAD~0": "merge", "side": "side", "side^": "first",
		"v1": "second", "v1~1": "first", h["second"]: "second", h["second"][:7]: "second",
		strings.ToUpper(h["second"][:12]): "second", h["merge"][:9] + "~2": "first",
	} {
		got, err := l.Resolve(t.Context(), rev)
		if err != nil || got.Commit != h[want] {
			t.Errorf("Resolve(%q) = %.8s, %v; want %s %.8s", rev, got.Commit, err, want, h[want])
		}
	}
	for rev, want := range map[string]string{
		"": "not known", "nowhere": "not known", "~1": "not known", "^": "not known", "HEAD~9": "beyond the history",
		"HEAD^3": "beyond the history", "HEAD~99999999999999999999": "out of range", "HEAD~1x": "unexpected",
		"HEAD:a.yaml": "not known", "abc": "not known", strings.Repeat("0", 40): "not known", "main..side": "not known",
	} {
		if got, err := l.Resolve(t.Context(), rev); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve(%q) = %+v, %v; want an error containing %q", rev, got, err, want)
		}
	}
}

func TestRepositoryResolve(t *testing.T) {
	o, h := history(t)
	r := open(t, Options{URL: o.fileURL()})
	if _, err := r.Resolve(t.Context(), "HEAD"); err == nil || !strings.Contains(err.Error(), "nothing has been fetched") {
		t.Errorf("Resolve before any fetch: %v", err)
	}
	fetch(t, r, h["merge"])
	for rev, want := range map[string]string{"HEAD": "merge", "main": "merge", "HEAD~1": "second", "HEAD^2": "side", h["first"][:8]: "first"} {
		got, err := r.Resolve(t.Context(), rev)
		if err != nil || got.Commit != h[want] || got.Repo != r.remote.name {
			t.Errorf("Resolve(%q) = %+v, %v; want %s %.8s", rev, got, err, want, h[want])
		}
	}
	// The branch side is not fetched: only what main reaches is.
	if got, err := r.Resolve(t.Context(), "side"); err == nil {
		t.Errorf("Resolve of another branch = %+v", got)
	}
	rev, err := r.Resolve(t.Context(), "HEAD~1")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := r.Snapshot(rev)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(snap.FS, "a.yaml"); err != nil || string(got) != "2" {
		t.Errorf("a.yaml of HEAD~1 = %q, %v; want 2", got, err)
	}
}

func TestOpenLocalKinds(t *testing.T) {
	o, h := history(t)
	linked := filepath.Join(t.TempDir(), "linked")
	o.git(o.work, "worktree", "add", "-q", linked, "side")
	shared := filepath.Join(t.TempDir(), "shared")
	o.git(o.work, "clone", "-q", "--shared", o.bare, shared) // objects through info/alternates
	for _, tt := range []struct{ name, dir, rev, want string }{
		{"a bare repository", o.bare, "main", "merge"},
		{"a linked working tree", linked, "HEAD", "side"},
		{"a repository with alternates", shared, "HEAD", "merge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := OpenLocal(tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			rev, err := l.Resolve(t.Context(), tt.rev)
			if err != nil || rev.Commit != h[tt.want] {
				t.Fatalf("Resolve(%s) = %.8s, %v; want %.8s", tt.rev, rev.Commit, err, h[tt.want])
			}
			snap, err := l.Snapshot(rev)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := fs.ReadFile(snap.FS, "b.yaml"); err != nil || string(got) != "side" {
				t.Errorf("b.yaml = %q, %v; want side", got, err)
			}
			if info, err := fs.Stat(snap.FS, "b.yaml"); err != nil || info.Size() != 4 {
				t.Errorf("Stat(b.yaml) = %v, %v; want 4 bytes", info, err)
			}
		})
	}
	if _, err := OpenLocal(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not inside a Git repository") {
		t.Errorf("OpenLocal outside a repository: %v", err)
	}
}

func TestLocalRepoNameHasNoCredentials(t *testing.T) {
	o, _ := history(t)
	o.git(o.work, "remote", "set-url", "origin", "https://bob:s3cret@git.example.com/fleet.git")
	l, err := OpenLocal(o.work)
	if err != nil {
		t.Fatal(err)
	}
	rev, err := l.Resolve(t.Context(), "HEAD")
	if err != nil || rev.Repo != "https://git.example.com/fleet.git" || rev.Ref != "main" {
		t.Errorf("Resolve = %+v, %v; want the origin's URL without credentials and the branch", rev, err)
	}
}

// FuzzResolve gives arbitrary text to the resolution of revisions: it must not crash.
func FuzzResolve(f *testing.F) {
	for _, seed := range []string{"HEAD~1", "~1", "^^^", "@{1}~1", "HEAD^{/x}", "00000~", "refs/heads/", "HEAD~0~00^0", "\x00"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	st, err := initBare(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rev string) {
		if hash, err := lookup(st, rev); err == nil {
			t.Errorf("lookup(%q) in an empty repository = %s", rev, hash)
		}
	})
}
