package web

import (
	"sync"
	"time"
)

// Bell turns any number of rings into few signals: one at once, and then no more than one in each interval. After the last
// ring there is always a signal to come. It may be rung from any goroutine.
type Bell struct {
	interval time.Duration
	signals  chan struct{}

	mu    sync.Mutex
	next  time.Time // before this there is no signal
	armed bool      // a timer will give the next one
}

// NewBell returns a bell that gives at most one signal an interval.
func NewBell(interval time.Duration) *Bell {
	return &Bell{interval: interval, signals: make(chan struct{}, 1)}
}

// Signals is what a listener receives from. A signal that nobody has taken yet stands for all that would follow it.
func (b *Bell) Signals() <-chan struct{} { return b.signals }

// Ring asks for a signal. It never blocks.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.armed {
		return
	}
	if wait := time.Until(b.next); wait > 0 {
		b.armed = true
		time.AfterFunc(wait, b.fire)
		return
	}
	b.signal()
}

func (b *Bell) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = false
	b.signal()
}

// signal is called with mu held.
func (b *Bell) signal() {
	b.next = time.Now().Add(b.interval)
	select {
	case b.signals <- struct{}{}:
	default:
	}
}
