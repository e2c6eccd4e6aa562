package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// A tour describes a repository of the examples and what must come of it.
type tour struct {
	Namespace string    `json:"namespace"`
	Placement string    `json:"placement"` // the ClusterResourcePlacement
	Members   []string  `json:"members"`   // where it must run
	Others    []string  `json:"others"`    // where it must not
	Services  []service `json:"services"`
}

// A service is one MultiClusterService.
type service struct {
	Name     string `json:"name"`
	Export   string `json:"export"`   // the ServiceExport behind it
	Ports    []int  `json:"ports"`    // of the Service
	Member   string `json:"member"`   // where to look at it
	Manifest string `json:"manifest"` // to be applied there by hand; empty when it comes from Git
	Selector string `json:"selector"` // of its pods
	Pods     int    `json:"pods"`     // on each member
}

// A stage is one local fleet with one repository and one gitfleet.
type stage struct {
	tour
	shell             // in the working tree of the repository
	dir      string   // everything of this stage
	example  string   // folder with the repository and what is applied by hand
	gitfleet string   // path of the binary
	process  *process // nil until gitfleet was started
	url      string   // of the running gitfleet
	// loadBalancer are the flags that choose load balancers; local ones while it is nil.
	loadBalancer func() []string
}

// newStage reads the tour of that name and makes the folders.
func newStage(o options, dir, name string) (*stage, error) {
	text, err := os.ReadFile(filepath.Join(o.tours, name+".json"))
	if err != nil {
		return nil, err
	}
	s := &stage{dir: filepath.Join(dir, name), example: filepath.Join(o.examples, name), gitfleet: o.gitfleet}
	if err := json.Unmarshal(text, &s.tour); err != nil {
		return nil, fmt.Errorf("%s.json: %w", name, err)
	}
	sh, err := newShell(o, dir)
	if err != nil {
		return nil, err
	}
	s.shell = sh.in(filepath.Join(s.dir, "work")).with("KUBECONFIG="+s.kubeconfig(), "LOCALFLEET_DIR="+s.fleetDir())
	return s, os.MkdirAll(s.shell.dir, 0o755)
}

// A process is a gitfleet that runs beside the demo.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // how; valid once exited is closed
}

// startGitfleet starts `gitfleet run` and waits until it serves.
func (s *stage) startGitfleet(ctx context.Context) error {
	args := []string{"run", "--repo", "file://" + filepath.Join(s.dir, "repo.git"), "--kubeconfig", s.kubeconfig(),
		"--hub-kubeconfig", s.kubeconfig(), "--hub-context", hubContext}
	if s.loadBalancer != nil {
		args = append(args, s.loadBalancer()...)
	} else {
		args = append(args, "--load-balancer", "local", "--local-dial-map", "10.0.0.0/8=127.0.0.0/8")
	}
	args = append(args, "--listen", "127.0.0.1:0", "--state-dir", filepath.Join(s.dir, "state"), "--interval", "1s")
	words := []string{"gitfleet"}
	for _, a := range args {
		words = append(words, quote(a))
	}
	printCommand(strings.ReplaceAll(strings.Join(words, " "), " --", " \\\n    --")+" &", "")
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.gitfleet, args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the demo, which then ends gitfleet
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process = &process{cmd: cmd, exited: make(chan struct{})}
	go s.process.wait()
	pid := fmt.Sprintf("%d %s\n", cmd.Process.Pid, s.gitfleet)
	if err := os.WriteFile(filepath.Join(s.dir, "gitfleet"+pidSuffix), []byte(pid), 0o600); err != nil {
		return err
	}
	if err := s.until(ctx, "gitfleet serves", 30*time.Second, s.findURL); err != nil {
		return err
	}
	fmt.Println("(status page: " + s.url + ")")
	return nil
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.exited)
}

func (s *stage) log() string { return filepath.Join(s.dir, "gitfleet.log") }

// crashed returns an error when gitfleet was started and has ended.
func (s *stage) crashed() error {
	if s.process == nil {
		return nil
	}
	select {
	case <-s.process.exited:
		log, err := os.ReadFile(s.log())
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		return fmt.Errorf("gitfleet has ended (%v) and said last:\n%s", errors.Join(s.process.err, err),
			strings.Join(lines[max(0, len(lines)-10):], "\n"))
	default:
		return nil
	}
}

// findURL reads where gitfleet listens from what it printed.
func (s *stage) findURL(context.Context) error {
	const announcement = "listening on "
	log, err := os.ReadFile(s.log())
	if err != nil {
		return err
	}
	_, rest, found := strings.Cut(string(log), announcement)
	if !found || !strings.Contains(rest, "\n") {
		return fmt.Errorf("expected the line %q on its output, got %d bytes without it", announcement+"URL", len(log))
	}
	s.url = strings.Trim(strings.Fields(rest)[0], `"`)
	return nil
}

// stopGitfleet interrupts gitfleet as Ctrl-C does and wants it to end by itself.
func (s *stage) stopGitfleet() error {
	if err := s.crashed(); err != nil {
		return err
	}
	if err := s.process.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-s.process.exited:
	case <-time.After(20 * time.Second):
		return errors.New("gitfleet: expected it to end within 20 s after an interrupt, but it runs")
	}
	if s.process.err != nil {
		return fmt.Errorf("gitfleet: expected exit 0 after an interrupt, got %w", s.process.err)
	}
	return nil
}

// status asks gitfleet for its report.
func (s *stage) status(ctx context.Context) (report.Report, error) {
	var r report.Report
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/status.json", nil)
	if err != nil {
		return r, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("/status.json: %s", resp.Status)
	}
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// until calls probe until it returns nil, and shows that it waits. When limit is over the last error is returned.
func (s *stage) until(ctx context.Context, what string, limit time.Duration, probe func(context.Context) error) error {
	start := time.Now()
	shown := start
	var last error
	for {
		err := probe(ctx)
		if err == nil {
			if shown != start {
				fmt.Printf("  … %s, after %d s\n", what, int(time.Since(start).Seconds()))
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.crashed(); err != nil {
			return err
		}
		last = err
		if time.Since(start) > limit {
			return fmt.Errorf("waited %s until %s: %w", limit, what, last)
		}
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			fmt.Printf("  … waiting until %s (%d s; %s)\n", what, int(time.Since(start).Seconds()), firstLine(last.Error()))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// showUntil runs a command until check accepts what it prints, then prints the command and that.
func (s *stage) showUntil(ctx context.Context, line string, limit time.Duration, check func(out string) error) error {
	var out string
	err := s.until(ctx, "`"+line+"` prints what it should", limit, func(ctx context.Context) (err error) {
		out, err = s.quiet(ctx, line)
		if err != nil {
			return fmt.Errorf("it printed: %s", firstLine(out))
		}
		return check(out)
	})
	if ctx.Err() == nil {
		printCommand(line, out)
	}
	return err
}
