package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gitfleet/gitfleet/test/localfleet/supervisor"
)

const (
	answerTimeout = 5 * time.Second  // for the supervisor to say that it heard
	downTimeout   = 30 * time.Second // for everything to be gone
	lockPoll      = 20 * time.Millisecond
)

// down ends the fleet and returns when nothing of it is left.
func down(ctx context.Context, layout supervisor.Layout) error {
	var processes []int
	if err := running(layout); err == nil {
		if s, err := layout.ReadState(); err == nil {
			processes = s.PIDs()
		}
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
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
	// The kernel lets go of the lock before the process that held it is gone.
	err = errors.Join(gone(processes), layout.Clean())
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
		case <-time.After(lockPoll):
		}
	}
}

// kill ends a supervisor that does not listen, and waits for its children, which the kernel ends with it. It is called
// only while the lock is held, so the number in the state file is that of a living supervisor.
func kill(layout supervisor.Layout) error {
	s, err := layout.ReadState()
	if err != nil {
		return err
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the supervisor %d: %w", s.PID, err)
	}
	return gone(s.PIDs())
}

// gone waits until processes have ended.
func gone(pids []int) error {
	deadline := time.Now().Add(downTimeout)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !isZombie(pid) {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d of the fleet is left", pid)
			}
			time.Sleep(lockPoll)
		}
	}
	return nil
}

// isZombie tells whether a process is dead and only waits to be collected by its parent.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ") // the program's name stands before it, in parentheses
	return err == nil && strings.HasPrefix(rest, "Z")
}
