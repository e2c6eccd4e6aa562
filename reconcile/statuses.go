package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// StatusOptions says how commits are told what became of them.
type StatusOptions struct {
	Name       string        // begins the contexts, in place of report.StatusName
	Deadline   time.Duration // how long everything may take to be in place and healthy; 0 for as long as it takes
	PerCluster bool
	URL        string // of the status page, for people; empty for none
}

// forge is what the forge is told, and what it shows. Like everything else that is reconciled: what a commit shows is read
// once, compared, and written where it differs. A forge that is away keeps nobody waiting.
type forge struct {
	tell  worker
	shown map[string]map[string]shown // by commit and context, of the commits that were read
	// comments are those that it took, by pull request.
	comments map[string]string
	err      error // why it does not do what it is asked
}

// shown is one status as the forge has it.
type shown struct {
	report.CommitStatus
	at time.Time // when this process wrote it
}

// pendingPause is the least time between two texts of one pending status. GitHub keeps each, and takes a thousand for a commit.
const pendingPause = 10 * time.Second

// untold returns what the forge does not show yet, the newest commit first.
func (l *Loop) untold(now time.Time) []telling {
	var list []telling
	if l.opt.Forge == nil {
		return nil
	}
	wanted := l.headStatuses()
	for _, c := range l.memory.Commits {
		if !c.Told {
			wanted[c.Commit.Commit] = c.Statuses
		}
	}
	commits := slices.SortedFunc(maps.Keys(wanted), func(a, b string) int {
		switch l.source.head.Commit {
		case a:
			return -1
		case b:
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, commit := range commits {
		t := telling{commit: commit, read: l.forge.shown[commit] == nil, shown: l.forge.shown[commit]}
		for _, s := range wanted[commit] {
			if have := t.shown[s.Context]; have.differs(s, now) {
				t.wanted = append(t.wanted, s)
			}
		}
		if len(t.wanted) > 0 {
			list = append(list, t)
		}
	}
	return list
}

// differs tells whether s must be written over what is shown, now.
func (have shown) differs(s report.CommitStatus, now time.Time) bool {
	if have.State == report.StatePending && s.State == report.StatePending && now.Before(have.at.Add(pendingPause)) {
		return false
	}
	return have.CommitStatus != s
}

// telling is what one commit is to show.
type telling struct {
	commit string
	read   bool // what it shows is not known yet
	shown  map[string]shown
	wanted []report.CommitStatus
}

// startTelling writes what is not shown yet.
func (l *Loop) startTelling(ctx context.Context, now time.Time) {
	if l.opt.Forge == nil || !l.forge.tell.ready(now) {
		return
	}
	untold, comments := l.untold(now), l.comments()
	if len(untold) == 0 && maps.Equal(comments, l.forge.comments) {
		return
	}
	taken := l.forge.comments
	start(ctx, l, &l.forge.tell, func(ctx context.Context) toldCommits { return tellForge(ctx, l.opt.Forge, untold, comments, taken) }, func(out toldCommits) {
		for commit, statuses := range out.shown {
			if l.forge.shown == nil {
				l.forge.shown = map[string]map[string]shown{}
			}
			l.forge.shown[commit] = statuses
		}
		l.markTold()
		l.forge.comments = out.comments
		if out.err != nil {
			l.forgeFailed(ctx, &l.forge.tell, out.err)
			return
		}
		l.forgeAnswered(&l.forge.tell)
	})
}

// toldCommits is what came of telling.
type toldCommits struct {
	shown    map[string]map[string]shown
	comments map[string]string
	err      error
}

// tellForge writes the comments of pull requests that are not shown yet, then the statuses of commit after commit: who sees a
// status finds the comment there. What fails keeps nothing else from being told.
func tellForge(ctx context.Context, to report.Forge, all []telling, comments, before map[string]string) toldCommits {
	out := toldCommits{shown: map[string]map[string]shown{}, comments: map[string]string{}}
	for _, id := range slices.Sorted(maps.Keys(comments)) {
		if body := comments[id]; body != before[id] {
			if err := to.Comment(ctx, id, body); err != nil {
				out.err = errors.Join(out.err, fmt.Errorf("comment on %s: %w", id, err))
				continue
			}
		}
		out.comments[id] = comments[id]
	}
	for _, t := range all {
		statuses := maps.Clone(t.shown)
		if t.read {
			list, err := to.Statuses(ctx, t.commit)
			if err != nil {
				out.err = errors.Join(out.err, fmt.Errorf("statuses of %.12s: %w", t.commit, err))
				continue
			}
			statuses = map[string]shown{}
			for _, s := range list {
				statuses[s.Context] = shown{CommitStatus: s}
			}
		}
		for _, s := range t.wanted {
			if statuses[s.Context].CommitStatus == s {
				continue
			}
			if err := to.SetStatus(ctx, t.commit, s); err != nil {
				out.err = errors.Join(out.err, fmt.Errorf("status of %.12s: %w", t.commit, err))
				break
			}
			statuses[s.Context] = shown{s, time.Now()}
		}
		out.shown[t.commit] = statuses
	}
	return out
}

// forgeAnswered notes that the forge did what w asked of it.
func (l *Loop) forgeAnswered(w *worker) {
	if l.forge.err != nil {
		l.opt.Log.Info("the forge answers again")
		l.stale.report = true
	}
	l.forge.err = nil
	w.succeeded()
}

// forgeFailed notes why the forge did not do what w asked of it, and when it is asked again: no sooner than it asks to be.
func (l *Loop) forgeFailed(ctx context.Context, w *worker, err error) {
	now := time.Now()
	w.failed(now)
	var failure *report.ForgeError
	if errors.As(err, &failure) {
		if at := now.Add(failure.RetryAfter); at.After(w.retryAt) {
			w.retryAt = at
		}
	}
	if ctx.Err() == nil && errorText(l.forge.err) != err.Error() {
		l.opt.Log.Warn("the forge does not answer, will be tried again", "error", err)
	}
	l.forge.err, l.stale.report = err, true
}

// statusesDue returns when time alone changes what commits show: at the deadline, and when a pending text may be replaced.
func (l *Loop) statusesDue() (at time.Time, ok bool) {
	if l.wish == nil || len(l.memory.Commits) == 0 {
		return at, false
	}
	for _, s := range l.memory.Commits[0].Statuses {
		if s.State != report.StatePending {
			continue
		}
		if have := l.forge.shown[l.source.head.Commit][s.Context]; have.CommitStatus != s && !have.at.IsZero() {
			at, ok = have.at.Add(pendingPause), true
		}
	}
	deadline := l.memory.Since.Add(l.opt.Statuses.Deadline)
	if l.opt.Statuses.Deadline > 0 && deadline.After(l.stepped) && (!ok || deadline.Before(at)) {
		at, ok = deadline, true
	}
	return at, ok
}

// toldForge tells whether the forge shows what it should, or will not.
func (l *Loop) toldForge() bool {
	return l.opt.Forge == nil || l.forge.tell.failures >= attempts || !l.forge.tell.running && len(l.untold(l.stepped.Add(pendingPause))) == 0 && maps.Equal(l.comments(), l.forge.comments)
}
