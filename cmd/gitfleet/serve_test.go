package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/report"
)

// TestPublicListen runs gitfleet with an address for everybody, and one for those inside: or with the first alone.
func TestPublicListen(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, tt := range []struct {
		name, listen string
	}{{"both", "127.0.0.1:0"}, {"nothing inside", ""}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			kubeconfig := filepath.Join(dir, "none.kubeconfig")
			if err := os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			stdout, write := io.Pipe()
			code, ended := 0, make(chan struct{})
			t.Cleanup(func() {
				stop()
				stdout.Close()
				<-ended
			})
			go func() {
				defer close(ended)
				args := []string{"run", "--repo", t.TempDir(), "--kubeconfig", kubeconfig, "--state-dir", filepath.Join(dir, "state"),
					"--listen", tt.listen, "--public-listen", "127.0.0.1:0"}
				code = execute(ctx, args, strings.NewReader(""), write, t.Output())
				write.Close()
			}()
			lines := bufio.NewReader(stdout)
			inside := ""
			if tt.listen != "" {
				inside = addressIn(t, lines, "listening on ")
			}
			public := addressIn(t, lines, "badges and webhooks on ")
			if inside != "" {
				expectCodes(t, inside, map[string]int{"/badge/main.svg": 200, "/status.json": 200, "/metrics": 200, "/": 200})
			}
			expectCodes(t, public, map[string]int{"/badge/main.svg": 200, "/status.json": 404, "/metrics": 404, "/": 404, "/healthz": 404})
			stop()
			if <-ended; code != exitOK {
				t.Errorf("stopped: exit %d, want %d", code, exitOK)
			}
			if conn, err := net.Dial("tcp", strings.TrimPrefix(public, "http://")); err == nil {
				conn.Close()
				t.Errorf("%s still listens", public)
			}
		})
	}
}

// addressIn reads a line and returns what follows prefix in it.
func addressIn(t *testing.T, lines *bufio.Reader, prefix string) string {
	t.Helper()
	line, err := lines.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
	if err != nil || !ok {
		t.Fatalf("gitfleet says %q (%v), want %q and an address", line, err, prefix)
	}
	return address
}

func expectCodes(t *testing.T, address string, codes map[string]int) {
	t.Helper()
	for path, want := range codes {
		resp, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != want {
			t.Errorf("%s%s: %d (%v), want %d", address, path, resp.StatusCode, err, want)
		}
	}
}

// TestOpenAllOrNone: when one address is taken, the other one is given back.
func TestOpenAllOrNone(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	first := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	o := servingOptions{listen: first, publicListen: taken.Addr().String()}
	doors, err := o.open(web.Options{Latest: func() report.Report { return report.Report{} }}, &out)
	if err == nil || !strings.HasPrefix(err.Error(), "--public-listen: ") || len(doors) > 0 || out.Len() > 0 {
		t.Errorf("an address that is taken: %d doors, %v, and it says %q; want none, the flag, and nothing", len(doors), err, &out)
	}
	again, err := net.Listen("tcp", first)
	if err != nil {
		t.Fatalf("the other address was not given back: %v", err)
	}
	again.Close()
}
