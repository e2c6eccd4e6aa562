package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// policy returns a placement of everything in a namespace of its name under a policy.
func policy(name, policy string) string {
	return fmt.Sprintf(`{apiVersion: placement.kubernetes-fleet.io/v1beta1, kind: ClusterResourcePlacement, metadata: {name: %[1]s},
  spec: {resourceSelectors: [{group: "", version: v1, kind: Namespace, name: %[1]s}], policy: %[2]s}}`, name, policy)
}

// clustersOf returns where r says that a placement goes.
func clustersOf(r report.Report, key string) []string {
	for _, p := range r.Placements {
		if p.Key() == key {
			return slices.Sorted(slices.Values(p.Decision.Assignment.Clusters))
		}
	}
	return nil
}

// goesTo waits until a placement is in place on these clusters and nowhere else.
func goesTo(t *testing.T, l *Loop, what, key string, clusters ...string) report.Report {
	t.Helper()
	return await(t, l, what, func(r report.Report) bool { return r.Converged && slices.Equal(clustersOf(r, key), clusters) })
}

// TestLoopPicksFromAWholeFleet: whoever picks the best clusters must know all of them first, or a restart would choose others.
func TestLoopPicksFromAWholeFleet(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	prefers := func(location string) string {
		return policy("web", fmt.Sprintf(`{placementType: PickN, numberOfClusters: 1, affinity: {clusterAffinity: {
  preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, preference: {labelSelector: {matchLabels: {location: %s}}}}]}}}`, location))
	}
	repo.push("c1", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), prefers("e"))
	l, stop := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	goesTo(t, l, "the first pick", "web", "east")
	stop()

	// The memory is lost, the labels say otherwise now, and who holds the placement is the last to show it.
	repo.push("c2", memberCluster("east", "w"), memberCluster("west", "e"), ns("web"), prefers("e"))
	east.set(func() { east.complete = false })
	l, _ = startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	r := await(t, l, "the second commit", func(r report.Report) bool { return r.Applied.Commit == "c2" })
	if got := clustersOf(r, "web"); len(got) > 0 || r.Converged {
		t.Errorf("before east has shown what it holds the placement goes to %q, converged %v", got, r.Converged)
	}
	east.set(func() { east.complete = true })
	goesTo(t, l, "the pick of before", "web", "east")
	if got := west.holds(); len(got) > 0 {
		t.Errorf("west was picked before the whole fleet was known: it holds %q", got)
	}

	// Another policy decides afresh, and a larger number adds to it.
	repo.push("c3", memberCluster("east", "w"), memberCluster("west", "e"), ns("web"), strings.Replace(prefers("e"), "weight: 10", "weight: 20", 1))
	goesTo(t, l, "a changed policy", "web", "west")
	repo.push("c4", memberCluster("east", "w"), memberCluster("west", "e"), ns("web"),
		strings.NewReplacer("weight: 10", "weight: 20", "numberOfClusters: 1", "numberOfClusters: 2").Replace(prefers("e")))
	goesTo(t, l, "one more", "web", "east", "west")
}

// TestLoopSchedulesByWhatMembersReport: what a member has to offer counts when it changes, and unplaces nothing.
func TestLoopSchedulesByWhatMembersReport(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	east.cpu, west.cpu = 2, 8
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), policy("web", `{affinity: {clusterAffinity: {
  requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{propertySelector: {matchExpressions: [
    {name: resources.kubernetes-fleet.io/available-cpu, operator: Ge, values: ["4"]}]}}]}}}}`))
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	goesTo(t, l, "the one with enough", "web", "west")
	west.set(func() { west.cpu = 1 })
	east.set(func() { east.cpu = 5 })
	goesTo(t, l, "the other has enough now, and the first keeps it", "web", "east", "west")
}

// TestLoopHonoursTaints, which may come and go at run time.
func TestLoopHonoursTaints(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	tainted := strings.Replace(memberCluster("west", "w"), "spec: {", "spec: {taints: [{key: upgrade, effect: NoSchedule}], ", 1)
	repo.push("c1", memberCluster("east", "e"), tainted, ns("web"), policy("web", "{placementType: PickAll}"))
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	goesTo(t, l, "the one without a taint", "web", "east")
	repo.push("c2", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), policy("web", "{placementType: PickAll}"))
	goesTo(t, l, "the taint is gone", "web", "east", "west")
	repo.push("c3", memberCluster("east", "e"), tainted, ns("web"), policy("web", "{placementType: PickAll}"))
	await(t, l, "the taint is back", convergedOn("c3"))
	if got := west.holds(); len(got) == 0 {
		t.Error("a taint unplaced")
	}
}

// TestLoopUnplaces what no longer matches, where the author asked for it, and only after the time asked for.
func TestLoopUnplaces(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	placed := annotated(placeOn("web", "e"), api.AnnotationUnplaceAfter, "1s")
	repo.push("c1", memberCluster("east", "e"), ns("web"), placed)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	goesTo(t, l, "the first commit", "web", "east")
	repo.push("c2", memberCluster("east", "moved"), ns("web"), placed)
	r := await(t, l, "the label moved", func(r report.Report) bool { return r.Applied.Commit == "c2" })
	if got := clustersOf(r, "web"); len(got) != 1 {
		t.Errorf("it left at once: %q", got)
	}
	goesTo(t, l, "its time is over", "web")
	if got := east.holds(); len(got) > 0 {
		t.Errorf("it left and east still holds %q", got)
	}
}

// TestLoopHoldsWhatItCannotDecide: a changed policy that what members report makes undecidable moves nothing, and deletes nothing.
func TestLoopHoldsWhatItCannotDecide(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	documents := []string{memberCluster("east", "e"), memberCluster("west", "w"), ns("web")}
	repo.push("c1", append(documents, policy("web", "{placementType: PickAll}"))...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	goesTo(t, l, "the first commit", "web", "east", "west")
	east.set(func() { east.version = "v1.31" })
	repo.push("c2", append(documents, policy("web", `{affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [
  {propertySelector: {matchExpressions: [{name: k8s.io/k8s-version, operator: Ge, values: ["1"]}]}}]}}}}`))...)
	r := await(t, l, "the refusal to decide", func(r report.Report) bool {
		return r.Applied.Commit == "c2" && len(r.Placements) == 1 && strings.Contains(r.Placements[0].Decision.Scheduled.Message, "quantity")
	})
	if len(r.Placements[0].Clusters) != 2 || len(east.holds()) != 1 || len(west.holds()) != 1 {
		t.Errorf("it is on %+v; east holds %q, west %q", r.Placements[0].Clusters, east.holds(), west.holds())
	}
	repo.push("c3", append(documents, policy("web", "{affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {location: e}}}]}}}}"))...)
	goesTo(t, l, "a policy that can be decided", "web", "east")
	if got := west.holds(); len(got) > 0 {
		t.Errorf("west was held by an earlier policy only, and holds %q", got)
	}
}

// TestLoopDoesNotPickWhatItGaveUp: a cluster that was decided against is not chosen for the reason that it is not empty yet.
func TestLoopDoesNotPickWhatItGaveUp(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	n := func(n int) string {
		return policy("web", fmt.Sprintf("{placementType: PickN, numberOfClusters: %d}", n))
	}
	repo.push("c1", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), n(2))
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east, "west": west}, dir)
	goesTo(t, l, "both", "web", "east", "west")
	east.set(func() { east.refuse = errors.New("a webhook is down") })
	repo.push("c2", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), n(1))
	await(t, l, "one of them", func(r report.Report) bool { return slices.Equal(clustersOf(r, "web"), []string{"west"}) })
	stop()
	l, _ = startLoop(t, repo, fakeFleet{"east": east, "west": west}, dir)
	await(t, l, "the same one after a restart", func(r report.Report) bool { return slices.Equal(clustersOf(r, "web"), []string{"west"}) })
	east.set(func() { east.refuse = nil })
	goesTo(t, l, "the other is empty at last", "web", "west")
	if got := west.holds(); len(got) != 1 || len(east.holds()) > 0 {
		t.Errorf("west holds %q, east %q", got, east.holds())
	}
}

// TestLoopRefusesWhatMayNotChange: what upstream makes immutable is compared with the commit in force, also after a restart.
func TestLoopRefusesWhatMayNotChange(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), policy("web", "{placementType: PickAll}"))
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir)
	goesTo(t, l, "the first commit", "web", "east")
	stop()
	repo.push("c2", memberCluster("east", "e"), ns("web"), policy("web", "{placementType: PickFixed, clusterNames: [east]}"))
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir)
	r := await(t, l, "the refusal", func(r report.Report) bool { return len(r.Errors) > 0 })
	if e := r.Errors[0]; e.File != "repo.yaml" || e.Field != "spec.policy.placementType" || r.Applied.Commit == "c2" {
		t.Errorf("in force is %s, the error: %v", r.Applied.Commit, e)
	}
	repo.push("c3", memberCluster("east", "e"), ns("web"), policy("web", "{placementType: PickAll}"))
	await(t, l, "the revert", convergedOn("c3"))
}

// TestLoopBlamesPlacementForItsSelectors: a refused commit shows at the placement whose selectors are at fault, as upstream
// shows it, and at no other; everything else of its status stays.
func TestLoopBlamesPlacementForItsSelectors(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	good := []string{memberCluster("east", "e"), ns("web"), policy("web", "{placementType: PickAll}"), ns("shop"), policy("shop", "{placementType: PickAll}")}
	repo.push("good", good...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the good commit", convergedOn("good"))
	bad := slices.Clone(good)
	bad[2] = strings.Replace(bad[2], "kind: Namespace", "kind: Pod", 1)
	repo.push("bad", bad...)
	r := await(t, l, "the refusal", func(r report.Report) bool { return len(r.Errors) > 0 })
	for _, p := range r.Placements {
		c := p.Conditions[0]
		blamed := c.Status == metav1.ConditionFalse && c.Reason == report.InvalidResourceSelectors && strings.Contains(c.Message, "commit bad is refused: repo.yaml")
		if blamed != (p.Name == "web") || len(p.Conditions) < 2 {
			t.Errorf("placement %s: blamed is %t: %v", p.Name, blamed, p.Conditions)
		}
	}
	repo.push("good", good...)
	await(t, l, "the revert", convergedOn("good"))
}

// TestLoopTellsNamespacedPlacementsApart from cluster-wide ones of the same name.
func TestLoopTellsNamespacedPlacementsApart(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	only := strings.Replace(policy("web", "{placementType: PickAll}"), "name: web}]", "name: web, selectionScope: NamespaceOnly}]", 1)
	documents := []string{memberCluster("east", "e"), ns("web"), only, config("web", "a", "1"),
		`{apiVersion: placement.kubernetes-fleet.io/v1beta1, kind: ResourcePlacement, metadata: {name: web, namespace: web},
  spec: {resourceSelectors: [{group: "", version: v1, kind: ConfigMap, name: a}]}}`}
	repo.push("c1", documents...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	goesTo(t, l, "both", "web/web", "east")
	if got, want := east.holds(), []string{"ConfigMap web/a", "Namespace web"}; !slices.Equal(got, want) {
		t.Errorf("east holds %q, want %q", got, want)
	}
	repo.push("c2", documents[:4]...)
	await(t, l, "the namespaced one gone", convergedOn("c2"))
	if got, want := east.holds(), []string{"Namespace web"}; !slices.Equal(got, want) {
		t.Errorf("east holds %q, want %q", got, want)
	}
}

// TestNamespacedPlacementsFollowTheirNamespace: where a placement brings the namespace they may go, and where nobody is known to
// bring it, everywhere.
func TestNamespacedPlacementsFollowTheirNamespace(t *testing.T) {
	rp := func(namespace string) string {
		return fmt.Sprintf(`{apiVersion: placement.kubernetes-fleet.io/v1beta1, kind: ResourcePlacement, metadata: {name: all, namespace: %s},
  spec: {resourceSelectors: [{group: "", version: v1, kind: ConfigMap, name: a}]}}`, namespace)
	}
	only := strings.Replace(placeOn("web", "e"), "name: web}]", "name: web, selectionScope: NamespaceOnly}]", 1)
	d := desiredOf(t, memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), only, config("web", "a", "1"), rp("web"), config("other", "a", "1"), rp("other"))
	decisions := foresee(d, nil, time.Time{}).decisions
	for key, want := range map[string][]string{"web": {"east"}, "web/all": {"east"}, "other/all": {"east", "west"}} {
		if got := decisions[key].Assignment.Clusters; !slices.Equal(got, want) {
			t.Errorf("%s goes to %q, want %q", key, got, want)
		}
	}
	for _, v := range decisions["web/all"].Verdicts {
		if v.Cluster == "west" && !strings.Contains(v.Reason, "namespace web is not there") {
			t.Errorf("why not west: %q", v.Reason)
		}
	}
}

// TestCandidates: a member out of reach stays eligible for a while, if it ever answered, and then nothing new goes there.
func TestCandidates(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	lost := fleet.State{Phase: fleet.Unreachable, Err: errors.New("no answer")}
	noContext := errors.New("no context called east")
	for _, row := range []struct {
		reason        string
		state         fleet.State
		openErr       error
		reached       bool
		started, seen time.Duration // before now; seen as remembered
		wantWake      string
		want          string // of why it is ineligible; empty when it is not
	}{
		{"it answers, whatever was", fleet.State{Phase: fleet.Ready}, nil, true, time.Hour, time.Hour, "", ""},
		{"it is being reached", fleet.State{Phase: fleet.Connecting}, nil, false, time.Hour, 0, "", ""},
		{"lost a minute ago", lost, nil, true, time.Hour, time.Minute, "4m0s", ""},
		{"lost for long", lost, nil, true, time.Hour, 5 * time.Minute, "", "since 2026-05-01T11:55:00Z, longer than 5m0s: no answer"},
		{"it answered until a restart, which nobody has written down", lost, nil, true, time.Minute, time.Hour, "4m0s", ""},
		{"never reached", lost, nil, false, time.Minute, 0, "", "never reached yet: no answer"},
		{"without credentials, and never reached", fleet.State{}, noContext, false, time.Minute, 0, "", "never reached yet: no context called east"},
		{"its credentials were lost a minute ago", fleet.State{}, noContext, true, time.Minute, 0, "4m0s", ""},
	} {
		m := &member{name: "east", state: row.state, err: row.openErr}
		if m.err == nil {
			m.conn = session{newCluster("east"), 0}
		}
		remembered := memberMemory{Created: now.Add(-100 * time.Hour), Reached: row.reached}
		if row.seen > 0 {
			remembered.LastSeen = now.Add(-row.seen)
		}
		l := &Loop{started: now.Add(-row.started), members: map[string]*member{"east": m}, memory: memory{Members: map[string]memberMemory{"east": remembered}}}
		candidates, wake := l.candidates(newWish(desiredOf(t, memberCluster("east", "e"))), now)
		text := ""
		if !wake.IsZero() {
			text = wake.Sub(now).String()
		}
		if got := candidates[0].Ineligible; (got == "") != (row.want == "") || !strings.Contains(got, row.want) || text != row.wantWake {
			t.Errorf("%s: ineligible %q (want %q), changes in %q (want %q)", row.reason, got, row.want, text, row.wantWake)
		}
	}
}

// TestLoopPicksNothingBlindly: without a memory nobody knows what a member out of reach holds, so the best of the others is not
// picked in its place; with one it is known.
func TestLoopPicksNothingBlindly(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), policy("web", "{placementType: PickN, numberOfClusters: 1}"))
	dir := t.TempDir()
	l, stop := startLoop(t, repo, fakeFleet{"east": east, "west": west}, dir)
	goesTo(t, l, "the only one", "web", "east")
	stop()
	repo.push("c2", memberCluster("east", "e"), memberCluster("west", "w"), ns("web"), policy("web", "{placementType: PickN, numberOfClusters: 1}"))
	east.set(func() { east.phase, east.complete = fleet.Unreachable, false })
	l, stop = startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	r := await(t, l, "a reason to wait", func(r report.Report) bool {
		return len(r.Placements) > 0 && strings.Contains(r.Placements[0].Conditions[0].Message, "east has not")
	})
	if got := clustersOf(r, "web"); len(got) > 0 || len(west.holds()) > 0 {
		t.Errorf("it goes to %q, and west holds %q", got, west.holds())
	}
	stop()
	l, _ = startLoop(t, repo, fakeFleet{"east": east, "west": west}, dir)
	await(t, l, "the memory says where it is", func(r report.Report) bool { return slices.Equal(clustersOf(r, "web"), []string{"east"}) })
	if got := west.holds(); len(got) > 0 {
		t.Errorf("west holds %q", got)
	}
}

// TestLoopPassesOverWhoNeverAnswered: a member of which nothing is known but its name is not the best one, however great its name is.
func TestLoopPassesOverWhoNeverAnswered(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	dir := t.TempDir()
	repo.push("c1", memberCluster("east", "e"))
	l, stop := startLoop(t, repo, fakeFleet{"east": east}, dir)
	await(t, l, "the first commit", convergedOn("c1"))
	stop()
	repo.push("c2", memberCluster("east", "e"), memberCluster("zzz", "z"), ns("web"), policy("web", "{placementType: PickN, numberOfClusters: 1}"))
	l, _ = startLoop(t, repo, fakeFleet{"east": east}, dir)
	r := await(t, l, "a pick", func(r report.Report) bool { return len(clustersOf(r, "web")) > 0 })
	if got := clustersOf(r, "web"); !slices.Equal(got, []string{"east"}) {
		t.Errorf("it goes to %q", got)
	}
}

// desiredOf renders documents.
func desiredOf(t *testing.T, documents ...string) *render.Desired {
	t.Helper()
	repo := &repository{}
	repo.push("c", documents...)
	rev, _ := repo.Fetch(t.Context())
	snap, _ := repo.Snapshot(rev)
	objects, err := repo.Build(t.Context(), snap, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := render.Compose(rev, objects)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
