package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long anything may take. It bounds a hang, not a speed.
const patience = 5 * time.Minute

// product is one running gitfleet.
type product struct {
	cmd     *exec.Cmd
	started time.Time
	url     string
	exited  chan struct{}

	mu      sync.Mutex
	log     []string
	inForce map[string]time.Time // when each commit was fetched, rendered and taken, as its log told
}

// productOptions are the arguments that differ.
type productOptions struct {
	repository, kubeconfig, state string
	interval                      time.Duration // between two looks at the repository
	more                          []string      // flags
}

func startProduct(ctx context.Context, binary string, o productOptions) (*product, error) {
	p := &product{exited: make(chan struct{}), inForce: map[string]time.Time{}}
	p.cmd = exec.CommandContext(ctx, binary, append([]string{"run", "--repo", o.repository, "--kubeconfig", o.kubeconfig, "--state-dir", o.state,
		"--interval", o.interval.String(), "--listen", "127.0.0.1:0"}, o.more...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	first := make(chan string, 1)
	var readers sync.WaitGroup
	readers.Go(func() { p.follow(stderr) })
	readers.Go(func() {
		in := bufio.NewReader(stdout)
		line, _ := in.ReadString('\n') // "" when it ended at once
		first <- line
		_, _ = io.Copy(io.Discard, in)
	})
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	p.url = strings.TrimPrefix(strings.TrimSpace(<-first), "listening on ")
	if p.url == "" {
		return nil, fmt.Errorf("gitfleet did not start:\n%s", p.tail())
	}
	return p, nil
}

// follow reads the log and notes when revisions come into force.
func (p *product) follow(log io.Reader) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		now, line := time.Now(), lines.Text()
		p.mu.Lock()
		p.log = append(p.log, line)
		if _, rest, ok := strings.Cut(line, `msg="revision in force" commit=`); ok {
			commit, _, _ := strings.Cut(rest, " ")
			p.inForce[commit] = now
		}
		p.mu.Unlock()
	}
}

func (p *product) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log[max(0, len(p.log)-20):], "\n")
}

// rendered returns when a commit was fetched and rendered.
func (p *product) rendered(commit string) (time.Time, error) {
	var at time.Time
	err := p.await(context.Background(), func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if at = p.inForce[commit]; at.IsZero() {
			return fmt.Errorf("revision %s did not come into force", commit)
		}
		return nil
	})
	return at, err
}

// stop ends the process as Ctrl-C does.
func (p *product) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(patience):
		return errors.New("gitfleet does not end on SIGTERM")
	}
}

// await asks often until done returns nil, but not so often that asking is what takes the time.
func (p *product) await(ctx context.Context, done func() error) error {
	for deadline := time.Now().Add(patience); ; {
		began := time.Now()
		err := done()
		pause := max(20*time.Millisecond, 10*time.Since(began))
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w\n%s", patience, err, p.tail())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return fmt.Errorf("gitfleet ended: %w\n%s", err, p.tail())
		case <-time.After(pause):
		}
	}
}

// awaitConverged waits until everything of a commit is in place and healthy.
func (p *product) awaitConverged(ctx context.Context, commit string) (time.Time, error) {
	err := p.await(ctx, func() error {
		text, err := p.metrics(ctx)
		switch {
		case err != nil:
			return err
		case !strings.Contains(text, fmt.Sprintf(`gitfleet_revision_timestamp_seconds{commit="%s",revision="applied"}`, commit)):
			return fmt.Errorf("commit %s is not in force", commit)
		case !strings.Contains(text, "\ngitfleet_converged 1\n"):
			return errors.New("not converged")
		}
		return nil
	})
	return time.Now(), err
}

func (p *product) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
