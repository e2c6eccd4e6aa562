package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/gitfleet/gitfleet/test/localfleet/supervisor"
)

const downTimeout = 30 * time.Second

// down ends the fleet and returns when nothing of it is left.
func down(ctx context.Context, layout supervisor.Layout) error {
	if err := running(layout); err == nil {
		ctx, cancel := context.WithTimeout(ctx, downTimeout)
		defer cancel()
		if err := (supervisor.Client{Layout: layout}).Down(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "localfleet: the supervisor does not answer and will be killed: %v\n", err)
			if err := kill(layout); err != nil {
				return err
			}
		}
	}
	lock, err := await(ctx, layout)
	if errors.Is(err, supervisor.ErrAbsent) {
		return err
	}
	if err != nil {
		if err := kill(layout); err != nil {
			return err
		}
		if lock, err = await(ctx, layout); err != nil {
			return err
		}
	}
	err = layout.Clean()
	fmt.Printf("nothing of the fleet is left in %s but its logs\n", layout.Dir)
	return errors.Join(err, lock.Close())
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
