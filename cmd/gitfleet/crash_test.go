package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// testKill kills gitfleet at ten points between the first and the last write of a push and starts it again. The push
// creates, changes and removes an object on every member, and every second one undoes it.
func testKill(t *testing.T, w *world) {
	const ns = "kill"
	common := map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, ""), "namespace.yaml": namespace(ns),
		"a.yaml": configMap(ns, "kept", "1"), "b.yaml": configMap(ns, "odd", "1"),
	}
	states := [2]struct {
		files map[string]string
		names []string
	}{
		{map[string]string{"a.yaml": configMap(ns, "kept", "1"), "b.yaml": configMap(ns, "odd", "1")}, []string{"kept", "odd"}},
		{map[string]string{"a.yaml": configMap(ns, "kept", "2"), "b.yaml": configMap(ns, "even", "1")}, []string{"even", "kept"}},
	}
	p := w.start()
	p.awaitConverged(w.push("begin", common))
	w.reset()
	p.awaitConverged(w.push("count the writes", states[1].files))
	writes := len(w.requests(isWrite))
	if writes < 3*len(w.fleet.Members) {
		t.Fatalf("a push makes %d writes; too few to be what this test is about", writes)
	}
	const seed = 2
	points := rand.New(rand.NewPCG(seed, seed)).Perm(writes)[:min(10, writes)]
	for i, k := range points {
		next := states[i%2]
		w.killAt(p, k+1, isWrite, memfleet.Refuse())
		commit := w.push(fmt.Sprintf("killed at write %d of %d", k+1, writes), next.files)
		realfleet.Eventually(t, patience, func() error {
			if p.running() {
				return fmt.Errorf("write %d of %d has not come", k+1, writes)
			}
			return nil
		})
		for _, proxy := range w.proxies {
			proxy.SetRule(nil)
		}
		p = w.start()
		p.awaitConverged(commit)
		for _, member := range w.fleet.Members {
			if got := w.placed(member, ns); !slices.Equal(got, next.names) {
				t.Errorf("killed at write %d of %d: %s holds %q of ours, want %q", k+1, writes, member, got, next.names)
			}
		}
	}
	p.stop()
}

// killAt kills p at the k-th request that matches, at any member, from now on. That one gets the fault last, and those after it
// are refused.
func (w *world) killAt(p *process, k int, match func(memfleet.Request) bool, last memfleet.Fault) {
	var seen atomic.Int64
	rule := memfleet.When(match, memfleet.Call(func(memfleet.Request) memfleet.Fault {
		switch n := seen.Add(1); {
		case n < int64(k):
			return memfleet.Pass()
		case n > int64(k):
			return memfleet.Refuse()
		}
		_ = p.cmd.Process.Kill() // an error means that it is dead already
		return last
	}))
	for _, proxy := range w.proxies {
		proxy.SetRule(rule)
	}
}

// placed returns the names of the ConfigMaps in ns that carry our label, in any inventory or none: an orphan shows here.
func (w *world) placed(member, ns string) []string {
	w.t.Helper()
	list, err := w.client(member).Resource(configMaps).Namespace(ns).List(context.Background(),
		metav1.ListOptions{LabelSelector: api.ApplySetPartOfLabel})
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, u := range list.Items {
		names = append(names, u.GetName())
	}
	slices.Sort(names)
	return names
}

// testFaultsDeleteNothing breaks every list, watch and fetch in every way while there is something to prune in the wish
// and something in the inventories, and asserts that nothing is deleted until it works again.
func testFaultsDeleteNothing(t *testing.T, w *world) {
	const ns = "faults"
	p := w.start()
	commit := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, ""), "namespace.yaml": namespace(ns),
		"a.yaml": configMap(ns, "a", "1"), "web.yaml": deployment(ns, "web", 1), "export.yaml": export(ns, "web"),
	})
	p.awaitConverged(commit)
	p.stop()
	isList := func(r memfleet.Request) bool { return r.Class == memfleet.List }
	isWatch := func(r memfleet.Request) bool { return r.Class == memfleet.Watch }
	// A client that asks for a streamed list gets it from a watch, so both classes are broken together as well.
	either := func(r memfleet.Request) bool { return isList(r) || isWatch(r) }
	for _, fault := range []struct {
		name  string
		match func(memfleet.Request) bool
		fault memfleet.Fault
	}{
		{"lists and watches refused", either, memfleet.Refuse()},
		{"lists and watches 500", either, memfleet.Answer(500)},
		{"lists and watches 403", either, memfleet.Forbidden()},
		{"lists and watches empty", either, memfleet.EmptyList()},
		{"lists and watches cut", either, memfleet.Cut()},
		{"watches gone", isWatch, memfleet.Answer(410)},
		{"lists empty", isList, memfleet.EmptyList()},
	} {
		w.reset()
		var broken sync.Map
		for member, proxy := range w.proxies {
			proxy.SetRule(memfleet.When(fault.match, memfleet.Call(func(memfleet.Request) memfleet.Fault {
				n, _ := broken.LoadOrStore(member, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
				return fault.fault
			})))
		}
		p = w.start()
		realfleet.Eventually(t, patience, func() error {
			for _, member := range w.fleet.Members {
				if n, _ := broken.LoadOrStore(member, new(atomic.Int64)); n.(*atomic.Int64).Load() < 3 {
					return fmt.Errorf("%s: fewer than 3 requests were broken on %s", fault.name, member)
				}
			}
			return nil
		})
		if deletes := w.requests(isDelete); len(deletes) > 0 {
			t.Errorf("%s: deleted\n%s", fault.name, strings.Join(deletes, "\n"))
		}
		for _, proxy := range w.proxies {
			proxy.SetRule(nil)
		}
		p.awaitConverged(commit)
		if deletes := w.requests(isDelete); len(deletes) > 0 {
			t.Errorf("%s, and after it worked again: deleted\n%s", fault.name, strings.Join(deletes, "\n"))
		}
		p.stop()
	}
	testFetchFaults(t, w, commit)
}

// testFetchFaults breaks the repository in every way; the last good revision stays in force.
func testFetchFaults(t *testing.T, w *world, commit string) {
	w.reset()
	p := w.start()
	p.awaitConverged(commit)
	sourceError := func(what string) {
		t.Helper()
		r := p.await(what+" reported", func(r report.Report) error {
			if r.SourceErr == "" && len(r.Errors) == 0 {
				return errors.New("neither a source error nor an author error")
			}
			return nil
		})
		if r.Applied.Commit != commit {
			t.Errorf("%s: %q is in force, want %s", what, r.Applied.Commit, commit)
		}
	}
	hidden := filepath.Join(w.dir, "hidden.git")
	rename(t, w.remote(), hidden)
	sourceError("the repository is gone")
	w.git("", "init", "--quiet", "--bare", "--initial-branch=main", w.remote())
	sourceError("the repository is empty")
	removeAll(t, w.remote())
	rename(t, hidden, w.remote())
	p.awaitConverged(commit)

	w.git(w.remote(), "update-ref", "refs/heads/aside", commit)
	w.git(w.remote(), "update-ref", "-d", "refs/heads/main")
	sourceError("the branch is deleted")
	w.git(w.remote(), "update-ref", "refs/heads/main", commit)
	p.awaitConverged(commit)

	w.git(w.tree(), "rm", "-r", "--quiet", ".")
	w.git(w.tree(), "commit", "--quiet", "--message", "nothing left")
	w.git(w.tree(), "push", "--quiet", "origin", "main")
	sourceError("a commit without any file")
	w.git(w.tree(), "reset", "--quiet", "--hard", commit)
	w.git(w.tree(), "push", "--quiet", "--force", "origin", "main")
	p.awaitConverged(commit)
	p.stop()
	if deletes := w.requests(isDelete); len(deletes) > 0 {
		t.Errorf("a broken repository: deleted\n%s", strings.Join(deletes, "\n"))
	}
}

// noise returns what members and hub were asked since the last reset besides watches, and besides one write a minute for each
// member by which the hub learns that it was heard of.
func (w *world) noise() []string {
	lines := w.requests(func(r memfleet.Request) bool { return r.Class != memfleet.Watch })
	heard := map[string]int{}
	for _, r := range w.hub.Requests() {
		if tellsOfAMember(r) {
			if heard[r.Name]++; heard[r.Name] <= 2 { // a minute holds the end of one and the beginning of another
				continue
			}
		}
		if r.Class != memfleet.Watch {
			lines = append(lines, "hub "+r.String())
		}
	}
	return lines
}

func tellsOfAMember(r memfleet.Request) bool {
	return r.Resource == "memberclusters" && r.Subresource == "status" && r.Writes()
}

// awaitQuiet waits until members and hub have been asked nothing for a while, and forgets what they were asked before.
func (w *world) awaitQuiet(during time.Duration) {
	w.t.Helper()
	w.reset()
	since := time.Now()
	realfleet.Eventually(w.t, patience, func() error {
		if noise := w.noise(); len(noise) > 0 {
			w.reset()
			since = time.Now()
			return fmt.Errorf("still asked: %s", strings.Join(noise, "; "))
		}
		if quiet := time.Since(since); quiet < during {
			return fmt.Errorf("quiet for %s only", quiet)
		}
		return nil
	})
}

// testIdle counts what a fleet in the wanted state is asked in a minute, and on a restart.
func testIdle(t *testing.T, w *world) {
	const ns = "idle"
	p := w.start()
	commit := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, "eastus"), "namespace.yaml": namespace(ns),
		"web.yaml": deployment(ns, "web", 2), "export.yaml": export(ns, "web"), "mcs.yaml": multiClusterService(ns, "web"),
	})
	p.awaitConverged(commit)
	p.await("an external address", func(r report.Report) error {
		for _, s := range r.Services {
			if s.ExternalIP == "" || s.Valid != "True" {
				return fmt.Errorf("service on %s: %+v", s.Cluster, s)
			}
		}
		if len(r.Services) == 0 {
			return errors.New("no service yet")
		}
		return nil
	})
	p.awaitConverged(commit)
	w.awaitQuiet(3 * time.Second) // the hub is told of it a little later
	<-time.After(time.Minute)     // this is not waiting for anything: the minute is what is measured
	if noise := w.noise(); len(noise) > 0 {
		t.Errorf("an idle minute made requests besides watches:\n%s", strings.Join(noise, "\n"))
	}
	for _, end := range []struct {
		how  string
		stop func()
		fine func(memfleet.Request) bool
	}{
		{"killed", func() { p.kill() }, func(memfleet.Request) bool { return false }},
		// Whoever ends in an orderly way gives its claims up, so that another need not wait for it.
		{"stopped", func() { p.stop() }, func(r memfleet.Request) bool { return r.Resource == "leases" }},
	} {
		end.stop()
		w.reset()
		p = w.start()
		p.awaitConverged(commit)
		writes := w.requests(func(r memfleet.Request) bool { return isWrite(r) && !end.fine(r) })
		for _, r := range w.hub.Writes() {
			if !end.fine(r) && !tellsOfAMember(r) {
				writes = append(writes, "hub "+r.String())
			}
		}
		if len(writes) > 0 {
			t.Errorf("%s and started again with nothing to do, gitfleet wrote:\n%s", end.how, strings.Join(writes, "\n"))
		}
	}
	p.stop()
}
