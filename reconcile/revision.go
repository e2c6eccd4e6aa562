package reconcile

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// sourceState is what is known of the repository.
type sourceState struct {
	head      source.Revision // newest revision seen; its Commit is empty before the first
	fetchErr  error           // why the last look at the repository failed
	tried     string          // commit that was last rendered to an end, good or refused
	refused   render.ManifestErrors
	renderErr error // ours or the machine's; tried again
	render    worker
}

// startSource renders what the cache holds at once and then looks at the repository for ever.
func (l *Loop) startSource(ctx context.Context) {
	l.work.Go(func() {
		if rev, ok := l.opt.Repository.Last(); ok {
			l.post(ctx, func() { l.source.head = rev })
		}
		poll := source.Schedule{Interval: l.opt.Interval, Max: max(l.opt.Interval, 5*time.Minute), Jitter: 0.1}
		failures := 0
		for ctx.Err() == nil {
			rev, err := l.opt.Repository.Fetch(ctx)
			if ctx.Err() != nil {
				return
			}
			if failures++; err == nil {
				failures = 0
			}
			l.post(ctx, func() { l.fetched(rev, err) })
			timer := time.NewTimer(poll.Next(failures, rand.Float64()))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	})
}

// fetched folds one look at the repository. A failed one changes nothing but the reason that is reported.
func (l *Loop) fetched(rev source.Revision, err error) {
	if err != nil {
		if l.source.fetchErr == nil || l.source.fetchErr.Error() != err.Error() {
			l.opt.Log.Warn("repository not read, the last good revision stays", "error", err)
		}
		l.source.fetchErr = err
		return
	}
	if rev.Commit != l.source.head.Commit {
		l.opt.Log.Info("new revision", "commit", rev.Commit, "subject", rev.Subject)
		l.source.render.stop()
		l.source.render.succeeded()
		l.source.renderErr = nil // it was about another revision
	}
	l.source.fetchErr, l.source.head = nil, rev
}

// rendered is what a render worker brings back.
type rendered struct {
	desired *render.Desired
	err     error
}

// startRender renders the head unless that was done.
func (l *Loop) startRender(ctx context.Context) {
	s, now := &l.source, time.Now()
	if s.head.Commit == "" || s.tried == s.head.Commit || !s.render.ready(now) {
		return
	}
	head := s.head
	start(ctx, l, &s.render, func(ctx context.Context) rendered { return l.renderRevision(ctx, head) },
		func(out rendered) { l.adopt(ctx, head, out) })
}

func (l *Loop) renderRevision(ctx context.Context, rev source.Revision) rendered {
	snap, err := l.opt.Repository.Snapshot(rev)
	if err != nil {
		return rendered{err: err}
	}
	objects, err := l.opt.Builder.Build(ctx, snap, l.opt.Paths)
	if err != nil {
		return rendered{err: err}
	}
	desired, err := render.Compose(rev, objects)
	return rendered{desired: desired, err: err}
}

// adopt makes a rendered revision the wish in force, or keeps the one before and the reason.
func (l *Loop) adopt(ctx context.Context, rev source.Revision, out rendered) {
	s := &l.source
	if rev.Commit != s.head.Commit {
		return // the branch has moved on meanwhile, perhaps away from this revision
	}
	if out.err == nil {
		// Double ownership shows only once the clusters are known; it refuses the revision like any author error.
		if next := l.decideOn(out.desired, time.Now()); len(next.errs) > 0 {
			out.err = next.errs
		}
	}
	var authors render.ManifestErrors
	switch {
	case out.err == nil:
		s.tried, s.refused, s.renderErr = rev.Commit, nil, nil
		s.render.succeeded()
		l.desired = out.desired
		for _, m := range l.members {
			m.apply.stop() // what it was doing belongs to the old wish; the rest is decided anew
		}
	case errors.As(out.err, &authors):
		s.tried, s.refused, s.renderErr = rev.Commit, authors, nil
		s.render.succeeded()
		l.opt.Log.Error("revision refused, the one before stays in force", "commit", rev.Commit, "errors", authors.Error())
	default:
		s.renderErr = out.err
		s.render.failed(time.Now())
		l.opt.Log.Error("rendering failed, will be tried again", "commit", rev.Commit, "error", out.err)
	}
}
