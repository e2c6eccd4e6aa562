package kustomize

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"

	"github.com/gitfleet/gitfleet/render"
)

const oneObject = `
-- a.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: shop}
-- b.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: shop}
`

// misbehave is what a child does instead of answering as it should.
func misbehave(how string) error {
	name, value, _ := strings.Cut(how, "=")
	switch name {
	case "deaf":
		return errors.New("did not listen")
	case "silent":
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "hang": // with a child of its own, which must die too
		cmd := exec.Command("/bin/sleep", "1000")
		if err := cmd.Start(); err != nil {
			return err
		}
		if err := os.WriteFile(value, fmt.Appendln(nil, cmd.Process.Pid), 0o600); err != nil {
			return err
		}
		return cmd.Wait()
	case "unchecked":
		return unchecked(value)
	case "exhaust": // at once what is more than the kernel gives
		if err := confine(Limits{MemoryBytes: 1 << 20, Time: time.Minute}); err != nil {
			return err
		}
		return fmt.Errorf("got %d bytes", len(make([]byte, 4*memorySlack)))
	case "recurse":
		return recurse(0)
	case "crash":
		go panic("a mistake of ours")
		select {}
	}
	var out bytes.Buffer
	if err := Main(context.Background(), os.Stdin, &out); err != nil {
		return err
	}
	answer := out.Bytes()
	switch name {
	case "cut":
		var n int
		if _, err := fmt.Sscan(value, &n); err != nil {
			return err
		}
		answer = answer[:max(0, len(answer)-n)]
	case "killed":
		os.Stdout.Write(answer[:len(answer)/2])
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "drop": // the first object is lost, the end is there
		unitEnd := 5 + int(answer[3])<<8 + int(answer[4])
		objectEnd := unitEnd + 5 + int(answer[unitEnd+3])<<8 + int(answer[unitEnd+4])
		answer = append(answer[:unitEnd:unitEnd], answer[objectEnd:]...)
	case "chatty":
		answer = append(answer, "and another thing"...)
	case "exit":
		os.Stdout.Write(answer)
		return errors.New("failed after all")
	case "garbage":
		answer = []byte("Usage of kustomize: …")
	}
	_, err := os.Stdout.Write(answer)
	return err
}

// TestIncompleteAnswer proves that whatever happens to a child, the result is an error and never fewer objects.
func TestIncompleteAnswer(t *testing.T) {
	whole := mustBuild(t, snapshot(oneObject))
	if len(whole) != 2 {
		t.Fatalf("got %d objects from a child that works, want 2", len(whole))
	}
	for _, how := range []string{"deaf", "silent", "killed", "drop", "chatty", "exit", "garbage",
		"cut=1", "cut=5", "cut=14", "cut=20", "cut=60", "cut=10000"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			objects, err := testBuilder(t, how).Build(t.Context(), snapshot(oneObject), nil)
			var author render.ManifestErrors
			switch {
			case err == nil:
				t.Fatalf("a child that does %q gave %d objects and no error", how, len(objects))
			case errors.As(err, &author):
				t.Errorf("the author is blamed: %v", err)
			case objects != nil:
				t.Errorf("objects came with the error %v", err)
			}
		})
	}
}

// recurse has no end.
//
//lint:ignore SA5007 that is what a child is killed for
func recurse(depth int) error { return errors.Join(recurse(depth + 1)) }

func TestTimeoutKillsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	b := testBuilder(t, "hang="+file)
	b.opt.Children = 1
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := b.Build(ctx, snapshot(oneObject), nil)
		done <- err
	}()
	var pid int
	waitFor(t, "the child to start a process", func() bool {
		text, _ := os.ReadFile(file)
		_, err := fmt.Sscan(string(text), &pid)
		return err == nil
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Build returned %v, want %v", err, context.Canceled)
	}
	waitFor(t, "the child's own process to die", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestTimeLimit(t *testing.T) {
	b := testBuilder(t, "hang="+filepath.Join(t.TempDir(), "pid"))
	b.opt.Patience = 50 * time.Millisecond
	_, err := b.Build(t.Context(), snapshot(oneObject), nil)
	if err == nil || !strings.Contains(err.Error(), "rendering took longer than 50ms") {
		t.Errorf("got %v, want an error that names the limit", err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// unchecked hands remote resources to kustomize as if the checker had let them pass, to try what is behind it.
func unchecked(url string) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return err
	}
	t, err := readTree(in)
	if err != nil {
		return err
	}
	http.DefaultTransport = offline{}
	if err := confine(req.Limits); err != nil {
		return err
	}
	w := &frameWriter{w: os.Stdout}
	for _, resource := range []string{url + "/a.yaml", url + "/org/repo", "https://example.com/org/repo//dir?ref=v1", "git@example.com:org/repo"} {
		edited := &tree{nodes: t.nodes, edited: map[string][]byte{"kustomization.yaml": fmt.Appendf(nil, "resources: [%q]", resource)}}
		_, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(edited, "/")
		if err == nil {
			return fmt.Errorf("kustomize rendered %s", resource)
		}
		if err := w.mistakes(render.ManifestErrors{{File: resource, Message: err.Error()}}); err != nil {
			return err
		}
	}
	return w.write(frameEnd, endFrame{Frames: w.n})
}

// TestNothingIsFetched proves that a child makes no request and starts no program, neither with the checker before
// kustomize nor without it.
func TestNothingIsFetched(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		fmt.Fprint(w, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	}))
	defer server.Close()
	bin := t.TempDir()
	ran := filepath.Join(bin, "ran")
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\necho $@ >>"+ran+"\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if err := exec.Command("git", "version").Run(); err == nil {
		t.Fatal("the false git is not the one in PATH")
	}
	if err := os.Remove(ran); err != nil {
		t.Fatalf("the false git leaves no trace: %v", err)
	}
	snap := snapshot("-- kustomization.yaml --\nresources: [" + server.URL + "/a.yaml, git@example.com:org/repo]\n")
	for _, args := range [][]string{nil, {"unchecked=" + server.URL}} {
		_, err := testBuilder(t, args...).Build(t.Context(), snap, nil)
		var mistakes render.ManifestErrors
		if !errors.As(err, &mistakes) || len(mistakes) < 2 {
			t.Errorf("child %q: got %v, want an error for each resource", args, err)
		}
		t.Logf("child %q:\n%v", args, err)
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("%d HTTP requests were made", n)
	}
	if log, err := os.ReadFile(ran); err == nil {
		t.Errorf("git was run: %s", log)
	}
}

func TestPaths(t *testing.T) {
	for _, p := range []string{"..", "../x", "a/../../x", "/etc", ""} {
		if _, err := testBuilder(t).Build(t.Context(), snapshot(oneObject), []string{p}); err == nil {
			t.Errorf("path %q is accepted", p)
		}
	}
}

// TestChildSeesNothing proves that a child has none of our environment.
func TestChildSeesNothing(t *testing.T) {
	t.Setenv("GITFLEET_TEST_SECRET", "hunter2")
	p, err := start(t.Context(), testBuilder(t).opt, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var env []byte
	waitFor(t, "the child's environment", func() bool { // empty while the kernel is still starting the program
		env, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid))
		return err != nil || len(env) > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := stop([]*process{p}); err != nil {
		t.Error(err)
	}
	for _, pair := range strings.Split(strings.Trim(string(env), "\x00"), "\x00") {
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == "PATH" && value == "", name == "GOGC", name == "GOMEMLIMIT", name == "GOTRACEBACK", name == "GORACE":
		default:
			t.Errorf("the child's environment has %s", pair)
		}
	}
}
