package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// testNotes follows commits and branches of a bare repository in its Git notes, as its users read them with git: a reviewed
// branch, mistakes, what never becomes healthy, a branch that is set back, and kills in between.
func testNotes(t *testing.T, w *world) {
	const ns = "notes"
	web := deployment(ns, "web", 1)
	begin := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, "eastus"), "namespace.yaml": namespace(ns),
		"web.yaml": web, "settings.yaml": configMap(ns, "settings", "1"),
	})
	p := w.startNoting()
	w.awaitStatus(begin, "gitfleet/apply: success: in place and healthy on 2 clusters")
	for i, word := range []string{"in place and healthy on 1 cluster", "in place and healthy on 1 cluster", "nothing is placed here"} {
		w.awaitStatus(begin, "gitfleet/apply/"+w.fleet.Members[i]+": success: "+word)
	}
	w.expectStates(begin, report.ContextApply, report.StatePending, report.StateSuccess)

	merged := w.reviewAndMerge(ns)
	w.expectStates(merged, report.ContextApply, report.StatePending, report.StateSuccess)
	w.wantValue(w.fleet.Members[0], ns, "settings", "2")

	broken := w.push("a typo", map[string]string{"web.yaml": strings.Replace(web, "replicas:", "replica:", 1)})
	w.awaitStatus(broken, "gitfleet/apply: failure: web.yaml: document 1: spec.replica:")
	p.kill()
	p = w.startNoting()
	p.await("the mistake found again, and the commit before it in place", func(r report.Report) error {
		if len(r.Errors) == 0 || r.Applied.Commit != merged || len(r.Placements) != 1 || r.Placements[0].Clusters[1].Healthy != "True" {
			return fmt.Errorf("%d errors, %s in force: %+v", len(r.Errors), r.Applied.Commit, r.Placements)
		}
		return nil
	})
	slow := w.push("never ready", map[string]string{"web.yaml": unstartable(ns, "web")})
	w.awaitStatus(slow, "gitfleet/apply: pending:")
	release := w.holdWrites(ns)
	mended := w.push("mended", map[string]string{"web.yaml": deployment(ns, "web", 2)})
	w.awaitStates(mended, report.ContextApply, report.StatePending)
	release()
	w.awaitStatus(mended, "gitfleet/apply: success:")
	w.awaitStatus(slow, fmt.Sprintf("gitfleet/apply: error: superseded by %.10s", mended))
	// A mistake may be found sooner than the word that it is looked for could be told.
	if got := w.states(broken, report.ContextApply); !slices.Equal(got, []report.State{report.StateFailure}) && !slices.Equal(got, []report.State{report.StatePending, report.StateFailure}) {
		t.Errorf("gitfleet/apply of a commit with a mistake has been %q, want a failure, and nothing but pending before", got)
	}
	w.expectStates(slow, report.ContextApply, report.StatePending, report.StateError)
	w.expectStates(mended, report.ContextApply, report.StatePending, report.StateSuccess)

	w.setBack(p, ns, merged)
	w.missDeadline(ns)
	w.expectStates(merged, report.ContextApply, report.StatePending, report.StateSuccess, report.StatePending, report.StateSuccess)
}

// startNoting runs gitfleet with notes as its forge.
func (w *world) startNoting(args ...string) *process {
	return w.start(append([]string{"--forge", "notes", "--pull-requests", "--pull-request-interval", "1s", "--status-per-cluster"}, args...)...)
}

// reviewAndMerge pushes two branches, one of them with a mistake, waits for their plans, and merges the other.
func (w *world) reviewAndMerge(ns string) (merged string) {
	w.t.Helper()
	typo := w.pushBranch("typo", map[string]string{"settings.yaml": strings.Replace(configMap(ns, "settings", "2"), "\ndata:", "\ndate:", 1)})
	head := w.pushBranch("more", map[string]string{"settings.yaml": configMap(ns, "settings", "2")})
	w.awaitStatus(head, "gitfleet/plan: success: 1 changed on 2 clusters")
	w.awaitStatus(typo, "gitfleet/plan: failure: 1 error: settings.yaml: document 1: date:")
	plan := w.note("gitfleet-plan", head)
	for _, word := range []string{"settings", "ConfigMap", "data.value", w.fleet.Members[0], w.fleet.Members[1]} {
		if !strings.Contains(plan, word) {
			w.t.Errorf("the plan on the head of the branch does not say %q:\n%s", word, plan)
		}
	}
	if strings.Contains(plan, w.fleet.Members[2]) {
		w.t.Errorf("the plan is about %s, where nothing is placed:\n%s", w.fleet.Members[2], plan)
	}
	release := w.holdWrites(ns)
	w.git(w.tree(), "merge", "--quiet", "--no-ff", "--message", "Merge more", "more")
	w.git(w.tree(), "push", "--quiet", "origin", "main", ":typo")
	merged = w.git(w.tree(), "rev-parse", "HEAD")
	w.awaitStates(merged, report.ContextApply, report.StatePending)
	release()
	w.awaitStatus(merged, "gitfleet/apply: success: in place and healthy on 2 clusters")
	w.awaitStatus(merged, "gitfleet/plan: success: as planned in more")
	return merged
}

// holdWrites keeps what a commit brings to a namespace on its way, so that the commit is seen pending, until release is called.
func (w *world) holdWrites(ns string) (release func()) {
	held := make(chan struct{})
	for _, proxy := range w.proxies {
		proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Writes() && r.Namespace == ns }, memfleet.Hold(held)))
	}
	return func() {
		for _, proxy := range w.proxies {
			proxy.SetRule(nil)
		}
		close(held)
	}
}

// setBack forces the branch back to a commit that was in force before, and kills p while that is put in place again. When it
// is, gitfleet is killed once more.
func (w *world) setBack(p *process, ns, commit string) {
	w.t.Helper()
	release := w.holdWrites(ns)
	w.git(w.tree(), "reset", "--quiet", "--hard", commit)
	w.git(w.tree(), "push", "--quiet", "--force", "origin", "main")
	w.awaitStates(commit, report.ContextApply, report.StatePending, report.StateSuccess, report.StatePending)
	p.kill()
	release()
	p = w.startNoting()
	w.awaitStates(commit, report.ContextApply, report.StatePending, report.StateSuccess, report.StatePending, report.StateSuccess)
	p.kill()
}

// missDeadline pushes what never becomes ready and then what mends it, with a kill in between.
func (w *world) missDeadline(ns string) {
	w.t.Helper()
	p := w.startNoting("--health-deadline", "8s")
	late := w.push("late", map[string]string{"web.yaml": unstartable(ns, "web")})
	w.awaitStates(late, report.ContextApply, report.StatePending)
	w.awaitStatus(late, "gitfleet/apply: failure: 0 of 2 in place after 8s; notes on aks-member-1: Deployment.apps notes/web is")
	p.kill()
	p = w.startNoting("--health-deadline", "8s")
	p.await("the same after a restart", func(r report.Report) error {
		if !slices.ContainsFunc(r.Placements, func(p report.Placement) bool {
			return p.Name == ns && len(p.Clusters) == 2 && p.Clusters[0].Healthy == "False" && p.Clusters[1].Healthy == "False"
		}) {
			return fmt.Errorf("placements: %+v", r.Placements)
		}
		return nil
	})
	good := w.push("good", map[string]string{"web.yaml": deployment(ns, "web", 1)})
	w.awaitStatus(good, "gitfleet/apply: success: in place and healthy on 2 clusters")
	w.expectStates(late, report.ContextApply, report.StatePending, report.StateFailure)
	p.wantCommits(map[string]string{"good": "success", "late": "failure", "mended": "success", "never ready": "error", "a typo": "failure", "Merge more": "success"})
	p.stop()
}

// wantCommits checks the states by subject that `gitfleet get commits` prints.
func (p *process) wantCommits(want map[string]string) {
	p.t.Helper()
	out, err := p.asked("get", "commits")
	if err != nil {
		p.t.Fatal(err)
	}
	for subject, state := range want {
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(row string) bool {
			fields := strings.Fields(row)
			return strings.Contains(row, " "+subject) && len(fields) > 2 && fields[2] == state
		}) {
			p.t.Errorf("gitfleet get commits has no %q with the state %s:\n%s", subject, state, out)
		}
	}
}

// pushBranch pushes files as a branch beside main, which stays checked out. It returns the head.
func (w *world) pushBranch(branch string, files map[string]string) string {
	w.t.Helper()
	w.git(w.tree(), "checkout", "--quiet", "-b", branch)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(w.tree(), name), []byte(content), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.git(w.tree(), "commit", "--quiet", "--all", "--message", branch)
	w.git(w.tree(), "push", "--quiet", "origin", branch)
	head := w.git(w.tree(), "rev-parse", "HEAD")
	w.git(w.tree(), "checkout", "--quiet", "main")
	return head
}

func (w *world) fetchNotes() {
	w.t.Helper()
	w.git(w.tree(), "fetch", "--quiet", "origin", "+refs/notes/*:refs/notes/*")
}

// note returns the note on a commit as users read it, empty when there is none.
func (w *world) note(ref, commit string) string {
	w.t.Helper()
	w.fetchNotes()
	if w.git(w.tree(), "for-each-ref", "refs/notes/"+ref) == "" || !strings.Contains(w.git(w.tree(), "notes", "--ref", ref, "list"), commit) {
		return ""
	}
	return w.git(w.tree(), "notes", "--ref", ref, "show", commit)
}

// awaitStatus waits until the note on a commit has a line that begins so.
func (w *world) awaitStatus(commit, begins string) {
	w.t.Helper()
	realfleet.Eventually(w.t, patience, func() error {
		if text := w.note("gitfleet", commit); !strings.Contains("\n"+text, "\n"+begins) {
			return fmt.Errorf("the note on %.12s has no line %q:\n%s", commit, begins, text)
		}
		return nil
	})
}

// states returns the states that one status of a commit has had: what each commit of the notes says, without those that
// change nothing or only the text of a pending one.
func (w *world) states(commit, context string) []report.State {
	w.t.Helper()
	w.fetchNotes()
	var states []report.State
	before := ""
	for at := range strings.Lines(w.git(w.tree(), "log", "--reverse", "--format=%H", "refs/notes/gitfleet")) {
		at = strings.TrimSpace(at)
		w.git(w.tree(), "update-ref", "refs/notes/then", at)
		if !strings.Contains(w.git(w.tree(), "notes", "--ref", "then", "list"), commit) {
			continue
		}
		for line := range strings.Lines(w.git(w.tree(), "notes", "--ref", "then", "show", commit)) {
			said, ok := strings.CutPrefix(strings.TrimSpace(line), context+": ")
			if !ok || said == before {
				continue
			}
			before = said
			word, _, _ := strings.Cut(said, ":")
			state := report.State(word)
			if state != report.StatePending || len(states) == 0 || states[len(states)-1] != state {
				states = append(states, state)
			}
		}
	}
	return states
}

// awaitStates waits until a status of a commit has gone through these states.
func (w *world) awaitStates(commit, context string, want ...report.State) {
	w.t.Helper()
	realfleet.Eventually(w.t, patience, func() error {
		if got := w.states(commit, context); !slices.Equal(got, want) {
			return fmt.Errorf("%s of %.12s has been %q, want %q", context, commit, got, want)
		}
		return nil
	})
}

// expectStates checks through which states a status of a commit has gone.
func (w *world) expectStates(commit, context string, want ...report.State) {
	w.t.Helper()
	if got := w.states(commit, context); !slices.Equal(got, want) {
		w.t.Errorf("%s of %.12s has been %q, want %q:\n%s", context, commit, got, want,
			w.git(w.tree(), "log", "--reverse", "--patch", "--unified=0", "--format=%s", "refs/notes/gitfleet"))
	}
}
