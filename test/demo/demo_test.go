package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTable(t *testing.T) {
	const out = "NAME    SERVICE-IMPORT   EXTERNAL-IP   NOMINATED NODE   AGE\n" +
		"front   front                          <none>           4s\n" +
		"a       b                127.0.0.9     n 1              5m\n"
	columns := []string{"NAME", "SERVICE-IMPORT", "EXTERNAL-IP", "NOMINATED NODE", "AGE"}
	got, err := parseTable(out, columns...)
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"NAME": "front", "SERVICE-IMPORT": "front", "EXTERNAL-IP": "", "NOMINATED NODE": "<none>", "AGE": "4s"},
		{"NAME": "a", "SERVICE-IMPORT": "b", "EXTERNAL-IP": "127.0.0.9", "NOMINATED NODE": "n 1", "AGE": "5m"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if _, err := parseTable(out, "NAME", "AGE"); err == nil {
		t.Error("a table with other columns than asked for was accepted")
	}
	if _, err := find(got, "front", row{"AGE": "5s"}); err == nil {
		t.Error("a row with another value than asked for was accepted")
	}
	if _, err := find(got, "b", nil); err == nil {
		t.Error("a row that is not there was found")
	}
}

func TestCountAnswers(t *testing.T) {
	got, err := countAnswers("     39 \"addrs\":[\"10.2.16.17\"]\n      1 \"addrs\":[\"10.2.32.4\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"10.2.16.17": 39, "10.2.32.4": 1}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if _, err := countAnswers("curl: (7) Failed to connect\n"); err == nil {
		t.Error("the message of a failed request was accepted as an answer")
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", "two words", "it's", "$HOME `id` \\ \"", "a;b|c&d", "*"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != s {
			t.Errorf("quote(%q): the shell reads %q", s, out)
		}
	}
}

func TestShellEndsAPipeline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ready := filepath.Join(t.TempDir(), "ready")
	sh := shell{dir: t.TempDir()}
	done := make(chan error)
	go func() {
		_, err := sh.quiet(ctx, "(touch "+quote(ready)+"; sleep 600) | cat")
		done <- err
	}()
	for _, err := os.Stat(ready); err != nil; _, err = os.Stat(ready) {
		select {
		case err := <-done:
			t.Fatalf("ended before it was told to: %v", err)
		default:
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a command that was ended was taken for one that succeeded")
	}
}

func TestSweep(t *testing.T) {
	for _, c := range []struct {
		reason string
		keep   bool
		left   []string
	}{
		{"after success nothing stays", false, nil},
		{"after a failure the logs stay", true, []string{"kuard", "kuard/gitfleet.log"}},
	} {
		dir := filepath.Join(t.TempDir(), "demo")
		if err := os.MkdirAll(filepath.Join(dir, "kuard", "state"), 0o755); err != nil {
			t.Fatal(err)
		}
		process := exec.Command("sleep", "600")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", process.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{
			"kuard/gitfleet.pid": fmt.Sprintf("%d %s\n", process.Process.Pid, program),
			"kuard/gitfleet.log": "said something\n", "kuard/state/cache": "",
		}
		if c.keep {
			files[keepLogs] = ""
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if code := sweep(strings.NewReader(""), dir, "no-localfleet"); code != 0 {
			t.Errorf("%s: exit code %d", c.reason, code)
		}
		if err := process.Wait(); err == nil {
			t.Errorf("%s: the process was not ended", c.reason)
		}
		if diff := cmp.Diff(c.left, filesIn(t, dir)); diff != "" {
			t.Errorf("%s: files left (-want +got):\n%s", c.reason, diff)
		}
	}
}

// TestSweepSparesStrangers gives the janitor the number of a process that runs another program than the one it started.
func TestSweepSparesStrangers(t *testing.T) {
	process := exec.Command("sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Wait() }() // it reports the signal of Kill
	defer func() { _ = process.Process.Kill() }()
	file := filepath.Join(t.TempDir(), "gitfleet.pid")
	if err := os.WriteFile(file, []byte(fmt.Sprintf("%d /another/program\n", process.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := stopProcess(file); err != nil {
		t.Fatal(err)
	}
	if isZombie(process.Process.Pid) {
		t.Error("ended a process of another program")
	}
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || name == dir {
			return nil
		}
		rel, _ := strings.CutPrefix(name, dir+"/")
		names = append(names, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
