// Package forgeclient holds what the forges of package report have in common: an HTTP client that gives the credential to
// one host only and reads bounded answers, failures explained as package report wants them, pages put together, and the
// mark by which gitfleet finds its comment again.
package forgeclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// Options tells how a forge is reached.
type Options struct {
	// Forge is its name in messages: "GitHub".
	Forge string
	// API is the address below which all requests go. Nothing is sent to another host.
	API *url.URL
	// HTTP gives proxy, certificates and time limits; nil for Go's defaults. Its redirect policy is not used.
	HTTP *http.Client
	// Token returns the credential, and is asked before every request so that it can be rotated. When it is nil, requests
	// bring their own.
	Token func(ctx context.Context) (string, error)
	// Remedy returns what an operator can do about a refusal, or "" when only waiting helps. It is not asked when the forge
	// wants patience.
	Remedy func(*Refusal) string
}

// Client makes requests to one forge. Its methods may be called at the same time.
type Client struct {
	opts Options
	http *http.Client
}

// New returns a client; it makes no request.
func New(opts Options) *Client {
	h := &http.Client{}
	if opts.HTTP != nil {
		*h = *opts.HTTP
	}
	base := h.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	h.Transport = &transport{base: base, api: opts.API, token: opts.Token}
	h.CheckRedirect = checkRedirect
	h.Jar = nil // no state between requests but the token
	return &Client{opts: opts, http: h}
}

// HTTP returns what an SDK is to make its requests with. Failures are explained only within Do.
func (c *Client) HTTP() *http.Client { return c.http }

// Do runs call, which makes requests through HTTP with the context it is given, and explains its failure. The text says what
// was being done: "set the status of 1f0c...".
func (c *Client) Do(ctx context.Context, doing string, call func(ctx context.Context) error) error {
	rec := &record{}
	err := call(context.WithValue(ctx, recordKey{}, rec))
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %s: %w", c.opts.Forge, doing, ended)
	}
	if refusal := rec.last(); refusal != nil {
		return c.explain(doing, refusal)
	}
	err = fmt.Errorf("%s: %s: %w", c.opts.Forge, doing, err)
	var moved *redirectError
	var credential *credentialError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &moved):
		return &report.ForgeError{Err: err, Remedy: "give the address and the name that the repository has now"}
	case errors.As(err, &credential):
		return &report.ForgeError{Err: err, Remedy: "give a credential that can be read"}
	case errors.As(err, &certificate):
		return &report.ForgeError{Err: err, Remedy: "give the file of the certificate authority that " + c.opts.API.Host + " uses"}
	}
	return err
}

// explain turns an answer that refuses into an error that says who can help.
func (c *Client) explain(doing string, r *Refusal) error {
	err := fmt.Errorf("%s: %s: %w", c.opts.Forge, doing, r)
	if wait, patience := r.patience(time.Now()); patience {
		return &report.ForgeError{Err: err, RetryAfter: wait}
	}
	if remedy := c.opts.Remedy(r); remedy != "" {
		return &report.ForgeError{Err: err, Remedy: remedy}
	}
	return err
}

// Refused returns the forge's answer that err stems from; nil when err is of another kind.
func Refused(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}
