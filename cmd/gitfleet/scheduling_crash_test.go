package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// crashPoints is how many writes of testSchedulingCrash are the last of a process. With seedVariable all are, in the order of
// that seed.
const crashPoints = 6

// rescheduling is a placement before and after a commit, and where the reference has it go.
type rescheduling struct {
	name          string
	before, after func(placement string) string
	from, to      []string
}

// ofRoles is a placement of ClusterRoles instead of the namespace of that name: they go at once, which a namespace does not.
func ofRoles(placement, manifest string) string {
	const of, by = `kind: Namespace, name: %s}`, `kind: ClusterRole, labelSelector: {matchLabels: {placed-by: %s}}}`
	return strings.NewReplacer(`group: ""`, "group: rbac.authorization.k8s.io",
		fmt.Sprintf(of, placement), fmt.Sprintf(by, placement)).Replace(manifest)
}

// placedRoles is two of them.
func placedRoles(placement string) string {
	const role = `---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s-%[2]s, labels: {placed-by: %[1]s}}
`
	return fmt.Sprintf(role, placement, "a") + fmt.Sprintf(role, placement, "b")
}

// roles returns the names of the ClusterRoles on a member that carry our label, in any inventory or none.
func (w *world) roles(member string) (names []string) {
	w.t.Helper()
	list, err := w.client(member).Resource(clusterRoles).List(context.Background(), metav1.ListOptions{LabelSelector: api.ApplySetPartOfLabel})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, u := range list.Items {
		names = append(names, u.GetName())
	}
	return names
}

// reschedulings returns one placement for each way in which a commit moves some.
func reschedulings(one, two, three string) []rescheduling {
	picking := func(n int, tier string) func(string) string {
		return func(placement string) string { return ofRoles(placement, picks(placement, n, 10, tier)) }
	}
	labelled := func(placement string) string { return ofRoles(placement, place(placement, "eastus")) }
	return []rescheduling{
		{"policy", picking(2, "gold"), picking(2, "silver"), []string{one, two}, []string{two, three}},
		// All are equal by the new policy: who held it by the old one does not lose it to a greater name.
		{"tie", picking(2, "gold"), picking(2, "bronze"), []string{one, two}, []string{one, two}},
		// The lowest score goes first, then the smallest name.
		{"fewer", picking(3, "gold"), picking(1, "gold"), []string{one, two, three}, []string{two}},
		// One member loses the label that is required, and another gains it.
		{"labels", labelled, labelled, []string{two}, []string{two, three}},
	}
}

// reschedulingStory tells the same story again and again, each time with placements of other names, so that nothing of the time
// before decides.
type reschedulingStory struct {
	t             *testing.T
	w             *world
	p             *process
	list          []rescheduling
	before, after map[string]registration
	round         int
}

// name returns the name of a placement in this round.
func (s *reschedulingStory) name(r rescheduling) string {
	return fmt.Sprintf("crash-%s-%d", r.name, s.round)
}

// start starts gitfleet, which no person watches here: a round may delete most of what there is.
func (s *reschedulingStory) start() { s.p = s.w.start("--confirm-above", "0") }

// begin removes what the round before left, and waits until the placements of the next are where they go at first.
func (s *reschedulingStory) begin() {
	s.t.Helper()
	s.round++
	files, want := map[string]string{"registry.yaml": documents(s.before)}, places{}
	for _, r := range s.list {
		name := s.name(r)
		files[r.name+"/place.yaml"] = r.before(name)
		files[r.name+"/objects.yaml"] = placedRoles(name)
		want[name] = r.from
	}
	s.settles("at first", s.w.push(fmt.Sprintf("begin round %d", s.round), files), want)
}

// change pushes what moves the placements, and returns the commit and where they are to be then.
func (s *reschedulingStory) change() (commit string, want places) {
	s.t.Helper()
	files, want := map[string]string{"registry.yaml": documents(s.after)}, places{}
	for _, r := range s.list {
		name := s.name(r)
		files[r.name+"/place.yaml"] = r.after(name)
		want[name] = r.to
	}
	return s.w.push(fmt.Sprintf("change round %d", s.round), files), want
}

// settles waits until nothing is left to do for commit, and checks where `gitfleet get` says that placements are, and where their
// objects are.
func (s *reschedulingStory) settles(reason, commit string, want places) {
	s.t.Helper()
	s.p.awaitConverged(commit)
	if got := s.told(); !maps.EqualFunc(got, want, slices.Equal) {
		s.t.Errorf("%s: gitfleet get placements tells %q, want %q", reason, got, want)
	}
	for _, member := range s.w.fleet.Members {
		var held []string
		for name, clusters := range want {
			if slices.Contains(clusters, member) {
				held = append(held, name+"-a", name+"-b")
			}
		}
		slices.Sort(held)
		if got := slices.Sorted(slices.Values(s.w.roles(member))); !slices.Equal(got, held) {
			s.t.Errorf("%s: %s holds %q of ours, want %q", reason, member, got, held)
		}
	}
}

// told returns where `gitfleet get placements` says that they are.
func (s *reschedulingStory) told() places {
	s.t.Helper()
	out, err := s.p.asked("get", "placements", "-o", "json")
	var list v1beta1.ClusterResourcePlacementList
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	told := places{}
	for _, p := range list.Items {
		told[p.Name] = nil
		for _, on := range p.Status.PlacementStatuses {
			told[p.Name] = append(told[p.Name], on.ClusterName)
		}
		slices.Sort(told[p.Name])
	}
	return told
}

// crash changes everything, with the process killed when its k-th write is done and before it knows, and checks what the next
// one comes to. It reports whether there was such a write.
func (s *reschedulingStory) crash(k int, forget bool) (cut bool) {
	s.t.Helper()
	s.begin()
	s.w.killAt(s.p, k, isPlacing, memfleet.LoseAnswer())
	commit, want := s.change()
	s.awaitEnd(commit)
	cut = !s.p.running()
	s.p.kill()
	for _, proxy := range s.w.proxies {
		proxy.SetRule(nil)
	}
	if forget {
		s.w.forget()
	}
	s.start()
	s.settles(fmt.Sprintf("killed after write %d (killed by it: %t, memory lost: %t)", k, cut, forget), commit, want)
	return cut
}

// awaitEnd waits until the process was killed, or has converged on commit without having been.
func (s *reschedulingStory) awaitEnd(commit string) {
	s.t.Helper()
	realfleet.Eventually(s.t, patience, func() error {
		if !s.p.running() {
			return nil
		}
		r, err := s.p.status()
		if err == nil && !(r.Converged && r.Applied.Commit == commit) {
			err = fmt.Errorf("neither killed nor converged:\n%s", report.Summary(r))
		}
		return err
	})
}

// testSchedulingCrash: while another policy, a smaller number and other labels move placements, gitfleet is killed after one of
// its writes, and started again with and without its memory. What it decides is what it decides undisturbed.
func testSchedulingCrash(t *testing.T, w *world) {
	one, two, three := w.fleet.Members[0], w.fleet.Members[1], w.fleet.Members[2]
	labels := func(tier, location string) registration {
		return registration{labels: map[string]string{"tier": tier, "fleet.azure.com/location": location}}
	}
	s := &reschedulingStory{t: t, w: w, list: reschedulings(one, two, three),
		before: map[string]registration{one: labels("gold", "westus"), two: labels("gold", "eastus"), three: labels("silver", "westus")},
		after:  map[string]registration{one: labels("gold", "westus"), two: labels("gold", "westus"), three: labels("silver", "eastus")}}
	s.start()
	s.begin()
	w.reset()
	commit, want := s.change()
	s.settles("undisturbed", commit, want)
	writes := len(w.requests(isPlacing))
	points, most := crashOrder(t, writes)
	if writes < 2*crashPoints {
		t.Fatalf("the story makes %d writes; too few to be what this test is about", writes)
	}
	cut := 0
	for i, k := range points[:most] {
		if s.crash(k+1, i%2 == 0) {
			cut++
		}
	}
	t.Logf("%d of %d writes were the last of a process", cut, writes)
	if cut < most/2 {
		t.Errorf("only %d of %d processes were killed by a write: the story makes fewer than when they were counted", cut, most)
	}
	s.p.stop()
}

// crashOrder returns the writes in an order of chance, and how many of them to try.
func crashOrder(t *testing.T, writes int) (points []int, most int) {
	t.Helper()
	seed, most := uint64(4), min(crashPoints, writes)
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
		most = writes
	}
	return rand.New(rand.NewPCG(seed, seed)).Perm(writes), most
}
