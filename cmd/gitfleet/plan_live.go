package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// livePlan plans head on what the members hold, with base in force. It runs the loop itself, with members that it may look at
// only: what is planned is then what would be done.
func livePlan(ctx context.Context, base, head rendered, o planOptions) (plan report.Plan, err error) {
	dir, err := os.MkdirTemp("", "gitfleet-plan-")
	if err != nil {
		return plan, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := reconcile.OpenStore(dir, "plan") // what it remembers is of no use to anybody
	if err != nil {
		return plan, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	members, err := openMembers(o.kubeconfigs, nil, apply.DefaultClaimTiming())
	if err != nil {
		return plan, err
	}
	defer members.close()
	if base.Desired == nil {
		base = head // the registry of members is in it
	}
	inForce := still{base}
	var registered []string // by head: one that is new there may have been a member before
	for _, m := range head.Members {
		registered = append(registered, m.Name)
	}
	confinements, err := o.confinements()
	if err != nil {
		return plan, err
	}
	loop := reconcile.New(reconcile.Options{Repository: inForce, Builder: inForce, Store: store, Fleet: members, Visits: registered, Paths: o.paths,
		Confinements: confinements, Threshold: o.threshold(), Interval: o.timeout, Log: slog.New(slog.DiscardHandler)})
	looking, stop := context.WithTimeout(ctx, o.timeout)
	var running sync.WaitGroup
	running.Go(func() { loop.Run(looking) })
	plan, err = loop.Preview(looking, head.Desired)
	stop()
	running.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the members did not answer within --timeout %s: %w", o.timeout, err)
	}
	return plan, err
}

// still is a repository in which nothing happens: its one revision is rendered already.
type still struct{ rendered }

func (s still) Fetch(context.Context) (source.Revision, error) { return s.Revision, nil }

func (s still) Last() (source.Revision, bool) { return s.Revision, true }

func (s still) Snapshot(rev source.Revision) (source.Snapshot, error) {
	return source.Snapshot{Revision: rev, FS: s.tree}, nil
}

func (s still) Build(context.Context, source.Snapshot, []string) ([]render.Object, error) {
	return s.objects, nil
}

func (s still) Confirmations(context.Context, string, string) ([]string, error) { return nil, nil }

func (s still) MistypedConfirmations(context.Context, string, string) ([]string, error) {
	return nil, nil
}
