package kube

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// startServer starts a real etcd and kube-apiserver without controllers.
func startServer(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("GITFLEET_K8S") == "" {
		t.Skip("GITFLEET_K8S names no Kubernetes binary")
	}
	dir := t.TempDir()
	etcd, peer, secure := localURL(t), localURL(t), freePort(t)
	run(t, dir, "etcd", "--name=e", "--data-dir="+dir+"/etcd", "--unsafe-no-fsync", "--log-level=error", "--listen-client-urls="+etcd,
		"--advertise-client-urls="+etcd, "--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=e="+peer)
	if out, err := exec.Command("openssl", "genrsa", "-out", dir+"/sa.key", "2048").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	if err := os.WriteFile(dir+"/tokens.csv", []byte("admin,admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "kube-apiserver", "--etcd-servers="+etcd, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", secure), "--cert-dir="+dir+"/certs",
		"--token-auth-file="+dir+"/tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-signing-key-file="+dir+"/sa.key",
		"--service-account-key-file="+dir+"/sa.key", "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none")
	config := &rest.Config{Host: fmt.Sprintf("https://127.0.0.1:%d", secure), BearerToken: "admin", TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1}
	awaitReady(t, config.Host, filepath.Join(dir, "kube-apiserver.log"))
	return config
}

// run starts a component of the Kubernetes binary and kills it when the test ends.
func run(t *testing.T, dir, component string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, component+".log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Getenv("GITFLEET_K8S"), append([]string{component}, args...)...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		log.Close()
	})
}

func awaitReady(t *testing.T, host, log string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		r, err := (&http.Client{Transport: transport}).Get(host + "/readyz")
		if err != nil {
			return false, nil
		}
		return r.StatusCode == http.StatusOK, r.Body.Close()
	})
	if err != nil {
		text, _ := os.ReadFile(log)
		t.Fatalf("the API server is not ready: %v\n%s", err, text)
	}
}

func localURL(t *testing.T) string { return fmt.Sprintf("http://127.0.0.1:%d", freePort(t)) }

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
