package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// control is the socket in the fleet's directory through which the commands talk to the supervisor.
type control struct {
	fleet    *fleet
	dir      *os.File
	listener net.Listener
}

// descriptor returns a name for an open directory that is short, however long its own path is: the address of a unix
// socket holds 108 bytes.
func descriptor(dir *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", dir.Fd()) }

// socket returns the fleet's directory, opened, and the name of the socket in it.
func (l Layout) socket() (dir *os.File, name string, err error) {
	dir, err = os.Open(l.Dir)
	if err != nil {
		return nil, "", fmt.Errorf("directory of the fleet: %w", err)
	}
	return dir, filepath.Join(descriptor(dir), socketName), nil
}

func (f *fleet) listen() (*control, error) {
	dir, name, err := f.Layout.socket()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", name)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), dir.Close())
	}
	return &control{fleet: f, dir: dir, listener: listener}, nil
}

func (c *control) serve(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(c.fleet.state()); err != nil {
			c.fleet.Log.Info("status was not read", "err", err)
		}
	})
	mux.HandleFunc("POST /down", func(http.ResponseWriter, *http.Request) { c.fleet.down(ErrDown) })
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, r *http.Request) {
		reply(w, c.fleet.stopCluster(r.FormValue("cluster")))
	})
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, r *http.Request) {
		reply(w, c.fleet.startCluster(ctx, r.FormValue("cluster")))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		// The answer to the request that ended ctx is still under way.
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(wait) // the listener is closed in any case
	}()
	if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		c.fleet.Log.Error("control socket", "err", err)
	}
}

func (c *control) close() {
	_ = c.listener.Close()
	_ = c.dir.Close()
}

func (f *fleet) stopCluster(name string) error {
	c, err := f.find(name)
	if err != nil {
		return err
	}
	c.halt()
	return nil
}

func (f *fleet) startCluster(ctx context.Context, name string) error {
	c, err := f.find(name)
	if err != nil {
		return err
	}
	c.start(context.WithoutCancel(ctx))
	f.saveState()
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("waited %s", f.Timeout))
	defer cancel()
	return c.waitReady(ctx)
}

func reply(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// Client talks to a running supervisor.
type Client struct{ Layout Layout }

// Status asks for the state of the fleet.
func (c Client) Status(ctx context.Context) (State, error) {
	var s State
	body, err := c.do(ctx, http.MethodGet, "/status")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("answer of the supervisor: %w", err)
	}
	return s, nil
}

// Down asks the fleet to go; the lock is free when it has.
func (c Client) Down(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "/down")
	return err
}

// Stop ends the control plane of one cluster and returns when it is gone.
func (c Client) Stop(ctx context.Context, cluster string) error {
	_, err := c.do(ctx, http.MethodPost, "/stop?cluster="+url.QueryEscape(cluster))
	return err
}

// Start brings the control plane of one cluster back and returns when it is ready.
func (c Client) Start(ctx context.Context, cluster string) error {
	_, err := c.do(ctx, http.MethodPost, "/start?cluster="+url.QueryEscape(cluster))
	return err
}

func (c Client) do(ctx context.Context, method, path string) ([]byte, error) {
	dir, name, err := c.Layout.socket()
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", name)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://localfleet"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the supervisor: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the supervisor: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("answer of the supervisor: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}
