package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// patience is how long a condition may take. It bounds a hang, not a speed: the machines that run this are shared.
const patience = 2 * time.Minute

// world is a fleet of real API servers, a repository, and a counting proxy between gitfleet and each of them.
type world struct {
	t       *testing.T
	fleet   *realfleet.Fleet
	dir     string
	access  string                     // directory of the kubeconfigs: members/ and fleet.kubeconfig
	proxies map[string]*memfleet.Proxy // by member
	hub     *memfleet.Proxy
	state   string
}

func newWorld(t *testing.T, members int) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real API servers")
	}
	return newWorldOn(t, realfleet.Start(t, members))
}

func newWorldOn(t *testing.T, fleet *realfleet.Fleet) *world {
	t.Helper()
	w := &world{t: t, fleet: fleet, dir: t.TempDir()}
	w.access = w.dir
	w.stepBetween()
	w.fresh()
	return w
}

// stepBetween starts proxies before all API servers and writes the kubeconfigs that lead through them.
func (w *world) stepBetween() {
	w.t.Helper()
	if err := os.Mkdir(filepath.Join(w.access, "members"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.proxies = map[string]*memfleet.Proxy{}
	for _, name := range w.fleet.Members {
		w.proxies[name] = w.proxy(name, filepath.Join(w.access, "members"))
	}
	w.hub = w.proxy("fleet", w.access)
}

func (w *world) proxy(context, dir string) *memfleet.Proxy {
	w.t.Helper()
	p, err := memfleet.NewProxy(w.fleet.Config(w.t, context))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	if _, err := p.WriteKubeconfig(dir, context); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// fresh begins a new repository and a new memory: what a scenario starts with.
func (w *world) fresh() {
	w.t.Helper()
	w.state = w.t.TempDir()
	removeAll(w.t, w.remote())
	removeAll(w.t, w.tree())
	w.git("", "init", "--quiet", "--bare", "--initial-branch=main", w.remote())
	w.git("", "clone", "--quiet", w.remote(), w.tree())
	w.git(w.tree(), "checkout", "--quiet", "-B", "main")
}

func (w *world) remote() string { return filepath.Join(w.dir, "fleet.git") }
func (w *world) tree() string   { return filepath.Join(w.dir, "tree") }

func (w *world) git(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits files (an empty content removes one) and pushes them. It returns the commit.
func (w *world) push(message string, files map[string]string) string {
	w.t.Helper()
	for name, content := range files {
		path := filepath.Join(w.tree(), name)
		if content == "" {
			if err := os.Remove(path); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.git(w.tree(), "add", "--all")
	w.git(w.tree(), "commit", "--quiet", "--allow-empty", "--message", message)
	w.git(w.tree(), "push", "--quiet", "origin", "main")
	return w.git(w.tree(), "rev-parse", "HEAD")
}

// client returns a client that does not go through the proxies.
func (w *world) client(context string) dynamic.Interface {
	w.t.Helper()
	c, err := dynamic.NewForConfig(w.fleet.Config(w.t, context))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// reset forgets what the proxies counted.
func (w *world) reset() {
	for _, p := range w.proxies {
		p.Reset()
	}
	w.hub.Reset()
}

// requests returns what all members were asked since the last reset and keep accepts, one line each.
func (w *world) requests(keep func(memfleet.Request) bool) []string {
	var lines []string
	for name, p := range w.proxies {
		for _, r := range p.Requests() {
			if keep(r) {
				lines = append(lines, name+" "+r.String())
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func isWrite(r memfleet.Request) bool  { return r.Writes() }
func isDelete(r memfleet.Request) bool { return r.Method == "DELETE" }
func isAny(memfleet.Request) bool      { return true }

// process is one running gitfleet.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	url string

	mu  sync.Mutex
	log bytes.Buffer

	reap  sync.Once
	ended chan struct{} // closed once the process was collected
}

// start runs gitfleet on the world's repository, through the proxies.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t}
	all := append([]string{"run", "--repo", "file://" + w.remote(), "--kubeconfig", filepath.Join(w.access, "members"),
		"--hub-kubeconfig", filepath.Join(w.access, "fleet.kubeconfig"), "--state-dir", w.state, "--interval", "200ms",
		"--listen", "127.0.0.1:0", "--load-balancer", "local", "--local-dial-map", "10.0.0.0/8=127.0.0.0/8"}, args...)
	p.cmd = exec.Command(os.Args[0], all...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			w.t.Logf("gitfleet's log:\n%s", p.output())
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.kill()
		w.t.Fatalf("gitfleet did not start: %v\n%s", err, p.output())
	}
	go io.Copy(io.Discard, stdout)
	p.url = strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
	return p
}

// Write collects the log.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// wait returns a channel that is closed when the process has ended.
func (p *process) wait() <-chan struct{} {
	p.reap.Do(func() {
		p.ended = make(chan struct{})
		go func() {
			_ = p.cmd.Wait() // how it ended shows in ProcessState
			close(p.ended)
		}()
	})
	return p.ended
}

// running tells whether the process lives.
func (p *process) running() bool {
	select {
	case <-p.wait():
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.wait()
}

// stop ends the process as Ctrl-C does and checks that it ends well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.wait():
	case <-time.After(patience):
		p.t.Fatalf("gitfleet does not end on SIGTERM\n%s", p.output())
	}
	if !p.cmd.ProcessState.Success() {
		p.t.Fatalf("gitfleet did not end well on SIGTERM: %v\n%s", p.cmd.ProcessState, p.output())
	}
}

func (p *process) status() (report.Report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return web.FetchStatus(ctx, p.url)
}

// await waits until the status satisfies cond, which says what is missing otherwise.
func (p *process) await(what string, cond func(report.Report) error) report.Report {
	p.t.Helper()
	var r report.Report
	realfleet.Eventually(p.t, patience, func() (err error) {
		if r, err = p.status(); err == nil {
			err = cond(r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
	return r
}

// awaitConverged waits until commit is in force everywhere.
func (p *process) awaitConverged(commit string) report.Report {
	p.t.Helper()
	return p.await("converged on "+commit[:12], func(r report.Report) error {
		if r.Converged && r.Applied.Commit == commit {
			return nil
		}
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		return fmt.Errorf("not converged:\n%s%s", report.Summary(r), data)
	})
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func removeAll(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
