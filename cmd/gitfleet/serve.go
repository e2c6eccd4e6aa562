package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/reconcile"
)

// servingOptions says what `gitfleet run` serves over HTTP, and where.
type servingOptions struct {
	listen       string
	publicListen string
	hookSecrets  string
	badgeTokens  string
}

func (o *servingOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8484", "address for the status page, /status.json, /badge/, /hook/, /metrics, /healthz and /readyz; empty for none")
	flags.StringVar(&o.publicListen, "public-listen", "", "another address, for /badge/ and /hook/ and nothing else: what people and forges outside may reach")
	flags.StringVar(&o.hookSecrets, "hook-secret-file", "", "take webhooks at /hook/github, gitlab, gitea and generic from who knows a secret in this file, one a line, read at each use")
	flags.StringVar(&o.badgeTokens, "badge-token-file", "", "serve /badge/ only with ?token= of this file, one a line, read at each use (default to everybody)")
}

// validate returns what contradicts itself. once tells that there is one pass only, and watched that changes of what is followed are
// seen by themselves.
func (o *servingOptions) validate(once, watched bool) error {
	if once && o.publicListen != "" {
		return errors.New("--public-listen needs a process that goes on: not with --once")
	}
	for _, f := range []struct{ flag, path string }{{"--hook-secret-file", o.hookSecrets}, {"--badge-token-file", o.badgeTokens}} {
		if f.path == "" {
			continue
		}
		if once || o.listen == "" && o.publicListen == "" {
			return fmt.Errorf("%s needs a process that listens: not with --once, nor with an empty --listen and no --public-listen", f.flag)
		}
		if err := web.CheckSecretFile(f.path); err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
	}
	if o.hookSecrets != "" && watched {
		return errors.New("--hook-secret-file needs the URL of a repository: changes in a directory are seen without webhooks")
	}
	return nil
}

// door is an address at which a part of what there is to see is served.
type door struct {
	flag, says string
	listener   net.Listener
	server     *http.Server
}

// open listens at every address that there shall be, and says at which. Either all of them are open or none.
func (o *servingOptions) open(serve web.Options, stdout io.Writer) ([]door, error) {
	var doors []door
	for _, d := range []struct {
		flag, address, says string
		handler             http.Handler
	}{
		{"--listen", o.listen, "listening on", web.NewServer(serve)},
		{"--public-listen", o.publicListen, "badges and webhooks on", web.NewPublicServer(serve)},
	} {
		if d.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", d.address)
		if err != nil {
			for _, opened := range doors {
				err = errors.Join(err, opened.listener.Close())
			}
			return nil, fmt.Errorf("%s: %w", d.flag, err)
		}
		server := &http.Server{Handler: d.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
		doors = append(doors, door{flag: d.flag, says: d.says, listener: listener, server: server})
	}
	for _, d := range doors {
		fmt.Fprintf(stdout, "%s http://%s\n", d.says, d.listener.Addr())
	}
	return doors, nil
}

// runServing runs the loop and the HTTP servers until ctx ends or one of them fails.
func runServing(ctx context.Context, loop *reconcile.Loop, o servingOptions, serve web.Options, stdout io.Writer) error {
	doors, err := o.open(serve, stdout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var served sync.WaitGroup
	for _, d := range doors {
		served.Go(func() {
			if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("HTTP server of %s: %w", d.flag, err))
			}
		})
	}
	loop.Run(ctx)
	failure := context.Cause(ctx)
	if errors.Is(failure, context.Canceled) {
		failure = nil
	}
	shutdown, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	for _, d := range doors {
		failure = errors.Join(failure, d.server.Shutdown(shutdown))
	}
	served.Wait()
	return failure
}
