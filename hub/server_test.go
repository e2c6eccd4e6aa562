package hub

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// apiServer is a real etcd and kube-apiserver without controllers. It needs a Kubernetes multi-binary, named by the
// environment variable GITFLEET_K8S.
type apiServer struct {
	config *rest.Config
	bin    string
	dir    string

	mu     sync.Mutex
	writes []string // "PATCH /apis/…" of everything but reading
	reads  []string // but watches
}

func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{bin: os.Getenv("GITFLEET_K8S"), dir: t.TempDir()}
	if s.bin == "" {
		t.Skip("GITFLEET_K8S names no Kubernetes binary")
	}
	etcd, peer, port := freePort(t), freePort(t), freePort(t)
	etcdURL, peerURL := fmt.Sprintf("http://127.0.0.1:%d", etcd), fmt.Sprintf("http://127.0.0.1:%d", peer)
	s.run(t, "etcd", "--name", "e", "--data-dir", filepath.Join(s.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL, "--listen-peer-urls", peerURL,
		"--initial-advertise-peer-urls", peerURL, "--initial-cluster", "e="+peerURL)
	key := filepath.Join(s.dir, "sa.key")
	writeKey(t, key)
	tokens := filepath.Join(s.dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte("admin,admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, "kube-apiserver", "--etcd-servers", etcdURL, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port),
		"--cert-dir", filepath.Join(s.dir, "certs"), "--token-auth-file", tokens, "--service-cluster-ip-range", "10.96.0.0/24",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-signing-key-file", key,
		"--service-account-key-file", key, "--authorization-mode", "RBAC", "--endpoint-reconciler-type", "none", "--disable-admission-plugins", "ServiceAccount")
	s.config = &rest.Config{Host: fmt.Sprintf("https://127.0.0.1:%d", port), BearerToken: "admin",
		TLSClientConfig: rest.TLSClientConfig{Insecure: true}, WrapTransport: s.record}
	s.waitReady(t)
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func writeKey(t *testing.T, file string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *apiServer) run(t *testing.T, args ...string) {
	t.Helper()
	c := exec.Command(s.bin, args...)
	log, err := os.Create(filepath.Join(s.dir, args[0]+".log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait(); _ = log.Close() })
}

func (s *apiServer) waitReady(t *testing.T) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(s.dir, "kube-apiserver.log")); t.Failed() && err == nil {
			t.Logf("kube-apiserver: %s", log[max(0, len(log)-4000):])
		}
	})
	eventually(t, time.Minute, "the API server is ready", func() bool {
		r, err := c.Get(s.config.Host + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// eventually waits for a condition.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("after %v it is not so that %s", limit, what)
		}
	}
}

type recorder struct {
	server *apiServer
	next   http.RoundTripper
}

func (s *apiServer) record(next http.RoundTripper) http.RoundTripper { return recorder{s, next} }

// RoundTrip implements http.RoundTripper.
func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.server.mu.Lock()
	line := req.Method + " " + req.URL.Path
	switch {
	case req.Method != http.MethodGet:
		r.server.writes = append(r.server.writes, line)
	case req.URL.Query().Get("watch") == "":
		r.server.reads = append(r.server.reads, line)
	}
	r.server.mu.Unlock()
	return r.next.RoundTrip(req)
}

// requests returns what was requested since the last call, but watches.
func (s *apiServer) requests() (writes, reads []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes, reads = s.writes, s.reads
	s.writes, s.reads = nil, nil
	return writes, reads
}
