package fleet

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// line is one way to the member's API server: its address, credentials, and the connections made with them.
type line struct {
	base  *url.URL
	rt    http.RoundTripper
	as    string                 // whom the credentials impersonate
	token atomic.Pointer[string] // nil when the credentials hold none; apart from rt, so that a new one needs no new connection
	conns *connections

	uses    int // requests under way; guarded by wire.mu
	retired bool
}

// newLine builds a line. cfg is the line's own.
func newLine(cfg *rest.Config, t timing) (*line, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, err
	}
	l := &line{base: base, as: cfg.Impersonate.UserName, conns: newConnections(cfg.Dial)}
	cfg.Dial = l.conns.dial
	if cfg.BearerToken != "" && cfg.BearerTokenFile == "" {
		l.setToken(cfg.BearerToken)
		cfg.BearerToken = ""
	}
	if cfg.ExecProvider != nil {
		exec := *cfg.ExecProvider
		exec.StdinUnavailable = true
		exec.StdinUnavailableMessage = "gitfleet runs unattended"
		cfg.ExecProvider = &exec
	}
	if l.rt, err = rest.TransportFor(cfg); err != nil {
		return nil, err
	}
	pingIdle(l.rt, t)
	return l, nil
}

func (l *line) setToken(token string) { l.token.Store(&token) }

// roundTrip sends a request that is addressed to host, which stands for the member wherever it is.
func (l *line) roundTrip(req *http.Request, host string) (*http.Response, error) {
	if req.URL.Host != host {
		return l.rt.RoundTrip(req) // redirected elsewhere: the token is for the member only
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.Host = l.base.Scheme, l.base.Host, l.base.Host
	prefix := strings.TrimSuffix(l.base.Path, "/")
	out.URL.Path = prefix + req.URL.Path
	if req.URL.RawPath != "" {
		out.URL.RawPath = (&url.URL{Path: prefix}).EscapedPath() + req.URL.RawPath
	}
	if token := l.token.Load(); token != nil && out.Header.Get("Authorization") == "" {
		out.Header.Set("Authorization", "Bearer "+*token)
	}
	return l.rt.RoundTrip(out)
}

// close ends every connection.
func (l *line) close() {
	l.conns.close()
	utilnet.CloseIdleConnectionsFor(l.rt)
}

// wire holds the line that requests are sent on, and those before it until their last request is finished.
type wire struct {
	mu      sync.Mutex
	current *line
	retired map[*line]struct{}
	closed  bool
}

// take returns the current line for one request; give returns it.
func (w *wire) take() *line {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current.uses++
	return w.current
}

func (w *wire) give(l *line) {
	w.mu.Lock()
	l.uses--
	over := l.retired && l.uses == 0
	if over {
		delete(w.retired, l)
	}
	w.mu.Unlock()
	if over {
		l.close()
	}
}

// impersonates tells whether the current credentials are for acting in another's name.
func (w *wire) impersonates() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current.as != ""
}

// replace makes l the current line.
func (w *wire) replace(l *line) {
	w.mu.Lock()
	old := w.current
	w.current = l
	idle, closed := false, w.closed
	if old != nil {
		old.retired, idle = true, old.uses == 0
		if !idle {
			w.retired[old] = struct{}{}
		}
	}
	w.mu.Unlock()
	if idle {
		old.close()
	}
	if closed {
		l.close()
	}
}

// close ends every connection of every line and lets no new one come.
func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for _, l := range w.lines() {
		l.close()
	}
}

// lines returns the current line and those that are still in use.
func (w *wire) lines() []*line {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := []*line{w.current}
	for l := range w.retired {
		lines = append(lines, l)
	}
	return lines
}

// sameButToken tells whether two configurations differ in their bearer token at most. When that cannot be told, because
// of a function in one of them, they differ.
func sameButToken(a, b *rest.Config) bool {
	for _, c := range []*rest.Config{a, b} {
		if c.Proxy != nil || c.Dial != nil || c.Transport != nil || c.WrapTransport != nil {
			return false
		}
	}
	type connection struct {
		host, path, username, password, tokenFile string
		hasToken, plain                           bool
		tls                                       rest.TLSClientConfig
		impersonate                               rest.ImpersonationConfig
		exec                                      *clientcmdapi.ExecConfig
		plugin                                    *clientcmdapi.AuthProviderConfig
	}
	of := func(c *rest.Config) connection {
		return connection{
			c.Host, c.APIPath, c.Username, c.Password, c.BearerTokenFile, c.BearerToken != "", c.DisableCompression,
			c.TLSClientConfig, c.Impersonate, c.ExecProvider, c.AuthProvider,
		}
	}
	return reflect.DeepEqual(of(a), of(b))
}
