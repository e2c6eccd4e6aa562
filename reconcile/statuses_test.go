package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/report"
)

// noticeboard is a forge in memory.
type noticeboard struct {
	mu    sync.Mutex
	shows map[string]map[string]report.CommitStatus
	log   []string // what was written: "c1 gitfleet/apply pending"
	texts []string // every description and comment that was written
	reads map[string]int
	down  error

	requests []report.PullRequest
	comments map[string]string
	about    map[string]string // head of the comment, by pull request
	merged   map[string]string
}

func newNoticeboard() *noticeboard {
	return &noticeboard{shows: map[string]map[string]report.CommitStatus{}, reads: map[string]int{}, comments: map[string]string{}, about: map[string]string{}, merged: map[string]string{}}
}

func (n *noticeboard) do(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *noticeboard) Statuses(_ context.Context, commit string) ([]report.CommitStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reads[commit]++
	return slices.Collect(maps.Values(n.shows[commit])), n.down
}

func (n *noticeboard) SetStatus(_ context.Context, commit string, s report.CommitStatus) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down != nil {
		return n.down
	}
	if n.shows[commit] == nil {
		n.shows[commit] = map[string]report.CommitStatus{}
	}
	n.shows[commit][s.Context] = s
	n.texts = append(n.texts, s.Description)
	n.log = append(n.log, fmt.Sprintf("%s %s %s", commit, s.Context, s.State))
	return nil
}

func (n *noticeboard) PullRequests(context.Context, string) ([]report.PullRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.requests), n.down
}

func (n *noticeboard) Comment(_ context.Context, id, head, body string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down == nil {
		n.comments[id], n.about[id] = body, head
		n.texts = append(n.texts, body)
	}
	return n.down
}

func (n *noticeboard) MergedFrom(_ context.Context, commit, branch string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if branch != "main" { // the one that is followed
		return "", fmt.Errorf("asked about branch %q", branch)
	}
	return n.merged[commit], n.down
}

// shown returns the state and text of the apply status of a commit.
func (n *noticeboard) shown(commit, status string) (report.State, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.shows[commit][status]
	return s.State, s.Description
}

// comes waits until a commit shows a state and a text that holds some words.
func (n *noticeboard) comes(t *testing.T, l *Loop, commit, status string, state report.State, words string) {
	t.Helper()
	await(t, l, fmt.Sprintf("%s of %s is %s: %s", status, commit, state, words), func(report.Report) bool {
		got, text := n.shown(commit, status)
		return got == state && strings.Contains(text, words)
	})
}

func tellsOn(n *noticeboard, deadline time.Duration) func(*Options) {
	return func(o *Options) { o.Forge, o.Statuses = n, StatusOptions{Deadline: deadline} }
}

// TestLoopTellsCommits follows a branch through what may happen to a commit.
func TestLoopTellsCommits(t *testing.T) {
	east, forge := newCluster("east"), newNoticeboard()
	repo, dir := &repository{}, t.TempDir()
	good := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("good", good...)
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir, tellsOn(forge, time.Hour))
	forge.comes(t, l, "good", report.ContextApply, report.StateSuccess, "in place and healthy on 1 cluster")

	repo.push("broken", append(slices.Clone(good[:2]), strings.Replace(good[2], "resourceSelectors", "selectors", 1))...)
	forge.comes(t, l, "broken", report.ContextApply, report.StateFailure, "repo.yaml: document 3: spec.")

	east.set(func() { east.refuse = errors.New("denied") })
	repo.push("slow", append(slices.Clone(good), config("web", "a", "1"))...)
	forge.comes(t, l, "slow", report.ContextApply, report.StatePending, "0 of 1 in place")
	east.set(func() { east.refuse = nil })
	repo.push("next", good...)
	forge.comes(t, l, "next", report.ContextApply, report.StateSuccess, "in place")
	forge.comes(t, l, "slow", report.ContextApply, report.StateError, "superseded by next")

	stop()
	forge.do(func() { forge.log = nil })
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir, tellsOn(forge, time.Hour))
	await(t, l, "the same commit after a restart", convergedOn("next"))
	repo.push("good", good...) // the branch is set back
	forge.comes(t, l, "good", report.ContextApply, report.StateSuccess, "in place")
	forge.do(func() {
		if log := strings.Join(forge.log, "\n"); strings.Contains(log, "next") || strings.Contains(log, "broken") || strings.Contains(log, "slow") {
			t.Errorf("after the restart what was shown already was written again:\n%s", log)
		}
		for commit, n := range forge.reads {
			if n > 2 { // once in each process
				t.Errorf("the statuses of %s were read %d times", commit, n)
			}
		}
	})
}

// TestLoopTellsMissedDeadlines and that the next good commit recovers.
func TestLoopTellsMissedDeadlines(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{}
	good := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	east.refuse = &apply.RefusedError{Actor: apply.Author, Verb: "patch", Message: "denied"}
	repo.push("bad", good...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), tellsOn(forge, 300*time.Millisecond))
	forge.comes(t, l, "bad", report.ContextApply, report.StateFailure, "after 300ms; web on east: ")
	east.set(func() { east.refuse = nil })
	repo.push("good", append(slices.Clone(good), config("web", "a", "1"))...)
	forge.comes(t, l, "good", report.ContextApply, report.StateSuccess, "in place")
	if state, _ := forge.shown("bad", report.ContextApply); state != report.StateFailure {
		t.Errorf("the commit that failed shows %s now", state)
	}
	east.set(func() { // the next day a pod dies
		for ref, o := range east.objects {
			o.Health = apply.Health{Status: apply.Failed, Message: "crashes"}
			east.objects[ref] = o
		}
	})
	await(t, l, "the failing object", func(r report.Report) bool { return placedOn(r, "web", "east").Healthy == no })
	if state, _ := forge.shown("good", report.ContextApply); state != report.StateSuccess {
		t.Errorf("a commit that was in place shows %s a day later", state)
	}
}

// TestLoopTellsNothingOfARestart: what a commit shows stands until it is known again how the commit fares.
func TestLoopTellsNothingOfARestart(t *testing.T) {
	east, forge, repo, dir := newCluster("east"), newNoticeboard(), &repository{}, t.TempDir()
	perCluster := func(o *Options) {
		o.Forge, o.Statuses = forge, StatusOptions{Deadline: 300 * time.Millisecond, PerCluster: true}
	}
	good := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	east.refuse = &apply.RefusedError{Actor: apply.Author, Verb: "patch", Message: "denied"}
	repo.push("bad", good...)
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir, perCluster)
	forge.comes(t, l, "bad", report.ContextApply, report.StateFailure, "denied")
	forge.comes(t, l, "bad", report.ContextApply+"/east", report.StateFailure, "denied")
	stop()

	forge.do(func() { forge.log = nil })
	east.set(func() { east.phase, east.complete = fleet.Connecting, false })
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir, perCluster)
	var first time.Time
	await(t, l, "two reports of the commit in force again on a member that is not reached yet", func(r report.Report) bool {
		connecting := len(r.Members) == 1 && r.Members[0].Message == "connecting"
		if connecting && first.IsZero() {
			first = r.Time
		}
		return connecting && r.Time.After(first)
	})
	east.set(func() { east.phase, east.complete = fleet.Ready, true })
	await(t, l, "the same refusal", func(r report.Report) bool { return strings.Contains(placedOn(r, "web", "east").Message, "denied") })
	east.set(func() { east.refuse = nil })
	repo.push("good", append(slices.Clone(good), config("web", "a", "1"))...)
	forge.comes(t, l, "good", report.ContextApply, report.StateSuccess, "in place")
	forge.do(func() {
		if log := strings.Join(forge.log, "\n"); strings.Contains(log, "bad") {
			t.Errorf("after the restart what was shown already was written again:\n%s", log)
		}
	})
}

// TestLoopGoesOnWithoutItsForge: nothing waits for a forge that is away, and it is told when it is back.
func TestLoopGoesOnWithoutItsForge(t *testing.T) {
	east, forge, repo := newCluster("east"), newNoticeboard(), &repository{}
	forge.down = &report.ForgeError{Err: errors.New("no route to forge")}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir(), tellsOn(forge, time.Hour))
	await(t, l, "convergence, and why nobody is told", func(r report.Report) bool {
		return r.Converged && strings.Contains(r.ForgeErr, "no route to forge")
	})
	forge.do(func() { forge.down = nil })
	forge.comes(t, l, "c1", report.ContextApply, report.StateSuccess, "in place")
	await(t, l, "no complaint any more", func(r report.Report) bool { return r.ForgeErr == "" })
}
