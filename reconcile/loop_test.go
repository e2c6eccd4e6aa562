package reconcile

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"go.uber.org/goleak"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoopFollowsCommits(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	base := []string{memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), placeOn("web", "e")}
	repo.push("c1", append(base, config("web", "a", "1"), config("web", "b", "1"))...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	want := []string{"ConfigMap web/a", "ConfigMap web/b", "Namespace web"}
	if got := east.holds(); !slices.Equal(got, want) {
		t.Errorf("east holds %q, want %q", got, want)
	}
	if got := west.holds(); len(got) > 0 {
		t.Errorf("west is not chosen and holds %q", got)
	}

	repo.push("c2", append(base, config("web", "a", "2"), config("web", "c", "1"))...)
	await(t, l, "a change, a removal and an addition", convergedOn("c2"))
	want = []string{"ConfigMap web/a", "ConfigMap web/c", "Namespace web"}
	if got := east.holds(); !slices.Equal(got, want) {
		t.Errorf("east holds %q, want %q", got, want)
	}

	repo.push("c3", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), config("web", "a", "2"))
	await(t, l, "a commit without the placement", convergedOn("c3"))
	if got := east.holds(); len(got) > 0 || len(east.parents) > 0 {
		t.Errorf("the placement is gone and east holds %q and inventories %v", got, east.parents)
	}
}

func TestLoopKeepsTheLastGoodRevision(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	good := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("good", good...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the good commit", convergedOn("good"))
	plans := len(east.plans)

	for commit, documents := range map[string][]string{
		"typo":    append(slices.Clone(good[:2]), strings.Replace(good[2], "resourceSelectors", "selectors", 1)),
		"nothing": nil,
		"double":  append(slices.Clone(good), strings.Replace(good[2], "{name: web}", "{name: again}", 1)),
	} {
		repo.push(commit, documents...)
		r := await(t, l, "errors of "+commit, func(r report.Report) bool { return r.Head.Commit == commit && len(r.Errors) > 0 })
		if r.Applied.Commit != "good" || r.Converged {
			t.Errorf("%s: %q is in force and converged is %t, want good and false", commit, r.Applied.Commit, r.Converged)
		}
		repo.push("good", good...)
		await(t, l, "the good commit again", convergedOn("good"))
	}
	repo.breakRendering(errors.New("the child was killed"))
	repo.push("later", good[0], good[1])
	r := await(t, l, "the failure of rendering", func(r report.Report) bool { return strings.Contains(r.SourceErr, "killed") })
	if r.Applied.Commit != "good" {
		t.Errorf("while rendering fails %q is in force, want good", r.Applied.Commit)
	}
	repo.breakRendering(nil)
	repo.push("good", good...)
	await(t, l, "the good commit once more", convergedOn("good"))
	repo.fail(errors.New("server gone"))
	r = await(t, l, "the source error", func(r report.Report) bool { return r.SourceErr != "" })
	if r.Applied.Commit != "good" {
		t.Errorf("without a repository %q is in force, want good", r.Applied.Commit)
	}
	if len(east.plans) != plans {
		t.Errorf("refused commits were planned: %q", east.plans[plans:])
	}
}

func TestLoopForgetsNothingOfAnUnreachableMember(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	documents := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("c1", documents...)
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the first commit", convergedOn("c1"))
	stop()

	// It goes away, and its label changes while nobody can ask it: stickiness must come from memory.
	east.set(func() { east.phase, east.complete = fleet.Unreachable, false })
	documents[0] = memberCluster("east", "moved")
	repo.push("c2", documents...)
	l, stop = startLoop(t, repo, fakeFleet{"east": east}, dir)
	r := await(t, l, "the second commit", func(r report.Report) bool {
		return r.Applied.Commit == "c2" && r.Members[0].Message == "no answer"
	})
	if got := r.Placements[0].Decision.Assignment.Clusters; !slices.Equal(got, []string{"east"}) {
		t.Errorf("an unreachable member lost its placement: assigned to %q", got)
	}
	if c := r.Placements[0].Clusters[0]; c.Applied != unknown || !strings.Contains(c.Message, "no answer") {
		t.Errorf("an unreachable member is reported as applied %s, %q; want Unknown and the reason", c.Applied, c.Message)
	}
	stop()

	// Without the memory too: the member itself knows once it is back.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	east.set(func() { east.phase, east.complete = fleet.Ready, true })
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the second commit, with the member back", convergedOn("c2"))
	if got := east.holds(); len(got) != 1 {
		t.Errorf("a label change unplaced: east holds %q", got)
	}
}

func TestLoopPlansNothingOnAnIncompleteView(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	plans := len(east.plans)
	east.set(func() { east.complete = false })
	repo.push("c2", memberCluster("east", "e"), ns("web"))
	await(t, l, "the commit without the placement", func(r report.Report) bool { return r.Applied.Commit == "c2" })
	if len(east.plans) != plans {
		t.Errorf("planned on an incomplete view: %q", east.plans[plans:])
	}
	east.set(func() { east.complete = true })
	await(t, l, "convergence once everything is seen", convergedOn("c2"))
	if got := east.holds(); len(got) > 0 {
		t.Errorf("east holds %q, want nothing", got)
	}
}

func TestLoopLeavesARemovedMemberAlone(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), memberCluster("west", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	repo.push("c2", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	await(t, l, "the commit without west", convergedOn("c2"))
	if got := west.holds(); len(got) != 1 {
		t.Errorf("a member that was taken out of the registry holds %q, want what it held", got)
	}
}

func TestLoopLeavesAnotherSourceAlone(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	stop()
	east.set(func() {
		web := east.parents["web"]
		web.Source = "https://git.example.com/other.git main"
		east.parents["web"] = web
	})
	repo.push("c2", memberCluster("east", "e"), ns("web"))
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "a commit without the placement", convergedOn("c2"))
	if got := east.holds(); len(got) != 1 {
		t.Errorf("what another repository placed is gone: east holds %q", got)
	}
	repo.push("c3", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	r := await(t, l, "a placement of the same name", func(r report.Report) bool {
		return r.Applied.Commit == "c3" && r.Placements[0].Clusters[0].Applied == no
	})
	if message := r.Placements[0].Clusters[0].Message; !strings.Contains(message, "other.git") || !strings.Contains(message, "--take-over") {
		t.Errorf("reported as %q; want the owner and the remedy", message)
	}
}

func TestLoopFallsBackToWhatWasInForce(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("good", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the good commit", convergedOn("good"))
	stop()
	repo.push("bad", "kind: [")
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir)
	r := await(t, l, "the revision before the start, while the head is refused", func(r report.Report) bool {
		return r.Applied.Commit == "good" && len(r.Errors) > 0 && len(r.Members) == 1 && r.Members[0].Joined == yes
	})
	if r.Converged {
		t.Error("converged, although the head is refused")
	}
}

func TestLoopKeepsADecisionThatAMemberMissed(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	east.set(func() { east.phase, east.complete = fleet.Unreachable, false })
	either := strings.Replace(placeOn("web", "e"), "clusterSelectorTerms: [", "clusterSelectorTerms: [{labelSelector: {matchLabels: {location: x}}}, ", 1)
	repo.push("c2", memberCluster("east", "e"), ns("web"), either)
	await(t, l, "a new policy", func(r report.Report) bool { return r.Applied.Commit == "c2" })
	repo.push("c3", memberCluster("east", "moved"), ns("web"), either)
	await(t, l, "a new label", func(r report.Report) bool { return r.Applied.Commit == "c3" })
	east.set(func() { east.phase, east.complete = fleet.Ready, true })
	await(t, l, "the member back", convergedOn("c3"))
	if got := east.holds(); len(got) != 1 {
		t.Errorf("a label change unplaced what the newest policy had chosen: east holds %q", got)
	}
}

func TestLoopRemembersEndpointsOfAnUnreachableMember(t *testing.T) {
	east := newCluster("east")
	export := mcs.Export{Cluster: "east", Namespace: "web", Name: "shop", Created: time.Unix(1, 0).UTC(),
		Service:   &mcs.ExportedService{Type: corev1.ServiceTypeClusterIP, Ports: []mcs.Port{{Protocol: corev1.ProtocolTCP, Port: 80}}},
		Endpoints: []mcs.Endpoint{{Address: netip.MustParseAddr("10.0.0.1"), Ports: map[string]int32{"": 80}, Ready: true}}}
	east.services.Exports = []mcs.Export{export}
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	dir := t.TempDir()
	imports := func(r report.Report) bool { return len(r.Imports) == 1 && r.Imports[0].Endpoints == 1 }
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the import", imports)
	east.set(func() { east.phase, east.complete, east.services.Synced = fleet.Unreachable, false, false })
	await(t, l, "the import while the member is out of reach", func(r report.Report) bool {
		return r.Members[0].Joined == unknown && imports(r)
	})
	stop()
	east.set(func() { east.services = mcs.Observed{} })
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the import after a restart, while the member is out of reach", func(r report.Report) bool {
		return len(r.Members) == 1 && r.Members[0].Joined == unknown && imports(r)
	})
	east.set(func() { east.phase, east.complete, east.services = fleet.Ready, true, mcs.Observed{Synced: true} })
	await(t, l, "no import once the member is back without an export", func(r report.Report) bool { return len(r.Imports) == 0 })
}

func TestLoopTriesAgainAndDoubtsWhatItSees(t *testing.T) {
	east := newCluster("east")
	east.refuse = &apply.FencedError{Set: "web", Err: errors.New("conflict")}
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	r := await(t, l, "the failure", func(r report.Report) bool {
		return len(r.Placements) == 1 && len(r.Placements[0].Clusters) == 1 && r.Placements[0].Clusters[0].Applied == no
	})
	if !strings.Contains(r.Placements[0].Clusters[0].Message, "another writer") {
		t.Errorf("the failure is reported as %q", r.Placements[0].Clusters[0].Message)
	}
	await(t, l, "a new list after the second refusal", func(report.Report) bool {
		east.mu.Lock()
		defer east.mu.Unlock()
		return east.relists > 0
	})
	east.set(func() { east.refuse = nil })
	await(t, l, "convergence", convergedOn("c1"))
}

func TestRunOnceEndsWhenNothingMoreWillHappen(t *testing.T) {
	fine := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	for _, test := range []struct {
		reason  string
		prepare func(*repository, *cluster)
		wantErr error
	}{
		{"all is well", func(*repository, *cluster) {}, nil},
		{"a member is out of reach", func(_ *repository, c *cluster) { c.phase = fleet.Unreachable }, ErrNotConverged},
		{"a member keeps refusing", func(_ *repository, c *cluster) { c.refuse = errors.New("forbidden") }, ErrNotConverged},
		{"the author must act", func(r *repository, _ *cluster) { r.push("c2", "kind: [") }, ErrNotConverged},
		{"the repository cannot be read", func(r *repository, _ *cluster) { r.err = errors.New("gone") }, ErrNotConverged},
	} {
		t.Run(test.reason, func(t *testing.T) {
			east := newCluster("east")
			repo := &repository{}
			repo.push("c1", fine...)
			test.prepare(repo, east)
			store, err := OpenStore(t.TempDir(), "fleet")
			if err != nil {
				t.Fatal(err)
			}
			l := New(testOptions(repo, fakeFleet{"east": east}, store))
			if err := l.RunOnce(context.Background()); !errors.Is(err, test.wantErr) {
				t.Errorf("%s: RunOnce returned %v, want %v", test.reason, err, test.wantErr)
			}
		})
	}
}

func TestStoreRefusesADamagedFile(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenStore(dir, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	path := store.path
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(dir, "fleet"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenStore of a damaged file: %v; want an error naming %s", err, path)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "{half" {
		t.Errorf("the damaged file now holds %q (%v); it is the user's", data, err)
	}
}
