package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gitfleet/gitfleet/test/bench/stub"
)

// serveStubs serves n stub members until in ends. It writes one line to out: a kubeconfig with a context for each.
func serveStubs(n int, in io.Reader, out io.Writer) error {
	certificate, ca, err := selfSigned(time.Now())
	if err != nil {
		return err
	}
	var clusters, contexts []any
	for i := range n {
		m, err := stub.Start(certificate)
		if err != nil {
			return err
		}
		defer m.Close()
		name := fmt.Sprintf("member-%03d", i)
		clusters = append(clusters, map[string]any{"name": name, "cluster": map[string]any{"server": m.URL(), "certificate-authority-data": ca}})
		contexts = append(contexts, map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": "nobody"}})
	}
	err = json.NewEncoder(out).Encode(map[string]any{"apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts,
		"users": []any{map[string]any{"name": "nobody", "user": map[string]any{}}}})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// selfSigned returns a certificate for 127.0.0.1, and itself in PEM as what to trust.
func selfSigned(now time.Time) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// stubFleet is stub members in a process of their own, so that what gitfleet uses is measured alone.
type stubFleet struct {
	cmd        *exec.Cmd
	stdin      io.Closer
	dir        string
	kubeconfig string
	clients    []*bareClient
}

func startStubs(ctx context.Context, n int) (f *stubFleet, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gitfleet-bench-stubs-")
	if err != nil {
		return nil, err
	}
	f = &stubFleet{dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig")}
	f.cmd = exec.CommandContext(ctx, self, "-stub-members", fmt.Sprint(n))
	f.cmd.Stderr = os.Stderr
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := f.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	f.stdin = stdin
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	config, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = os.WriteFile(f.kubeconfig, config, 0o600)
	}
	for i := 0; i < n && err == nil; i++ {
		var c *bareClient
		c, err = newBareClient(f.kubeconfig, fmt.Sprintf("member-%03d", i))
		f.clients = append(f.clients, c)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *stubFleet) close() error {
	closeErr := f.stdin.Close()
	return errors.Join(closeErr, f.cmd.Wait(), os.RemoveAll(f.dir))
}
