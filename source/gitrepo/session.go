package gitrepo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
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

// link is the way to the server: what it is asked over, and what is shown to it.
type link struct {
	remote   remote
	branch   string
	secret   credentials
	endpoint transport.Endpoint
	client   transport.Transport
	auth     transport.AuthMethod // nil when there is nothing to show
	http     *http.Transport      // nil for file URLs
}

// session is one conversation with the server: its branches first, then, if they moved, one pack.
type session struct {
	link
	conn transport.UploadPackSession
	adv  *packp.AdvRefs
}

// dial opens a session. It does not talk to the server yet.
func (r *Repository) dial(ctx context.Context) (*session, error) {
	l, err := r.link()
	if err != nil {
		return nil, err
	}
	s := &session{link: l}
	s.conn, err = l.client.NewUploadPackSession(&s.endpoint, l.auth)
	return s, s.wrap(ctx, err)
}

// link reads the credentials and authorities, so that rotated ones are picked up.
func (r *Repository) link() (link, error) {
	l := link{remote: r.remote, branch: r.branch, endpoint: r.remote.endpoint}
	var err error
	if l.secret, err = r.remote.credentials(r.opts.AuthFile); err != nil {
		return link{}, &Error{Problem: Unauthorized, Repo: r.remote.name, Branch: r.branch, Detail: err.Error()}
	}
	if l.endpoint.Protocol == "file" {
		if err := r.remote.checkGit(); err != nil {
			return link{}, &Error{Problem: Unreachable, Repo: r.remote.name, Branch: r.branch, Detail: err.Error()}
		}
		l.client = file.DefaultClient
		return l, nil
	}
	roots, err := loadRoots(r.opts.CAFile)
	if err != nil {
		return link{}, &Error{Problem: Unreachable, Repo: r.remote.name, Branch: r.branch, Detail: err.Error()}
	}
	l.http = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: r.stall,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
	}
	l.client = githttp.NewClient(&http.Client{Transport: stallGuard{next: l.http, limit: r.stall}})
	if m := l.secret.method(); m != nil {
		l.auth = m // an untyped nil otherwise
	}
	return l, nil
}

// close ends the conversation and the connections behind it.
func (s *session) close() {
	if s.conn != nil {
		_ = s.conn.Close() // what was read is complete or has failed already; a git process's exit code adds nothing
	}
	s.hangUp()
}

// hangUp closes the connections that nobody uses any more.
func (l *link) hangUp() {
	if l.http != nil {
		l.http.CloseIdleConnections()
	}
}

// head asks the server for the branch's commit.
func (s *session) head(ctx context.Context) (plumbing.Hash, error) {
	refs, err := s.refs(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if hash, ok := refs[plumbing.NewBranchReferenceName(s.branch).String()]; ok {
		return hash, nil
	}
	return plumbing.ZeroHash, &Error{Problem: BranchMissing, Repo: s.remote.name, Branch: s.branch, Branches: slices.Sorted(maps.Keys(branchesOf(refs)))}
}

// refs asks the server for all its references, by their full names.
func (s *session) refs(ctx context.Context) (map[string]plumbing.Hash, error) {
	adv, err := s.conn.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	s.adv = adv
	return adv.References, nil
}

// fetch stores the history of want in st, which already has the complete histories of haves. An error that is not an
// *Error is about the files behind st.
func (s *session) fetch(ctx context.Context, st storer.Storer, want plumbing.Hash, haves []plumbing.Hash) error {
	req := packp.NewUploadPackRequestFromCapabilities(s.adv.Capabilities)
	req.Wants = []plumbing.Hash{want}
	req.Haves = haves
	_, err := s.receive(ctx, st, req)
	return err
}

// receive stores what the server answers to req in st, and returns where it cut the history off. Errors are those of fetch.
func (s *session) receive(ctx context.Context, st storer.Storer, req *packp.UploadPackRequest) (cut []plumbing.Hash, err error) {
	if s.adv.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return nil, s.wrap(ctx, err)
		}
	}
	resp, err := s.conn.UploadPack(ctx, req)
	if err != nil {
		return nil, s.wrap(ctx, err)
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
		return nil, err
	}
	return resp.Shallows, s.wrap(ctx, err)
}

// wrap turns what a transport returned into an Error without credentials, nil into nil.
func (l *link) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Problem: Unreachable, Repo: l.remote.name, Branch: l.branch}
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
		e.Detail = l.authDetail(err)
		return e
	case errors.As(err, &unexpected) && errors.As(unexpected.Err, &status):
		e.Detail = "the server answered " + status.Response.Status
		e.retryAfter = retryAfter(status.Response.Header)
		e.patience = status.Response.StatusCode == http.StatusTooManyRequests || e.retryAfter > 0
		return e
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.remedy = "give the file of the certificate authority that " + l.endpoint.Host + " uses"
	}
	if ctx.Err() != nil {
		e.cause = ctx.Err()
	}
	e.Detail = oneLine(l.secret.scrub(err.Error()))
	return e
}

// authDetail says what to do; the server's own words about a refused login are often a page of HTML and are left out.
func (l *link) authDetail(err error) string {
	switch {
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return "the server refuses these credentials access (403)"
	case l.secret == credentials{}:
		return "the server asks for credentials (401) and none are given"
	}
	return "the server does not accept the credentials (401)"
}

// retryAfter reads how long the server asks to be left alone, 0 when it does not say: RFC 9110, section 10.2.3. A date is
// compared with the server's own clock, which the answer carries.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 1), int64(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	now, nowErr := http.ParseTime(h.Get("Date"))
	if err != nil || nowErr != nil {
		return 0
	}
	return min(max(until.Sub(now), time.Second), maxRetryAfter)
}

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

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
