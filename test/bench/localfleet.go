package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fleetMembers is how many members the real fleet has.
const fleetMembers = 3

// sharedFleet is the fleet of real API servers that several suites use; it starts with the first of them.
type sharedFleet struct {
	binary string
	fleet  *localFleet
}

func (s *sharedFleet) get(ctx context.Context) (*localFleet, error) {
	if s.fleet != nil {
		return s.fleet, nil
	}
	f, err := startFleet(ctx, s.binary)
	s.fleet = f
	return f, err
}

func (s *sharedFleet) close() error {
	if s.fleet == nil {
		return nil
	}
	return s.fleet.close()
}

// localFleet is members with real API servers and without controllers: those are stopped, because what they do about
// two hundred Deployments would take the processor from whatever is measured, more from the slower side.
type localFleet struct {
	binary     string
	dir        string
	kubeconfig string
	members    []string
	alive      *os.File // the fleet lives as long as this end of a pipe is open
}

func startFleet(ctx context.Context, binary string) (*localFleet, error) {
	dir, err := os.MkdirTemp("", "gitfleet-bench-")
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	f := &localFleet{binary: binary, dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), alive: write}
	for i := range fleetMembers {
		f.members = append(f.members, fmt.Sprintf("aks-member-%d", i+1))
	}
	err = f.call(ctx, read, "up", "--members", fmt.Sprint(fleetMembers), "--until-eof")
	_ = read.Close() // the fleet has its own copy
	if err == nil {
		err = f.freeze()
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *localFleet) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // not the run's: that is over when it is interrupted
	defer cancel()
	return errors.Join(f.call(ctx, nil, "down"), f.alive.Close(), os.RemoveAll(f.dir))
}

// call runs the binary on this fleet.
func (f *localFleet) call(ctx context.Context, stdin *os.File, args ...string) error {
	cmd := exec.CommandContext(ctx, f.binary, append([]string{"--dir", f.dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("localfleet %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// freeze stops the controllers and the scheduler of every cluster where they are. They hold no lease, and are killed with
// the fleet.
func (f *localFleet) freeze() error {
	pids, err := f.processes("kube-controller-manager", "kube-scheduler")
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("stop a controller: %w", err)
		}
	}
	return nil
}

// processes returns the processes of the components of these names, of all clusters.
func (f *localFleet) processes(names ...string) ([]int, error) {
	var state struct {
		Clusters []struct {
			Components []struct {
				Name string
				PID  int
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(f.dir, "state.json"))
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err != nil {
		return nil, fmt.Errorf("state of the local fleet: %w", err)
	}
	var pids []int
	for _, cluster := range state.Clusters {
		for _, part := range cluster.Components {
			if slices.Contains(names, part.Name) {
				pids = append(pids, part.PID)
			}
		}
	}
	if len(pids) < fleetMembers*len(names) {
		return nil, fmt.Errorf("found %d processes of %s: the names of components have changed", len(pids), strings.Join(names, ", "))
	}
	return pids, nil
}
