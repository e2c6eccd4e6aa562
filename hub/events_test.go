package hub

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
)

func TestNews(t *testing.T) {
	const kind = "ResourcePlacement"
	stages := []string{"Scheduled", "RolloutStarted", "Overridden", "WorkSynchronized", "Applied", "Available"}
	// upTo is True for the first n stages, and False for the one after.
	upTo := func(n int, generation int64) (list []metav1.Condition) {
		for i, s := range stages[:min(n+1, len(stages))] {
			status := metav1.ConditionTrue
			if i == n {
				status = metav1.ConditionFalse
			}
			list = append(list, metav1.Condition{Type: kind + s, Status: status, ObservedGeneration: generation, Message: "on 1 of 1 clusters"})
		}
		return list
	}
	unscheduled := upTo(6, 2)
	unscheduled[0].Status = metav1.ConditionFalse
	all := []string{"PlacementRolloutStarted", "PlacementOverriddenSucceeded", "PlacementWorkSynchronized", "PlacementApplied", "PlacementAvailable", "PlacementRolloutCompleted"}
	for _, tt := range []struct {
		reason        string
		before, after []metav1.Condition
		want          []string
	}{
		{"everything at once", nil, upTo(6, 2), all},
		{"nothing new", upTo(6, 2), upTo(6, 2), nil},
		{"as far as it came", nil, upTo(4, 2), all[:3]},
		{"the rest", upTo(4, 2), upTo(6, 2), all[3:]},
		{"what is lost is no milestone", upTo(6, 2), upTo(4, 2), nil},
		{"another generation is another rollout", upTo(6, 1), upTo(6, 2), all},
		{"what is told of the generation before is none of this one", nil, upTo(6, 1), nil},
		{"an unfilled placement is not complete", nil, unscheduled, all[:5]},
		{"one that is filled later is", unscheduled, upTo(6, 2), all[5:]},
		{"scheduling alone is told by its condition", nil, upTo(1, 2), nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var got []string
			for _, r := range news(kind, 2, tt.before, tt.after) {
				got = append(got, r.reason)
				if r.message == "" {
					t.Errorf("%s has no message", r.reason)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("milestones (-want +got):\n%s", diff)
			}
		})
	}
	if other := news("ClusterResourcePlacement", 2, nil, upTo(6, 2)); len(other) > 0 {
		t.Errorf("conditions of another kind are told: %v", other)
	}
}

// servesEvents tells whether the hub has the kind: the one in memory does not, and a publisher lives with that.
func (c cluster) servesEvents(t *testing.T) bool {
	t.Helper()
	_, err := c.Resource(events).Namespace(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	return err == nil
}

// posts are the requests that send this many Events on one placement: one, where that fails.
func (c cluster) posts(t *testing.T, n int) []string {
	t.Helper()
	if !c.servesEvents(t) {
		n = 1
	}
	return slices.Repeat([]string{"POST /api/v1/namespaces/default/events"}, n)
}

// eventsTellOnce publishes a placement as it comes along, and an other process goes on.
func eventsTellOnce(t *testing.T, c cluster) {
	desired, r := shop()
	desired.Members = nil
	r = again(r, start, func(p *report.Placement) { p.Clusters[0].Applied, p.Clusters[0].Applying = "Unknown", true })
	told := func(p *process) (n int) {
		t.Helper()
		for _, request := range p.sent() {
			if strings.HasSuffix(request, "/events") {
				n++
			}
		}
		return n
	}
	p := c.start(t, nil)
	step := func(name string, want int) {
		t.Helper()
		p.publish(t, desired, r)
		if got := told(p); got != len(c.posts(t, want)) && want > 0 || want == 0 && got > 0 {
			t.Errorf("%s: %d Events were sent, want %d", name, got, want)
		}
	}
	step("while it is being applied", 3)
	step("the same again", 0)
	r = again(r, start.Add(time.Second), func(p *report.Placement) { p.Clusters[0].Applied, p.Clusters[0].Applying = "True", false })
	step("when it is applied, available and complete", 3)
	step("the same again", 0)
	p = c.start(t, nil)
	step("after a restart", 0)
	r = again(r, start.Add(time.Minute), func(p *report.Placement) { p.Clusters[0].Healthy = "False" })
	step("when it is not available any more", 0)
	p = c.start(t, memfleet.When(func(q memfleet.Request) bool { return q.Resource == "events" }, memfleet.Forbidden()))
	r = again(r, start.Add(time.Hour), func(p *report.Placement) { p.Clusters[0].Healthy = "True" })
	p.publish(t, desired, r) // without permission to tell of it
	if n := told(p); n != 1 {
		t.Errorf("%d Events were tried without permission, want one", n)
	}
	c.wantEvents(t)
}

// wantEvents checks what a hub that serves Events has of shop: not what could not be sent.
func (c cluster) wantEvents(t *testing.T) {
	t.Helper()
	if !c.servesEvents(t) {
		return
	}
	list, err := c.Resource(events).Namespace(metav1.NamespaceDefault).List(t.Context(),
		metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(c.placement(t, "shop").GetUID())})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Items {
		got = append(got, e.Object["type"].(string)+" "+e.Object["reason"].(string)+": "+e.Object["message"].(string))
	}
	slices.Sort(got)
	want := []string{"Normal PlacementApplied: applied on 2 of 2 clusters", "Normal PlacementAvailable: available on 2 of 2 clusters",
		"Normal PlacementOverriddenSucceeded: overrides settled on 2 of 2 clusters",
		"Normal PlacementRolloutCompleted: everything is in place and available on every chosen cluster",
		"Normal PlacementRolloutStarted: rollout started on 2 of 2 clusters", "Normal PlacementWorkSynchronized: work handed over on 2 of 2 clusters"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Events of shop (-want +got):\n%s", diff)
	}
}
