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
	tell  worker                      // writes statuses
	talk  worker                      // writes comments
	shown map[string]map[string]shown // by commit and context, of the commits that were read
	// comments are those that it took, by pull request.
	comments map[string]remark
	quiet    time.Time         // until when it asks to be left alone, by whoever asks it for whatever
	errs     map[*worker]error // why it does not do what it is asked
}

// forgeErr is everything that the forge does not do, nil when it does all it is asked.
func (l *Loop) forgeErr() error {
	return errors.Join(l.forge.errs[&l.forge.tell], l.forge.errs[&l.forge.talk], l.forge.errs[&l.reviews.poll], l.forge.errs[&l.reviews.tracing])
}

// forgeReady tells whether the forge may be asked for what w is about.
func (l *Loop) forgeReady(w *worker, now time.Time) bool {
	return l.opt.Forge != nil && w.ready(now) && !now.Before(l.forge.quiet)
}

// shown is one status as the forge has it.
type shown struct {
	report.CommitStatus
	at    time.Time // when this process wrote it last
	posts int       // how often it did
}

// GitHub keeps every post, and takes a thousand for one context of one commit. So new words for the same state wait, the longer
// the more there were, and a state that comes and goes without end waits too; success never does.
const (
	firstPause   = 10 * time.Second
	longestPause = time.Hour
	postsEach    = 6  // before a pause is doubled
	freeStates   = 20 // posts after which another state waits like other words
)

// from returns when s may be written over what is shown.
func (have shown) from(s report.CommitStatus) time.Time {
	if have.posts == 0 || s.State == report.StateSuccess || have.State != s.State && have.posts < freeStates {
		return time.Time{}
	}
	return have.at.Add(min(firstPause<<min(have.posts/postsEach, 16), longestPause))
}

// untold returns what the forge does not show yet, the newest commit first.
func (l *Loop) untold(now time.Time) []telling {
	var list []telling
	if l.opt.Forge == nil {
		return nil
	}
	wanted := l.headStatuses()
	maps.Copy(wanted, l.unplannedStatuses())
	for _, c := range l.memory.Commits {
		if !c.Told {
			wanted[c.Commit.Commit] = withOthers(c.Statuses, wanted[c.Commit.Commit])
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
			if have := t.shown[s.Context]; have.CommitStatus != s && !now.Before(have.from(s)) {
				t.wanted = append(t.wanted, s)
			}
		}
		if len(t.wanted) > 0 {
			list = append(list, t)
		}
	}
	return list
}

// withOthers returns list with those of others that are about something else.
func withOthers(list, others []report.CommitStatus) []report.CommitStatus {
	return slices.Concat(list, slices.DeleteFunc(slices.Clone(others), func(o report.CommitStatus) bool {
		return slices.ContainsFunc(list, func(s report.CommitStatus) bool { return s.Context == o.Context })
	}))
}

// telling is what one commit is to show.
type telling struct {
	commit string
	read   bool // what it shows is not known yet
	shown  map[string]shown
	wanted []report.CommitStatus
}

// tellForge has the forge told what it does not show yet: statuses, and apart from them comments, which must not delay those.
func (l *Loop) tellForge(ctx context.Context, now time.Time) {
	if l.forgeReady(&l.forge.tell, now) {
		if untold := l.untold(now); len(untold) > 0 {
			l.mayShowPlanning(untold)
			start(ctx, l, &l.forge.tell, func(ctx context.Context) statusesWritten { return writeStatuses(ctx, l.opt.Forge, untold) }, func(out statusesWritten) {
				if l.forge.shown == nil {
					l.forge.shown = map[string]map[string]shown{}
				}
				maps.Copy(l.forge.shown, out.shown)
				l.forgeAnswered(ctx, &l.forge.tell, out.err)
				l.forgetPlanning()
				l.markTold()
			})
		}
	}
	if l.forgeReady(&l.forge.talk, now) {
		if comments, before := l.comments(), l.forge.comments; !maps.Equal(comments, before) {
			start(ctx, l, &l.forge.talk, func(ctx context.Context) commentsWritten { return writeComments(ctx, l.opt.Forge, comments, before) }, func(out commentsWritten) {
				l.forge.comments = out.comments
				l.forgeAnswered(ctx, &l.forge.talk, out.err)
			})
		}
	}
}

// statusesWritten is what came of writing statuses.
type statusesWritten struct {
	shown map[string]map[string]shown
	err   error
}

// writeStatuses writes those of commit after commit. What fails for one keeps no other from being told, unless the forge asks for
// patience.
func writeStatuses(ctx context.Context, to report.Forge, all []telling) statusesWritten {
	out := statusesWritten{shown: map[string]map[string]shown{}}
	for _, t := range all {
		statuses, err := t.write(ctx, to)
		if statuses != nil {
			out.shown[t.commit] = statuses
		}
		if err != nil {
			out.err = errors.Join(out.err, fmt.Errorf("statuses of %.12s: %w", t.commit, err))
		}
		if patience(err) > 0 {
			break
		}
	}
	return out
}

// write reads what the commit shows, if nobody has, and writes what differs. It returns what is shown then; nil while that is
// not known.
func (t telling) write(ctx context.Context, to report.Forge) (map[string]shown, error) {
	statuses := maps.Clone(t.shown)
	if t.read {
		list, err := to.Statuses(ctx, t.commit)
		if err != nil {
			return nil, err
		}
		statuses = map[string]shown{}
		for _, s := range list {
			statuses[s.Context] = shown{CommitStatus: s}
		}
	}
	for _, s := range t.wanted {
		have := statuses[s.Context]
		if have.CommitStatus == s {
			continue
		}
		if err := to.SetStatus(ctx, t.commit, s); err != nil {
			return statuses, err
		}
		statuses[s.Context] = shown{s, time.Now(), have.posts + 1}
	}
	return statuses, nil
}

// commentsWritten is what came of writing comments.
type commentsWritten struct {
	comments map[string]remark
	err      error
}

// writeComments writes the comments that are not what the forge took before.
func writeComments(ctx context.Context, to report.Forge, comments, before map[string]remark) commentsWritten {
	out := commentsWritten{comments: map[string]remark{}}
	for _, id := range slices.Sorted(maps.Keys(comments)) {
		if comments[id] != before[id] && patience(out.err) == 0 {
			if err := to.Comment(ctx, id, comments[id].head, comments[id].body); err != nil {
				out.err = errors.Join(out.err, fmt.Errorf("comment on %s: %w", id, err))
			} else {
				out.comments[id] = comments[id]
			}
		} else if taken, ok := before[id]; ok {
			out.comments[id] = taken
		}
	}
	return out
}

// patience is the longest time for which any of the errors in err asks.
func patience(err error) time.Duration {
	var failure *report.ForgeError
	var longest time.Duration
	if errors.As(err, &failure) {
		longest = failure.RetryAfter
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			longest = max(longest, patience(e))
		}
	}
	return longest
}

// forgeAnswered notes whether the forge did what w asked of it, and when it is asked again: nobody asks sooner than it wants to be.
func (l *Loop) forgeAnswered(ctx context.Context, w *worker, err error) {
	before := l.forge.errs[w]
	if l.forge.errs == nil {
		l.forge.errs = map[*worker]error{}
	}
	l.forge.errs[w] = err
	if errorText(before) != errorText(err) {
		l.stale.report = true
	}
	if err == nil {
		w.succeeded()
		if before != nil && l.forgeErr() == nil {
			l.opt.Log.Info("the forge does all it is asked again")
		}
		return
	}
	now := time.Now()
	w.failed(now)
	if at := now.Add(patience(err)); at.After(l.forge.quiet) {
		l.forge.quiet = at
	}
	if ctx.Err() == nil && errorText(before) != err.Error() {
		l.opt.Log.Warn("the forge does not do what it is asked, which will be tried again", "error", err)
	}
}

// statusesDue returns when time alone changes what commits show: at the deadline, and when a pending text may be replaced.
func (l *Loop) statusesDue() (at time.Time, ok bool) {
	if l.wish == nil || len(l.memory.Commits) == 0 {
		return at, false
	}
	for _, c := range l.memory.Commits {
		for _, s := range c.Statuses {
			have := l.forge.shown[c.Commit.Commit][s.Context]
			from := have.from(s)
			if have.CommitStatus != s && !from.IsZero() && (!ok || from.Before(at)) {
				at, ok = from, true
			}
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
	if l.opt.Forge == nil {
		return true
	}
	ever := l.stepped.Add(longestPause)
	statuses := !l.forge.tell.running && len(l.untold(ever)) == 0
	comments := !l.forge.talk.running && maps.Equal(l.comments(), l.forge.comments)
	return (statuses || l.forge.tell.failures >= attempts) && (comments || l.forge.talk.failures >= attempts)
}
