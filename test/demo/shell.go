package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A shell runs command lines exactly as they are printed. Its PATH holds gitfleet, localfleet and a kubectl that is
// localfleet's own; its Git has an author and knows no other configuration, so that the outcome is the same everywhere.
type shell struct {
	dir string   // working folder
	env []string // on top of this process's environment
}

// newShell writes the commands into dir/bin and returns a shell that finds them.
func newShell(o options, dir string) (shell, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return shell{}, err
	}
	for name, command := range map[string]string{
		"gitfleet":   quote(o.gitfleet),
		"localfleet": quote(o.localfleet),
		"kubectl":    quote(o.localfleet) + " kubectl",
	} {
		script := "#!/bin/sh\nexec " + command + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			return shell{}, err
		}
	}
	return shell{dir: dir, env: []string{
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=Demo", "GIT_AUTHOR_EMAIL=demo@gitfleet.invalid",
		"GIT_COMMITTER_NAME=Demo", "GIT_COMMITTER_EMAIL=demo@gitfleet.invalid",
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
	}}, nil
}

// in returns the same shell in another folder.
func (s shell) in(dir string) shell {
	s.dir = dir
	return s
}

// with returns the same shell with more in its environment.
func (s shell) with(env ...string) shell {
	s.env = append(append([]string(nil), s.env...), env...)
	return s
}

// quiet runs a command line and returns what it printed. A command that fails returns that with the error.
func (s shell) quiet(ctx context.Context, line string) (string, error) {
	var out bytes.Buffer
	err := s.run(ctx, line, &out)
	return out.String(), err
}

// show prints a command line and runs it, its output shown as it comes, and fails when it fails.
func (s shell) show(ctx context.Context, line string) (string, error) {
	var out bytes.Buffer
	printCommand(line, "")
	err := s.run(ctx, line, io.MultiWriter(os.Stdout, &out))
	return out.String(), err
}

// showFailure does the same with a command line that must fail, and fails when it succeeds.
func (s shell) showFailure(ctx context.Context, line string) (string, error) {
	out, err := s.show(ctx, line)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, fmt.Errorf("%s: expected it to fail, but it succeeded", firstLine(line))
	case errors.As(err, &exit) && ctx.Err() == nil:
		return out, nil
	}
	return out, err
}

func (s shell) run(ctx context.Context, line string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all of a pipeline ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", firstLine(line), err)
	}
	return nil
}

func printCommand(line, out string) {
	fmt.Printf("\n$ %s\n", strings.ReplaceAll(line, "\n", "\n> "))
	if out != "" {
		fmt.Println(strings.TrimRight(out, "\n"))
	}
}

// exports prints the shell's environment as lines for a user's own shell.
func (s shell) exports() string {
	var b strings.Builder
	for _, e := range s.env {
		name, value, _ := strings.Cut(e, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	return b.String()
}

// quote returns s as one word of a shell command line, as it is where that is safe.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func firstLine(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if more {
		line += " …"
	}
	return line
}
