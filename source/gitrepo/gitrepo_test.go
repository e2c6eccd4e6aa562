package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/source"
)

func open(t *testing.T, opts Options) *Repository {
	t.Helper()
	if opts.CacheDir == "" {
		opts.CacheDir = t.TempDir()
	}
	r, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("Open(%+v): %v", opts, err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func fetch(t *testing.T, r *Repository, want string) source.Revision {
	t.Helper()
	rev, err := r.Fetch(t.Context())
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	if rev.Commit != want {
		t.Fatalf("Fetch returned commit %s, want %s", rev.Commit, want)
	}
	return rev
}

// wantFile reads a file of the last good revision.
func wantFile(t *testing.T, r *Repository, name, want string) {
	t.Helper()
	rev, ok := r.Last()
	if !ok {
		t.Fatal("Last: there is no revision")
	}
	snap, err := r.Snapshot(rev)
	if err != nil {
		t.Fatalf("Snapshot(%s): %v", rev.Commit, err)
	}
	got, err := fs.ReadFile(snap.FS, name)
	if err != nil || string(got) != want {
		t.Fatalf("%s at %.8s holds %q, %v; want %q", name, rev.Commit, got, err, want)
	}
}

// wantProblem fetches, expects a failure of this kind, and that the last good file is still there.
func wantProblem(t *testing.T, r *Repository, problem Problem, words ...string) *Error {
	t.Helper()
	before, had := r.Last()
	_, err := r.Fetch(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Problem != problem {
		t.Fatalf("Fetch: error %v, want one with problem %q", err, problem)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not contain %q", err, w)
		}
	}
	if after, ok := r.Last(); after != before || ok != had {
		t.Errorf("a failed fetch changed the last good revision from %+v to %+v", before, after)
	}
	return e
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := Options{URL: "https://git.example.com/fleet.git", CacheDir: t.TempDir()}
	with := func(change func(*Options)) Options { o := good; change(&o); return o }
	for _, tt := range []struct {
		name string
		opts Options
		want string
	}{
		{"no URL", with(func(o *Options) { o.URL = "" }), "URL is empty"},
		{"a path", with(func(o *Options) { o.URL = "/srv/fleet.git" }), "file:///srv/fleet.git"},
		{"ssh", with(func(o *Options) { o.URL = "ssh://git@example.com/x" }), `scheme "ssh"`},
		{"the short form of ssh", with(func(o *Options) { o.URL = "git@example.com:org/x" }), "https://HOST/PATH"},
		{"no host", with(func(o *Options) { o.URL = "https:///x" }), "no host"},
		{"a host in a file URL", with(func(o *Options) { o.URL = "file://srv/x" }), "absolute path"},
		{"a query", with(func(o *Options) { o.URL = "https://h/x?token=s3cret" }), "query"},
		{"a password in a URL that is wrong elsewhere", with(func(o *Options) { o.URL = "https://u:s3cret@h:port/x" }), "cannot be parsed"},
		{"no cache directory", with(func(o *Options) { o.CacheDir = "" }), "cache directory"},
		{"a cache directory that is a file", with(func(o *Options) { o.CacheDir = file }), "can be written"},
		{"a ref that is no branch", with(func(o *Options) { o.Ref = "refs/tags/v1" }), "name of a branch"},
		{"a ref that climbs", with(func(o *Options) { o.Ref = "a/../../b" }), "name of a branch"},
		{"a ref with a space", with(func(o *Options) { o.Ref = "a b" }), "name of a branch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(t.Context(), tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Open: %v, want an error containing %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestFileURLNeedsGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Open(t.Context(), Options{URL: "file:///srv/x.git", CacheDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "install git") {
		t.Errorf("Open without a git binary: %v", err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	opts := Options{URL: "https://git.example.com/x.git", CacheDir: dir}
	r := open(t, opts)
	_, err := Open(t.Context(), opts)
	if want := fmt.Sprintf("process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open: %v; want an error with the directory and %q", err, want)
	}
	other := opts
	other.URL = "https://git.example.com/y.git"
	open(t, other) // another repository may share the directory
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, opts)
}
