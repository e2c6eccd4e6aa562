package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The janitor is a second process of this program that outlives the first, however that one ends: it waits for its
// standard input to close, which the kernel does even after kill -9, and then stops what runs and removes the files.

const (
	janitorArg = "-clean-up-after"
	keepLogs   = "keep-logs"    // a file of this name makes the janitor keep *.log
	pidSuffix  = ".pid"         // files of processes to stop
	fleetLocks = "*/fleet/lock" // every local fleet keeps one in its folder
)

type janitor struct {
	cmd   *exec.Cmd
	leash io.Closer
}

// hireJanitor starts the process that cleans up dir.
func hireJanitor(dir, localfleet string) (*janitor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, janitorArg, dir, localfleet)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C on the terminal must not reach it
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process that cleans up: %w", err)
	}
	return &janitor{cmd, leash}, nil
}

// wait lets the janitor work and returns when everything is clean.
func (j *janitor) wait() error {
	return errors.Join(j.leash.Close(), j.cmd.Wait())
}

// sweep is the janitor's work. It returns the exit code.
func sweep(leash io.Reader, dir, localfleet string) int {
	_, _ = io.Copy(io.Discard, leash) // an error ends the wait just as the end of file does
	err := errors.Join(stopProcesses(dir), stopFleets(dir, localfleet), removeFiles(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// stopProcesses ends what the *.pid files name and waits until it is gone.
func stopProcesses(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"+pidSuffix))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, stopProcess(f))
	}
	return errors.Join(errs...)
}

// stopProcess asks the process to end, and makes it end after ten seconds. The file holds its number and its program,
// so that another process which got the same number since is left alone.
func stopProcess(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	number, program, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for signal := syscall.SIGTERM; runs(pid, program); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			signal = syscall.SIGKILL
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
	}
	return nil
}

func runs(pid int, program string) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.TrimSuffix(exe, " (deleted)") == program && !isZombie(pid)
}

func isZombie(pid int) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if state, ok := strings.CutPrefix(lines.Text(), "State:"); ok {
			return strings.HasPrefix(strings.TrimSpace(state), "Z")
		}
	}
	return false
}

func stopFleets(dir, localfleet string) error {
	locks, err := filepath.Glob(filepath.Join(dir, fleetLocks))
	if err != nil {
		return err
	}
	var errs []error
	for _, lock := range locks {
		if out, err := exec.Command(localfleet, "down", "--dir", filepath.Dir(lock)).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("localfleet down: %w: %s", err, out))
		}
	}
	return errors.Join(errs...)
}

// removeFiles removes dir, or all of it but the logs.
func removeFiles(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, keepLogs)); err != nil {
		return os.RemoveAll(dir)
	}
	var folders []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			folders = append(folders, name)
			return nil
		case filepath.Ext(name) == ".log":
			return nil
		}
		return os.Remove(name)
	})
	for _, f := range slices.Backward(folders) {
		_ = os.Remove(f) // fails for the folders that hold logs, which stay
	}
	return err
}
