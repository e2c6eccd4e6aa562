package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"encoding/json"

	"github.com/gitfleet/gitfleet/test/localfleet/supervisor"
)

// eventSink returns a function that writes events one by one, from any goroutine.
func eventSink(to *json.Encoder) func(supervisor.Event) {
	var mu sync.Mutex
	return func(e supervisor.Event) {
		mu.Lock()
		defer mu.Unlock()
		_ = to.Encode(e) // the reader has gone: it was only interested in the start
	}
}

// await returns the directory's lock as soon as no supervisor holds it.
func await(ctx context.Context, layout supervisor.Layout) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	for {
		lock, err := layout.Lock()
		if !errors.Is(err, supervisor.ErrRunning) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w after %s", err, downTimeout)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends a supervisor that does not listen. It is called only while the lock is held, so the number in the state
// file is that of a living supervisor. The kernel ends its children.
func kill(layout supervisor.Layout) error {
	s, err := layout.ReadState()
	if err != nil {
		return err
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the supervisor %d: %w", s.PID, err)
	}
	return nil
}
