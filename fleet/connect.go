package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

var (
	errConnecting = errors.New("not yet connected")
	errClosed     = errors.New("the session is closed")
)

// connect builds the clients of s, all on one HTTP connection of its own: two members never share one, even behind the
// same address. The clients address the member by its name, and the guard sends that to where the member is now.
func (s *Session) connect(cfg *rest.Config, t timing) error {
	if err := s.setLine(cfg, t); err != nil {
		return err
	}
	s.guard = &guard{link: s.link, wire: &s.wire, host: s.name}
	var err error
	if s.own, err = s.newClients(s.guard); err != nil {
		return err
	}
	client := &http.Client{Transport: s.guard}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(s.clientConfig(), client)
	if err != nil {
		return err
	}
	s.catalog = newCatalog(s.name, disco, s.link)
	s.link.again = s.catalog.announce
	s.link.probe = (&prober{client: client, base: disco.RESTClient(), timeout: t.probe}).probe
	return nil
}

// setLine makes requests go by cfg from now on.
func (s *Session) setLine(cfg *rest.Config, t timing) error {
	own := rest.CopyConfig(cfg)
	own.UserAgent, own.Timeout = "gitfleet", 0
	l, err := newLine(own, t)
	if err != nil {
		return err
	}
	s.config = rest.CopyConfig(cfg)
	s.wire.replace(l)
	return nil
}

// pingIdle sets how soon a hung HTTP/2 connection is noticed. client-go takes that from environment variables only.
func pingIdle(rt http.RoundTripper, t timing) {
	for {
		switch typed := rt.(type) {
		case *http.Transport:
			typed.HTTP2 = &http.HTTP2Config{SendPingTimeout: t.pingAfter, PingTimeout: t.ping}
			return
		case utilnet.RoundTripperWrapper:
			rt = typed.WrappedRoundTripper()
		default:
			return // client-go's own defaults stay: 30 and 15 seconds
		}
	}
}

// prober asks whether the API server can be used.
type prober struct {
	client  *http.Client
	base    rest.Interface
	timeout time.Duration
}

// probe asks /readyz, because an API server answers other paths before it has loaded its access rules. Any answer but
// 401 and 5xx will do: not everyone may read that path. Then it reads the version, which is empty when that is denied.
func (p *prober) probe(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("no answer within %s", p.timeout))
	defer cancel()
	if _, err := p.get(ctx, "/readyz"); err != nil {
		return "", err
	}
	body, err := p.get(ctx, "/version")
	if err != nil {
		return "", err
	}
	var info version.Info
	if json.Unmarshal(body, &info) != nil {
		return "", nil // reachable all the same; the version is only shown
	}
	return info.GitVersion, nil
}

// get returns the body of a path below the API server's root, or nothing when the server denies it.
func (p *prober) get(ctx context.Context, path string) ([]byte, error) {
	url := p.base.Get().AbsPath(path).URL().String()
	req, err := http.NewRequestWithContext(context.WithValue(ctx, probeKey{}, true), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode >= 500 {
		return nil, &statusError{code: resp.StatusCode, body: failedChecks(string(body))}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil
	}
	return body, nil
}

// failedChecks picks the failed checks out of an answer of /readyz, which marks them with "[-]".
func failedChecks(body string) string {
	var failed []string
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			failed = append(failed, rest)
		}
	}
	return strings.Join(failed, ", ")
}

// connections dials, and remembers what it dialled so that closing leaves nothing open.
type connections struct {
	next func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	open   map[*trackedConn]struct{}
	closed bool
}

func newConnections(next func(context.Context, string, string) (net.Conn, error)) *connections {
	if next == nil {
		next = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return &connections{next: next, open: map[*trackedConn]struct{}{}}
}

func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.next(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, owner: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close() // the session is gone and nobody waits for this connection
		return nil, fmt.Errorf("dial %s: %w", address, net.ErrClosed)
	}
	c.open[tracked] = struct{}{}
	return tracked, nil
}

// close closes every connection and refuses new ones.
func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	open := make([]*trackedConn, 0, len(c.open))
	for conn := range c.open {
		open = append(open, conn)
	}
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close() // closing is all that is wanted; what was lost with it is reported by its requests
	}
}

// trackedConn is a connection that its owner knows.
type trackedConn struct {
	net.Conn
	owner *connections
}

func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.open, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}
