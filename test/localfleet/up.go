package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"k8s.io/component-base/version"

	"github.com/gitfleet/gitfleet/test/localfleet/supervisor"
)

const (
	supervise  = "supervise" // the hidden command that `up` leaves running
	progressFD = 3           // where the supervisor writes its events, a JSON object a line
)

// up starts the supervisor, shows its progress and returns when the fleet is ready.
func up(ctx context.Context, o *options) error {
	members := strings.Split(o.names, ",")
	if o.names == "" {
		members = nil
		for i := range o.members {
			members = append(members, fmt.Sprintf("aks-member-%d", i+1))
		}
	}
	if err := supervisor.Validate(members); err != nil {
		return err
	}
	if o.dualStack != "" {
		for _, name := range strings.Split(o.dualStack, ",") {
			if !slices.Contains(members, name) {
				return fmt.Errorf("--dual-stack %s: no such member; there are %s", name, strings.Join(members, ", "))
			}
		}
	}
	layout := supervisor.Layout{Dir: o.dir}
	if err := layout.Prepare(); err != nil {
		return err
	}
	if running(layout) == nil {
		return fmt.Errorf("a fleet already runs in %s: see `localfleet status`, or end it with `localfleet down`", o.dir)
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	events, child, err := spawn(o, layout, members)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = child.Signal(syscall.SIGTERM) }) // it may have ended already
	defer stop()
	if err := follow(events, layout); err != nil {
		return err
	}
	fmt.Printf(`
Use it:
  export KUBECONFIG=%q
  kubectl --context %s get nodes          (or: localfleet --dir %q kubectl ...)
One kubeconfig per cluster: %s
MemberCluster manifests:    %s
Nodes and pods are simulated: a pod with address 10.M.x.y is answered by localfleet on 127.M.x.y.
`, layout.Kubeconfig(), members[0], o.dir, layout.KubeconfigOf("NAME"), layout.Members())
	return nil
}

// spawn starts the supervisor in a session of its own and returns what it says.
func spawn(o *options, layout supervisor.Layout, members []string) (io.Reader, *os.Process, error) {
	log, err := os.OpenFile(layout.SupervisorLog(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("log of the supervisor: %w", err)
	}
	defer func() { _ = log.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("pipe to the supervisor: %w", err)
	}
	defer func() { _ = write.Close() }()
	cmd := exec.Command("/proc/self/exe", supervise, "--dir", o.dir, "--names", strings.Join(members, ","), "--timeout", o.timeout.String())
	cmd.Args[0] = "localfleet"
	if o.untilEOF {
		cmd.Args = append(cmd.Args, "--until-eof")
		cmd.Stdin = os.Stdin
	}
	if o.audit {
		cmd.Args = append(cmd.Args, "--audit")
	}
	if o.dualStack != "" {
		cmd.Args = append(cmd.Args, "--dual-stack", o.dualStack)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{write}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the supervisor: %w", err)
	}
	return read, cmd.Process, nil
}

// follow prints events until the last one.
func follow(events io.Reader, layout supervisor.Layout) error {
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		var e supervisor.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("event of the supervisor: %w", err)
		}
		switch {
		case e.Error != "":
			return errors.New(e.Error)
		case e.Ready:
			fmt.Println(e.Message)
			return nil
		}
		fmt.Printf("%-14s %s\n", e.Cluster, e.Message)
	}
	return fmt.Errorf("the supervisor ended before the fleet was ready: see %s", layout.SupervisorLog())
}

// runSupervisor is the process that stays.
func runSupervisor(ctx context.Context, o *options) error {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if o.untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // an error ends the fleet as EOF does: nobody holds it any more
			cancel()
		}()
	}
	syscall.CloseOnExec(progressFD) // or the components would hold it open
	say := eventSink(json.NewEncoder(os.NewFile(progressFD, "progress")))
	err := supervisor.Run(ctx, supervisor.Config{
		Layout:    supervisor.Layout{Dir: o.dir},
		Members:   strings.Split(o.names, ","),
		Version:   version.Get().GitVersion,
		Timeout:   o.timeout,
		Audit:     o.audit,
		DualStack: strings.Split(o.dualStack, ","),
		Log:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Say:       say,
	})
	if err != nil {
		say(supervisor.Event{Error: err.Error()})
	}
	return err
}

// eventSink returns a function that writes events one by one, from any goroutine.
func eventSink(to *json.Encoder) func(supervisor.Event) {
	var mu sync.Mutex
	return func(e supervisor.Event) {
		mu.Lock()
		defer mu.Unlock()
		_ = to.Encode(e) // the reader has gone: it was only interested in the start
	}
}
