package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// beside returns the world of another gitfleet on the same fleet and repository: with a memory and proxies of its own.
func (w *world) beside() *world {
	w.t.Helper()
	o := *w
	o.state, o.access = w.t.TempDir(), w.t.TempDir()
	o.stepBetween()
	return &o
}

// testTwoProcesses starts a second gitfleet on the fleet of a first, as happens by mistake, and ends the first, well and
// badly.
func testTwoProcesses(t *testing.T, w *world) {
	const ns = "two"
	first := w.start()
	commit := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, ""), "namespace.yaml": namespace(ns), "a.yaml": configMap(ns, "a", "1"),
	})
	first.awaitConverged(commit)
	if code, _, errs := w.once(); code != exitError || !strings.Contains(errs, "another gitfleet") || !strings.Contains(errs, "--state-dir") {
		t.Errorf("a second gitfleet in the same state directory: exit %d, %s; want 1 and the remedy", code, errs)
	}

	o := w.beside()
	second := o.start()
	o.awaitFenced(second, first)
	commit = w.push("while two run", map[string]string{"a.yaml": configMap(ns, "a", "2"), "b.yaml": configMap(ns, "b", "1")})
	first.awaitConverged(commit)
	second.await("the same commit in force with the second", func(r report.Report) error {
		if r.Applied.Commit != commit || r.Converged {
			return fmt.Errorf("converged %t on %s, want false on %s", r.Converged, r.Applied.Commit, commit)
		}
		return nil
	})
	o.awaitFenced(second, first)
	if writes := o.requests(func(r memfleet.Request) bool { return r.Writes() && r.Resource != "leases" }); len(writes) > 0 {
		t.Errorf("the second gitfleet wrote:\n%s", strings.Join(writes, "\n"))
	}

	o.awaitSharedHub(w)

	first.stop()
	since := time.Now()
	second.awaitConverged(commit)
	t.Logf("taken over %s after the first ended well", time.Since(since).Round(10*time.Millisecond))
	commit = w.push("by the second", map[string]string{"b.yaml": ""})
	second.awaitConverged(commit)

	// Whoever starts while the holder lies dead asks it once, and takes over when no answer comes.
	second.kill()
	since = time.Now()
	first = w.start()
	first.awaitConverged(commit)
	t.Logf("taken over %s after the second was killed", time.Since(since).Round(10*time.Millisecond))
	w.expect(w.fleet.Members[0], ns, map[string]bool{"a": true, "b": false})
	first.stop()
}

// awaitSharedHub waits until neither of two gitfleets writes to the hub any more: one of them keeps its hands off it.
func (w *world) awaitSharedHub(other *world) {
	w.t.Helper()
	const quiet = 2 * time.Second
	since := time.Now()
	realfleet.Eventually(w.t, 20*time.Second, func() error {
		if n := len(w.hub.Writes()) + len(other.hub.Writes()); n > 0 {
			w.hub.Reset()
			other.hub.Reset()
			since = time.Now()
			return fmt.Errorf("two gitfleets write to the hub by turns: %d writes since they were last counted", n)
		}
		if d := time.Since(since); d < quiet {
			return fmt.Errorf("quiet for %s only", d)
		}
		return nil
	})
}

// awaitFenced waits until p says of every member that holder manages it.
func (w *world) awaitFenced(p, holder *process) {
	w.t.Helper()
	words := []string{"another gitfleet manages this member", fmt.Sprintf("process %d", holder.cmd.Process.Pid)}
	for _, member := range w.fleet.Members {
		p.awaitExplained("member/"+member, words...)
	}
	p.awaitSaid([]string{"get", "members", "-o", "wide"}, words...)
}
