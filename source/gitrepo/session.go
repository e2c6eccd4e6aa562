package gitrepo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

const (
	dialTimeout  = 15 * time.Second
	defaultStall = time.Minute // without a byte from the server: it hangs
)

// session is one conversation with the server: its branches first, then, if they moved, one pack.
type session struct {
	remote remote
	branch string
	secret credentials
	conn   transport.UploadPackSession
	http   *http.Transport // nil for file URLs
	adv    *packp.AdvRefs
}

// dial opens a session. It does not talk to the server yet.
func (r *Repository) dial(ctx context.Context) (*session, error) {
	s := &session{remote: r.remote, branch: r.branch}
	var err error
	if s.secret, err = r.remote.credentials(r.opts.AuthFile); err != nil {
		return nil, &Error{Problem: Unauthorized, Repo: r.remote.name, Branch: r.branch, Detail: err.Error()}
	}
	endpoint := r.remote.endpoint
	if endpoint.Protocol == "file" {
		if err := r.remote.checkGit(); err != nil {
			return nil, &Error{Problem: Unreachable, Repo: r.remote.name, Branch: r.branch, Detail: err.Error()}
		}
		s.conn, err = file.DefaultClient.NewUploadPackSession(&endpoint, nil)
		return s, s.wrap(ctx, err)
	}
	roots, err := loadRoots(r.opts.CAFile)
	if err != nil {
		return nil, &Error{Problem: Unreachable, Repo: r.remote.name, Branch: r.branch, Detail: err.Error()}
	}
	s.http = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: r.stall,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
	}
	client := githttp.NewClient(&http.Client{Transport: stallGuard{next: s.http, limit: r.stall}})
	var auth transport.AuthMethod // an untyped nil when there is nothing to show
	if m := s.secret.method(); m != nil {
		auth = m
	}
	s.conn, err = client.NewUploadPackSession(&endpoint, auth)
	return s, s.wrap(ctx, err)
}

// close ends the conversation and the connections behind it.
func (s *session) close() {
	if s.conn != nil {
		_ = s.conn.Close() // what was read is complete or has failed already; a git process's exit code adds nothing
	}
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
}

// head asks the server for the branch's commit.
func (s *session) head(ctx context.Context) (plumbing.Hash, error) {
	adv, err := s.conn.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plumbing.ZeroHash, s.wrap(ctx, err)
	}
	s.adv = adv
	if hash, ok := adv.References[plumbing.NewBranchReferenceName(s.branch).String()]; ok {
		return hash, nil
	}
	var branches []string
	for name := range adv.References {
		if short, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			branches = append(branches, short)
		}
	}
	slices.Sort(branches)
	return plumbing.ZeroHash, &Error{Problem: BranchMissing, Repo: s.remote.name, Branch: s.branch, Branches: branches}
}

// fetch stores the history of want in st, which already has the complete histories of haves. An error that is not an
// *Error is about the files behind st.
func (s *session) fetch(ctx context.Context, st storer.Storer, want plumbing.Hash, haves []plumbing.Hash) (err error) {
	req := packp.NewUploadPackRequestFromCapabilities(s.adv.Capabilities)
	req.Wants = []plumbing.Hash{want}
	req.Haves = haves
	if s.adv.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return s.wrap(ctx, err)
		}
	}
	resp, err := s.conn.UploadPack(ctx, req)
	if err != nil {
		return s.wrap(ctx, err)
	}
	defer func() {
		if cerr := resp.Close(); err == nil {
			err = s.wrap(ctx, cerr)
		}
	}()
	var pack io.Reader = resp
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, resp)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, resp)
	}
	err = packfile.UpdateObjectStorage(st, pack)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return s.wrap(ctx, err)
}

// wrap turns what a transport returned into an Error without credentials, nil into nil.
func (s *session) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Problem: Unreachable, Repo: s.remote.name, Branch: s.branch}
	var status *githttp.Err
	var unexpected *plumbing.UnexpectedError
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		e.Problem = Empty
		return e
	case errors.Is(err, transport.ErrRepositoryNotFound):
		e.Problem = NotFound
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		e.Problem = Unauthorized
		e.Detail = s.authDetail(err)
		return e
	case errors.As(err, &unexpected) && errors.As(unexpected.Err, &status):
		e.Detail = "the server answered " + status.Response.Status
		return e
	}
	if ctx.Err() != nil {
		e.cause = ctx.Err()
	}
	e.Detail = oneLine(s.secret.scrub(err.Error()))
	return e
}

// authDetail says what to do; the server's own words about a refused login are often a page of HTML and are left out.
func (s *session) authDetail(err error) string {
	switch {
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return "the server refuses these credentials access (403)"
	case s.secret == credentials{}:
		return "the server asks for credentials (401) and none are given"
	}
	return "the server does not accept the credentials (401)"
}

// maxDetail bounds what a server's answer may add to an error, in bytes.
const maxDetail = 300

func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

// stallGuard fails a response whose body stops flowing, which no timeout of net/http does without also limiting how
// long a large clone may take.
type stallGuard struct {
	next  http.RoundTripper
	limit time.Duration
}

// RoundTrip implements http.RoundTripper.
func (g stallGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := g.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	stalled := fmt.Errorf("no data from the server for %v", g.limit)
	resp.Body = &guardedBody{
		ReadCloser: resp.Body,
		ctx:        ctx,
		cancel:     cancel,
		limit:      g.limit,
		timer:      time.AfterFunc(g.limit, func() { cancel(stalled) }),
	}
	return resp, nil
}

type guardedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

// Read implements io.Reader. An error that the guard caused is replaced by the guard's reason.
func (b *guardedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

// Close implements io.Closer.
func (b *guardedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
