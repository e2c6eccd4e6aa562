package reconcile

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// worker is one kind of background work: at most one piece runs, and one that failed waits before the next try.
type worker struct {
	running  bool
	cancel   context.CancelFunc
	failures int
	retryAt  time.Time
	pieces   sync.WaitGroup // done once nothing is under way, also when nobody wants the result
}

// start runs do in the background and folds its result in the loop. The worker must not be running. When ctx ends, do is
// cancelled and its result is of no interest any more.
func start[T any](ctx context.Context, l *Loop, w *worker, do func(context.Context) T, fold func(T)) {
	workCtx, cancel := context.WithCancel(ctx)
	w.running, w.cancel = true, cancel
	w.pieces.Add(1)
	l.work.Go(func() {
		defer cancel()
		result := do(workCtx)
		w.pieces.Done()
		l.post(ctx, func() {
			w.running, w.cancel = false, nil
			fold(result)
		})
	})
}

// panicError is a panic. It does not say of what: others read it, and what it is about may be secret to them.
type panicError struct {
	value any
	stack []byte
}

func (*panicError) Error() string {
	return "gitfleet failed at it, which is a bug: its log tells where"
}

// details are what the log tells of err besides.
func details(err error) []any {
	var p *panicError
	if !errors.As(err, &p) {
		return nil
	}
	return []any{"panic", fmt.Sprint(p.value), "stack", string(p.stack)}
}

// guarded returns a panic of do as an error: what strangers push must not end the daemon.
func guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return do()
}

// Retry delays of failed work double from the first to the last.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// failed puts the next try off.
func (w *worker) failed(now time.Time) {
	w.retryAt = now.Add(min(firstRetry<<min(w.failures, 10), lastRetry))
	w.failures++
}

// succeeded clears the record of failures.
func (w *worker) succeeded() { w.failures, w.retryAt = 0, time.Time{} }

// ready tells whether work may start now.
func (w *worker) ready(now time.Time) bool { return !w.running && !now.Before(w.retryAt) }

// stop cancels the piece of work that runs, if any.
func (w *worker) stop() {
	if w.cancel != nil {
		w.cancel()
	}
}
