package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	manyMembers = 200
	fewMembers  = 20 // to tell what one member costs from what gitfleet costs without
	// idleCalm lies between the last work and the quiet minute: what was begun by then has ended.
	idleCalm   = 10 * time.Second
	idleMinute = time.Minute
	// usual is how often gitfleet looks at the repository unless told otherwise.
	usual = 15 * time.Second
)

// manySuite measures gitfleet with 200 members of 100 objects each. The members are stubs in a process of their own.
func manySuite(s settings) suite {
	return suite{
		names: []string{
			"fleet-200-cold-start", "fleet-200-change-one", "fleet-200-idle-cpu", "fleet-200-memory", "fleet-200-memory-peak",
			"fleet-200-memory-member",
		},
		measure: func(ctx context.Context, notes *notebook) error {
			for range runs {
				few, err := manyRound(ctx, s, fewMembers, newNotebook(notes.log))
				if err != nil {
					return fmt.Errorf("%d members: %w", fewMembers, err)
				}
				many, err := manyRound(ctx, s, manyMembers, notes)
				if err != nil {
					return fmt.Errorf("%d members: %w", manyMembers, err)
				}
				const kib = 1024
				notes.add("fleet-200-memory-member", (many-few)*kib/(manyMembers-fewMembers), "KiB a member", "an equal share of 120 MiB", 120*kib/manyMembers)
			}
			return nil
		},
	}
}

// manyRound is one life of a fleet of stubs. It returns how much memory gitfleet holds when all is in place, in MiB.
func manyRound(ctx context.Context, s settings, members int, notes *notebook) (resident float64, err error) {
	stubs, err := startStubs(ctx, members)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stubs.close()) }()
	w, err := newWorld(ctx, s.gitfleet, stubs.clients, stubs.kubeconfig, hundred())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	w.options.interval = usual
	if err := w.createPeer(ctx); err != nil {
		return 0, err
	}
	objects, err := applied(w.peer(), "edition-1", w.kinds)
	if err != nil {
		return 0, err
	}
	limit, err := w.bare(ctx, objects, 1)
	if err != nil {
		return 0, err
	}
	if _, err := w.fill(ctx, "edition-1"); err != nil {
		return 0, err
	}
	cold, err := w.restart(ctx)
	if err != nil {
		return 0, err
	}
	notes.addTime("fleet-200-cold-start", cold, "bare client", limit)
	held, err := memoryOf(w.product.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if members == fewMembers {
		return held.resident, nil
	}
	notes.add("fleet-200-memory", held.resident, "MiB", "goal 120 MiB of 3 members", 120)
	notes.add("fleet-200-memory-peak", held.peak, "MiB", "goal 120 MiB of 3 members", 120)
	if err := w.idle(ctx, notes); err != nil {
		return 0, err
	}
	return held.resident, w.manyChangeOne(ctx, notes)
}

// idle measures what share of a core gitfleet uses, with the children it starts, while nothing happens.
func (w *world) idle(ctx context.Context, notes *notebook) error {
	pid := w.product.cmd.Process.Pid
	if err := wait(ctx, idleCalm); err != nil {
		return err
	}
	own, children, err := processorTime(pid)
	if err != nil {
		return err
	}
	before := own + children
	if err := wait(ctx, idleMinute); err != nil {
		return err
	}
	own, children, err = processorTime(pid)
	used := own + children - before
	notes.add("fleet-200-idle-cpu", 100*used.Seconds()/idleMinute.Seconds(), "% of a core", "goal 2 %", 2)
	return err
}

// manyChangeOne measures a change of one object, once it is rendered, until every member has it.
func (w *world) manyChangeOne(ctx context.Context, notes *notebook) error {
	start := time.Now()
	o, err := w.kinds[0].applied(w.peer(), "one", 0)
	if err == nil {
		err = applyAll(ctx, w.clients, []appliedObject{o}, 1)
	}
	limit := time.Since(start)
	if err != nil {
		return err
	}
	out, changed, err := w.changeOne(ctx, "one")
	if err != nil {
		return err
	}
	rendered, err := w.product.rendered(out.commit)
	notes.addTime("fleet-200-change-one", changed.Sub(rendered), "bare client", limit)
	return err
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
