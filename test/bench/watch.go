package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gitfleet/gitfleet/api"
)

// seen is one event of a watch.
type seen struct {
	member, path string   // path of the object
	kind         string   // ADDED, MODIFIED or DELETED
	edition      string   // data.edition, of whole ConfigMaps
	hash         string   // the digest that gitfleet puts on what it applies
	ready        []string // addresses of endpoints that are ready, of whole EndpointSlices
	at           time.Time
}

// watching is a stream of what several watches see.
type watching struct {
	events chan seen
	failed chan error // holds why the first of them that failed did
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// watchAll watches kinds in a namespace of all members from now on, metadata only unless whole is set. It returns when
// every watch is accepted.
func watchAll(ctx context.Context, clients []*bareClient, namespace string, kinds []kind, whole bool) (*watching, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{events: make(chan seen, 1<<16), failed: make(chan error, 1), cancel: cancel}
	for _, c := range clients {
		for _, k := range kinds {
			s := &collectionWatch{client: c, path: k.path(namespace), whole: whole}
			body, err := s.begin(ctx)
			if err != nil {
				w.close()
				return nil, err
			}
			w.work.Go(func() {
				if err := s.follow(ctx, body, w.events); ctx.Err() == nil {
					select {
					case w.failed <- fmt.Errorf("watch of %s on %s: %w", k.plural, c.member, err):
					default: // another one has told already
					}
				}
			})
		}
	}
	return w, nil
}

// collectionWatch is the watch of one collection on one member.
type collectionWatch struct {
	client  *bareClient
	path    string
	whole   bool
	version string // resourceVersion of what was seen last
}

// begin begins the watch at the present state of the collection.
func (s *collectionWatch) begin(ctx context.Context) (io.ReadCloser, error) {
	answer, err := s.client.send(ctx, http.MethodGet, s.path+"?limit=1", "", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, err
	}
	s.version = list.Metadata.ResourceVersion
	return s.resume(ctx)
}

// resume goes on where the watch was.
func (s *collectionWatch) resume(ctx context.Context) (io.ReadCloser, error) {
	url := s.client.base + s.path + "?watch=1&timeoutSeconds=3600&resourceVersion=" + s.version
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", metadata)
	if s.whole {
		req.Header.Set("Accept", jsonContent)
	}
	resp, err := s.client.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("watch of %s: %s", s.path, resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// follow passes events on until the watch cannot go on, and returns why. A busy API server ends the streams of whom it
// takes for too slow; they go on where they were.
func (s *collectionWatch) follow(ctx context.Context, body io.ReadCloser, events chan<- seen) error {
	for {
		err := s.read(body, events)
		_ = body.Close() // its end was read
		if !errors.Is(err, io.EOF) {
			return err
		}
		if body, err = s.resume(ctx); err != nil {
			return err
		}
	}
}

func (s *collectionWatch) read(body io.Reader, events chan<- seen) error {
	for in := json.NewDecoder(body); ; {
		var event struct {
			Type   string
			Object struct {
				Metadata struct {
					Name, ResourceVersion string
					Annotations           map[string]string
				}
				Data      map[string]string
				Message   string
				Endpoints []struct {
					Addresses  []string
					Conditions struct{ Ready *bool }
				}
			}
		}
		if err := in.Decode(&event); err != nil {
			return err
		}
		if event.Type == "ERROR" {
			return errors.New(event.Object.Message)
		}
		meta := event.Object.Metadata
		s.version = meta.ResourceVersion
		var ready []string
		for _, e := range event.Object.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready = append(ready, e.Addresses...)
			}
		}
		events <- seen{s.client.member, s.path + "/" + meta.Name, event.Type, event.Object.Data["edition"],
			meta.Annotations[api.AnnotationAppliedHash], ready, time.Now()}
	}
}

// close ends the watches.
func (w *watching) close() {
	w.cancel()
	done := make(chan struct{})
	go func() { w.work.Wait(); close(done) }()
	for {
		select {
		case <-w.events: // nobody waits for it any more
		case <-done:
			return
		}
	}
}

// await takes events until one satisfies done, and returns it.
func (w *watching) await(ctx context.Context, done func(seen) bool) (seen, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case e := <-w.events:
			if done(e) {
				return e, nil
			}
		case err := <-w.failed:
			return seen{}, err
		case <-timer.C:
			return seen{}, fmt.Errorf("not seen within %s", patience)
		case <-ctx.Done():
			return seen{}, ctx.Err()
		}
	}
}

// awaitObjects waits until n objects, counted on every member, came or changed what was applied to them, and returns when
// the last one did.
func (w *watching) awaitObjects(ctx context.Context, n int) (time.Time, error) {
	type key struct{ member, path, hash string }
	changed := map[key]bool{}
	last, err := w.await(ctx, func(e seen) bool {
		changed[key{e.member, e.path, e.hash}] = true
		return len(changed) >= n
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%d of %d objects: %w", len(changed), n, err)
	}
	return last.at, nil
}
