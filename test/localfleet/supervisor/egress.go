package supervisor

import (
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
	"time"

	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
)

// An API server dials pods and nodes itself: for proxy requests, logs, webhooks behind Services. On this machine nobody
// answers 10.M.x.y, and elsewhere somebody might, so all such connections go through this proxy (HTTP CONNECT on a unix
// socket, the API server's "egress selector"), which turns pod addresses into loopback ones and refuses the rest.

const (
	egressSocket = "egress.sock"
	egressConfig = "egress.yaml"
)

const egressManifest = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: ` + egressSocket + "\n"

type egress struct {
	allowed  netip.Prefix // pod addresses: 10.M.0.0/16
	dir      *os.File
	listener net.Listener
	server   *http.Server
}

func newEgress(dir string, plan netplan.Plan, log *slog.Logger) (*egress, error) {
	opened, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("egress proxy: %w", err)
	}
	listener, err := net.Listen("unix", filepath.Join(descriptor(opened), egressSocket))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("egress proxy: %w", err), opened.Close())
	}
	e := &egress{allowed: plan.Fleet(), dir: opened, listener: listener}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() { _ = e.server.Serve(listener) }() // ends when close closes it
	return e, nil
}

func (e *egress) close() {
	_ = e.server.Close()
	_ = e.listener.Close()
	_ = e.dir.Close()
}

// target returns where a connection for address really goes.
func (e *egress) target(address string) (string, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", fmt.Errorf("%q is not an address and a port", address)
	}
	switch local := netip.AddrPortFrom(netplan.Loopback(to.Addr()), to.Port()); {
	case e.allowed.Contains(to.Addr()), local == to: // a pod's; a node's is a loopback address already
		return local.String(), nil
	}
	return "", fmt.Errorf("%s is not an address of this local fleet (%s)", to.Addr(), e.allowed)
}

// ServeHTTP answers CONNECT requests.
func (e *egress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	address, err := e.target(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	far, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = far.Close() }()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = near.Close() }()
	if _, err := near.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		return // the API server has given up
	}
	join(near, buffered, far)
}

// join copies both ways until one side ends.
func join(near net.Conn, fromNear io.Reader, far net.Conn) {
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(far, fromNear); done <- struct{}{} }()
	go func() { _, _ = io.Copy(near, far); done <- struct{}{} }()
	<-done
	_ = near.Close() // which ends the other direction
	_ = far.Close()
	<-done
}
