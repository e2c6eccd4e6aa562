package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
	"github.com/gitfleet/gitfleet/test/localfleet/pki"
)

func TestValidate(t *testing.T) {
	many := make([]string, netplan.MaxClusters)
	for i := range many {
		many[i] = fmt.Sprint("m", i)
	}
	for _, tc := range []struct {
		name    string
		members []string
		want    string // part of the error, empty for none
	}{
		{"usual", []string{"aks-member-1", "b"}, ""},
		{"as many as fit", many[:netplan.MaxClusters-1], ""},
		{"one more", many, "members"},
		{"none", nil, "members"},
		{"the same twice", []string{"a", "a"}, "twice"},
		{"the hub's name", []string{"fleet"}, "hub"},
		{"not a DNS label", []string{"A_b"}, "lower case"},
		{"a path", []string{"../x"}, "alphanumeric"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Validate(tc.members)
			if (tc.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want an error about %q", err, tc.want)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	l := Layout{Dir: filepath.Join(t.TempDir(), "a fleet")}
	if _, err := l.Lock(); !errors.Is(err, ErrAbsent) {
		t.Errorf("lock of a directory that is not there: %v, want ErrAbsent", err)
	}
	for range 2 { // the second time it is one that held a fleet before
		if err := l.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	held, err := l.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Lock(); !errors.Is(err, ErrRunning) {
		t.Errorf("second lock: %v, want ErrRunning", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := l.Lock()
	if err != nil {
		t.Fatalf("lock after its holder is gone: %v", err)
	}
	defer func() { _ = again.Close() }()
	own := filepath.Join(l.Dir, "notes.txt")
	for _, path := range []string{own, l.Kubeconfig(), l.KubeconfigOf("m"), l.Log("m", Etcd)} {
		if err := writeFile(path, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Clean(); err != nil {
		t.Fatal(err)
	}
	for path, kept := range map[string]bool{own: true, l.Log("m", Etcd): true, l.Kubeconfig(): false, l.KubeconfigOf("m"): false} {
		if _, err := os.Stat(path); (err == nil) != kept {
			t.Errorf("after Clean, %s is there: %v, want %v", path, err == nil, kept)
		}
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	if err := os.WriteFile(l.Kubeconfig(), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(); err == nil {
		t.Error("a directory with somebody's kubeconfig was taken")
	}
}

func TestKubeconfig(t *testing.T) {
	ca, err := pki.NewAuthority("x", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Client("admin", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var all []access
	for i, name := range []string{Hub, "m1"} {
		all = append(all, access{cluster: name, addr: netplan.Plan{M: 9, APIPort: 7443}.API(i), ca: ca.CertPEM, client: client})
	}
	path := filepath.Join(t.TempDir(), "kube config")
	if err := writeKubeconfig(path, all...); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of a file with keys: %v, %v; want 0600", info.Mode(), err)
	}
	for name, server := range map[string]string{"": "https://127.9.0.1:7443", Hub: "https://127.9.0.1:7443", "m1": "https://127.9.16.1:7443"} {
		config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: path},
			&clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
		if err != nil || config.Host != server {
			t.Errorf("context %q: %v, %v; want %s", name, config, err, server)
		}
	}
}

// TestHelper is not a test: it is the process that TestComponent keeps alive.
func TestHelper(t *testing.T) {
	if os.Getenv("LOCALFLEET_HELPER") == "" {
		t.Skip("only as a child process of TestComponent")
	}
	select {}
}

func TestComponent(t *testing.T) {
	t.Setenv("LOCALFLEET_HELPER", "1")
	changed := make(chan struct{}, 100)
	alive := make(chan bool, 100)
	c := &component{name: "helper", args: []string{"-test.run=^TestHelper$"}, dir: t.TempDir(),
		log: filepath.Join(t.TempDir(), "log"), logger: slog.New(slog.DiscardHandler),
		changed: func() { changed <- struct{}{} },
		while: func(ctx context.Context) {
			alive <- true
			<-ctx.Done()
			alive <- false
		}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.run(ctx) })
	next := func(want bool) {
		t.Helper()
		select {
		case got := <-alive:
			if got != want {
				t.Fatalf("the process is said to live: %v, want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the process was not said to live: %v", want)
		}
	}
	next(true)
	first := c.state().PID
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", first, err)
	}
	next(false)
	next(true)
	second := c.state()
	if second.PID == first || second.PID == 0 || second.Restarts != 1 {
		t.Errorf("after kill -9 of %d: %+v, want another process and one restart", first, second)
	}
	cancel()
	next(false)
	wg.Wait()
	if err := syscall.Kill(second.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after the end: %v, want it gone", second.PID, err)
	}
	if got := c.state(); got.PID != 0 || got.Restarts != 1 {
		t.Errorf("state after the end: %+v", got)
	}
	if len(changed) < 4 {
		t.Errorf("%d changes were told, want two starts and two ends", len(changed))
	}
}

func TestControlSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long name/", 20)) // far beyond the 108 bytes of a socket's address
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &fleet{Config: Config{Layout: Layout{Dir: long}, Members: []string{"m1"}, Log: slog.New(slog.DiscardHandler)}, down: cancel}
	control, err := f.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer control.close()
	var wg sync.WaitGroup
	wg.Go(func() { control.serve(ctx) })
	client := Client{Layout: f.Layout}
	if s, err := client.Status(t.Context()); err != nil || s.PID != os.Getpid() {
		t.Errorf("status: %+v, %v; want this process", s, err)
	}
	err = client.Stop(t.Context(), "nobody")
	if err == nil || !strings.Contains(err.Error(), `no cluster "nobody"`) || !strings.Contains(err.Error(), "m1") {
		t.Errorf("stop of an unknown cluster: %v; want an error with the names there are", err)
	}
	if err := client.Down(t.Context()); err != nil {
		t.Errorf("down: %v", err)
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), ErrDown) {
		t.Errorf("the fleet ends because of %v, want ErrDown", context.Cause(ctx))
	}
	wg.Wait()
}

func TestEgress(t *testing.T) {
	plan, release, err := netplan.Claim()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	pod := plan.FirstPod(1)
	l, err := net.Listen("tcp", netip.AddrPortFrom(netplan.Loopback(pod), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	dir := t.TempDir()
	e, err := newEgress(dir, plan, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	for _, tc := range []struct {
		name, to string
		want     int
	}{
		{"a pod", fmt.Sprintf("%s:%d", pod, port), http.StatusOK},
		{"a loopback address", fmt.Sprintf("%s:%d", netplan.Loopback(pod), port), http.StatusOK},
		{"a pod that does not listen", fmt.Sprintf("%s:1", pod), http.StatusBadGateway},
		{"an address of another fleet's range", fmt.Sprintf("10.%d.16.16:80", plan.M^1), http.StatusForbidden},
		{"an address elsewhere", "192.0.2.1:80", http.StatusForbidden},
		{"a ClusterIP", "10.0.0.1:443", http.StatusForbidden},
		{"a name", "example.test:80", http.StatusForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := net.Dial("unix", filepath.Join(descriptor(e.dir), egressSocket))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			reader := bufio.NewReader(conn)
			got := exchange(t, conn, reader, "CONNECT "+tc.to+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", http.MethodConnect)
			if got.StatusCode != tc.want {
				t.Fatalf("CONNECT %s: %s, want %d", tc.to, got.Status, tc.want)
			}
			if tc.want != http.StatusOK {
				return
			}
			got = exchange(t, conn, reader, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", http.MethodGet)
			if body, err := io.ReadAll(got.Body); err != nil || string(body) != "here" {
				t.Errorf("through the proxy: %q, %v", body, err)
			}
		})
	}
}

func exchange(t *testing.T, conn net.Conn, reader *bufio.Reader, request, method string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return response
}
