package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// annotated adds an annotation to a document.
func annotated(document, key, value string) string {
	return strings.Replace(document, "metadata: {", fmt.Sprintf("metadata: {annotations: {%q: %q}, ", key, value), 1)
}

// placedOn returns what r says of a placement on a cluster.
func placedOn(r report.Report, placement, cluster string) report.PlacementOnCluster {
	for _, p := range r.Placements {
		for _, c := range p.Clusters {
			if p.Name == placement && c.Cluster == cluster {
				return c
			}
		}
	}
	return report.PlacementOnCluster{}
}

func TestLoopLeavesWhatIsSuspended(t *testing.T) {
	for _, test := range []struct{ reason, member, placement string }{
		{"the member is suspended", annotated(memberCluster("east", "e"), api.AnnotationSuspend, "true"), placeOn("web", "e")},
		{"the placement is suspended", memberCluster("east", "e"), annotated(placeOn("web", "e"), api.AnnotationSuspend, "true")},
	} {
		t.Run(test.reason, func(t *testing.T) {
			east := newCluster("east")
			repo := &repository{}
			repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"), config("web", "a", "1"))
			l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
			await(t, l, "the first commit", convergedOn("c1"))
			plans := len(east.plans)
			repo.push("c2", test.member, ns("web"), test.placement, config("web", "b", "1"))
			r := await(t, l, "the suspended commit", func(r report.Report) bool {
				return r.Applied.Commit == "c2" && strings.Contains(placedOn(r, "web", "east").Message, "suspended")
			})
			if r.Converged {
				t.Errorf("%s and something is kept back, and the report says converged", test.reason)
			}
			if len(east.plans) != plans {
				t.Errorf("%s and something was done: %q", test.reason, east.plans[plans:])
			}
			repo.push("c3", memberCluster("east", "e"), ns("web"), placeOn("web", "e"), config("web", "b", "1"))
			await(t, l, "the commit that resumes", convergedOn("c3"))
			if got, want := east.holds(), []string{"ConfigMap web/b", "Namespace web"}; !slices.Equal(got, want) {
				t.Errorf("resumed: east holds %q, want %q", got, want)
			}
		})
	}
}

func TestLoopWaitsForDependencies(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	west.refuse = errors.New("not today")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), memberCluster("west", "w"), ns("base"), ns("web"),
		placeOn("base", "w"), annotated(placeOn("web", "e"), api.AnnotationDependsOn, "placement/base"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	await(t, l, "the reason for waiting", func(r report.Report) bool {
		message := placedOn(r, "web", "east").Message
		return strings.Contains(message, "base") && strings.Contains(message, "not today")
	})
	if got := east.holds(); len(got) > 0 {
		t.Errorf("what web depends on is not in place, and east holds %q", got)
	}
	west.set(func() { west.refuse = nil })
	await(t, l, "convergence once the dependency is in place", convergedOn("c1"))
}

// many returns a placement of a namespace with n ConfigMaps.
func many(n int) []string {
	documents := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	for i := range n {
		documents = append(documents, config("web", fmt.Sprintf("c%03d", i), "1"))
	}
	return documents
}

func TestLoopHoldsMassDeletions(t *testing.T) {
	east := newCluster("east")
	repo := &repository{confirmed: map[string][]string{}}
	repo.push("c1", many(120)...)
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the first commit", convergedOn("c1"))
	repo.push("c2", append(many(5), config("web", "new", "1"))...)
	held := func(r report.Report) bool {
		return r.Applied.Commit == "c2" && r.Confirm != nil && slices.Contains(east.holds(), "ConfigMap web/new")
	}
	r := await(t, l, "the deletions held, the rest applied", held)
	if r.Confirm.Removals != 115 || r.Confirm.Digest != r.Digest || !strings.Contains(r.Confirm.Message, api.TrailerConfirm+": "+r.Digest) || r.Converged {
		t.Errorf("asks for a person's word with %+v (converged %t); want 115 objects, digest %s and the trailer", r.Confirm, r.Converged, r.Digest)
	}
	if got := len(east.holds()); got != 122 {
		t.Errorf("east holds %d objects while the deletions are held, want 122", got)
	}

	// A restart forgets nothing of that, and a word about something else is none.
	stop()
	repo.confirmed["c3"] = []string{"sha256:other"}
	repo.push("c3", append(many(5), config("web", "new", "2"))...)
	l, stop = startLoop(t, repo, fakeFleet{"east": east}, dir)
	r = await(t, l, "the deletions still held", func(r report.Report) bool { return r.Applied.Commit == "c3" && r.Confirm != nil })
	if got := len(east.holds()); got != 122 {
		t.Errorf("east holds %d objects after a word about something else, want 122", got)
	}

	repo.confirmed["c4"] = []string{r.Confirm.Digest}
	repo.push("c4", append(many(5), config("web", "new", "2"))...)
	await(t, l, "convergence once confirmed", convergedOn("c4"))
	if got := len(east.holds()); got != 7 {
		t.Errorf("confirmed: east holds %d objects, want 7", got)
	}
	stop()
}

func TestLoopLeavesAClaimedMemberAlone(t *testing.T) {
	east := newCluster("east")
	east.claim = &apply.ClaimedError{Source: "repo main", Holder: apply.Instance{ID: "other", Description: "host-7"}}
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	r := await(t, l, "the other's name", func(r report.Report) bool {
		return len(r.Members) == 1 && strings.Contains(r.Members[0].Message, "host-7")
	})
	if len(east.plans) > 0 || r.Converged {
		t.Errorf("another gitfleet manages east; converged is %t and done was %q", r.Converged, east.plans)
	}
	east.set(func() { east.claim = nil })
	await(t, l, "convergence once the other has ended", convergedOn("c1"))
}

func TestLoopReportsDrift(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"), config("web", "a", "1"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	ref := api.Ref{Kind: "ConfigMap", Namespace: "web", Name: "a"}
	east.set(func() {
		o := east.objects[ref]
		o.EntryHash = "theirs"
		east.objects[ref] = o
	})
	r := await(t, l, "the drift", func(r report.Report) bool { return len(r.Drift) == 1 && r.Converged })
	if d := r.Drift[0]; d.Ref != ref || d.Cluster != "east" || d.Placement != "web" || d.Count != 1 || !strings.Contains(d.String(), "intruder") {
		t.Errorf("reported as %+v", d)
	}
}

func TestOneProcessHasTheStore(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenStore(dir, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(dir, "fleet"); !errors.Is(err, ErrStoreInUse) {
		t.Errorf("a second OpenStore returned %v, want ErrStoreInUse", err)
	}
	name := first.Instance()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenStore(dir, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if name == "" || again.Instance() != name {
		t.Errorf("the instance is %q after a restart, was %q", again.Instance(), name)
	}
}

func TestLoopSweeps(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"), config("web", "a", "1"))
	store, err := OpenStore(t.TempDir(), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	opt := testOptions(repo, fakeFleet{"east": east}, store)
	opt.Verify = 50 * time.Millisecond
	l := New(opt)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	await(t, l, "a turn of each object", func(report.Report) bool {
		east.mu.Lock()
		defer east.mu.Unlock()
		all := strings.Join(east.plans, "")
		return strings.Contains(all, "update ConfigMap web/a: verified") || strings.Contains(all, "update Namespace web: verified")
	})
	cancel()
	<-ended
}

func TestLoopOpensAMovedMemberAnew(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("c1"))
	east.set(func() { // the same name, another cluster: nothing is there
		east.opens++
		east.parents, east.objects = map[string]apply.Parent{}, map[api.Ref]apply.LiveObject{}
	})
	await(t, l, "the placement in the new place", func(r report.Report) bool {
		return r.Converged && len(east.holds()) == 1
	})
	if strings.Contains(strings.Join(east.plans, ""), "drifted") {
		t.Errorf("another cluster was taken for the one before: %q", east.plans)
	}
}

// TestLoopCountsWhatItCannotPlanYet: one of two members shows what it holds and is not this process's to change yet. Until it
// is, its deletions are not counted, and those of the other, which are few by themselves, must wait.
func TestLoopCountsWhatItCannotPlanYet(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	both := func(n int) []string {
		documents := []string{memberCluster("east", "e"), memberCluster("west", "e"), ns("web"), placeOn("web", "e")}
		for i := range n {
			documents = append(documents, config("web", fmt.Sprintf("c%03d", i), "1"))
		}
		return documents
	}
	repo := &repository{}
	repo.push("c1", both(60)...)
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east, "west": west}, dir)
	await(t, l, "the first commit", convergedOn("c1"))
	stop()
	west.claim = &apply.ClaimPendingError{Source: "repo", Reason: "the watch has not synced"}
	repo.push("c2", both(0)...)
	l, _ = startLoop(t, repo, fakeFleet{"east": east, "west": west}, dir)
	await(t, l, "the reason for waiting", func(r report.Report) bool {
		return r.Applied.Commit == "c2" && strings.Contains(placedOn(r, "web", "east").Message, "have not shown yet")
	})
	west.set(func() { west.claim = nil })
	await(t, l, "all of it held", func(r report.Report) bool { return r.Confirm != nil && r.Confirm.Removals == 120 })
	if got := len(east.holds()); got != 61 {
		t.Errorf("east holds %d objects, want all 61", got)
	}
}

// hubOf is a hub that keeps what was published.
type hubOf struct {
	mu    sync.Mutex
	claim error
	shown []string // commits
}

func (h *hubOf) set(claim error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claim = claim
}

func (h *hubOf) Claim() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.claim
}

func (h *hubOf) Publish(_ context.Context, _ *render.Desired, r report.Report) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shown = append(h.shown, r.Applied.Commit)
	return nil
}

func TestRunOnceAndTheHub(t *testing.T) {
	for _, test := range []struct {
		reason  string
		claim   error
		wantErr error
	}{
		{"the hub is ours", nil, nil},
		{"the hub is another's", &apply.ClaimedError{Source: "repo", Holder: apply.Instance{ID: "other"}}, ErrNotConverged},
		{"the hub may not be claimed", &apply.RefusedError{Verb: "create", Actor: apply.Operator, Message: "not allowed"}, ErrNotConverged},
		{"the hub is not connected yet, and then ours", errors.New("not yet connected"), nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			repo := &repository{}
			repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
			store, err := OpenStore(t.TempDir(), "fleet")
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			h, changed := &hubOf{claim: test.claim}, make(chan struct{}, 1)
			opt := testOptions(repo, fakeFleet{"east": newCluster("east")}, store)
			opt.Hub, opt.HubChanged = h, changed
			l := New(opt)
			ended := make(chan error, 1)
			go func() { ended <- l.RunOnce(t.Context()) }()
			if test.wantErr == nil && test.claim != nil {
				await(t, l, "convergence, with the hub still to come", convergedOn("c1"))
				h.set(nil)
				changed <- struct{}{}
			}
			if err := <-ended; !errors.Is(err, test.wantErr) {
				t.Errorf("%s: RunOnce returned %v, want %v", test.reason, err, test.wantErr)
			}
			if published := len(h.shown) > 0; published != (test.wantErr == nil) {
				t.Errorf("%s: published is %t (%s)", test.reason, published, l.Report().HubErr)
			}
		})
	}
}
