package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// relistMax is the longest pause before a failing list or watch is tried again. A member that is unreachable is waited
// for otherwise; this is for one that answers with errors.
const relistMax = 30 * time.Second

func (w *Watch) relistBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: w.session.link.timing.relist, Factor: 2, Jitter: 1, Steps: 10, Cap: relistMax}
}

// run keeps the watch alive until its context ends: it waits until the kind is served, and then has a client-go
// reflector list and watch it for as long as it is.
func (w *Watch) run() {
	// Reflectors log through the context's logger; all that matters is in Err.
	ctx := klog.NewContext(w.ctx, logr.Discard())
	backoff := w.relistBackoff()
	for ctx.Err() == nil {
		err := w.awaitServed(ctx)
		if err == nil {
			began := time.Now()
			w.reflect(ctx)
			if time.Since(began) > relistMax {
				backoff = w.relistBackoff()
			}
			w.session.catalog.invalidate(w.spec.Resource.Group, time.Now())
		}
		if !errors.Is(err, errNotServed) {
			pause(ctx, backoff.Step())
		}
	}
}

// awaitServed returns nil when discovery shows the kind, errNotServed when it did not and something has changed since
// that makes asking again worthwhile, and otherwise why discovery cannot tell.
func (w *Watch) awaitServed(ctx context.Context) error {
	if w.builtin {
		return nil
	}
	if _, err := w.session.link.wait(ctx); err != nil {
		return err
	}
	news := w.session.catalog.news()
	kind, err := w.session.catalog.kind(ctx, w.spec.Resource)
	if err == nil {
		w.kind = kind
		return nil
	}
	if !errors.Is(err, errNotServed) {
		w.outdated(fmt.Errorf("discovery: %w", err))
		return err
	}
	w.outdated(err)
	timer := time.NewTimer(w.session.link.timing.unwatched)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
			return err
		case <-timer.C:
			if w.session.definitions.Err() == nil {
				timer.Reset(w.session.link.timing.unwatched)
				continue // they are watched: news will come
			}
			w.session.catalog.invalidate(w.spec.Resource.Group, time.Now().Add(-w.session.link.timing.settle))
			return err
		}
	}
}

// reflect lists and watches until ctx ends or the kind is no longer served.
func (w *Watch) reflect(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	logger := logr.Discard()
	source := &listWatcher{watch: w, notServed: cancel}
	cache.NewReflectorWithOptions(source, nil, &reflectorStore{source}, cache.ReflectorOptions{
		Name: w.session.name + "/" + w.spec.Key, TypeDescription: w.what(), Logger: &logger, Backoff: w.relistBackoff(),
	}).RunWithContext(ctx)
}

// listWatcher is what a reflector lists and watches with. It waits for the member instead of failing while that is
// unreachable, and notes every failure in the watch.
type listWatcher struct {
	watch     *Watch
	notServed func()
	epoch     int // connection of the latest list's first page
}

var _ cache.ListerWatcherWithContext = (*listWatcher)(nil)

// IsWatchListSemanticsUnSupported makes the reflector list with a plain request. It retries a streaming list that is
// cut without any pause.
func (l *listWatcher) IsWatchListSemanticsUnSupported() bool { return true }

// List implements cache.Lister.
func (l *listWatcher) List(options metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(l.watch.ctx, options)
}

// Watch implements cache.Watcher.
func (l *listWatcher) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(l.watch.ctx, options)
}

// ListWithContext implements cache.ListerWithContext.
func (l *listWatcher) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	conn, err := l.watch.session.link.wait(ctx)
	if err != nil {
		return nil, err
	}
	ctx, leave := conn.bind(ctx)
	defer leave()
	if options.Continue == "" {
		l.epoch = conn.epoch
	}
	if options.ResourceVersion == "0" {
		options.ResourceVersion = "" // "0" may be answered with a state from before our own last write
	}
	list, err := l.list(ctx, l.selected(options))
	if err == nil {
		return list, nil
	}
	if ctx.Err() == nil {
		l.failed("list", err, l.watch.outdated)
	}
	return nil, err
}

// WatchWithContext implements cache.WatcherWithContext.
func (l *listWatcher) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	conn, err := l.watch.session.link.wait(ctx)
	if err != nil {
		return nil, err
	}
	if conn.epoch != l.epoch {
		// The member may have been away and restored from a backup, so a resource version from before means nothing.
		return nil, apierrors.NewResourceExpired(errRelist.Error())
	}
	// Without this, client-go would retry a request of this connection on the next one.
	ctx, leave := conn.bind(context.WithValue(ctx, streamKey{}, observer(l.watch)))
	stream, err := l.stream(ctx, l.selected(options))
	if err == nil {
		return newRelay(stream, func(err error) {
			if ctx.Err() == nil {
				l.watch.streamError(err)
			}
		}, leave), nil
	}
	defer leave()
	switch {
	case ctx.Err() != nil:
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		l.watch.outdated(err)
	default:
		l.failed("watch", err, l.watch.broken)
	}
	return nil, err
}

// failed notes an error. A path that is not there means that the kind is not.
func (l *listWatcher) failed(verb string, err error, note func(error)) {
	if apierrors.IsNotFound(err) {
		note(fmt.Errorf("%w: %w", errNotServed, err))
		l.notServed()
		return
	}
	note(denied(verb, l.watch.spec, err))
}

func (l *listWatcher) selected(options metav1.ListOptions) metav1.ListOptions {
	options.LabelSelector, options.FieldSelector = l.watch.spec.LabelSelector, l.watch.spec.FieldSelector
	return options
}

// list returns one page, reduced: the whole objects of all pages together may be more than fits.
func (l *listWatcher) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	spec, s := l.watch.spec, l.watch.session
	if spec.Metadata {
		list, err := s.own.Metadata.Resource(spec.Resource).Namespace(spec.Namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		return reducePage(l.watch, list, list.Items)
	}
	list, err := s.own.Dynamic.Resource(spec.Resource).Namespace(spec.Namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	return reducePage(l.watch, list, list.Items)
}

func (l *listWatcher) stream(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	spec, s := l.watch.spec, l.watch.session
	options.Watch = true
	if spec.Metadata {
		return s.own.Metadata.Resource(spec.Resource).Namespace(spec.Namespace).Watch(ctx, options)
	}
	return s.own.Dynamic.Resource(spec.Resource).Namespace(spec.Namespace).Watch(ctx, options)
}
