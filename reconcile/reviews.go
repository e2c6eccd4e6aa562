package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// ReviewRepository is the repository once more, with more than the branch that is followed: a cache of its own, so that nothing
// that strangers push delays or damages the one that the fleet lives from.
type ReviewRepository interface {
	// Fetch brings the branch up to date.
	Fetch(ctx context.Context) (source.Revision, error)
	// Snapshot returns the tree of a revision in the cache.
	Snapshot(rev source.Revision) (source.Snapshot, error)
	// FetchRef brings what ref names at the remote into the cache. The revision is told as one of the followed branch.
	FetchRef(ctx context.Context, ref string) (source.Revision, error)
	// Parents returns the parents of a commit in the cache.
	Parents(ctx context.Context, commit string) ([]string, error)
	// MergeBase returns the revision from which two commits in the cache went apart.
	MergeBase(ctx context.Context, one, other string) (source.Revision, error)
}

// ReviewOptions says how pull requests are planned.
type ReviewOptions struct {
	Repository ReviewRepository // nil when none are
	Builder    Builder          // apart from Options.Builder, which shall not wait for what strangers push; nil for that one
	Branch     string           // that they are to be merged into
	Interval   time.Duration    // between two looks at which are open
	Limit      time.Duration    // that planning one may take
	URL        string           // of the status page; empty for none
	// Hold keeps a commit that differs from what its pull request showed from being applied, until a person confirms it.
	Hold bool
}

// reviews is what is known of the open pull requests.
type reviews struct {
	poll, work worker
	at         report.PullRequest // which work plans, or planned last
	asked      time.Time          // when the forge was last asked which are open
	look       bool               // something may have changed there
	open       []report.PullRequest
	asOf       string            // the commit that was in force when they were
	planned    map[string]review // by ID
	origin     map[string]string // pull request that a commit came from, of the newest commit; empty for none
	tracing    worker
}

// review is what one pull request comes to.
type review struct {
	head, onto string // commits: what was planned, and on top of what was in force
	digest     string // of the plan; empty with mistakes
	state      report.State
	summary    string
	comment    remark    // that tells the plan
	gist       string    // the same without the commit that it was planned on top of
	tried      time.Time // when it was planned, or that failed
	failures   int       // in a row, for this head and base
	err        error     // ours, or the machine's; tried again
	stopped    bool      // nobody wants it any more
	private    []string  // what the plan says, and no forge is told
}

// remark is what gitfleet has to say on a pull request, and which head it is about.
type remark struct{ head, body string }

// mostPatience is the longest time until a pull request that cannot be planned is tried again as it is.
const mostPatience = time.Hour

// due tells when pr must be planned: at once when it is another head or base than was planned, and what failed again and again
// more and more rarely. What is planned is not due.
func (r review) due(pr report.PullRequest, onto string) (at time.Time, due bool) {
	switch {
	case r.head != pr.Head || r.onto != onto:
		return time.Time{}, true
	case r.err == nil:
		return time.Time{}, false
	}
	return r.tried.Add(min(firstRetry<<min(r.failures, 12), mostPatience)), true
}

// plannedRequest is what is remembered of the plan of a pull request, for when it has been merged.
type plannedRequest struct {
	ID     string `json:"id"`
	Head   string `json:"head"`
	Onto   string `json:"onto"`
	Digest string `json:"digest"`
}

// mostReviewed bounds how many plans are remembered, and how many heads that wait for one.
const mostReviewed = 200

// reviewsOn tells whether pull requests are planned now.
func (l *Loop) reviewsOn() bool {
	return l.opt.Forge != nil && l.opt.Reviews.Repository != nil && l.wish != nil
}

// review looks for open pull requests and plans those whose plan is not that of today.
func (l *Loop) review(ctx context.Context, now time.Time) {
	l.trace(ctx, now)
	if !l.reviewsOn() {
		return
	}
	r, inForce := &l.reviews, l.wish.Revision.Commit
	due := r.look || r.asOf != inForce || !now.Before(r.asked.Add(l.opt.Reviews.Interval))
	if due && l.forgeReady(&r.poll, now) {
		r.asked, r.look = now, false
		start(ctx, l, &r.poll, func(ctx context.Context) polled {
			list, err := l.opt.Forge.PullRequests(ctx, l.opt.Reviews.Branch)
			return polled{list, inForce, err}
		}, func(out polled) { l.noteOpen(ctx, out) })
	}
	// One that has just been merged is not to be planned on top of itself: what it showed is compared with what came.
	if r.asOf != inForce || !r.work.ready(now) {
		return
	}
	if pr, ok := l.nextReview(now); ok {
		l.startReview(ctx, pr)
	}
}

// nextReview chooses which pull request to plan: of those that are due the one whose turn was longest ago, so that none that fails,
// or changes all the time, keeps the others waiting.
func (l *Loop) nextReview(now time.Time) (next report.PullRequest, ok bool) {
	var last time.Time
	for _, pr := range l.reviews.open {
		have := l.reviews.planned[pr.ID]
		at, due := have.due(pr, l.wish.Revision.Commit)
		if due && !now.Before(at) && (!ok || have.tried.Before(last)) {
			next, last, ok = pr, have.tried, true
		}
	}
	return next, ok
}

// reviewsDue returns when the forge is asked again, or one that failed is tried again.
func (l *Loop) reviewsDue() (at time.Time, ok bool) {
	if !l.reviewsOn() {
		return at, false
	}
	at, ok = l.reviews.asked.Add(l.opt.Reviews.Interval), !l.reviews.poll.running
	for _, pr := range l.reviews.open {
		retry, due := l.reviews.planned[pr.ID].due(pr, l.wish.Revision.Commit)
		if due && retry.After(l.stepped) && (!ok || retry.Before(at)) {
			at, ok = retry, true
		}
	}
	return at, ok
}

// polled is a forge's answer to which pull requests are open.
type polled struct {
	open []report.PullRequest
	asOf string
	err  error
}

// noteOpen notes which pull requests are open, and drops what is about others.
func (l *Loop) noteOpen(ctx context.Context, out polled) {
	r := &l.reviews
	if out.err != nil {
		l.forgeAnswered(ctx, &r.poll, fmt.Errorf("pull requests: %w", out.err))
		return
	}
	l.forgeAnswered(ctx, &r.poll, nil)
	r.asOf = out.asOf
	defer l.stopReview()                                                                            // of what is open no longer
	r.open = slices.DeleteFunc(out.open, func(pr report.PullRequest) bool { return pr.Head == "" }) // not there yet, as right after opening
	maps.DeleteFunc(r.planned, func(id string, _ review) bool {
		return !slices.ContainsFunc(r.open, func(pr report.PullRequest) bool { return pr.ID == id })
	})
	maps.DeleteFunc(l.forge.shown, func(commit string, _ map[string]shown) bool {
		head := slices.ContainsFunc(r.open, func(pr report.PullRequest) bool { return pr.Head == commit })
		return !head && !slices.Contains(l.memory.Planning, commit) && !slices.ContainsFunc(l.memory.Commits, func(c commitMemory) bool { return c.Commit.Commit == commit })
	})
}

// stopReview stops planning a head that is no pull request's any more.
func (l *Loop) stopReview() {
	r := &l.reviews
	if !r.work.running {
		return
	}
	now := slices.IndexFunc(r.open, func(pr report.PullRequest) bool { return pr.ID == r.at.ID && pr.Head == r.at.Head })
	if now < 0 {
		r.work.stop()
	}
}

// startReview plans one pull request.
func (l *Loop) startReview(ctx context.Context, pr report.PullRequest) {
	onto := l.wish
	l.reviews.at = pr
	start(ctx, l, &l.reviews.work, func(ctx context.Context) review {
		ctx, cancel := context.WithTimeout(ctx, l.opt.Reviews.Limit)
		defer cancel()
		return l.reviewOne(ctx, pr, onto)
	}, func(out review) { l.noteReview(pr, out) })
}

// noteReview notes what came of planning a pull request. Where nothing but the commit below it is another, the comment stays: it
// would be changed on every request at every push.
func (l *Loop) noteReview(pr report.PullRequest, out review) {
	l.stale.report = true
	before := l.reviews.planned[pr.ID]
	switch {
	case out.stopped: // for another head, whose turn is after that of others
		before.tried = out.tried
		out = before
	case out.err != nil:
		if before.head == out.head && before.onto == out.onto {
			out.failures = before.failures + 1
		}
		out.comment = before.comment
		if errorText(before.err) != out.err.Error() {
			l.opt.Log.With(details(out.err)...).Warn("pull request not planned, will be tried again", "id", pr.ID, "head", pr.Head, "error", out.err)
		}
	default:
		if out.gist == before.gist && before.comment.head == out.head {
			out.comment = before.comment
		}
		if len(out.private) > 0 && !slices.Equal(out.private, before.private) {
			l.opt.Log.Warn("pull request planned in part from Git alone", "id", pr.ID, "head", pr.Head, "reasons", out.private)
		}
		l.rememberReview(pr.ID, out)
	}
	if l.reviews.planned == nil {
		l.reviews.planned = map[string]review{}
	}
	l.reviews.planned[pr.ID] = out
}

// rememberReview keeps what the plan of a pull request was, and forgets those that were planned longest ago.
func (l *Loop) rememberReview(id string, r review) {
	list := slices.DeleteFunc(slices.Clone(l.memory.Reviewed), func(e plannedRequest) bool { return e.ID == id })
	list = append(list, plannedRequest{ID: id, Head: r.head, Onto: r.onto, Digest: r.digest})
	l.memory.Reviewed = list[max(0, len(list)-mostReviewed):]
}

// reviewOne renders what the pull request would become and plans it. One from another repository is planned from Git alone:
// whoever wrote it may have no right to know what members hold.
func (l *Loop) reviewOne(ctx context.Context, pr report.PullRequest, onto *wish) review {
	out := review{head: pr.Head, onto: onto.Revision.Commit}
	err := guarded(func() error {
		plan, err := l.planRequest(ctx, pr, onto)
		if err == nil {
			out.tell(plan, report.MarkdownOptions{Title: pr.Title, URL: l.opt.Reviews.URL, Offline: pr.Fork})
		}
		return err
	})
	out.tried = time.Now()
	if out.stopped = errors.Is(ctx.Err(), context.Canceled); out.stopped {
		err = ctx.Err() // whatever it came to: members that there was no time to ask are not silent
	}
	if err != nil {
		out.err, out.state = err, report.StateError
		out.summary = "not planned, will be tried again; why is in gitfleet's log"
	}
	return out
}

// planRequest renders what a pull request would become and plans it. Mistakes of its author are in the plan.
func (l *Loop) planRequest(ctx context.Context, pr report.PullRequest, onto *wish) (report.Plan, error) {
	desired, err := l.renderRequest(ctx, pr, onto)
	var authors render.ManifestErrors
	switch {
	case errors.As(err, &authors):
		return report.Plan{Errors: authors}, nil
	case err != nil:
		return report.Plan{}, err
	case pr.Fork:
		return l.previewFromGit(ctx, desired)
	}
	return l.Preview(ctx, desired)
}

// tell puts the plan into the words of the review.
func (r *review) tell(plan report.Plan, o report.MarkdownOptions) {
	told := plan.Public()
	for i, risk := range plan.Risks {
		if told.Risks[i] != risk {
			r.private = append(r.private, risk.Message)
		}
	}
	plan = told
	plan.Base, plan.Head = "", r.head
	r.gist = plan.Markdown(report.LongestComment, o)
	plan.Base = r.onto
	r.digest, r.summary, r.comment = plan.Digest, plan.Summary(), remark{r.head, plan.Markdown(report.LongestComment, o)}
	if r.state = report.StateSuccess; len(plan.Errors) > 0 {
		r.state = report.StateFailure
	}
}

// renderRequest renders what the branch would be with the pull request merged: the forge's own merge, or where there is none
// the three-way merge of what the commits render to.
func (l *Loop) renderRequest(ctx context.Context, pr report.PullRequest, onto *wish) (*render.Desired, error) {
	rev, merged, err := l.fetchRequest(ctx, pr, onto.Revision.Commit)
	if err != nil {
		return nil, err
	}
	objects, err := l.buildRevision(ctx, rev)
	if err != nil {
		return nil, err
	}
	if !merged {
		if objects, err = l.mergeRequest(ctx, rev, onto.Revision, objects); err != nil {
			return nil, err
		}
	}
	desired, err := render.Compose(rev, objects)
	if err != nil {
		return nil, err
	}
	if errs := confine(desired, l.opt.Confinements); len(errs) > 0 {
		return nil, errs
	}
	return desired, nil
}

// fetchRequest fetches the forge's merge of a pull request, and where there is none its head. A merge of an earlier head, or
// onto an earlier commit of the branch, is none: forges make them in their own time.
func (l *Loop) fetchRequest(ctx context.Context, pr report.PullRequest, onto string) (rev source.Revision, merged bool, err error) {
	from := l.opt.Reviews.Repository
	if _, err := from.Fetch(ctx); err != nil {
		return rev, false, err
	}
	if pr.MergeRef != "" {
		if rev, err = from.FetchRef(ctx, pr.MergeRef); err == nil {
			parents, err := from.Parents(ctx, rev.Commit)
			if err == nil && slices.Contains(parents, pr.Head) && slices.Contains(parents, onto) {
				return rev, true, nil
			}
		}
	}
	rev, err = from.FetchRef(ctx, pr.HeadRef)
	if err == nil && rev.Commit != pr.Head {
		err = fmt.Errorf("%s is at %.12s by now, not at %.12s", pr.HeadRef, rev.Commit, pr.Head)
	}
	return rev, false, err
}

// mergeRequest puts what a head changes on top of what is in force.
func (l *Loop) mergeRequest(ctx context.Context, head, onto source.Revision, theirs []render.Object) ([]render.Object, error) {
	common, err := l.opt.Reviews.Repository.MergeBase(ctx, onto.Commit, head.Commit)
	if err != nil {
		return nil, err
	}
	if common.Commit == onto.Commit {
		return theirs, nil // the head is ahead of the branch
	}
	base, err := l.buildRevision(ctx, common)
	if err != nil {
		return nil, fmt.Errorf("the commit where the branches parted, %.12s: %w", common.Commit, notTheirs(err))
	}
	ours, err := l.buildRevision(ctx, onto)
	if err != nil {
		return nil, fmt.Errorf("the commit in force, %.12s: %w", onto.Commit, notTheirs(err))
	}
	objects, errs := render.Merge(base, ours, theirs)
	if len(errs) > 0 {
		return nil, errs
	}
	return objects, nil
}

// notTheirs makes of mistakes in a commit, which whoever wrote another one did not make, a plain error.
func notTheirs(err error) error { return errors.New(err.Error()) }

// buildRevision renders a revision of a pull request, or one that it is compared with, to objects.
func (l *Loop) buildRevision(ctx context.Context, rev source.Revision) ([]render.Object, error) {
	snap, err := l.opt.Reviews.Repository.Snapshot(rev)
	if err != nil {
		return nil, err
	}
	if err := checkDirs(snap.FS, l.opt.Confinements); err != nil {
		return nil, err
	}
	builder := l.opt.Reviews.Builder
	if builder == nil {
		builder = l.opt.Builder
	}
	return builder.Build(ctx, snap, l.opt.Paths)
}

// trace finds out which pull request the commit in force came from, once for each commit.
func (l *Loop) trace(ctx context.Context, now time.Time) {
	if l.opt.Reviews.Repository == nil {
		return
	}
	commit := l.tracedCommit()
	if _, known := l.reviews.origin[commit]; known || commit == "" || len(l.memory.Reviewed) == 0 || !l.forgeReady(&l.reviews.tracing, now) {
		return
	}
	type traced struct {
		id  string
		err error
	}
	start(ctx, l, &l.reviews.tracing, func(ctx context.Context) traced {
		id, err := l.opt.Forge.MergedFrom(ctx, commit, l.opt.Reviews.Branch)
		return traced{id, err}
	}, func(out traced) {
		if out.err != nil {
			l.forgeAnswered(ctx, &l.reviews.tracing, fmt.Errorf("where %.12s came from: %w", commit, out.err))
			return
		}
		l.forgeAnswered(ctx, &l.reviews.tracing, nil)
		l.reviews.origin = map[string]string{commit: out.id}
		l.stale.report = true
	})
}

// tracedCommit is the newest commit that could be in force.
func (l *Loop) tracedCommit() string {
	if l.source.disputed != nil {
		return l.source.disputed.Revision.Commit
	}
	if l.wish != nil {
		return l.wish.Revision.Commit
	}
	return ""
}

// compareReview tells how a commit with this plan digest compares with what its pull request showed. known is false while nobody
// can say; id is empty when it came from none that was planned.
func (l *Loop) compareReview(commit, digest string) (id string, same, known bool) {
	origin, known := l.reviews.origin[commit]
	if !known && len(l.memory.Reviewed) > 0 {
		return "", false, false
	}
	for _, r := range l.memory.Reviewed {
		if origin != "" && r.ID == origin {
			return r.ID, r.Digest == digest, true
		}
	}
	return "", false, true
}

// differing tells why w, with this plan digest, must not be put in force before a person confirms it: it is not what its pull
// request showed, and that is to be looked at. What was in force already is not looked at again. unknown tells that it is the
// forge that is waited for.
func (l *Loop) differing(w *wish, digest string) (why string, unknown bool) {
	if !l.opt.Reviews.Hold || w.Revision.Commit == l.memory.Applied.Commit || slices.Contains(w.confirmed, digest) {
		return "", false
	}
	id, same, known := l.compareReview(w.Revision.Commit, digest)
	switch {
	case !known:
		return "the forge has not said yet which pull request it came from", true
	case id == "" || same:
		return "", false
	}
	return fmt.Sprintf("not the plan of %s; confirm with the trailer %s: %s", id, api.TrailerConfirm, digest), false
}

// reviewStatus is the plan status of the commit in force: whether it is what was reviewed. Without a review there is none, unless
// people have asked for reviews to count.
func (l *Loop) reviewStatus() (report.CommitStatus, bool) {
	if !l.reviewsOn() {
		return report.CommitStatus{}, false
	}
	id, same, known := l.compareReview(l.wish.Revision.Commit, l.schedule.digest)
	if !known || id == "" && !l.opt.Reviews.Hold {
		return report.CommitStatus{}, false
	}
	s := report.CommitStatus{Context: l.context(report.ContextPlan), State: report.StateSuccess, Description: "as planned in " + id, URL: l.opt.Statuses.URL}
	switch {
	case id == "" && slices.Contains(l.wish.confirmed, l.schedule.digest):
		s.Description = "confirmed by a person"
	case id == "":
		s.Description = "not reviewed: no pull request found that was planned"
	case !same:
		s.State, s.Description = report.StateFailure, fmt.Sprintf("differs from what was planned in %s: the branch had moved on, or the members had changed", id)
	}
	return s, true
}

// context returns a status context under the name that this gitfleet speaks under.
func (l *Loop) context(context string) string {
	return report.StatusOptions{Name: l.opt.Statuses.Name}.Context(context)
}

// headStatuses returns what the heads of open pull requests shall show, by commit.
func (l *Loop) headStatuses() map[string][]report.CommitStatus {
	out := map[string][]report.CommitStatus{}
	if !l.reviewsOn() {
		return out
	}
	for _, pr := range l.reviews.open {
		s := report.CommitStatus{Context: l.context(report.ContextPlan), State: report.StatePending, Description: "being planned", URL: l.opt.Reviews.URL}
		if r, ok := l.reviews.planned[pr.ID]; ok && r.head == pr.Head {
			s.State, s.Description = r.state, r.summary
		}
		out[pr.Head] = []report.CommitStatus{s}
	}
	return out
}

// mayShowPlanning notes the heads that are about to be told that they are being planned. It is remembered: the request may be closed
// while nobody looks, and the head would wait for ever.
func (l *Loop) mayShowPlanning(all []telling) {
	list := slices.Clone(l.memory.Planning)
	for _, t := range all {
		if slices.ContainsFunc(t.wanted, l.tellsOfPlanning) && !slices.Contains(list, t.commit) {
			list = append(list, t.commit)
		}
	}
	l.memory.Planning = list[max(0, len(list)-mostReviewed):]
}

// tellsOfPlanning tells whether s says that a head is being planned.
func (l *Loop) tellsOfPlanning(s report.CommitStatus) bool {
	return s.Context == l.context(report.ContextPlan) && s.State == report.StatePending
}

// forgetPlanning forgets the heads that show what came of it. One that is no request's any more, and that the forge has refused to
// tell while it did all else, is forgotten too: it may be gone.
func (l *Loop) forgetPlanning() {
	open := l.headStatuses()
	refused := l.forge.tell.failures >= attempts && l.forge.errs[&l.reviews.poll] == nil
	l.memory.Planning = slices.DeleteFunc(slices.Clone(l.memory.Planning), func(commit string) bool {
		s, shown := l.forge.shown[commit][l.context(report.ContextPlan)]
		return shown && s.State != report.StatePending || refused && open[commit] == nil
	})
}

// unplannedStatuses returns, by commit, how the wait of those heads ends that are no open request's any more. Before the forge has
// said which are open nobody knows.
func (l *Loop) unplannedStatuses() map[string][]report.CommitStatus {
	out, open := map[string][]report.CommitStatus{}, l.headStatuses()
	if l.opt.Reviews.Repository != nil && l.reviews.asOf == "" {
		return out
	}
	for _, commit := range l.memory.Planning {
		if open[commit] == nil {
			out[commit] = []report.CommitStatus{{Context: l.context(report.ContextPlan), State: report.StateError,
				Description: "not planned: its pull request was closed, merged or pushed to before", URL: l.opt.Reviews.URL}}
		}
	}
	return out
}

// comments returns what gitfleet has to say on the open pull requests as they are, by ID: a plan of what is no head any more is
// not told.
func (l *Loop) comments() map[string]remark {
	out := map[string]remark{}
	if !l.reviewsOn() {
		return out
	}
	for _, pr := range l.reviews.open {
		if r := l.reviews.planned[pr.ID]; r.comment.head == pr.Head {
			out[pr.ID] = r.comment
		}
	}
	return out
}
