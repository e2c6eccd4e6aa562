package kustomize

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

var errOutput = errors.New("the rendered objects are larger than the limit")

// process is one running child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.Reader
	stderr *beginning
}

// start starts a child in a process group of its own, which dies with ctx, and sends it its request. Its environment
// holds the Go runtime's memory settings and nothing else. A larger heap makes kustomize about twice as fast.
func start(ctx context.Context, opt Options, shard int, paths []string) (*process, error) {
	line, err := json.Marshal(request{Paths: paths, Shard: shard, Shards: opt.Children, Limits: opt.Limits})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, opt.Command[0], opt.Command[1:]...)
	cmd.Env = []string{"PATH=", "GOGC=400", fmt.Sprintf("GOMEMLIMIT=%d", opt.Limits.MemoryBytes/4*3), "GOTRACEBACK=none"}
	if raceEnabled {
		cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // else each child sleeps for a second when it is done
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	p := &process{cmd: cmd, stderr: &beginning{limit: 64 << 10}}
	cmd.Stderr = p.stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the rendering child: %w", err)
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("ask the rendering child: %w", err), stop([]*process{p}))
	}
	return p, nil
}

// stop ends children whose answers are no longer wanted.
func stop(children []*process) error {
	var errs []error
	for _, c := range children {
		errs = append(errs, c.cmd.Cancel())
		_ = c.cmd.Wait() // says that it was killed
	}
	return errors.Join(errs...)
}

// feed sends the snapshot to all children. One that has gone away is not feed's to report: its answer tells why.
func feed(ctx context.Context, children []*process, snap source.Snapshot, limits Limits) error {
	buffered := bufio.NewWriterSize(&fanOut{children: children}, 1<<16)
	err := writeTree(ctx, buffered, snap.FS, limits)
	if err == nil {
		err = buffered.Flush()
	}
	for _, c := range children {
		_ = c.stdin.Close() // fails for a dead child
	}
	return err
}

// fanOut writes to every child that still listens.
type fanOut struct {
	children []*process
	deaf     map[*process]bool
}

// Write implements io.Writer. It never fails: what matters is what the children answer.
func (f *fanOut) Write(p []byte) (int, error) {
	for _, c := range f.children {
		if f.deaf[c] {
			continue
		}
		if _, err := c.stdin.Write(p); err != nil {
			if f.deaf == nil {
				f.deaf = map[*process]bool{}
			}
			f.deaf[c] = true
		}
	}
	return len(p), nil
}

// collect reads the answer and waits for the end of the child.
func (p *process) collect(ctx context.Context, limits Limits) (answer, error) {
	a, err := readAnswer(p.stdout, limits.OutputBytes)
	if err != nil {
		_ = p.cmd.Cancel() // it may still be writing
	}
	waitErr := p.cmd.Wait()
	if mistake := p.overLimit(a.last, limits); mistake != nil {
		return a, mistake
	}
	switch {
	case ctx.Err() != nil && (err != nil || waitErr != nil):
		return a, fmt.Errorf("%w%s", context.Cause(ctx), during(a))
	case errors.Is(err, errOutput):
		return a, tooMuch(a.last, "what is rendered is larger than %d MiB", limits.OutputBytes>>20)
	case err != nil || waitErr != nil:
		return a, fmt.Errorf("rendering child failed%s: %w%s", during(a), errors.Join(err, waitErr), p.stderr.fatal())
	}
	return a, nil
}

// overLimit returns the author's mistake that ended the child while it was at a root, and nil when something else did. What a
// repository takes to be rendered is its authors' to mend: it would take as much at the next attempt.
func (p *process) overLimit(at string, l Limits) render.ManifestErrors {
	state := p.cmd.ProcessState
	switch code, last := state.ExitCode(), p.stderr.fatal(); {
	case code == exitMemory, code == exitCrash && memoryCrash.MatchString(last):
		return tooMuch(at, "rendering it takes more than %d MiB of memory", l.MemoryBytes>>20)
	case code == exitTime, code < 0 && state.UserTime()+state.SystemTime() > l.Time:
		return tooMuch(at, "rendering it takes more than %s of processor time", l.Time)
	}
	return nil
}

// memoryCrash matches what Go says when it gets no more memory, or no more stack.
var memoryCrash = regexp.MustCompile(`out of memory|cannot allocate memory|stack overflow|stack exceeds`)

// tooMuch is the mistake of a root that takes more than it may; of the whole repository when at is empty.
func tooMuch(at, format string, args ...any) render.ManifestErrors {
	return render.ManifestErrors{{File: cmp.Or(at, "."), Message: fmt.Sprintf(format, args...) + "; split it, or take out what multiplies it"}}
}

// during names the root a child was at.
func during(a answer) string {
	if a.last == "" {
		return ""
	}
	return " at " + a.last
}

// validPath is true for paths that stay in the repository.
func validPath(p string) bool {
	clean := path.Clean(p)
	return p != "" && !path.IsAbs(p) && clean != ".." && !strings.HasPrefix(clean, "../")
}

// beginning keeps the first part of what a child writes to stderr.
type beginning struct {
	bytes.Buffer
	limit int
}

// Write implements io.Writer.
func (h *beginning) Write(p []byte) (int, error) {
	if room := h.limit - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// fatal returns what the Go runtime said at the end, such as "out of memory". The rest is kustomize's, and may show parts
// of manifests.
func (h *beginning) fatal() string {
	for line := range strings.Lines(h.String()) {
		if strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "runtime: ") || strings.HasPrefix(line, "Error: ") {
			return ": " + strings.TrimSpace(line)
		}
	}
	return ""
}
