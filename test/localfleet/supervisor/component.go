package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
	// A component that lived this long had started well: the next restart is quick again.
	livedWell = 10 * time.Second
)

// component is one control plane process that is kept alive.
type component struct {
	name    string
	args    []string // of this same binary: the first one names the component
	dir     string   // working directory; socket names are relative to it, as paths of sockets must be short
	log     string   // file for its output
	changed func()   // called after every start and end
	while   func(context.Context)
	logger  *slog.Logger

	mu       sync.Mutex
	pid      int
	restarts int
}

// run starts the process, and starts it again whenever it ends, until ctx ends; then it kills the process and waits
// for it. While the process lives so does the context that `while` is called with.
//
// SIGKILL is enough: every one of these programs must survive it, and a fleet that is taken down has nothing to save.
func (c *component) run(ctx context.Context) {
	// The kernel sends the parent-death signal when the thread that forked ends, not the process: keep this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := c.once(ctx)
		c.set(0)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > livedWell {
			pause = firstPause
		}
		c.logger.Warn("component ended, will be started again", "component", c.name, "err", err, "pause", pause, "log", c.log)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
		c.mu.Lock()
		c.restarts++
		c.mu.Unlock()
	}
}

func (c *component) once(ctx context.Context) error {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of %s: %w", c.name, err)
	}
	defer func() { _ = out.Close() }() // the child has its own descriptor
	cmd := exec.CommandContext(ctx, "/proc/self/exe", c.args...)
	cmd.Args[0] = "localfleet"
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing is left when the supervisor is killed
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.set(cmd.Process.Pid)
	alive, ended := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if c.while != nil {
		wg.Go(func() { c.while(alive) })
	}
	err = cmd.Wait()
	ended()
	wg.Wait()
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (c *component) set(pid int) {
	c.mu.Lock()
	c.pid = pid
	c.mu.Unlock()
	c.changed()
}

func (c *component) state() ComponentState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ComponentState{Name: c.name, PID: c.pid, Restarts: c.restarts}
}
