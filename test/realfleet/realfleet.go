// Package realfleet gives tests a fleet of real API servers: it runs the localfleet binary (see test/localfleet) and
// takes everything away again, also when the test process is killed.
package realfleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Hub is the context of the cluster that is not a member.
const Hub = "fleet"

const (
	// maxFleets is how many fleets may run at once on one machine for tests: each takes about a gigabyte.
	maxFleets = 2
	// slotWait bounds the wait for another test's fleet to end.
	slotWait = 10 * time.Minute
	// callTimeout bounds every call of the binary.
	callTimeout = 4 * time.Minute
)

// Fleet is a running local fleet.
type Fleet struct {
	Dir        string   // holds kubeconfig, kubeconfigs/NAME, members.yaml, state.json, log/
	Kubeconfig string   // with the contexts "fleet" and one for each member
	Members    []string // aks-member-1, aks-member-2, …

	binary string
}

// Start brings up a hub and members and takes them down when t ends, or when this process does, however it ends. It
// fails t when the binary is missing, or the fleet does not become ready.
func Start(t testing.TB, members int) *Fleet {
	t.Helper()
	return start(t, members)
}

// StartAudited is Start with API servers that log every write request: see Audit.
func StartAudited(t testing.TB, members int) *Fleet {
	t.Helper()
	return start(t, members, "--audit")
}

// StartDualStack is Start with a first member whose Services may have addresses of both families. The others have IPv4 alone.
func StartDualStack(t testing.TB, members int) *Fleet {
	t.Helper()
	return start(t, members, "--dual-stack", "aks-member-1")
}

func start(t testing.TB, members int, options ...string) *Fleet {
	t.Helper()
	binary := findBinary(t)
	takeSlot(t)
	dir := t.TempDir()
	f := &Fleet{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), binary: binary}
	for i := range members {
		f.Members = append(f.Members, fmt.Sprintf("aks-member-%d", i+1))
	}
	// The fleet lives as long as somebody holds the writing end, and only this process does.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatalf("pipe that ties the fleet to this test: %v", err)
	}
	t.Cleanup(func() {
		f.down(t)
		_ = write.Close() // nothing was written
	})
	out, err := f.call(t, read, append([]string{"up", "--members", fmt.Sprint(members), "--until-eof"}, options...)...)
	_ = read.Close() // the supervisor has its own copy
	if err != nil {
		t.Fatalf("localfleet up: %v\n%s", err, out)
	}
	return f
}

func (f *Fleet) down(t testing.TB) {
	t.Helper()
	if t.Failed() {
		log, err := os.ReadFile(filepath.Join(f.Dir, "log", "supervisor.log"))
		t.Logf("log of the fleet's supervisor (%v):\n%s", err, log)
	}
	if out, err := f.call(t, nil, "down"); err != nil {
		t.Errorf("localfleet down: %v\n%s", err, out)
	}
}

// Config returns how to reach the API server of a context, as its administrator and without client-side rate limit.
func (f *Fleet) Config(t testing.TB, name string) *rest.Config {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: f.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		t.Fatalf("context %s of %s: %v", name, f.Kubeconfig, err)
	}
	config.QPS = -1
	return config
}

// Kubectl runs kubectl against a context and returns its standard output. It fails t when kubectl does.
func (f *Fleet) Kubectl(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := f.KubectlErr(t, name, args...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out
}

// KubectlErr runs kubectl against a context and returns its standard output, and an error that holds the command and
// its standard error.
func (f *Fleet) KubectlErr(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	return f.call(t, nil, append([]string{"kubectl", "--context", name}, args...)...)
}

// Apply applies a manifest (one or more YAML documents) with kubectl.
func (f *Fleet) Apply(t testing.TB, name, manifest string) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatalf("pipe to kubectl: %v", err)
	}
	go func() {
		_, _ = write.WriteString(manifest) // a kubectl that ends early says why itself
		_ = write.Close()
	}()
	_, err = f.call(t, read, "kubectl", "--context", name, "apply", "-f", "-")
	_ = read.Close()
	if err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
}

// StopMember ends a member's control plane and returns when it is gone. Its simulated pods still answer.
func (f *Fleet) StopMember(t testing.TB, name string) {
	t.Helper()
	if _, err := f.call(t, nil, "stop", name); err != nil {
		t.Fatalf("%v", err)
	}
}

// StartMember brings a member's control plane back with its data and returns when it is ready.
func (f *Fleet) StartMember(t testing.TB, name string) {
	t.Helper()
	if _, err := f.call(t, nil, "start", name); err != nil {
		t.Fatalf("%v", err)
	}
}

// PID returns the process of a component ("etcd", "kube-apiserver", …) of a cluster; 0 means that it does not run now.
func (f *Fleet) PID(t testing.TB, cluster, component string) int {
	t.Helper()
	var state struct {
		Clusters []struct {
			Name       string
			Components []struct {
				Name string
				PID  int
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(f.Dir, "state.json"))
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err != nil {
		t.Fatalf("state of the fleet: %v", err)
	}
	for _, c := range state.Clusters {
		for _, part := range c.Components {
			if c.Name == cluster && part.Name == component {
				return part.PID
			}
		}
	}
	t.Fatalf("no component %s of a cluster %s in %s", component, cluster, data)
	return 0
}

// Loopback returns where the listener of a simulated pod is: its address with 127 for 10. It fails t for any address
// outside 10/8, so that a test never sends to a network that is not this machine's.
func Loopback(t testing.TB, podIP string) string {
	t.Helper()
	a, err := netip.ParseAddr(podIP)
	if err != nil || !netip.MustParsePrefix("10.0.0.0/8").Contains(a) {
		t.Fatalf("%q is not the address of a simulated pod (10.M.x.y): %v", podIP, err)
	}
	b := a.As4()
	b[0] = 127
	return netip.AddrFrom4(b).String()
}

// Eventually calls cond until it returns nil. It fails t with cond's last error when that takes longer than within.
func Eventually(t testing.TB, within time.Duration, cond func() error) {
	t.Helper()
	const first, most = 5 * time.Millisecond, 50 * time.Millisecond
	deadline := time.Now().Add(within)
	for pause := first; ; pause = min(2*pause, most) {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(pause)
	}
}

// call runs the binary on this fleet and returns its standard output.
func (f *Fleet) call(t testing.TB, stdin *os.File, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout) // not t.Context: it is over when cleanups run
	defer cancel()
	cmd := exec.CommandContext(ctx, f.binary, append([]string{"--dir", f.Dir}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG=") // localfleet takes its own then
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("localfleet %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// takeSlot waits until fewer than maxFleets test fleets run on this machine and holds a place among them until t ends.
// A slot is an abstract unix socket: the kernel frees it when its holder dies.
func takeSlot(t testing.TB) {
	t.Helper()
	Eventually(t, slotWait, func() error {
		var errs []error
		for i := range maxFleets {
			slot, err := net.Listen("unix", fmt.Sprintf("@gitfleet-realfleet/%d", i))
			if err == nil {
				t.Cleanup(func() { _ = slot.Close() })
				return nil
			}
			errs = append(errs, err)
		}
		return fmt.Errorf("%d test fleets run already: %w", maxFleets, errors.Join(errs...))
	})
}

// findBinary returns $GITFLEET_LOCALFLEET, or bin/localfleet of the module that the test belongs to.
func findBinary(t testing.TB) string {
	t.Helper()
	binary := os.Getenv("GITFLEET_LOCALFLEET")
	if binary == "" {
		binary = filepath.Join(moduleRoot(t), "bin", "localfleet")
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("no localfleet binary: run make build (or set GITFLEET_LOCALFLEET): %v", err)
	}
	return binary
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd() // of a test: the directory of its package
	if err != nil {
		t.Fatalf("working directory: %v", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module github.com/gitfleet/gitfleet\n") {
			return dir
		}
	}
	t.Fatal("this test does not run inside the module github.com/gitfleet/gitfleet: set GITFLEET_LOCALFLEET")
	return ""
}
