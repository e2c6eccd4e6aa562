package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

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
		{"too many files", snapshot(oneObject), func(l *Limits) { l.Files = 1 }, "more than 1 files", true},
		{"too large a tree", snapshot("-- a.yaml --\n" + huge), func(l *Limits) { l.TreeBytes = 1000 }, "holds more than", true},
		{"too large a file, and used", snapshot("-- a.yaml --\n" + huge), func(l *Limits) { l.FileBytes = 1000 }, "a.yaml: the file is too large to render: 2001 bytes", true},
		{"too large a file, and used by a generator", snapshot("-- k/kustomization.yaml --\nsecretGenerator: [{name: a, files: [x]}]\n-- k/x --\n" + huge),
			func(l *Limits) { l.FileBytes = 1000 }, "secretGenerator[0].files[0]: x: the file is too large", true},
		{"too large an answer", snapshot("-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\ndata: {x: " + huge + "}\n"),
			func(l *Limits) { l.OutputBytes = 1000 }, "the rendered objects are larger than the limit", false},
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

// TestMemoryLimit lets kustomize multiply a small input, and proves that the child dies of it and says so.
func TestMemoryLimit(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory does not fit under a limit")
	}
	b := testBuilder(t)
	b.opt.Limits.MemoryBytes = 128 << 20
	var files strings.Builder
	for i := range 40 {
		fmt.Fprintf(&files, "-- f%d --\n%s\n", i, strings.Repeat("x", 2<<20))
	}
	_, err := b.Build(t.Context(), snapshot(files.String()), nil)
	if err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v, want out of memory", err)
	}
}
