package memfleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// modify breaks an answer.
func (p *Proxy) modify(resp *http.Response) error {
	x := resp.Request.Context().Value(exchangeKey{}).(*exchange)
	p.answered(x.request, resp.StatusCode)
	switch x.fault.kind {
	case doLoseAnswer:
		_, _ = io.Copy(io.Discard, resp.Body) // whether all of it came does not matter: it is lost
		return errors.Join(errLost, resp.Body.Close())
	case doCut:
		return cutBody(resp, x.request.Class == Watch)
	case doEmptyList:
		return emptyBody(resp)
	case doSlow:
		resp.Body = &slowBody{ReadCloser: resp.Body, ctx: resp.Request.Context(), pause: x.fault.pause}
		return nil
	case doExpire:
		if x.request.Class == Watch {
			resp.Body = &expiredStream{ReadCloser: resp.Body, lines: bufio.NewReader(resp.Body)}
		}
		return nil
	default:
		return nil
	}
}

var (
	errLost = errors.New("the answer is lost")
	errCut  = errors.New("the answer is cut")
)

// cutBody halves a body. A stream has no half, so there it is half of the first thing to come.
func cutBody(resp *http.Response, stream bool) error {
	if stream {
		resp.Body = &cutStream{ReadCloser: resp.Body}
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	// The length still promises all of it.
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{errCut}))
	return nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type cutStream struct {
	io.ReadCloser
	done bool
}

func (c *cutStream) Read(p []byte) (int, error) {
	if c.done {
		return 0, errCut
	}
	n, err := c.ReadCloser.Read(p)
	c.done = n > 0
	return (n + 1) / 2, err
}

// emptyBody takes the items out of a list.
func emptyBody(resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	var list map[string]any
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("not a list: %w", err)
	}
	if _, ok := list["items"]; ok {
		list["items"] = []any{}
		if body, err = json.Marshal(list); err != nil {
			return err
		}
	}
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.ContentLength = int64(len(body))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// slowBody gives a body away in pieces.
type slowBody struct {
	io.ReadCloser
	ctx   context.Context
	pause time.Duration
}

// Read implements io.Reader.
func (s *slowBody) Read(p []byte) (int, error) {
	const piece = 512
	timer := time.NewTimer(s.pause)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-timer.C:
		return s.ReadCloser.Read(p[:min(len(p), piece)])
	}
}

// expiredStream is a watch in JSON whose first event is replaced.
type expiredStream struct {
	io.ReadCloser
	lines *bufio.Reader
	rest  io.Reader // what is left of the replacement; nil while it waits for the event
}

// Read implements io.Reader.
func (e *expiredStream) Read(p []byte) (int, error) {
	if e.rest == nil {
		if _, err := e.lines.ReadBytes('\n'); err != nil {
			return 0, err
		}
		gone := apierrors.NewResourceExpired("the test proxy says so").ErrStatus
		gone.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		frame, err := json.Marshal(map[string]any{"type": watch.Error, "object": gone})
		if err != nil {
			return 0, err
		}
		e.rest = bytes.NewReader(append(frame, '\n'))
	}
	return e.rest.Read(p)
}
