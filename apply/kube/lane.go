package kube

import (
	"context"
	"sync"

	"github.com/gitfleet/gitfleet/apply"
)

// Lane executes plans for one member one after the other, in a goroutine of its own. A plan that waits is replaced by a
// newer one: only the newest counts.
type Lane struct {
	executor *Executor
	done     func(apply.Result)
	cancel   context.CancelFunc
	stopped  chan struct{}
	wake     chan struct{} // holds one token while a plan waits

	mu      sync.Mutex
	waiting *apply.Plan
}

// NewLane starts a lane. done is called with the result of every plan that was executed, by the lane's own goroutine, so
// no further plan is begun before it returns.
func NewLane(e *Executor, done func(apply.Result)) *Lane {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Lane{executor: e, done: done, cancel: cancel, stopped: make(chan struct{}), wake: make(chan struct{}, 1)}
	go l.run(ctx)
	return l
}

// Submit has p executed after the plan that is being executed now, instead of any other that waits. It never blocks.
func (l *Lane) Submit(p apply.Plan) {
	l.mu.Lock()
	l.waiting = &p
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close cancels the plan being executed and waits until it has ended. A plan that waits is dropped.
func (l *Lane) Close() {
	l.cancel()
	<-l.stopped
}

func (l *Lane) run(ctx context.Context) {
	defer close(l.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.mu.Lock()
		plan := l.waiting
		l.waiting = nil
		l.mu.Unlock()
		if plan != nil && ctx.Err() == nil {
			l.done(l.executor.Execute(ctx, *plan))
		}
	}
}
