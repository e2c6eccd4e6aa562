package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

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
	repo.push("merged", append(slices.Clone(members), config("web", "a", "1"))...)
	await(t, l, "what the pull request showed", convergedOn("merged"))
	repo.push("direct", members...)
	await(t, l, "a commit that came without a pull request", convergedOn("direct"))
}
