package fleet

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// follower notices changes of files. It watches the directories around them, because a file that is replaced is another
// file, and looks for itself now and then, because not every file system tells.
type follower struct {
	timing fileTiming
	fs     *fsnotify.Watcher // nil when the system has no more to give; then looking must do
	dirs   map[string]bool   // every visible file in them counts
	names  map[string]bool   // these paths count
	well   bool              // at the last reading
}

func newFollower(t fileTiming) *follower {
	f := &follower{timing: t}
	if fs, err := fsnotify.NewWatcher(); err == nil {
		f.fs = fs
	}
	return f
}

// cover makes the follower watch what a reading depends on, and nothing else.
func (f *follower) cover(looked lookedAt, well bool) {
	f.well, f.dirs, f.names = well, map[string]bool{}, map[string]bool{}
	around := map[string]bool{}
	add := func(path string) {
		for _, step := range trail(path) {
			f.names[step] = true
			around[filepath.Dir(step)] = true
		}
	}
	for _, file := range looked.files {
		add(file)
	}
	for _, dir := range looked.dirs {
		add(dir)
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if abs, err := filepath.Abs(dir); err == nil {
			f.dirs[abs], around[abs] = true, true
		}
	}
	if f.fs == nil {
		return
	}
	watched := f.fs.WatchList()
	for _, dir := range watched {
		if !around[dir] {
			_ = f.fs.Remove(dir) // one that is gone already is none
		}
	}
	for dir := range around {
		if !slices.Contains(watched, dir) && f.fs.Add(dir) != nil {
			f.well = false // it is not there, or there are too many: looked at again soon
		}
	}
}

// counts tells whether a change of the path can be a change of what was read.
func (f *follower) counts(path string) bool {
	return f.names[path] || f.dirs[path] || f.dirs[filepath.Dir(path)] && !strings.HasPrefix(filepath.Base(path), ".")
}

// run calls read after every change, and now and then, until ctx ends.
func (f *follower) run(ctx context.Context, read func() (lookedAt, bool)) {
	var events chan fsnotify.Event
	var lost chan error
	if f.fs != nil {
		defer f.fs.Close()
		events, lost = f.fs.Events, f.fs.Errors
	}
	timer := time.NewTimer(f.pause())
	defer timer.Stop()
	settling := false
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-events:
			if settling || !f.counts(event.Name) {
				continue
			}
			settling = true
			timer.Reset(f.timing.settle)
		case <-lost: // events, too many of them to tell
			settling = true
			timer.Reset(f.timing.settle)
		case <-timer.C:
			f.cover(read())
			settling = false
			timer.Reset(f.pause())
		}
	}
}

func (f *follower) pause() time.Duration {
	if f.well {
		return f.timing.poll
	}
	return f.timing.retry
}

// trail returns every path whose replacement changes what path leads to: the symbolic links on the way, and the end.
func trail(path string) []string {
	const longest = 40 // as in Linux
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var out []string
	for range longest {
		link, rest := firstLink(path)
		if link == "" {
			break
		}
		out = append(out, link)
		target, err := os.Readlink(link)
		if err != nil {
			return out
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		path = filepath.Join(target, rest)
	}
	return append(out, path)
}

// firstLink returns the first symbolic link on the way to an absolute path, and what follows it; "" when there is none.
func firstLink(path string) (link, rest string) {
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != filepath.Separator {
			continue
		}
		info, err := os.Lstat(path[:end])
		if err != nil {
			return "", ""
		}
		if info.Mode()&os.ModeSymlink != 0 {
			return path[:end], path[end:]
		}
	}
	return "", ""
}
