package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// brokenFS fails when the n-th file is opened.
type brokenFS struct {
	fs.FS
	left *int
}

func (b brokenFS) Open(name string) (fs.File, error) {
	if *b.left--; *b.left < 0 {
		return nil, errors.New("the disk is on fire")
	}
	return b.FS.Open(name)
}

// TestUnreadableSnapshot proves that a snapshot that cannot be read to its end is an error, wherever it stops.
func TestUnreadableSnapshot(t *testing.T) {
	snap := snapshot(oneObject)
	b := testBuilder(t)
	for n := range 100 {
		left := n
		objects, err := b.Build(t.Context(), source.Snapshot{FS: brokenFS{snap.FS, &left}}, nil)
		if err == nil && n == 0 {
			t.Fatal("the broken file system is not used")
		}
		if err == nil {
			if len(objects) != 2 {
				t.Fatalf("reading stopped before step %d, and %d objects came of it", n, len(objects))
			}
			return
		}
		if !strings.Contains(err.Error(), "on fire") {
			t.Errorf("step %d: got %v, want the reason", n, err)
		}
	}
	t.Fatal("the snapshot was never read to its end")
}

func TestLimits(t *testing.T) {
	huge := strings.Repeat("x", 2000)
	tests := []struct {
		name   string
		snap   source.Snapshot
		set    func(*Limits)
		want   string
		author bool
	}{
		{"too many files", snapshot(oneObject), func(l *Limits) { l.Files = 1 }, "more than 1 files and directories", true},
		{"too large a tree", snapshot("-- a.yaml --\n" + huge), func(l *Limits) { l.TreeBytes = 1000 }, "holds more than", true},
		{"too large a file, and used", snapshot("-- a.yaml --\n" + huge), func(l *Limits) { l.FileBytes = 1000 }, "a.yaml: the file is too large to render: 2001 bytes", true},
		{"too large a file, and used by a generator", snapshot("-- k/kustomization.yaml --\nsecretGenerator: [{name: a, files: [x]}]\n-- k/x --\n" + huge),
			func(l *Limits) { l.FileBytes = 1000 }, "secretGenerator[0].files[0]: x: the file is too large", true},
		{"too large an answer", snapshot("-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\ndata: {x: " + huge + "}\n"),
			func(l *Limits) { l.OutputBytes = 1000 }, "a.yaml: what is rendered is larger than 0 MiB", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := testBuilder(t)
			tt.set(&b.opt.Limits)
			_, err := b.Build(t.Context(), tt.snap, nil)
			var mistakes render.ManifestErrors
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &mistakes) != tt.author {
				t.Errorf("got %T %v, want one with %q, an author's mistake: %t", err, err, tt.want, tt.author)
			}
		})
	}
	t.Run("too large a file, and not used", func(t *testing.T) {
		b := testBuilder(t)
		b.opt.Limits.FileBytes = 1000
		objects, err := b.Build(t.Context(), snapshot(oneObject+"-- movie.mp4 --\n"+huge), nil)
		if err != nil || len(objects) != 2 {
			t.Errorf("got %d objects and %v, want 2: nothing uses the large file", len(objects), err)
		}
	})
}

// doubling is a repository in which every kustomization renders the one below it twice, to 2^depth objects of so many bytes.
func doubling(depth, size int) source.Snapshot {
	var b strings.Builder
	fmt.Fprintf(&b, "-- 0/kustomization.yaml --\nresources: [a.yaml]\n-- 0/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: %s}\n",
		strings.Repeat("x", size))
	for i := range depth {
		for _, side := range []string{"l", "r"} {
			fmt.Fprintf(&b, "-- %d/%s/kustomization.yaml --\nnamePrefix: %s\nresources: [../../%d]\n", i+1, side, side, i)
		}
		fmt.Fprintf(&b, "-- %d/kustomization.yaml --\nresources: [l, r]\n", i+1)
	}
	return snapshot(b.String())
}

// TestMultiplied lets kustomize multiply a small input and proves that what it takes is limited, and the author's to mend.
func TestMultiplied(t *testing.T) {
	if objects := mustBuild(t, doubling(3, 1)); len(objects) != 8 {
		t.Fatalf("three doublings came to %d objects, want 8", len(objects))
	}
	for _, tt := range []struct {
		name string
		set  func(*Limits)
		want string
	}{
		{"memory", func(l *Limits) { l.MemoryBytes = 64 << 20 }, "30: rendering it takes more than 64 MiB of memory; split it"},
		{"time", func(l *Limits) { l.Time = time.Second }, "30: rendering it takes more than 1s of processor time; split it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := testBuilder(t)
			b.opt.Patience = time.Hour // the machine may be busy
			tt.set(&b.opt.Limits)
			_, err := b.Build(t.Context(), doubling(30, 1<<20), nil)
			var mistakes render.ManifestErrors
			if !errors.As(err, &mistakes) || len(mistakes) != 1 || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %T %v, want an author's mistake that begins with %q", err, err, tt.want)
			}
		})
	}
}

// TestCrash proves that what Go says when it gets no memory is an author's mistake also when watch was not fast enough, and that
// no other crash is.
func TestCrash(t *testing.T) {
	for _, tt := range []struct {
		how    string
		author bool
		want   string
	}{
		{"exhaust", true, "more than 1024 MiB of memory"},
		{"recurse", true, "more than 1024 MiB of memory"},
		{"crash", false, "rendering child failed"},
	} {
		t.Run(tt.how, func(t *testing.T) {
			if raceEnabled && tt.how == "exhaust" {
				t.Skip("the race detector's own memory does not fit under a limit")
			}
			_, err := testBuilder(t, tt.how).Build(t.Context(), snapshot(oneObject), nil)
			var mistakes render.ManifestErrors
			if err == nil || errors.As(err, &mistakes) != tt.author || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %T %v, want one with %q, an author's mistake: %t", err, err, tt.want, tt.author)
			}
		})
	}
}

// TestEndlessTree walks trees that are small as commits and have no end as file systems.
func TestEndlessTree(t *testing.T) {
	for _, tt := range []struct {
		name string
		fsys fs.FS
		want string
	}{
		{"wide", endlessFS{10, 90}, ".: the repository holds more than 50000 files and directories"},
		{"deep", endlessFS{1, 1000}, "d0: has directories that are more than 100 deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := testBuilder(t).Build(t.Context(), source.Snapshot{FS: tt.fsys}, nil)
			var mistakes render.ManifestErrors
			if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %T %v, want an author's mistake with %q", err, err, tt.want)
			}
		})
	}
}

// endlessFS is a directory that holds itself under several names, down to a depth.
type endlessFS struct{ names, depth int }

// Open implements fs.FS. It is all that is asked for besides ReadDir.
func (endlessFS) Open(string) (fs.File, error) { return fstest.MapFS{}.Open(".") }

// ReadDir implements fs.ReadDirFS.
func (f endlessFS) ReadDir(name string) ([]fs.DirEntry, error) {
	dir := fstest.MapFS{}
	for i := range f.names {
		if strings.Count(name, "/") < f.depth {
			dir[fmt.Sprint("d", i)] = &fstest.MapFile{Mode: fs.ModeDir}
		}
	}
	return dir.ReadDir(".")
}

// TestOddLinks has links in commits that no file system can hold.
func TestOddLinks(t *testing.T) {
	for name, target := range map[string]string{"NUL": "a\x00b", "too long": strings.Repeat("a/", 5000)} {
		snap := source.Snapshot{FS: fstest.MapFS{"l.yaml": {Data: []byte(target), Mode: fs.ModeSymlink}}}
		_, err := testBuilder(t).Build(t.Context(), snap, nil)
		var mistakes render.ManifestErrors
		if want := "l.yaml: the symbolic link names"; !errors.As(err, &mistakes) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %T %v, want an author's mistake with %q", name, err, err, want)
		}
	}
}
