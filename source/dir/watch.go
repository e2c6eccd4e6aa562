package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher tells when a directory may have changed. It watches every directory of the tree, and the nearest directory
// above it that exists, to see the tree go and come. Whenever a directory comes or moves, all watches are made anew:
// the system watches what a path meant when the watch was made, and nothing less keeps that in step with paths.
type watcher struct {
	root    string
	add     func(w *fsnotify.Watcher, dir string) error
	changed chan struct{} // holds a token after a burst
	check   chan struct{} // holds a token when the watches should be looked after

	stop chan struct{}
	once sync.Once
	done chan struct{} // closed when nothing runs any more

	mu  sync.Mutex
	err error // why not everything is watched

	// Everything below belongs to the goroutine of run.
	notify *fsnotify.Watcher // nil where there is none to be had
	dirs   int               // directories of the tree that are watched
	at     fs.FileInfo       // the directory that the root was; nil when there was none
}

func newWatcher(root string) *watcher {
	return &watcher{
		root: root, add: (*fsnotify.Watcher).Add,
		changed: make(chan struct{}, 1), check: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// start returns when the watches are in place, so that no change after it goes unnoticed.
func (w *watcher) start() {
	w.rebuild()
	go w.run()
}

func (w *watcher) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.done
}

func (w *watcher) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// recheck has the watches made anew if they are not those of the tree that is there now. It does not wait.
func (w *watcher) recheck() { offer(w.check) }

// offer puts a token into a channel that has room for one.
func offer(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // nobody took the one before yet
	}
}

// run notes events until the end of their burst, and then brings the watches up to date before it offers a token: what
// happens after the token is taken is an event again.
func (w *watcher) run() {
	defer close(w.done)
	defer w.drop()
	end := time.NewTimer(time.Hour)
	defer end.Stop()
	end.Stop()
	var b burst
	stale := false // the watches are not those of the directories any more
	for {
		events, errs := w.channels()
		select {
		case <-w.stop:
			return
		case e := <-events:
			if w.concerns(e) {
				stale = stale || w.moves(e)
				end.Reset(b.rest(time.Now()))
			}
		case <-errs: // events were lost
			stale = true
			end.Reset(b.rest(time.Now()))
		case <-w.check:
			w.lookAfter()
		case <-end.C:
			if stale || w.failure() != nil {
				w.rebuild()
			}
			b, stale = burst{}, false
			offer(w.changed)
		}
	}
}

// burst is a row of events that end in one token.
type burst struct{ first time.Time }

const (
	quiet  = 100 * time.Millisecond // without an event: the burst is over
	latest = time.Second            // after the first event the burst is over in any case
)

// rest returns how long to wait for more after an event at now.
func (b *burst) rest(now time.Time) time.Duration {
	if b.first.IsZero() {
		b.first = now
	}
	return max(0, min(quiet, latest-now.Sub(b.first)))
}

func (w *watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.notify == nil {
		return nil, nil
	}
	return w.notify.Events, w.notify.Errors
}

// concerns tells whether an event is about the tree, or about a directory above it.
func (w *watcher) concerns(e fsnotify.Event) bool {
	name := filepath.Clean(e.Name)
	return name == w.root || within(w.root, name) || within(name, w.root) && !leftOut(filepath.Base(name))
}

// moves tells whether an event brings a directory to a path, or may do so to the root. One that goes leaves at worst a
// watch too many.
func (w *watcher) moves(e fsnotify.Event) bool {
	name := filepath.Clean(e.Name)
	if name == w.root || within(w.root, name) {
		return e.Op != fsnotify.Write
	}
	info, err := os.Lstat(name)
	return err == nil && info.IsDir()
}

// within tells whether name lies below dir.
func within(name, dir string) bool {
	return strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// lookAfter makes the watches anew where there are none to lose, or where another directory took the place of the root
// unseen. A directory that could not be watched is tried again after the next burst.
func (w *watcher) lookAfter() {
	none := w.notify == nil
	info, err := os.Stat(w.root)
	gone := err != nil && w.at != nil
	replaced := err == nil && (w.at == nil || !os.SameFile(info, w.at))
	if !none && !gone && !replaced {
		return
	}
	w.rebuild()
	if gone || replaced || none && w.notify != nil {
		offer(w.changed) // nobody saw what happened until now
	}
}

// rebuild makes all watches anew and notes why some are missing.
func (w *watcher) rebuild() {
	w.drop()
	w.at = nil
	if info, err := os.Stat(w.root); err == nil {
		w.at = info
	}
	err := w.build()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		w.drop() // others need watches too
		err = fmt.Errorf("%w: the system's limit is reached; raise fs.inotify.max_user_watches and max_user_instances", err)
	}
	if err != nil {
		err = fmt.Errorf("directory %s: changes are noticed at the polling interval only: %w", w.root, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *watcher) drop() {
	if w.notify != nil {
		_ = w.notify.Close() // nothing is written through it
	}
	w.notify, w.dirs = nil, 0
}

func (w *watcher) build() error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	w.notify = notify
	above := w.watchAbove()
	if err := w.watchTree(w.root); err != nil {
		return err
	}
	if w.dirs == 0 {
		return above // nothing else would tell when the tree is back
	}
	return nil
}

// watchAbove watches the nearest directory above the root that exists.
func (w *watcher) watchAbove() error {
	for dir := filepath.Dir(w.root); ; dir = filepath.Dir(dir) {
		err := w.add(w.notify, dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return err
		}
	}
}

// watchTree watches dir and the directories below it. Each is watched before it is listed, so that a directory made
// meanwhile is in the list or an event. It goes on after a directory that cannot be watched and returns the first error,
// but gives up where the system has no more watches.
func (w *watcher) watchTree(dir string) error {
	if w.dirs >= defaultLimits.entries {
		return fmt.Errorf("there are more than %d directories", defaultLimits.entries)
	}
	if err := w.add(w.notify, dir); err != nil {
		return present(err)
	}
	w.dirs++
	entries, err := os.ReadDir(dir)
	first := present(err)
	for _, e := range entries {
		if !e.IsDir() || leftOut(e.Name()) {
			continue
		}
		if err := w.watchTree(filepath.Join(dir, e.Name())); err != nil && first == nil {
			first = err
		}
		if errors.Is(first, syscall.ENOSPC) {
			break
		}
	}
	return first
}

// present returns err unless it says that the directory is gone, of which there is an event.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}
