// Package kustomize renders a snapshot with kustomize, in a child process that can reach neither the network nor other
// programs and has limits on time and memory. kustomize keeps global state and fetches whatever a kustomization names, so
// no manifest is ever built in the process that holds credentials.
package kustomize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// Options are what a Builder needs.
type Options struct {
	// Command starts the child: a program that calls Main, with its arguments. The program is named by an absolute
	// path, because the child has no PATH.
	Command []string
	// Children is how many processes share the roots of one snapshot; 2 unless set.
	Children int
	// Limits are for each child; a field that is zero gets its default.
	Limits Limits
	// Patience is how long a build may take, whatever it waits for; five times Limits.Time unless set. A child that comes to it
	// did not get to compute, which is the machine's fault.
	Patience time.Duration
}

// Builder renders snapshots. One snapshot is rendered at a time; others wait. It holds no processes between builds.
type Builder struct {
	opt  Options
	turn chan struct{}
}

// New returns a Builder.
func New(opt Options) *Builder {
	opt.Children = cmp.Or(opt.Children, 2)
	l := &opt.Limits
	l.Time = cmp.Or(l.Time, time.Minute)
	opt.Patience = cmp.Or(opt.Patience, 5*l.Time)
	l.MemoryBytes = cmp.Or(l.MemoryBytes, 1<<30)
	l.Files = cmp.Or(l.Files, 50_000)
	l.FileBytes = cmp.Or(l.FileBytes, 10<<20)
	l.TreeBytes = cmp.Or(l.TreeBytes, 256<<20)
	l.OutputBytes = cmp.Or(l.OutputBytes, 256<<20)
	return &Builder{opt: opt, turn: make(chan struct{}, 1)}
}

// Build renders the directories paths of snap (all of it when there are none) and returns the objects in the order of
// their roots, and within a root in kustomize's order. Mistakes of the authors come as render.ManifestErrors, all at
// once, including those of the objects that could be rendered; a snapshot that takes more than the limits is such a mistake,
// since the next attempt would take as much. Any other error says that the answer is not known: the snapshot could not be
// read, the child died, or did not get to work. Objects are returned only without an error.
func (b *Builder) Build(ctx context.Context, snap source.Snapshot, paths []string) ([]render.Object, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, p := range paths {
		if !validPath(p) {
			return nil, fmt.Errorf("path %q must be relative to the repository and stay in it", p)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, b.opt.Patience, fmt.Errorf("rendering took longer than %s", b.opt.Patience))
	defer cancel()
	answers, err := b.ask(limited, snap, paths)
	if err != nil {
		return nil, err
	}
	return merge(answers)
}

// merge puts the answers of all children together, in the order of the roots.
func merge(answers []answer) ([]render.Object, error) {
	var units []unit
	var mistakes render.ManifestErrors
	for _, a := range answers {
		units = append(units, a.units...)
		mistakes = append(mistakes, a.mistakes...)
	}
	slices.SortFunc(units, func(a, b unit) int { return cmp.Compare(a.index, b.index) })
	var objects, sources []render.Object
	for _, u := range units {
		for i := range u.objects {
			u.objects[i].Origin.Root = u.name
		}
		objects = append(objects, u.objects...)
		sources = append(sources, u.sources...)
	}
	if len(mistakes) > 0 {
		return nil, render.MergeErrors(mistakes, render.Check(objects), render.CheckFields(sources))
	}
	if len(sources) > 0 {
		return nil, fmt.Errorf("rendering child: %s was not rendered, and no reason given", sources[0].Origin)
	}
	return objects, nil
}

// ask starts the children, feeds each the whole snapshot and collects their answers. The first failure ends them all.
func (b *Builder) ask(ctx context.Context, snap source.Snapshot, paths []string) ([]answer, error) {
	group, ctx := errgroup.WithContext(ctx)
	var children []*process
	opt := b.opt
	if small(snap.FS) {
		opt.Children = 1
	}
	for shard := range opt.Children {
		c, err := start(ctx, opt, shard, paths)
		if err != nil {
			return nil, errors.Join(err, stop(children))
		}
		children = append(children, c)
	}
	var fed error
	group.Go(func() error {
		fed = feed(ctx, children, snap, b.opt.Limits)
		return fed
	})
	answers := make([]answer, len(children))
	for i, c := range children {
		group.Go(func() error {
			var err error
			answers[i], err = c.collect(ctx, b.opt.Limits)
			return err
		})
	}
	err := group.Wait()
	if fed != nil {
		return nil, fed // children that got half a snapshot may have complained sooner
	}
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// smallTree is the number of files and directories below which a second process costs more than it saves.
const smallTree = 32

// small tells whether a tree has few files and directories. One that cannot be read is not: what is wrong shows when it is fed.
func small(tree fs.FS) bool {
	entries := 0
	err := fs.WalkDir(tree, ".", func(_ string, _ fs.DirEntry, err error) error {
		if entries++; err == nil && entries >= smallTree {
			return fs.SkipAll
		}
		return err
	})
	return err == nil && entries < smallTree
}
