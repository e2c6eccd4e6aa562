package forgeclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

const (
	// longestAnswer bounds one answer: a page of 100 comments of the greatest length, in JSON, is half of it.
	longestAnswer = 16 << 20
	// longestRefusal bounds what is read of an answer that refuses, of which a sentence is shown.
	longestRefusal = 64 << 10
	// mostRedirects is how often a forge may send a request on, after a repository was renamed.
	mostRedirects = 3
)

// A transport adds the token to requests, refuses those to other hosts, and bounds what comes back.
type transport struct {
	base  http.RoundTripper
	api   *url.URL
	token func(context.Context) (string, error)
}

// RoundTrip makes one request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !sameHost(req.URL, t.api) {
		closeBody(req)
		return nil, &redirectError{fmt.Sprintf("the forge sends the request on to another address, %s://%s, which does not get the credential",
			req.URL.Scheme, req.URL.Host)}
	}
	if t.token != nil {
		token, err := t.token(req.Context())
		if err == nil {
			token, err = usable(token)
		}
		if err != nil {
			closeBody(req)
			return nil, unreadable(err)
		}
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		t.keep(req, resp)
		return resp, nil
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: longestAnswer}
	return resp, nil
}

// keep reads the answer that refuses a request, records it for Do, and leaves the SDK a copy without the credential, which
// a proxy may have written into it.
func (t *transport) keep(req *http.Request, resp *http.Response) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, longestRefusal)) // whatever came of it is enough
	_ = resp.Body.Close()
	if _, token, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok && token != "" {
		body = bytes.ReplaceAll(body, []byte(token), []byte("[credential]"))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	if rec, ok := req.Context().Value(recordKey{}).(*record); ok {
		rec.add(&Refusal{
			Method: req.Method, Path: req.URL.Path, Status: resp.StatusCode, Header: resp.Header, Message: message(body),
		})
	}
}

// usable returns a token as it can stand in a header: files end in a line break.
func usable(token string) (string, error) {
	token = strings.TrimSpace(token)
	switch {
	case token == "":
		return "", errors.New("the token is empty")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", errors.New("the token contains a space, a line break or another character that no token has")
	}
	return token, nil
}

// A boundedBody fails where an answer goes beyond its limit: an end there would be taken for the answer's.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read reads from the answer.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", longestAnswer)
	}
	return n, err
}

// checkRedirect follows a forge that tells the new place of a renamed repository; RoundTrip refuses other hosts. A redirect that would
// make a POST a GET is refused: it would succeed without anything being written.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case req.Method != first.Method:
		return &redirectError{"the forge sends the request on to " + req.URL.Path}
	case len(via) > mostRedirects:
		return &redirectError{fmt.Sprintf("the forge sends the request on more than %d times", mostRedirects)}
	}
	return nil
}

// sameHost tells whether two addresses lead to one server by the same protocol.
func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // a RoundTripper closes it in any case; nothing was read
	}
}

// A redirectError is a request that was not sent on.
type redirectError struct{ text string }

func (e *redirectError) Error() string { return e.text }

// A credentialError is a credential that could not be had.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return "no credential: " + e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// NotIssued is why a Token function has no token although it has what is needed: the forge that issues it failed, as it can
// fail at any request.
type NotIssued struct{ Err error }

// Error returns the cause.
func (e *NotIssued) Error() string { return "no token: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *NotIssued) Unwrap() error { return e.Err }

// unreadable tells a credential that an operator has to mend from one that the forge did not issue.
func unreadable(err error) error {
	if notIssued := (*NotIssued)(nil); errors.As(err, &notIssued) {
		return err
	}
	return &credentialError{err}
}

type recordKey struct{}

// A record keeps the refusals that one call of Do met.
type record struct {
	mu       sync.Mutex
	refusals []*Refusal
}

func (r *record) add(refusal *Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals = append(r.refusals, refusal)
}

func (r *record) last() *Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refusals) == 0 {
		return nil
	}
	return r.refusals[len(r.refusals)-1]
}
