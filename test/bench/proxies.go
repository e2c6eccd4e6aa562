package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/local"
)

// A contestant carries connections to the server, in a process of its own, so that what it uses is known.
type contestant struct {
	name string // with why it is missing, if it is
	addr string // empty when it is missing
	pid  int    // 0 for no process: connections go straight to the server
	stop func() error
}

// contestants starts everything that carries connections to target: nothing at all, the local load balancer, and its peers. streams tells
// what they will carry, for peers that are told such things.
func contestants(ctx context.Context, target netip.AddrPort, streams bool) (all []contestant, err error) {
	all = []contestant{{name: "direct", addr: target.String(), stop: func() error { return nil }}}
	haproxy := func(ctx context.Context, target netip.AddrPort) (contestant, error) {
		return startHAProxy(ctx, target, streams)
	}
	for _, start := range []func(context.Context, netip.AddrPort) (contestant, error){startLocal, haproxy, startNginx} {
		c, err := start(ctx, target)
		if err != nil {
			return nil, errors.Join(err, stopAll(all))
		}
		all = append(all, c)
	}
	return all, nil
}

func stopAll(all []contestant) error {
	var errs []error
	for _, c := range all {
		if c.stop != nil { // a missing peer
			errs = append(errs, c.stop())
		}
	}
	return errors.Join(errs...)
}

// startLocal runs the local load balancer in a process of its own.
func startLocal(ctx context.Context, target netip.AddrPort) (contestant, error) {
	self, err := os.Executable()
	if err != nil {
		return contestant{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-local-proxy", target.String())
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return contestant{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return contestant{}, err
	}
	if err := cmd.Start(); err != nil {
		return contestant{}, err
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	c := contestant{name: "local", addr: strings.TrimSpace(addr), pid: cmd.Process.Pid,
		stop: func() error { return errors.Join(stdin.Close(), cmd.Wait()) }}
	if err != nil {
		return c, errors.Join(fmt.Errorf("the local load balancer does not start: %w", err), c.stop())
	}
	return c, nil
}

// serveLocal carries connections to target until in ends. It writes one line to out: where it listens.
func serveLocal(target string, in io.Reader, out io.Writer) error {
	at, err := netip.ParseAddrPort(target)
	if err != nil {
		return err
	}
	provider, err := local.New(local.Options{})
	if err != nil {
		return err
	}
	lb := mcs.LoadBalancer{
		Namespace: "bench", Name: "proxy",
		Ports:    []mcs.Port{{Protocol: corev1.ProtocolTCP, Port: int32(at.Port())}},
		Backends: []mcs.Backend{{Cluster: "bench", Target: at}},
	}
	state, err := provider.Apply(context.Background(), mcs.Plan{Changes: []mcs.Change{{Action: mcs.Create, LoadBalancer: lb}}})
	front := state[lb.Key()].Frontend
	if err == nil && (len(front.Addresses) == 0 || len(front.Problems) > 0) {
		err = fmt.Errorf("the load balancer does not serve: %v", front.Problems)
	}
	if err == nil {
		_, err = fmt.Fprintln(out, netip.AddrPortFrom(front.Addresses[0], at.Port()))
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return errors.Join(err, provider.Close())
}

// startHAProxy runs HAProxy with one thread. Splicing helps it with streams and hinders it with messages.
func startHAProxy(ctx context.Context, target netip.AddrPort, streams bool) (contestant, error) {
	splice := ""
	if streams {
		splice = "  option splice-request\n  option splice-response\n"
	}
	return startPeer(ctx, "haproxy", "haproxy.cfg", func(listen, dir string) (string, []string) {
		return fmt.Sprintf(`global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
%s  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen bench
  bind %s backlog 4096
  server one %s
`, splice, listen, target), []string{"-db", "-q", "-f", filepath.Join(dir, "haproxy.cfg")}
	})
}

// startNginx runs nginx with one worker and its stream module.
func startNginx(ctx context.Context, target netip.AddrPort) (contestant, error) {
	return startPeer(ctx, "nginx", "nginx.conf", func(listen, dir string) (string, []string) {
		module := ""
		const packaged = "/usr/lib/nginx/modules/ngx_stream_module.so" // where Debian puts it
		if _, err := os.Stat(packaged); err == nil {
			module = "load_module " + packaged + ";\n"
		}
		return fmt.Sprintf(`%sdaemon off;
master_process off;
pid %s/nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
stream {
  server { listen %s backlog=4096; proxy_pass %s; proxy_buffer_size 64k; tcp_nodelay on; }
}
`, module, dir, listen, target), []string{"-p", dir, "-c", filepath.Join(dir, "nginx.conf")}
	})
}

// startPeer runs binary with a configuration, and waits until it listens. A peer that is not installed, or lacks what it takes, is a
// contestant without an address.
func startPeer(ctx context.Context, binary, file string, configure func(listen, dir string) (text string, args []string)) (contestant, error) {
	path, err := lookPath(binary)
	if err != nil {
		return contestant{name: binary + " (not installed)"}, nil
	}
	dir, err := os.MkdirTemp("", "gitfleet-bench-"+binary+"-")
	if err != nil {
		return contestant{}, err
	}
	listen, err := freeAddress()
	if err != nil {
		return contestant{}, errors.Join(err, os.RemoveAll(dir))
	}
	text, args := configure(listen, dir)
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		return contestant{}, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var said strings.Builder
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return contestant{}, errors.Join(err, os.RemoveAll(dir))
	}
	c := contestant{name: binary, addr: listen, pid: cmd.Process.Pid, stop: func() error {
		_ = cmd.Process.Kill() // its configuration is all that it has
		_ = cmd.Wait()         // killed, as it should be
		return os.RemoveAll(dir)
	}}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if conn, err := dial(ctx, listen); err == nil {
			return c, conn.Close()
		}
		select {
		case <-ctx.Done():
			return contestant{}, errors.Join(ctx.Err(), c.stop())
		case <-look.C:
		}
	}
	err = c.stop()
	why, _, _ := strings.Cut(said.String(), "\n")
	return contestant{name: fmt.Sprintf("%s (does not run: %s)", binary, why)}, err
}

// lookPath also looks where servers are kept from people.
func lookPath(binary string) (string, error) {
	path, err := exec.LookPath(binary)
	if err != nil {
		return exec.LookPath("/usr/sbin/" + binary)
	}
	return path, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}
