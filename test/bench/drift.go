package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	driftSamples = 150                    // a run, idle and under load: each on another object, because repairs of one are damped
	loadGoal     = 1000                   // other writes a second, on all members together
	loadWorkers  = 16                     // a member
	driftPace    = 20 * time.Millisecond  // between two samples
	idleGoal     = 100 * time.Millisecond // of p99
	busyGoal     = 500 * time.Millisecond // of p99
)

// driftSuite measures how soon gitfleet puts back what somebody else wrote, from the answer to that write until a bare
// watch shows the object as Git says; and how soon the same watch shows the foreign write, since it was sent.
func driftSuite(s settings, shared *sharedFleet) suite {
	return suite{
		names: []string{
			"drift-idle-p50", "drift-idle-p99", "drift-idle-watch-p50", "drift-idle-watch-p99",
			"drift-loaded-p50", "drift-loaded-p99", "drift-loaded-watch-p50", "drift-loaded-watch-p99", "drift-loaded-rate",
		},
		measure: func(ctx context.Context, notes *notebook) (err error) {
			fleet, err := shared.get(ctx)
			if err != nil {
				return err
			}
			clients, err := fleet.bareClients()
			if err != nil {
				return err
			}
			w, err := startWorld(ctx, s.gitfleet, clients, fleet.kubeconfig, thousand())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, w.close(ctx)) }()
			if err := w.createPeer(ctx); err != nil {
				return err
			}
			if err := w.place(ctx, "edition-1", 1); err != nil {
				return err
			}
			return measureDrift(ctx, w, notes)
		},
	}
}

func measureDrift(ctx context.Context, w *world, notes *notebook) error {
	watch, err := watchAll(ctx, w.clients, w.namespace, w.kinds[:1], true)
	if err != nil {
		return err
	}
	defer watch.close()
	d := &drifter{world: w, watch: watch}
	for range runs {
		idle, err := d.sample(ctx)
		if err != nil {
			return fmt.Errorf("idle: %w", err)
		}
		idle.note(notes, "drift-idle", idleGoal)
		load, err := startLoad(ctx, w)
		if err != nil {
			return err
		}
		busy, err := d.sample(ctx)
		rate, loadErr := load.end()
		if err := errors.Join(err, loadErr); err != nil {
			return fmt.Errorf("under load: %w", err)
		}
		busy.note(notes, "drift-loaded", busyGoal)
		notes.add("drift-loaded-rate", rate, "other writes/s", "the wanted 1,000/s", loadGoal)
	}
	return nil
}

// drifter writes to what gitfleet has placed.
type drifter struct {
	*world
	watch *watching
	next  int // the object that has not been written to yet
}

// latencies are in milliseconds.
type latencies struct {
	back []float64 // the object is as Git says, since the foreign write was answered
	seen []float64 // a bare watch shows the foreign write, since it was sent
}

func (l latencies) note(notes *notebook, name string, goal time.Duration) {
	for _, q := range []struct {
		suffix string
		q      float64
	}{{"-p50", 0.5}, {"-p99", 0.99}} {
		back, seen := quantile(l.back, q.q), quantile(l.seen, q.q)
		if q.suffix == "-p99" {
			notes.add(name+q.suffix, back, "ms", "goal "+goal.String(), milliseconds(goal))
		} else {
			notes.add(name+q.suffix, back, "ms", "bare watch", seen)
		}
		notes.add(name+"-watch"+q.suffix, seen, "ms", "drift put back", back)
	}
}

func (d *drifter) sample(ctx context.Context) (latencies, error) {
	var l latencies
	k := d.kinds[0]
	for range driftSamples {
		client := d.clients[d.next%len(d.clients)]
		path := k.path(d.namespace) + "/" + k.objectName(d.next/len(d.clients))
		if d.next++; d.next > k.count*len(d.clients) {
			return l, errors.New("there are not enough objects for so many samples")
		}
		seen, back, err := d.drift(ctx, client, path)
		if err != nil {
			return l, err
		}
		l.seen, l.back = append(l.seen, milliseconds(seen)), append(l.back, milliseconds(back))
		select {
		case <-time.After(driftPace):
		case <-ctx.Done():
			return l, ctx.Err()
		}
	}
	return l, nil
}

// drift writes to one object and waits until it is as it was.
func (d *drifter) drift(ctx context.Context, c *bareClient, path string) (toSee, toBack time.Duration, err error) {
	sent := time.Now()
	if _, err := c.send(ctx, http.MethodPatch, path+"?fieldManager=somebody", mergePatch, []byte(`{"data":{"edition":"foreign"}}`)); err != nil {
		return 0, 0, err
	}
	answered := time.Now()
	is := func(edition string) func(seen) bool {
		return func(e seen) bool { return e.member == c.member && e.path == path && e.edition == edition }
	}
	foreign, err := d.watch.await(ctx, is("foreign"))
	if err != nil {
		return 0, 0, err
	}
	back, err := d.watch.await(ctx, is(d.edition))
	return foreign.at.Sub(sent), back.at.Sub(answered), err
}

// traffic is other writes that go on: half to ConfigMaps that are not gitfleet's, half to the statuses of the Deployments
// that it has placed, which it watches.
type traffic struct {
	world   *world
	writes  atomic.Int64
	started time.Time
	stop    context.CancelFunc
	work    *errgroup.Group
}

// foreignObjects is how many ConfigMaps on each member the load writes to.
const foreignObjects = 50

func startLoad(ctx context.Context, w *world) (*traffic, error) {
	others, err := applied(w.peer(), "load", []kind{configMaps(foreignObjects)})
	if err != nil {
		return nil, err
	}
	if err := applyAll(ctx, w.clients, others, loadWorkers); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	l := &traffic{world: w, started: time.Now(), stop: stop, work: &errgroup.Group{}}
	for i, c := range w.clients {
		for j := range loadWorkers {
			l.work.Go(func() error { return l.write(ctx, c, i*loadWorkers+j) })
		}
	}
	return l, nil
}

// write is one worker: it writes at its share of the rate until ctx ends, or as fast as the member answers.
func (l *traffic) write(ctx context.Context, c *bareClient, worker int) error {
	pace := time.NewTicker(time.Second * loadWorkers * fleetMembers / loadGoal)
	defer pace.Stop()
	for n := worker; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		path, body := l.next(n)
		if _, err := c.send(ctx, http.MethodPatch, path+"?fieldManager=load", mergePatch, body); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		l.writes.Add(1)
	}
}

// next returns the n-th write.
func (l *traffic) next(n int) (path string, body []byte) {
	if n%2 == 0 {
		k := configMaps(foreignObjects)
		return k.path(l.world.peer()) + "/" + k.objectName(n/2%k.count), fmt.Appendf(nil, `{"data":{"edition":"%d"}}`, n)
	}
	k := l.world.kinds[1]
	return k.path(l.world.namespace) + "/" + k.objectName(n/2%k.count) + "/status", fmt.Appendf(nil, `{"status":{"terminatingReplicas":%d}}`, n)
}

// end stops the load and returns how many writes a second there were.
func (l *traffic) end() (rate float64, err error) {
	elapsed := time.Since(l.started)
	l.stop()
	err = l.work.Wait()
	return float64(l.writes.Load()) / elapsed.Seconds(), err
}
