package kustomize

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"

	"github.com/gitfleet/gitfleet/render"
)

// Main is the child process: it reads a request and a snapshot from stdin, renders, and writes the answer to stdout. It
// changes limits and the HTTP transport of the whole process, so it must be alone in it. An error means that the answer
// is not complete; mistakes of authors are part of a complete answer.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	http.DefaultTransport = offline{}
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if err := confine(req.Limits); err != nil {
		return err
	}
	go watch(req.Limits)
	t, err := readTree(in)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	if err := answerRequest(ctx, t, req, out); err != nil {
		return err
	}
	return out.Flush()
}

// offline is an HTTP transport that refuses.
type offline struct{}

// RoundTrip refuses.
func (offline) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s: nothing is fetched while rendering", r.URL.Redacted())
}

// answerRequest writes one unit after the other. Each is flushed when it begins, so that the parent can name it if it is
// the last thing this process does.
func answerRequest(ctx context.Context, t *tree, req request, out *bufio.Writer) error {
	w := &frameWriter{w: out}
	roots, errs := findRoots(t, req.Paths)
	if err := w.mistakes(errs); err != nil {
		return err
	}
	b := newBuild(t)
	for i, r := range roots {
		if i%req.Shards != req.Shard {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.write(frameUnit, unitFrame{Index: i, Name: r.path}); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		objects, errs := b.root(r)
		for _, o := range objects {
			if err := w.write(frameObject, o); err != nil {
				return err
			}
		}
		if err := w.mistakes(errs); err != nil {
			return err
		}
	}
	return w.write(frameEnd, endFrame{Frames: w.n})
}

func (f *frameWriter) mistakes(errs render.ManifestErrors) error {
	for _, m := range errs {
		if err := f.write(frameMistake, m); err != nil {
			return err
		}
	}
	return nil
}

// memorySlack is what the kernel gives beyond the limit: Go maps memory in large steps, and threads have stacks.
const memorySlack = 512 << 20

// confine lowers this process's limits. Those on time and memory are for when watch is not fast enough. The race detector's
// shadow memory does not fit under a memory limit.
func confine(l Limits) error {
	limits := map[int]uint64{
		syscall.RLIMIT_CPU:    2 * (uint64(l.Time.Seconds()) + 1),
		syscall.RLIMIT_NOFILE: 64,
		syscall.RLIMIT_FSIZE:  0, // pipes are no files
		syscall.RLIMIT_CORE:   0,
	}
	if !raceEnabled {
		limits[syscall.RLIMIT_DATA] = uint64(l.MemoryBytes) + memorySlack
	}
	var errs []error
	for which, value := range limits {
		errs = append(errs, setLimit(which, value))
	}
	return errors.Join(errs...)
}

// setLimit lowers a limit to value, or leaves it where it is lower already.
func setLimit(which int, value uint64) error {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(which, &old); err != nil {
		return fmt.Errorf("read resource limit %d: %w", which, err)
	}
	value = min(value, old.Max)
	if err := syscall.Setrlimit(which, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
		return fmt.Errorf("set resource limit %d: %w", which, err)
	}
	return nil
}
