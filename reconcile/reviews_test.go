package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/report"
)

func plansFor(n *noticeboard, repo *repository) func(*Options) {
	return func(o *Options) {
		o.Forge, o.Statuses = n, StatusOptions{Deadline: time.Hour}
		o.Reviews = ReviewOptions{Repository: repo, Branch: "main", Interval: 5 * time.Millisecond, Limit: time.Minute}
	}
}

// saysOf waits until the comment on a pull request holds all words.
func (n *noticeboard) saysOf(t *testing.T, l *Loop, id string, words ...string) {
	t.Helper()
	await(t, l, "the comment on "+id+" says "+strings.Join(words, ", "), func(report.Report) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(n.comments[id], w) })
	})
}

func (r *repository) hold(commit string, documents ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits[commit] = documents
}

// TestLoopPlansPullRequests: each head gets a plan, on top of what is in force, as one comment and a status; what is merged is
// compared with it.
func TestLoopPlansPullRequests(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{parted: "base"}
	members := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	base := append(slices.Clone(members), config("web", "a", "1"), config("web", "z", "1"))
	repo.push("base", base...)
	repo.hold("head", append(slices.Clone(members), config("web", "a", "2"), config("web", "z", "1"))...)
	repo.hold("broken", append(slices.Clone(base), "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: web}}")...)
	repo.hold("theirs", append(slices.Clone(base), config("web", "more", "1"))...)
	repo.hold("stale", base...)
	repo.hold("merge", append(slices.Clone(base), config("web", "four", "1"))...)
	repo.parents = map[string][]string{"stale": {"older", "broken"}, "merge": {"base", "four"}}
	forge.requests = []report.PullRequest{
		{ID: "1", Title: "Two", Head: "head", HeadRef: "head"},
		{ID: "2", Title: "Broken", Head: "broken", HeadRef: "broken", MergeRef: "stale"},
		{ID: "4", Title: "Merged by the forge", Head: "four", HeadRef: "nowhere", MergeRef: "merge"},
		{ID: "5", Title: "Not there yet"},
		{ID: "3", Title: "From afar", Head: "theirs", HeadRef: "theirs", Fork: true},
	}
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), plansFor(forge, repo))
	forge.saysOf(t, l, "1", "data.value", "east")
	forge.comes(t, l, "head", report.ContextPlan, report.StateSuccess, "1 changed on 1 cluster")
	forge.comes(t, l, "broken", report.ContextPlan, report.StateFailure, "repo.yaml: document 6: kind: a bare Pod is never placed")
	forge.comes(t, l, "theirs", report.ContextPlan, report.StateSuccess, "1 created on 1 cluster")

	forge.comes(t, l, "four", report.ContextPlan, report.StateSuccess, "1 created on 1 cluster")
	forge.saysOf(t, l, "4", "1 created")
	forge.do(func() {
		for _, pr := range forge.requests {
			if about, told := forge.about[pr.ID]; told && about != pr.Head {
				t.Errorf("the comment on %s was said to be about %s, want its head %s", pr.ID, about, pr.Head)
			}
		}
	})
	if state, text := forge.shown("base", report.ContextPlan); state != "" {
		t.Errorf("without --hold-differing a commit without a pull request shows the plan status %s %q", state, text)
	}

	// The branch moves on: the first request has not taken that back, although its head does not have it.
	repo.push("moved", append(slices.Clone(members), config("web", "a", "1"), config("web", "z", "1"), config("web", "b", "1"))...)
	await(t, l, "the commit that the branch moved on to", convergedOn("moved"))
	await(t, l, "a new plan of the first request", func(report.Report) bool {
		return strings.Contains(forge.comment("1"), "moved") && !strings.Contains(forge.comment("1"), "web/b")
	})

	// It is merged, and does what it said.
	forge.do(func() { forge.requests, forge.merged["merged"] = nil, "1" })
	repo.push("merged", append(slices.Clone(members), config("web", "a", "2"), config("web", "z", "1"), config("web", "b", "1"))...)
	forge.comes(t, l, "merged", report.ContextPlan, report.StateSuccess, "as planned in 1")
	// And once more, with something that nobody saw.
	forge.do(func() { forge.merged["slipped"] = "1" })
	repo.push("slipped", append(slices.Clone(members), config("web", "a", "3"))...)
	forge.comes(t, l, "slipped", report.ContextPlan, report.StateFailure, "differs from what was planned in 1")
}

func (n *noticeboard) comment(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.comments[id]
}

// TestLoopPlansOnWhenTheForgeFails, and tells what it has planned when the forge is back.
func TestLoopPlansOnWhenTheForgeFails(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{parted: "base"}
	members := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("base", members...)
	repo.hold("head", append(slices.Clone(members), config("web", "a", "2"))...)
	forge.down = errors.New("bad gateway")
	forge.requests = []report.PullRequest{{ID: "1", Head: "head", HeadRef: "head"}}
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), plansFor(forge, repo))
	await(t, l, "the reason", func(r report.Report) bool { return r.Converged && strings.Contains(r.ForgeErr, "bad gateway") })
	forge.do(func() { forge.down = nil })
	forge.comes(t, l, "head", report.ContextPlan, report.StateSuccess, "1 created")
}

// TestLoopHoldsWhatDiffers from the plan of its pull request, until a commit confirms it.
func TestLoopHoldsWhatDiffers(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{parted: "base"}
	members := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("base", members...)
	repo.hold("head", append(slices.Clone(members), config("web", "a", "1"))...)
	forge.requests = []report.PullRequest{{ID: "7", Head: "head", HeadRef: "head"}}
	forge.merged = map[string]string{"merged": "7", "slipped": "7", "confirmed": "", "direct": ""}
	dir := t.TempDir()
	hold := func(o *Options) { plansFor(forge, repo)(o); o.Reviews.Hold = true }
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir, hold)
	forge.comes(t, l, "head", report.ContextPlan, report.StateSuccess, "1 created")

	forge.do(func() { forge.requests = nil })
	repo.push("slipped", append(slices.Clone(members), config("web", "a", "2"))...)
	forge.comes(t, l, "slipped", report.ContextApply, report.StatePending, "not the plan of 7; confirm with the trailer Gitfleet-Confirm: sha256:")
	_, text := forge.shown("slipped", report.ContextApply)
	stop()
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir, hold) // a restart is no confirmation
	r := await(t, l, "the commit before, after a restart", func(r report.Report) bool {
		return r.Applied.Commit == "base" && strings.Contains(r.Held, "not the plan of 7")
	})
	if r.Converged {
		t.Error("converged, although the newest commit is held")
	}
	_, digest, _ := strings.Cut(text, "Gitfleet-Confirm: ")
	repo.mu.Lock()
	repo.confirmed = map[string][]string{"confirmed": {digest}}
	repo.mu.Unlock()
	repo.push("confirmed", append(slices.Clone(members), config("web", "a", "2"))...)
	await(t, l, "the confirmed commit", convergedOn("confirmed"))
	forge.comes(t, l, "confirmed", report.ContextPlan, report.StateSuccess, "confirmed by a person")
	repo.push("merged", append(slices.Clone(members), config("web", "a", "1"))...)
	await(t, l, "what the pull request showed", convergedOn("merged"))
	forge.comes(t, l, "merged", report.ContextPlan, report.StateSuccess, "as planned in 7")
	repo.push("direct", members...)
	await(t, l, "a commit that came without a pull request", convergedOn("direct"))
	forge.comes(t, l, "direct", report.ContextPlan, report.StateSuccess, "not reviewed: no pull request found")
}

// TestLoopPlansForksWherePlacementsAre: placements are sticky, so a plan from another repository that says nothing about them moves
// none, and has the digest of what comes of it.
func TestLoopPlansForksWherePlacementsAre(t *testing.T) {
	east, west, forge, repo := newCluster("east"), newCluster("west"), newNoticeboard(), &repository{parted: "base"}
	anyOne := policy("web", "{placementType: PickN, numberOfClusters: 1}")
	repo.push("first", memberCluster("east", "e"), ns("web"), anyOne)
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir(), plansFor(forge, repo))
	goesTo(t, l, "the only member", "web", "east")
	base := []string{memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), anyOne}
	repo.push("base", base...)
	await(t, l, "another member", convergedOn("base"))
	head := append(slices.Clone(base), config("web", "a", "1"))
	if afresh := OfflinePlan(nil, desiredOf(t, head...), time.Now()); clustersIn(afresh, "web") != "west" {
		t.Fatalf("from nothing the placement goes to %s: this test tells nothing", clustersIn(afresh, "web"))
	}

	repo.hold("theirs", head...)
	forge.do(func() {
		forge.requests = []report.PullRequest{{ID: "3", Title: "From afar", Head: "theirs", HeadRef: "theirs", Fork: true}}
	})
	forge.comes(t, l, "theirs", report.ContextPlan, report.StateSuccess, "1 created on 1 cluster")
	forge.saysOf(t, l, "3", "east", "a")
	comment := forge.comment("3")
	if strings.Contains(comment, "west") || strings.Contains(comment, "comes to") || strings.Contains(comment, "leaves") {
		t.Errorf("the plan moves the placement:\n%s", comment)
	}
	forge.do(func() { forge.requests, forge.merged["merged"] = nil, "3" })
	repo.push("merged", head...)
	forge.comes(t, l, "merged", report.ContextPlan, report.StateSuccess, "as planned in 3")
}

func clustersIn(p report.Plan, placement string) string {
	for _, d := range p.Placements {
		if d.Key() == placement {
			return strings.Join(d.Assignment.Clusters, ",")
		}
	}
	return ""
}

// TestLoopStopsPlanningAnOldHead at once when the pull request has another.
func TestLoopStopsPlanningAnOldHead(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{parted: "base"}
	base := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("base", base...)
	repo.hold("old", append(slices.Clone(base), config("web", "old", "1"))...)
	repo.hold("new", append(slices.Clone(base), config("web", "new", "1"))...)
	asking, ended := make(chan struct{}), make(chan error, 1)
	east.asked = func(ctx context.Context, ref api.Ref) error {
		if ref.Name == "old" {
			close(asking)
			<-ctx.Done()
			ended <- ctx.Err()
		}
		return ctx.Err()
	}
	forge.requests = []report.PullRequest{{ID: "1", Head: "old", HeadRef: "old"}}
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), plansFor(forge, repo))
	<-asking
	forge.comes(t, l, "old", report.ContextPlan, report.StatePending, "being planned")
	forge.do(func() { forge.requests = []report.PullRequest{{ID: "1", Head: "new", HeadRef: "new"}} })
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("planning the old head ended with %v, want it to be stopped", err)
	}
	forge.comes(t, l, "new", report.ContextPlan, report.StateSuccess, "1 created")
	forge.comes(t, l, "old", report.ContextPlan, report.StateError, "not planned: its pull request was closed, merged or pushed to before")
}

// TestLoopEndsTheWaitForAPlan also where the request was closed while no gitfleet ran, and of a commit that is in force by then.
func TestLoopEndsTheWaitForAPlan(t *testing.T) {
	for _, tc := range []struct {
		name   string
		merged bool // the head is pushed to the branch as it is
	}{{"closed", false}, {"merged", true}} {
		t.Run(tc.name, func(t *testing.T) {
			east, forge, repo, dir := newCluster("east"), newNoticeboard(), &repository{parted: "base"}, t.TempDir()
			base := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
			head := append(slices.Clone(base), config("web", "old", "1"))
			repo.push("base", base...)
			repo.hold("head", head...)
			east.asked = func(ctx context.Context, _ api.Ref) error { // for as long as anybody waits
				<-ctx.Done()
				return ctx.Err()
			}
			forge.requests = []report.PullRequest{{ID: "1", Head: "head", HeadRef: "head"}}
			l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir, plansFor(forge, repo))
			forge.comes(t, l, "head", report.ContextPlan, report.StatePending, "being planned")
			stop()
			forge.do(func() { forge.requests = nil })
			if tc.merged {
				repo.push("head", head...)
			}
			l, stop = startLoop(t, repo, fakeFleet{"east": east}, dir, plansFor(forge, repo))
			forge.comes(t, l, "head", report.ContextPlan, report.StateError, "not planned")
			await(t, l, "the newest commit", convergedOn(repo.newest()))
			stop()
			var reads int
			forge.do(func() { reads = forge.reads["head"] })
			l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir, plansFor(forge, repo))
			repo.push("next", base...)
			forge.comes(t, l, "next", report.ContextApply, report.StateSuccess, "in place")
			forge.do(func() {
				if again := forge.reads["head"] - reads; again > 1 || again > 0 && !tc.merged {
					t.Errorf("after its end was told, the statuses of the head were read %d times more", again)
				}
			})
		})
	}
}

// TestLoopGivesUpOnAHeadThatIsGone: a forge that has lost a commit does not hear of it for ever.
func TestLoopGivesUpOnAHeadThatIsGone(t *testing.T) {
	forge := newNoticeboard()
	l := &Loop{opt: Options{Forge: forge, Reviews: ReviewOptions{Repository: &repository{}}}, wish: &wish{}}
	l.reviews.asOf, l.memory.Planning = "base", []string{"gone"}
	if len(l.untold(time.Now())) != 1 {
		t.Fatal("the head that waits is not told that nobody plans it")
	}
	l.forgetPlanning()
	if len(l.memory.Planning) != 1 {
		t.Fatal("a head that could not be told yet is forgotten")
	}
	l.forge.tell.failures = attempts
	l.forge.errs = map[*worker]error{&l.reviews.poll: errors.New("bad gateway")}
	if l.forgetPlanning(); len(l.memory.Planning) != 1 {
		t.Error("a head is forgotten because the forge is away")
	}
	l.forge.errs = nil
	if l.forgetPlanning(); len(l.memory.Planning) != 0 {
		t.Errorf("what the forge refuses while it answers all else is tried for ever: %v", l.memory.Planning)
	}
}

// TestOldPlansAreNotTold on what the pull request has become since, whichever way a plan is kept.
func TestOldPlansAreNotTold(t *testing.T) {
	l := &Loop{opt: Options{Forge: newNoticeboard(), Log: slog.New(slog.DiscardHandler), Reviews: ReviewOptions{Repository: &repository{}}}, wish: &wish{}}
	before, after := report.PullRequest{ID: "1", Head: "old"}, report.PullRequest{ID: "1", Head: "new"}
	l.reviews.open = []report.PullRequest{before}
	l.noteReview(before, review{head: "old", comment: remark{"old", "the plan"}})
	if got := l.comments()["1"]; got != (remark{"old", "the plan"}) {
		t.Fatalf("the comment is %v", got)
	}
	l.reviews.open = []report.PullRequest{after}
	if got, told := l.comments()["1"]; told {
		t.Errorf("while the new head waits for its plan the comment is %v", got)
	}
	l.noteReview(after, review{head: "new", err: errors.New("out of memory")})
	if got, told := l.comments()["1"]; told {
		t.Errorf("when the new head cannot be planned the comment is %v", got)
	}
}

// TestLoopOutlivesABugInAPlan wherever it strikes, and plans the other heads.
func TestLoopOutlivesABugInAPlan(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{parted: "base"}
	base := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("base", base...)
	for _, head := range []string{"builds", "asks", "good"} {
		repo.hold(head, append(slices.Clone(base), config("web", head, "1"))...)
		forge.requests = append(forge.requests, report.PullRequest{ID: head, Head: head, HeadRef: head})
	}
	repo.building = func(commit string) {
		if commit == "builds" {
			panic("secret 1")
		}
	}
	east.asked = func(_ context.Context, ref api.Ref) error {
		if ref.Name == "asks" {
			panic("secret 2")
		}
		return nil
	}
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), plansFor(forge, repo))
	forge.comes(t, l, "builds", report.ContextPlan, report.StateError, "why is in gitfleet's log")
	forge.comes(t, l, "asks", report.ContextPlan, report.StateError, "why is in gitfleet's log")
	forge.comes(t, l, "good", report.ContextPlan, report.StateSuccess, "1 created")
	repo.push("next", append(slices.Clone(base), config("web", "next", "1"))...)
	await(t, l, "the next commit", convergedOn("next"))
}
