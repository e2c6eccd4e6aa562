package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// sourceState is what is known of the repository.
type sourceState struct {
	looked   bool            // the repository has been asked since the start
	head     source.Revision // newest revision seen; its Commit is empty before the first
	fetchErr error           // why the last look at the repository failed

	tried     string // commit of the head that was last rendered to an end, good or refused
	refused   render.ManifestErrors
	disputed  *wish  // the head, when all that refuses it is where its placements are now, or that nobody has seen its plan
	held      string // why the head waits for a person, or for what the forge says; empty when it does not
	asking    bool   // it is the forge
	judged    *wish  // the disputed wish that was last looked at,
	judgedOn  string // with this pull request as its origin
	renderErr error  // ours or the machine's; tried again
	fellBack  bool   // the revision that was in force before the start has been tried
	render    worker
}

// startSource takes up what the cache holds at once and then looks at the repository for ever.
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
			l.awaitLook(ctx, failures, poll.Next(failures, rand.Float64()))
		}
	})
}

// awaitLook waits for the next look at the repository: for delay, or until somebody says that it changed. After failures that
// is heard only once the least pause is over; until then the channel keeps the token.
func (l *Loop) awaitLook(ctx context.Context, failures int, delay time.Duration) {
	least := source.Least(failures, delay)
	select {
	case <-time.After(least):
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(delay - least):
	case <-l.opt.SourceChanged:
		l.post(ctx, func() { l.reviews.look = true })
	case <-ctx.Done():
	}
}

// fetched folds one look at the repository. A failed one changes nothing but the reason that is reported.
func (l *Loop) fetched(rev source.Revision, err error) {
	s := &l.source
	s.looked = true
	if err != nil {
		if errorText(s.fetchErr) != err.Error() {
			l.opt.Log.Warn("repository not read", "inForce", l.inForce(), "error", err)
		}
		s.fetchErr = err
		return
	}
	if rev.Commit != s.head.Commit {
		l.opt.Log.Info("new revision", "commit", rev.Commit, "subject", rev.Subject)
		s.render.stop()
		s.render.succeeded()
		s.renderErr, s.disputed, s.refused, s.held, s.tried = nil, nil, nil, "", "" // they were about another revision
		if l.wish != nil && l.wish.Revision.Commit == rev.Commit {
			s.tried = rev.Commit // it is in force
		}
	}
	s.fetchErr, s.head = nil, rev
}

// rendered is what a render worker brings back.
type rendered struct {
	wish *wish
	err  error
}

// startRender renders the head, unless that was done.
func (l *Loop) startRender(ctx context.Context, now time.Time) {
	s := &l.source
	if s.head.Commit == "" || !s.render.ready(now) {
		return
	}
	if rev, since := s.head, l.memory.Applied.Commit; s.tried != rev.Commit {
		start(ctx, l, &s.render, func(ctx context.Context) rendered { return l.renderRevision(ctx, rev, since) },
			func(out rendered) { l.judge(rev, out) })
		return
	}
	l.fallBack(ctx)
}

// fallBack renders the revision that was in force before the start when the head is refused: a mistake that somebody
// pushed meanwhile is no reason to let the fleet go.
func (l *Loop) fallBack(ctx context.Context) {
	s, rev := &l.source, l.memory.Applied
	if l.wish != nil || s.fellBack || rev.Commit == "" || rev.Commit == s.head.Commit {
		return
	}
	head := s.head.Commit
	start(ctx, l, &s.render, func(ctx context.Context) rendered { return l.renderRevision(ctx, rev, rev.Commit) }, func(out rendered) {
		if s.head.Commit != head {
			return // it was stopped for a newer one
		}
		var authors render.ManifestErrors
		s.fellBack = out.err == nil || errors.As(out.err, &authors)
		if out.err != nil {
			l.opt.Log.Warn("the revision that was in force cannot be rendered any more", "commit", rev.Commit, "error", out.err)
			s.render.failed(time.Now())
			return
		}
		if l.wish == nil {
			l.adopt(out.wish)
		}
	})
}

// renderRevision renders rev, with what people confirmed in the commits since the one that was in force before.
func (l *Loop) renderRevision(ctx context.Context, rev source.Revision, since string) rendered {
	snap, err := l.opt.Repository.Snapshot(rev)
	if err != nil {
		return rendered{err: err}
	}
	if err := checkDirs(snap.FS, l.opt.Confinements); err != nil {
		return rendered{err: err}
	}
	objects, err := l.opt.Builder.Build(ctx, snap, l.opt.Paths)
	if err != nil {
		return rendered{err: err}
	}
	desired, err := render.Compose(rev, objects)
	if err != nil {
		return rendered{err: err}
	}
	if errs := confine(desired, l.opt.Confinements); len(errs) > 0 {
		return rendered{err: errs}
	}
	if since == rev.Commit {
		since = "" // it is in force already: what was confirmed on the way to it is remembered
	}
	confirmed, err := l.opt.Repository.Confirmations(ctx, since, rev.Commit)
	if err != nil {
		return rendered{err: fmt.Errorf("commit messages up to %s: %w", rev.Commit, err)}
	}
	mistyped, err := l.opt.Repository.MistypedConfirmations(ctx, since, rev.Commit)
	if err != nil {
		return rendered{err: fmt.Errorf("commit messages up to %s: %w", rev.Commit, err)}
	}
	for _, line := range mistyped {
		desired.Notices = append(desired.Notices, render.ManifestError{File: "commit message",
			Message: fmt.Sprintf("%q confirms nothing: want %s: sha256: and 64 hexadecimal digits", line, api.TrailerConfirm)})
	}
	w := newWish(desired)
	w.confirmed = confirmed
	if w.rules, err = apply.NewHealthRules(desired.HealthChecks); err != nil {
		return rendered{err: err}
	}
	return rendered{wish: w}
}

// judge makes a rendered head the wish in force, or keeps the one before and the reason.
func (l *Loop) judge(rev source.Revision, out rendered) {
	s := &l.source
	if rev.Commit != s.head.Commit {
		return // the branch has moved on meanwhile, perhaps away from this revision
	}
	var authors render.ManifestErrors
	if out.err != nil && !errors.As(out.err, &authors) {
		s.renderErr = out.err
		s.render.failed(time.Now())
		l.opt.Log.Error("rendering failed, will be tried again", "commit", rev.Commit, "error", out.err)
		return
	}
	s.tried, s.renderErr = rev.Commit, nil
	s.render.succeeded()
	if out.err == nil {
		authors = render.CheckUpdate(specsOf(l.memory.Placements), out.wish.Placements)
	}
	if len(authors) == 0 {
		s.disputed = out.wish
		l.settleDispute(time.Now())
		return
	}
	l.refuse(authors)
}

// settleDispute adopts the head unless one object of it would have two owners on some cluster, or a person must see first what
// it does. That depends on where the placements are, so it is looked at again as long as the head is in dispute.
func (l *Loop) settleDispute(now time.Time) {
	s := &l.source
	if s.disputed == nil {
		return
	}
	origin, known := l.reviews.origin[s.disputed.Revision.Commit]
	on := fmt.Sprint(known, origin)
	if s.judged == s.disputed && s.judgedOn == on && !l.stale.schedule {
		return // nothing that it depends on has changed
	}
	s.judged, s.judgedOn = s.disputed, on
	places := l.decideOn(s.disputed, now)
	if len(places.errs) > 0 {
		l.refuse(places.errs)
		return
	}
	why, unknown := l.differing(s.disputed, places.digest)
	s.asking = unknown
	if why != "" {
		l.holdHead(why)
		return
	}
	w := s.disputed
	s.disputed, s.refused, s.held = nil, nil, ""
	l.adopt(w)
}

// holdHead keeps the revision before in force until a person has looked at the head.
func (l *Loop) holdHead(why string) {
	if l.source.held != why {
		l.opt.Log.Warn("revision waits for a person", "commit", l.source.head.Commit, "inForce", l.inForce(), "reason", why)
		l.news = true
	}
	l.source.held = why
}

func (l *Loop) refuse(errs render.ManifestErrors) {
	if errs.Error() != l.source.refused.Error() {
		l.opt.Log.Error("revision refused", "commit", l.source.head.Commit, "inForce", l.inForce(), "errors", errs.Error())
	}
	l.news = l.news || errs.Error() != l.source.refused.Error()
	l.source.refused = errs
}

// inForce names the revision that stays in force whatever happens to a newer one.
func (l *Loop) inForce() string {
	if l.wish == nil {
		return "none"
	}
	return l.wish.Revision.Commit
}

// adopt puts a revision in force. What executors are doing for the one before they finish; the rest is decided anew.
func (l *Loop) adopt(w *wish) {
	if w.Revision.Commit == l.memory.Applied.Commit {
		w.confirmed = slices.Compact(slices.Sorted(slices.Values(slices.Concat(w.confirmed, l.memory.Confirmed))))
	} else {
		l.memory.Since = time.Now()
		l.forgetSuccess(w.Revision.Commit)
	}
	l.wish, l.news = w, true
	l.version++
	l.stale.schedule, l.stale.services = true, true
	if l.memory.Applied.Commit == "" { // nobody knows what members out of reach hold, until they show it
		for _, m := range w.Members {
			l.memory.Unseen = append(l.memory.Unseen, m.Name)
		}
	}
	l.memory.Applied, l.memory.Confirmed = w.Revision, w.confirmed
	l.opt.Log.Info("revision in force", "commit", w.Revision.Commit, "placements", len(w.Placements), "members", len(w.Members))
	for _, n := range w.Notices {
		l.opt.Log.Warn("probably a mistake", "notice", n.Error())
	}
}
