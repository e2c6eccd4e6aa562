package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// pushSuite measures what a push costs on three real members with a thousand objects each, and what gitfleet holds and
// does when it is started again.
func pushSuite(s settings, shared *sharedFleet) suite {
	return suite{
		names: []string{
			"push-create", "push-create-total", "push-create-cpu", "push-create-cpu-members", "push-create-cpu-all", "push-create-bare-rate", "push-create-bare-concurrency",
			"push-change-all", "push-change-all-total", "push-change-all-cpu", "push-change-all-cpu-members", "push-change-all-cpu-all",
			"push-change-one", "push-change-one-total", "restart-idle", "memory-converged", "memory-restarted", "memory-peak",
		},
		measure: func(ctx context.Context, notes *notebook) error {
			fleet, err := shared.get(ctx)
			if err != nil {
				return err
			}
			r := &round{notes: notes}
			for range runs {
				if err := r.live(ctx, s, fleet); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// round is one life of a repository after the other; its pushes are timed.
type round struct {
	*world
	notes       *notebook
	servers     []int // processes of the members
	concurrency int   // of the bare client, on each member; 0 until the best one is known
}

// live is one life.
func (r *round) live(ctx context.Context, s settings, fleet *localFleet) (err error) {
	clients, err := fleet.bareClients()
	if err != nil {
		return err
	}
	if r.world, err = startWorld(ctx, s.gitfleet, clients, fleet.kubeconfig, thousand()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	if err := r.createPeer(ctx); err != nil {
		return err
	}
	if r.concurrency == 0 {
		if r.concurrency, err = r.bestConcurrency(ctx); err != nil {
			return err
		}
	}
	if r.servers, err = fleet.processes("kube-apiserver", "etcd"); err != nil {
		return err
	}
	r.notes.add("push-create-bare-concurrency", float64(r.concurrency), "requests a member", "8", 8)
	for i, name := range []string{"push-create", "push-change-all"} {
		if err := r.all(ctx, name, i+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	before, err := memoryOf(r.product.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for i := range runs {
		if err := r.one(ctx, fmt.Sprintf("one-%d", i)); err != nil {
			return fmt.Errorf("push-change-one: %w", err)
		}
	}
	return r.restarts(ctx, before)
}

// restarts times starting with nothing to do, and notes the memory that was held before and is held after.
func (r *round) restarts(ctx context.Context, before memory) error {
	for range runs {
		took, err := r.restart(ctx)
		if err != nil {
			return fmt.Errorf("restart-idle: %w", err)
		}
		r.notes.addGoal("restart-idle", took, 3*time.Second)
	}
	after, err := memoryOf(r.product.cmd.Process.Pid)
	if err != nil {
		return err
	}
	const goal = 120
	r.notes.add("memory-converged", before.resident, "MiB", "goal 120 MiB", goal)
	r.notes.add("memory-restarted", after.resident, "MiB", "goal 120 MiB", goal)
	r.notes.add("memory-peak", before.peak, "MiB", "goal 120 MiB", goal)
	return nil
}

// all times the n-th edition of all objects, by the bare client and by a push.
func (r *round) all(ctx context.Context, name string, n int) error {
	edition := fmt.Sprintf("edition-%d", n)
	objects, err := applied(r.peer(), edition, r.kinds)
	if err != nil {
		return err
	}
	var limit time.Duration
	limitUsed, err := r.used(os.Getpid(), func() (err error) {
		limit, err = r.bare(ctx, objects, r.concurrency)
		return err
	})
	if err != nil {
		return fmt.Errorf("bare client: %w", err)
	}
	var out pushed
	var last time.Time
	ownUsed, err := r.used(r.product.cmd.Process.Pid, func() (err error) {
		out, last, err = r.fillAndSee(ctx, edition)
		return err
	})
	if err != nil {
		return err
	}
	rendered, err := r.product.rendered(out.commit)
	if err != nil {
		return err
	}
	r.notes.addTime(name, last.Sub(rendered), "bare client", limit)
	r.notes.addTime(name+"-total", last.Sub(out.at), "bare client", limit)
	each := float64(r.objects()) / float64(time.Second/time.Microsecond)
	note := func(name string, own, limit time.Duration) {
		r.notes.add(name, own.Seconds()/each, "us of processor an object", "bare client", limit.Seconds()/each)
	}
	note(name+"-cpu", ownUsed.client, limitUsed.client)
	note(name+"-cpu-members", ownUsed.members, limitUsed.members)
	note(name+"-cpu-all", ownUsed.client+ownUsed.members, limitUsed.client+limitUsed.members)
	if n == 1 {
		const goal = 800 // objects a second
		r.notes.add("push-create-bare-rate", float64(r.objects())/limit.Seconds(), "objects/s", "800/s of the design", goal)
	}
	return r.settle(ctx, out.commit, n)
}

// usage is processor time.
type usage struct{ client, members time.Duration }

// used returns how much processor time a client, without its children, and the members take while do runs.
func (r *round) used(pid int, do func() error) (usage, error) {
	before, err := r.usage(pid)
	if err != nil {
		return usage{}, err
	}
	if err := do(); err != nil {
		return usage{}, err
	}
	after, err := r.usage(pid)
	return usage{after.client - before.client, after.members - before.members}, err
}

// usage returns what has been used so far.
func (r *round) usage(pid int) (u usage, err error) {
	if u.client, _, err = processorTime(pid); err != nil {
		return u, err
	}
	for _, server := range r.servers {
		own, _, err := processorTime(server)
		if err != nil {
			return u, err
		}
		u.members += own
	}
	return u, nil
}

// bare times the bare client: until the last object is seen, as for gitfleet.
func (w *world) bare(ctx context.Context, objects []appliedObject, concurrency int) (time.Duration, error) {
	watch, err := watchAll(ctx, w.clients, w.peer(), w.kinds, false)
	if err != nil {
		return 0, err
	}
	defer watch.close()
	start := time.Now()
	if err := applyAll(ctx, w.clients, objects, concurrency); err != nil {
		return 0, err
	}
	last, err := watch.awaitObjects(ctx, w.objects())
	return last.Sub(start), err
}

// bestConcurrency tries the bare client with several numbers of requests in flight on each member.
func (w *world) bestConcurrency(ctx context.Context) (best int, err error) {
	objects, err := applied(w.peer(), "sweep", w.kinds)
	if err != nil {
		return 0, err
	}
	var fastest time.Duration
	for i, concurrency := range []int{8, 4, 8, 16, 32} { // the first warms up the API servers
		took, err := w.bare(ctx, objects, concurrency)
		if err != nil {
			return 0, err
		}
		if err := removeAll(ctx, w.clients, w.peer(), w.kinds); err != nil {
			return 0, err
		}
		if i > 0 && (best == 0 || took < fastest) {
			best, fastest = concurrency, took
		}
	}
	return best, nil
}

// one times a push that changes one ConfigMap, until every member has it.
func (r *round) one(ctx context.Context, edition string) error {
	out, changed, err := r.changeOne(ctx, edition)
	if err != nil {
		return err
	}
	rendered, err := r.product.rendered(out.commit)
	if err != nil {
		return err
	}
	r.notes.addGoal("push-change-one", changed.Sub(rendered), time.Second)
	r.notes.addGoal("push-change-one-total", changed.Sub(out.at), time.Second)
	_, err = r.product.awaitConverged(ctx, out.commit)
	return err
}

// changeOne pushes another edition of the first object and returns when the last member had it.
func (w *world) changeOne(ctx context.Context, edition string) (out pushed, changed time.Time, err error) {
	watch, err := watchAll(ctx, w.clients, w.namespace, w.kinds[:1], false)
	if err != nil {
		return out, changed, err
	}
	defer watch.close()
	k := w.kinds[0]
	path := fmt.Sprintf("app/%s-0000.yaml", k.plural)
	text := ""
	for i := range min(perFile, k.count) {
		which := edition
		if i > 0 {
			which = w.edition
		}
		text += "---\n" + k.manifest(k.objectName(i), which)
	}
	if out, err = w.push(ctx, map[string]string{path: text}); err != nil {
		return out, changed, err
	}
	changed, err = watch.awaitObjects(ctx, len(w.clients))
	return out, changed, err
}
