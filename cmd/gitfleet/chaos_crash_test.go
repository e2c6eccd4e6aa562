package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// chapter is one commit of the story of crashes, and what the two members shall hold then.
type chapter struct {
	name  string
	files map[string]string
	want  map[string]map[api.Ref]owned
}

// chapters create, change, move between clusters, hand over and prune. A tool stays on both members all the time.
func chapters() []chapter {
	tools := func(value string) string { return namespace("tools") + "---\n" + configMap("tools", "x", value) }
	tree := func(placements, web, tools string) map[string]string {
		return map[string]string{"members.yaml": chaosRegistry("m1", "m2"), "placements.yaml": placements + "---\n" + placeAs("tools", "tools", ""),
			"web.yaml": web, "tools.yaml": tools}
	}
	held := func(set string, pairs ...string) map[api.Ref]owned {
		out := map[api.Ref]owned{{Kind: "Namespace", Name: set}: {set: set}}
		for i := 0; i < len(pairs); i += 2 {
			out[api.Ref{Kind: "ConfigMap", Namespace: set, Name: pairs[i]}] = owned{set, pairs[i+1]}
		}
		return out
	}
	first := namespace("web") + "---\n" + configMap("web", "a", "1") + "---\n" + configMap("web", "b", "1")
	second := namespace("web") + "---\n" + configMap("web", "a", "2") + "---\n" + configMap("web", "c", "1")
	tool, changed := held("tools", "x", "1"), held("tools", "x", "2")
	shop := reowned(held("web", "a", "2", "c", "1"), "shop")
	return []chapter{
		{"create", tree(placeAs("web", "web", "m1"), first, tools("1")),
			map[string]map[api.Ref]owned{"m1": join(tool, held("web", "a", "1", "b", "1")), "m2": tool}},
		{"change", tree(placeAs("web", "web", "m1"), second, tools("2")),
			map[string]map[api.Ref]owned{"m1": join(changed, held("web", "a", "2", "c", "1")), "m2": changed}},
		{"move", tree(placeAs("web", "web", "m2"), second, tools("2")),
			map[string]map[api.Ref]owned{"m1": changed, "m2": join(changed, held("web", "a", "2", "c", "1"))}},
		{"hand over", tree(placeAs("shop", "web", "m2"), second, tools("2")),
			map[string]map[api.Ref]owned{"m1": changed, "m2": join(changed, shop)}},
		{"prune", map[string]string{"members.yaml": chaosRegistry("m1", "m2"), "placements.yaml": placeAs("tools", "tools", ""), "tools.yaml": tools("2")},
			map[string]map[api.Ref]owned{"m1": changed, "m2": changed}},
	}
}

// reowned returns what another Set holds of the same objects.
func reowned(objects map[api.Ref]owned, set string) map[api.Ref]owned {
	out := map[api.Ref]owned{}
	for ref, o := range objects {
		out[ref] = owned{set, o.value}
	}
	return out
}

func join(a, b map[api.Ref]owned) map[api.Ref]owned {
	out := map[api.Ref]owned{}
	for _, m := range []map[api.Ref]owned{a, b} {
		for ref, o := range m {
			out[ref] = o
		}
	}
	return out
}

// chaosRegistry is MemberClusters that are labelled with their own names.
func chaosRegistry(names ...string) string {
	var text string
	for _, name := range names {
		text += fmt.Sprintf(`---
apiVersion: cluster.kubernetes-fleet.io/v1beta1
kind: MemberCluster
metadata: {name: %[1]s, labels: {name: %[1]s}}
spec: {identity: {kind: User, name: %[1]s, apiGroup: rbac.authorization.k8s.io}}
`, name)
	}
	return text
}

// placeAs is a placement of a namespace on one member, or on all when that is empty.
func placeAs(name, namespace, member string) string {
	s := fmt.Sprintf(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: %s}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: %s}]
`, name, namespace)
	if member != "" {
		s += fmt.Sprintf(`  policy:
    affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {name: %s}}}]}}}
`, member)
	}
	return s
}

// cutter stops a process at its k-th request, counted over all members: that one is done, and its answer is lost.
type cutter struct {
	k       int64
	seen    atomic.Int64
	reached chan struct{}
}

func (c *cutter) rule(r memfleet.Request) memfleet.Fault {
	switch n := c.seen.Add(1); {
	case n < c.k:
		return memfleet.Pass()
	case n == c.k:
		close(c.reached)
		return memfleet.LoseAnswer()
	}
	return memfleet.Refuse()
}

// TestCrashAtEveryRequest tells the story with the process stopped after its k-th request, for every k there is.
func TestCrashAtEveryRequest(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // last of all
	// More than there are cores, because a process that has lost its state waits for the claims of the one before.
	const atOnce, fewest = 6, 60
	var next, cut atomic.Int64
	var over atomic.Bool
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for !over.Load() && !t.Failed() {
				k := next.Add(1)
				t.Run(fmt.Sprintf("k=%d", k), func(t *testing.T) {
					if crashAt(t, k) {
						cut.Add(1)
					} else {
						over.Store(true) // and so it is for every larger k
					}
				})
			}
		})
	}
	workers.Wait()
	t.Logf("%d requests were the last of a process", cut.Load())
	if cut.Load() < fewest {
		t.Errorf("only %d requests were the last of a process: too few to be the story", cut.Load())
	}
}

// crashAt tells the story up to the k-th request, and reports whether there was one. Then another process takes over: with
// the state file for an even k, from nothing for an odd one, and for each third k after the branch has moved on.
func crashAt(t *testing.T, k int64) (cut bool) {
	f := newChaosFleet(t, 2)
	defer f.close()
	c := &cutter{k: k, reached: make(chan struct{})}
	story := chapters()
	p := f.start(c.rule)
	last := 0
	for i, chapter := range story {
		commit := f.branch.push(chapter.files)
		last = i
		if !p.await(t, c.reached, func() error { return p.converged(commit) }) {
			cut = true
			break
		}
	}
	p.kill(t)
	if k%2 == 1 {
		f.loseState()
	}
	if k%3 == 0 && last+1 < len(story) {
		last++
	}
	commit := f.branch.push(story[last].files)
	p = f.start(nil)
	p.await(t, nil, func() error { return p.converged(commit) })
	err := f.check(story[last].want, nil)
	p.stop(t)
	if err != nil {
		t.Errorf("stopped after request %d, in %q: %v\n%s", k, story[last].name, err, p.log.tail())
	}
	return cut
}
