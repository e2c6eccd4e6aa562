package hub

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// suite is what must hold on any API server. Each part leaves the hub without objects.
var suite = map[string]func(t *testing.T, c cluster){
	"writes-only-what-differs":            writesOnlyWhatDiffers,
	"leaves-foreign-objects-alone":        leavesForeignObjectsAlone,
	"refuses-where-KubeFleet-runs":        refusesWhereKubeFleetRuns,
	"killed-before-every-write":           killedBeforeEveryWrite,
	"no-delete-without-a-complete-answer": noDeleteWithoutACompleteAnswer,
	"publishes-ResourcePlacements":        publishesResourcePlacements,
	"copies-statuses":                     copiesStatuses,
	"copies-killed-before-every-write":    copiesKilledBeforeEveryWrite,
	"leaves-foreign-copies-alone":         leavesForeignCopiesAlone,
	"Events-tell-once":                    eventsTellOnce,
}

func runSuite(t *testing.T, c cluster) {
	for name, part := range suite {
		t.Run(name, func(t *testing.T) {
			part(t, c)
			c.clear(t)
		})
	}
}

// clear publishes nothing, as after everything was removed from the repository.
func (c cluster) clear(t *testing.T) {
	t.Helper()
	c.start(t, nil).publish(t, &render.Desired{}, report.Report{})
	if left := c.names(t); len(left) > 0 {
		t.Errorf("left on the hub: %v", left)
	}
}

func TestInMemory(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	s := memfleet.NewServer()
	t.Cleanup(s.Close)
	runSuite(t, newCluster(t, s.Config()))
}

func TestReal(t *testing.T) {
	f := realfleet.Start(t, 1)
	c := newCluster(t, f.Config(t, realfleet.Hub))
	runSuite(t, c)
	t.Run("kubectl prints the known tables", func(t *testing.T) {
		p := c.start(t, nil)
		desired, r := shop()
		p.publish(t, desired, r)
		wantTable(t, f.Kubectl(t, realfleet.Hub, "get", "clusterresourceplacements"),
			`NAME   GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE`,
			`shop   1     True        1              True      1            \S+`)
		wantTable(t, f.Kubectl(t, realfleet.Hub, "get", "crp", "-o", "wide"),
			`NAME   GEN   TYPE        SCHEDULED   SCHEDULEDGEN   WORK-SYNCHRONIZED   WORK-SYNCHRONIZED-GEN   APPLIED   APPLIEDGEN   AVAILABLE   AVAILABLEGEN   AGE`,
			`shop   1     PickFixed   True        1              True                1                       True      1            True        1              \S+`)
		wantEvents := `(?s)Events:.*Normal +PlacementRolloutStarted +\S+ +gitfleet +rollout started on 2 of 2 clusters.*` +
			`PlacementOverriddenSucceeded .*PlacementWorkSynchronized .*PlacementApplied .*PlacementAvailable .*PlacementRolloutCompleted `
		if out := f.Kubectl(t, realfleet.Hub, "describe", "crp", "shop"); !regexp.MustCompile(wantEvents).MatchString(out) {
			t.Errorf("kubectl describe crp prints\n%swant Events of every milestone, in order", out)
		}
		out := f.Kubectl(t, realfleet.Hub, "get", "memberclusters", "-o", "wide")
		wantTable(t, out, `NAME    JOINED   AGE\s+MEMBER-AGENT-LAST-SEEN   NODE-COUNT   AVAILABLE-CPU   AVAILABLE-MEMORY   ALLOCATABLE-CPU   ALLOCATABLE-MEMORY`,
			`one .*`, `three .*`, `two     True     \d+s\s+\S+\s+2            3920m           12Gi               8                 16Gi`)
		local := desired.Placements[0]
		local.ClusterResourcePlacement = local.DeepCopy()
		local.Namespace = "kubectl"
		both, reported := *desired, r
		both.Placements = append(slices.Clone(desired.Placements), local)
		reported.Placements = append(slices.Clone(r.Placements), r.Placements[0])
		reported.Placements[1].Namespace = "kubectl"
		p.publish(t, &both, conditions(reported))
		wantTable(t, f.Kubectl(t, realfleet.Hub, "get", "rp", "-A"),
			`NAMESPACE   NAME   GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE`,
			`kubectl     shop   1     True        1              True      1            \S+`)
		desired.Placements[0].Spec.Policy.ClusterNames = []string{"one", "three"}
		p.publish(t, desired, again(r, r.Time.Add(time.Minute), func(p *report.Placement) { p.Generation++ }))
		wantTable(t, f.Kubectl(t, realfleet.Hub, "get", "crp"), `NAME.*`,
			`shop   2     True        2              True      2            \S+`)
		desired, r = accessibleShop("kubectl")
		p.publish(t, desired, r)
		wantTable(t, f.Kubectl(t, realfleet.Hub, "get", "crps", "--namespace", "kubectl"),
			`NAME   RESOURCE-INDEX   LAST-UPDATED           AGE`, `shop                    2026-01-02T03:04:05Z   \S+`)
	})
}

func wantTable(t *testing.T, out string, lines ...string) {
	t.Helper()
	if !regexp.MustCompile(`^` + strings.Join(lines, `\n`) + `\n$`).MatchString(out) {
		t.Errorf("kubectl prints\n%swant\n%s", out, strings.Join(lines, "\n"))
	}
}

func memberPath(name string) string {
	return "/apis/cluster.kubernetes-fleet.io/v1beta1/memberclusters/" + name + "/status"
}

const shopPath = "/apis/placement.kubernetes-fleet.io/v1beta1/clusterresourceplacements/shop"

// writesOnlyWhatDiffers walks one publisher through a fleet's life.
func writesOnlyWhatDiffers(t *testing.T, c cluster) {
	p := c.start(t, nil)
	desired, r := shop()
	step := func(name string, want ...string) {
		t.Helper()
		p.publish(t, desired, r)
		if diff := cmp.Diff(want, p.sent()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", name, diff)
		}
	}
	p.publish(t, desired, r)
	p.sent()
	for range 3 { // also while the watches may lag behind
		step("the same report")
	}
	later := func(d time.Duration) {
		r.Time = r.Time.Add(d)
		for i := range r.Members {
			r.Members[i].LastSeen = r.Time
		}
	}
	later(59 * time.Second)
	step("the same facts a little later")
	later(time.Hour)
	heartbeats := []string{"PATCH " + memberPath("one"), "PATCH " + memberPath("three"), "PATCH " + memberPath("two")}
	step("the same facts an hour later", heartbeats...)
	step("and again")
	r = again(r, r.Time.Add(time.Minute), func(p *report.Placement) { p.Clusters[0].Applied = "False" })
	step("one changed status", "PATCH "+shopPath+"/status")
	desired.Placements[0].Spec.Policy.ClusterNames = []string{"one", "three"}
	r = again(r, r.Time.Add(time.Minute), func(p *report.Placement) { p.Generation++; p.Clusters[0].Applied = "True" })
	step("a changed spec", append([]string{"PATCH " + shopPath, "PATCH " + shopPath + "/status"}, c.posts(t, 6)...)...)
	conditions, _, _ := unstructured.NestedSlice(c.placement(t, "shop").Object, "status", "conditions")
	for _, condition := range conditions {
		if got := condition.(map[string]any)["observedGeneration"]; got != int64(2) {
			t.Errorf("%v has not the hub's generation 2", condition)
		}
	}

	restarted := c.start(t, nil)
	r.Placements[0].Conditions = report.Conditions(r.Placements[0], nil, r.Time.Add(time.Hour))
	restarted.publish(t, desired, r)
	for _, request := range restarted.sent() {
		if !strings.HasPrefix(request, "GET ") {
			t.Errorf("after a restart: %s", request)
		}
	}

	c.patch(t, "shop", `{"spec":{"policy":{"clusterNames":["two"]}}}`)
	eventually(t, "the names from the repository are back", func() bool {
		p.publish(t, desired, r)
		names, _, _ := unstructured.NestedStringSlice(c.placement(t, "shop").Object, "spec", "policy", "clusterNames")
		return slices.Contains(names, "three")
	})

	without, left := *desired, r
	without.Members, without.Placements = desired.Members[:1], nil
	left.Members, left.Placements = r.Members[:1], nil
	p.publish(t, &without, left)
	if got := c.names(t); !slices.Equal(got, []string{"memberclusters/one"}) {
		t.Errorf("after a removal the hub has %v, want memberclusters/one", got)
	}
	p.sent()
	p.publish(t, &without, left)
	if sent := p.sent(); len(sent) > 0 {
		t.Errorf("publishing again after a removal sends %v", sent)
	}
	p.publish(t, desired, r)
	if got := c.names(t); len(got) != 4 {
		t.Errorf("after bringing everything back the hub has %v, want four objects", got)
	}
}

func leavesForeignObjectsAlone(t *testing.T, c cluster) {
	p := c.start(t, nil)
	desired, r := shop()
	p.publish(t, desired, r)
	created := c.createTheirs(t)
	same := desired.Placements[0]
	same.ClusterResourcePlacement = same.DeepCopy()
	same.Name = "theirs"
	both := *desired
	both.Placements = append(slices.Clone(desired.Placements), same)
	// Whether or not the watch shows it yet: the apply of a new object is not forced.
	if err := p.Publish(t.Context(), &both, r); err == nil {
		t.Error("Publish takes over an object of somebody else")
	}
	eventually(t, "the error names the remedy", func() bool {
		return errors.Is(p.Publish(t.Context(), &both, r), errForeign)
	})
	p.publish(t, &render.Desired{}, report.Report{})
	if now := c.placement(t, "theirs"); now.GetResourceVersion() != created.GetResourceVersion() {
		t.Errorf("the foreign placement changed from %v to %v", created, now)
	}
	c.delete(t, "theirs")
}

// publishesResourcePlacements publishes a placement of a namespace that the hub lacks, beside one of the same name without,
// killing the process before every write.
func publishesResourcePlacements(t *testing.T, c cluster) {
	desired, r := shop()
	desired.Members, desired.Placements[0].Name, r.Placements[0].Name = nil, "twin", "twin"
	local := desired.Placements[0]
	local.ClusterResourcePlacement = local.DeepCopy()
	desired.Placements = append(desired.Placements, local)
	r.Placements = append(r.Placements, r.Placements[0])
	for k := 1; ; k++ {
		namespace := fmt.Sprint("local-", k)
		local.Namespace, r.Placements[1].Namespace = namespace, namespace
		r = conditions(r)
		err := c.start(t, refuseFrom(k)).Publish(t.Context(), desired, r)
		next := c.start(t, nil)
		next.publish(t, desired, r)
		want := []string{"clusterresourceplacements/twin", "resourceplacements/" + namespace + "/twin"}
		if diff := cmp.Diff(want, c.names(t)); diff != "" {
			t.Fatalf("killed before write %d: on the hub (-want +got):\n%s", k, diff)
		}
		c.wantApplied(t, namespace, "twin")
		next.sent()
		next.publish(t, desired, r)
		if sent := next.sent(); len(sent) > 0 {
			t.Errorf("killed before write %d: converged, and yet sent %v", k, sent)
		}
		next.publish(t, &render.Desired{}, report.Report{})
		if _, err := c.Resource(namespaces).Get(t.Context(), namespace, metav1.GetOptions{}); err != nil {
			t.Errorf("the namespace is not left alone: %v", err)
		}
		if err == nil {
			if k != 7 { // two objects, each body and status, the namespace, and what it was missed by
				t.Errorf("%d writes were refused, want 6", k-1)
			}
			return
		}
	}
}

// wantApplied checks that a ResourcePlacement has conditions of its own kind.
func (c cluster) wantApplied(t *testing.T, namespace, name string) {
	t.Helper()
	u, err := c.Resource(local).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, condition := range list {
		if m := condition.(map[string]any); m["type"] == "ResourcePlacementApplied" && m["status"] == "True" {
			return
		}
	}
	t.Errorf("conditions of %s/%s are %v, want ResourcePlacementApplied", namespace, name, list)
}

func (c cluster) delete(t *testing.T, name string) {
	t.Helper()
	c.patch(t, name, `{"metadata":{"finalizers":null}}`)
	if err := c.Resource(placements).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func refusesWhereKubeFleetRuns(t *testing.T, c cluster) {
	c.start(t, nil).publish(t, &render.Desired{}, report.Report{}) // installs the definitions
	c.createTheirs(t, "kubernetes-fleet.io/scheduler-cleanup")
	desired, r := shop()
	p := c.start(t, nil)
	if err := p.Publish(t.Context(), desired, r); err == nil || !strings.Contains(err.Error(), "hub agent") {
		t.Errorf("Publish: %v, want an error about the hub agent", err)
	}
	if got := c.names(t); !slices.Equal(got, []string{"clusterresourceplacements/theirs"}) {
		t.Errorf("the hub has %v, want nothing of ours", got)
	}
	c.delete(t, "theirs")
}

// killedBeforeEveryWrite kills the process before its k-th write, for every k, and has a new one find its way.
func killedBeforeEveryWrite(t *testing.T, c cluster) {
	c.clear(t)
	desired, r := shop()
	for k := 1; ; k++ {
		killed := c.start(t, refuseFrom(k))
		err := killed.Publish(t.Context(), desired, r)
		next := c.start(t, nil)
		next.publish(t, desired, r)
		if got := c.names(t); len(got) != 4 {
			t.Fatalf("killed before write %d: the hub has %v, want four objects", k, got)
		}
		next.sent()
		next.publish(t, desired, r)
		if sent := next.sent(); len(sent) > 0 {
			t.Errorf("killed before write %d: converged, and yet sent %v", k, sent)
		}
		next.publish(t, &render.Desired{}, report.Report{})
		if err == nil {
			if k != 9 { // four objects, each body and status
				t.Errorf("%d writes were refused, want 8", k-1)
			}
			return
		}
	}
}

// refuseFrom refuses the k-th write and all that follow.
func refuseFrom(k int) memfleet.Rule {
	var seen atomic.Int64
	return func(q memfleet.Request) memfleet.Fault {
		if q.Writes() && seen.Add(1) >= int64(k) {
			return memfleet.Refuse()
		}
		return memfleet.Pass()
	}
}

// noDeleteWithoutACompleteAnswer breaks everything that is read.
func noDeleteWithoutACompleteAnswer(t *testing.T, c cluster) {
	desired, r := shop()
	desired.Placements[0].Spec.StatusReportingScope = placementv1beta1.NamespaceAccessible
	c.start(t, nil).publish(t, desired, r)
	ours := func(class memfleet.Class) func(memfleet.Request) bool {
		return func(q memfleet.Request) bool {
			return q.Class == class && strings.HasSuffix(q.Group, "kubernetes-fleet.io")
		}
	}
	for name, rule := range map[string]memfleet.Rule{
		"lists fail":        memfleet.When(ours(memfleet.List), memfleet.Answer(500)),
		"lists are denied":  memfleet.When(ours(memfleet.List), memfleet.Forbidden()),
		"lists are empty":   memfleet.When(ours(memfleet.List), memfleet.EmptyList()),
		"lists are cut":     memfleet.When(ours(memfleet.List), memfleet.Cut()),
		"watches fail":      memfleet.When(ours(memfleet.Watch), memfleet.Answer(500)),
		"watches are empty": memfleet.When(ours(memfleet.Watch), memfleet.EmptyList()),
		"watches are cut":   memfleet.When(ours(memfleet.Watch), memfleet.Cut()),
	} {
		p := c.start(t, rule)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		_ = p.Publish(ctx, desired, r) // an error or not: what counts is what was sent
		cancel()
		if sent := p.sent(); slices.ContainsFunc(sent, isDelete) {
			t.Errorf("%s: %v", name, sent)
		}
		if got := c.names(t); len(got) != 5 {
			t.Errorf("%s: the hub has %v, want five objects", name, got)
		}
	}
}

func TestPublishToNobody(t *testing.T) {
	session, err := fleet.Open("hub", &rest.Config{Host: "https://127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	desired, r := shop()
	p := NewPublisher(session, func(context.Context) error { return nil })
	var unreachable *fleet.UnreachableError
	if err := p.Publish(t.Context(), desired, r); !errors.As(err, &unreachable) {
		t.Errorf("Publish to an address where nobody listens: %v, want an *UnreachableError", err)
	}
	p = NewPublisher(session, func(context.Context) error { return errors.New("no permission") })
	if err := p.Publish(t.Context(), desired, r); err == nil || !strings.Contains(err.Error(), "no permission") {
		t.Errorf("Publish where preparing fails: %v", err)
	}
}
