package hub

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// shop is a wish of one placement on two of three members, and the report on it when all is well.
func shop() (*render.Desired, report.Report) {
	deployment := &unstructured.Unstructured{}
	deployment.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	deployment.SetNamespace("shop")
	deployment.SetName("web")
	desired := &render.Desired{}
	r := report.Report{Time: start}
	for i, name := range []string{"one", "three", "two"} {
		m := &clusterv1beta1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"region": "r" + name[:1]}}}
		desired.Members = append(desired.Members, render.Member{MemberCluster: m})
		r.Members = append(r.Members, report.Member{Name: name, Joined: "True", LastSeen: start, Nodes: &i})
	}
	crp := &placementv1beta1.ClusterResourcePlacement{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "web"}},
		Spec: placementv1beta1.PlacementSpec{
			ResourceSelectors: []placementv1beta1.ResourceSelector{{Version: "v1", Kind: "Namespace", Name: "shop"}},
			Policy:            &placementv1beta1.PlacementPolicy{PlacementType: placementv1beta1.PickFixed, ClusterNames: []string{"one", "two"}},
		},
	}
	desired.Placements = []render.Placement{{ClusterResourcePlacement: crp, Selected: []render.Object{{Unstructured: deployment}}}}
	ref := api.RefOf(deployment)
	p := report.Placement{
		Name: "shop", Generation: 3, Selected: []api.Ref{ref},
		Decision: placement.Decision{
			Name:      "shop",
			Scheduled: placement.Scheduled{Status: "True", Reason: "SchedulingPolicyFulfilled", Message: "found all the clusters"},
			Verdicts:  []placement.Verdict{{Cluster: "one", Selected: true, Reason: "named"}, {Cluster: "two", Selected: true, Reason: "named"}, {Cluster: "three"}},
		},
	}
	for _, name := range []string{"one", "two"} {
		p.Clusters = append(p.Clusters, report.PlacementOnCluster{Cluster: name, Applied: "True", Healthy: "True",
			Objects: []report.PlacedObject{{Ref: ref, Health: apply.Health{Status: apply.Current}}}})
	}
	p.Conditions = report.Conditions(p, nil, start)
	r.Placements = []report.Placement{p}
	return desired, r
}

// again recomputes the conditions of the only placement after change.
func again(r report.Report, now time.Time, change func(*report.Placement)) report.Report {
	r.Time = now
	r.Placements = slices.Clone(r.Placements)
	p := &r.Placements[0]
	p.Clusters = slices.Clone(p.Clusters)
	before := p.Conditions
	change(p)
	p.Conditions = report.Conditions(*p, before, now)
	return r
}

func find(t *testing.T, objects []Object, kind, name string) Object {
	t.Helper()
	for _, o := range objects {
		if o.Body.GetKind() == kind && o.Body.GetName() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return Object{}
}

func TestObjectsBody(t *testing.T) {
	desired, r := shop()
	objects := Objects(desired, r)
	var got []string
	for _, o := range objects {
		got = append(got, o.Body.GetKind()+" "+o.Body.GetName())
	}
	want := []string{"MemberCluster one", "MemberCluster three", "MemberCluster two", "ClusterResourcePlacement shop"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	o := find(t, objects, "ClusterResourcePlacement", "shop")
	hash := o.Body.GetAnnotations()[api.AnnotationAppliedHash]
	data, err := yaml.Marshal(o.Body.Object)
	if err != nil {
		t.Fatal(err)
	}
	wantYAML := `apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata:
  annotations:
    gitfleet.dev/applied-hash: ` + hash + `
    team: web
  labels:
    gitfleet.dev/published: "true"
  name: shop
spec:
  policy:
    clusterNames:
    - one
    - two
    placementType: PickFixed
  resourceSelectors:
  - group: ""
    kind: Namespace
    name: shop
    version: v1
`
	if diff := cmp.Diff(wantYAML, string(data)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	desired.Placements[0].Spec.Policy.ClusterNames = []string{"one"}
	if changed := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop"); changed.Body.GetAnnotations()[api.AnnotationAppliedHash] == hash {
		t.Error("the digest does not change with the spec")
	}
}

func TestObjectsStatus(t *testing.T) {
	desired, r := shop()
	o := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop")
	status := o.StatusOn(nil, 1)
	data, err := yaml.Marshal(summary(t, status))
	if err != nil {
		t.Fatal(err)
	}
	want := `clusters:
  one: Scheduled=True/1 RolloutStarted=True/1 Overridden=True/1 WorkSynchronized=True/1
    Applied=True/1 Available=True/1
  two: Scheduled=True/1 RolloutStarted=True/1 Overridden=True/1 WorkSynchronized=True/1
    Applied=True/1 Available=True/1
conditions: ClusterResourcePlacementScheduled=True/1 ClusterResourcePlacementRolloutStarted=True/1
  ClusterResourcePlacementOverridden=True/1 ClusterResourcePlacementWorkSynchronized=True/1
  ClusterResourcePlacementApplied=True/1 ClusterResourcePlacementAvailable=True/1
resources: apps/v1 Deployment shop/web
`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("status on the hub's generation 1 (-want +got):\n%s", diff)
	}
	member := find(t, Objects(desired, r), "MemberCluster", "two")
	status = member.StatusOn(nil, 1)
	if _, there := status["resourceUsage"]; there {
		t.Errorf("an unknown resource usage is published: %v", status)
	}
	nodes, _, _ := unstructured.NestedString(status, "properties", "kubernetes-fleet.io/node-count", "value")
	if nodes != "2" {
		t.Errorf("node count is %q, want 2", nodes)
	}
}

// summary writes a placement's status in short.
func summary(t *testing.T, status map[string]any) map[string]any {
	t.Helper()
	var s placementv1beta1.PlacementStatus
	decode(status, &s)
	words := func(list []metav1.Condition) string {
		var out []string
		for _, c := range list {
			out = append(out, fmt.Sprintf("%s=%s/%d", c.Type, c.Status, c.ObservedGeneration))
		}
		return strings.Join(out, " ")
	}
	clusters := map[string]any{}
	for _, c := range s.PlacementStatuses {
		clusters[c.ClusterName] = words(c.Conditions)
	}
	var resources []string
	for _, r := range s.SelectedResources {
		resources = append(resources, fmt.Sprintf("%s/%s %s %s/%s", r.Group, r.Version, r.Kind, r.Namespace, r.Name))
	}
	return map[string]any{"conditions": words(s.Conditions), "clusters": clusters, "resources": strings.Join(resources, ", ")}
}

// TestStatusIsAFixedPoint publishes the same facts again and again: only what changed may change.
func TestStatusIsAFixedPoint(t *testing.T) {
	desired, r := shop()
	first := map[string]map[string]any{}
	for _, o := range Objects(desired, r) {
		first[o.Body.GetName()+o.Body.GetKind()] = o.StatusOn(nil, 1)
	}
	later := again(r, start.Add(time.Hour), func(*report.Placement) {})
	later.Placements[0].Conditions = report.Conditions(later.Placements[0], nil, later.Time) // as after a restart
	for i := range later.Members {
		later.Members[i].LastSeen = later.Time
	}
	for _, o := range Objects(desired, later) {
		before := first[o.Body.GetName()+o.Body.GetKind()]
		if got := o.StatusOn(before, 1); !reflect.DeepEqual(got, before) {
			t.Errorf("%s %s changes although nothing happened:\n%s", o.Body.GetKind(), o.Body.GetName(), cmp.Diff(before, got))
		}
	}
}

func TestStatusRemembersWhenThingsChanged(t *testing.T) {
	desired, r := shop()
	before := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop").StatusOn(nil, 1)
	r = again(r, start.Add(time.Minute), func(p *report.Placement) {
		p.Clusters[1].Healthy = "False"
		p.Clusters[1].Objects = []report.PlacedObject{{Ref: p.Selected[0], Health: apply.Health{Status: apply.InProgress, Message: "1 of 2"}}}
	})
	o := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop")
	var s placementv1beta1.PlacementStatus
	decode(o.StatusOn(before, 2), &s)
	times := map[string]string{}
	for _, c := range s.Conditions {
		times[strings.TrimPrefix(c.Type, "ClusterResourcePlacement")] = fmt.Sprint(c.Status, " ", c.LastTransitionTime.Sub(start), " ", c.ObservedGeneration)
	}
	want := map[string]string{"Scheduled": "True 0s 2", "RolloutStarted": "True 0s 2", "Overridden": "True 0s 2",
		"WorkSynchronized": "True 0s 2", "Applied": "True 0s 2", "Available": "False 1m0s 2"}
	if diff := cmp.Diff(want, times); diff != "" {
		t.Errorf("status, time and generation of conditions (-want +got):\n%s", diff)
	}
	failed := s.PlacementStatuses[1].FailedPlacements
	if len(failed) != 1 || failed[0].Version != "v1" || failed[0].Condition.Reason != "ManifestNotAvailableYet" || failed[0].Condition.Message != "1 of 2" {
		t.Errorf("failed placements of two are %+v, want the Deployment", failed)
	}
	if other := s.PlacementStatuses[0].FailedPlacements; len(other) != 0 {
		t.Errorf("failed placements of one are %+v, want none", other)
	}
}

func TestStatusOfAnInvalidPlacementKeepsWhatWas(t *testing.T) {
	desired, r := shop()
	before := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop").StatusOn(nil, 1)
	r = again(r, start.Add(time.Minute), func(p *report.Placement) { p.Generation, p.Err = 4, "no such kind" })
	var s placementv1beta1.PlacementStatus
	decode(find(t, Objects(desired, r), "ClusterResourcePlacement", "shop").StatusOn(before, 2), &s)
	if c := s.Conditions[0]; c.Status != metav1.ConditionFalse || c.Reason != report.InvalidResourceSelectors || c.ObservedGeneration != 2 {
		t.Errorf("Scheduled is %+v, want False at the hub's generation 2", c)
	}
	if c := s.Conditions[4]; c.Type != placementv1beta1.ConditionApplied || c.Status != metav1.ConditionTrue || c.ObservedGeneration != 1 {
		t.Errorf("%+v, want Applied as it was, at the hub's generation 1", c)
	}
}

func TestUnfilledSlots(t *testing.T) {
	desired, r := shop()
	r = again(r, start, func(p *report.Placement) { p.Decision.Unfilled = 2 })
	o := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop")
	if n := len(o.Placement.PlacementStatuses); n != 4 {
		t.Fatalf("%d cluster statuses, want two clusters and two unfilled slots", n)
	}
	for _, slot := range o.Placement.PlacementStatuses[2:] {
		if slot.ClusterName != "" || len(slot.Conditions) != 1 || slot.Conditions[0].Reason != "ScheduleFailed" {
			t.Errorf("unfilled slot is %+v", slot)
		}
	}
}

func TestMemberStatus(t *testing.T) {
	for _, tt := range []struct {
		name   string
		member report.Member
		want   string
	}{
		{"in touch", report.Member{Joined: "True"}, "Joined=True MemberClusterJoined, ReadyToJoin=True MemberClusterReadyToJoin"},
		{"without credentials", report.Member{Joined: "False", Message: "no context"}, "Joined=False MemberClusterNotReadyToJoin, ReadyToJoin=False MemberClusterNotReadyToJoin"},
		{"out of reach", report.Member{Joined: "Unknown", Message: "refused"}, "Joined=Unknown MemberClusterJoinStateUnknown, ReadyToJoin=True MemberClusterReadyToJoin"},
		{"nothing known", report.Member{}, "Joined=Unknown MemberClusterJoinStateUnknown, ReadyToJoin=True MemberClusterReadyToJoin"},
	} {
		var got []string
		for _, c := range memberStatus(tt.member, metav1.NewTime(start)).Conditions {
			got = append(got, fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason))
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
	}
}

func TestHeartbeatIsRenewedWithAChangeOnly(t *testing.T) {
	two := 2
	m := report.Member{Joined: "True", LastSeen: start, Nodes: &two}
	status := memberStatus(m, metav1.NewTime(start))
	before := Object{Member: &status}.StatusOn(nil, 1)
	heartbeat := func(m report.Member) string {
		m.LastSeen = start.Add(time.Minute)
		s := memberStatus(m, metav1.NewTime(start.Add(time.Minute)))
		var got clusterv1beta1.MemberClusterStatus
		decode(Object{Member: &s}.StatusOn(before, 1), &got)
		return got.AgentStatus[0].LastReceivedHeartbeat.Sub(start).String()
	}
	if got := heartbeat(m); got != "0s" {
		t.Errorf("without a change the heartbeat moves by %s", got)
	}
	three := 3
	m.Nodes = &three
	if got := heartbeat(m); got != "1m0s" {
		t.Errorf("with another node count the heartbeat moves by %s, want 1m0s", got)
	}
}

// TestCapStatus makes a status far too large: what is left fits, and failures are not what is left out.
func TestCapStatus(t *testing.T) {
	s := placementv1beta1.PlacementStatus{Conditions: []metav1.Condition{{Type: "Scheduled", Message: "fine"}}}
	for i := range 5000 {
		s.SelectedResources = append(s.SelectedResources, placementv1beta1.ResourceIdentifier{Kind: "ConfigMap", Version: "v1", Name: fmt.Sprint("c", i)})
		status := metav1.ConditionTrue
		if i%1000 == 999 {
			status = metav1.ConditionFalse
		}
		s.PlacementStatuses = append(s.PlacementStatuses, placementv1beta1.ClusterStatus{
			ClusterName: fmt.Sprint("m", i),
			Conditions:  []metav1.Condition{{Type: "Applied", Status: status, Message: strings.Repeat("x", 100)}},
		})
	}
	const limit = 100 << 10
	capStatus(&s, limit)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > limit || len(data) < limit/2 {
		t.Errorf("capped to %d bytes, want at most %d and most of it used", len(data), limit)
	}
	for i, name := range []string{"m999", "m1999", "m2999", "m3999", "m4999"} {
		if s.PlacementStatuses[i].ClusterName != name {
			t.Errorf("cluster %d is %s, want the failed %s", i, s.PlacementStatuses[i].ClusterName, name)
		}
	}
	want := fmt.Sprintf("fine; shown here are %d of 5000 objects and %d of 5000 clusters", len(s.SelectedResources), len(s.PlacementStatuses))
	if s.Conditions[0].Message != want {
		t.Errorf("message %q, want %q", s.Conditions[0].Message, want)
	}
	small := placementv1beta1.PlacementStatus{Conditions: []metav1.Condition{{Message: "fine"}}}
	if capStatus(&small, limit); small.Conditions[0].Message != "fine" {
		t.Errorf("a small status is touched: %+v", small)
	}
}

func TestContains(t *testing.T) {
	read := func(s string) any {
		var v any
		if err := yaml.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		name, have, want string
		ok               bool
	}{
		{"equal", "{a: 1, b: [x]}", "{a: 1, b: [x]}", true},
		{"a default on top", "{a: 1, b: 2}", "{a: 1}", true},
		{"a default inside a list", "{l: [{a: 1, b: 2}]}", "{l: [{a: 1}]}", true},
		{"another value", "{a: 1}", "{a: 2}", false},
		{"a field is missing", "{a: 1}", "{a: 1, b: 2}", false},
		{"a longer list", "{l: [1, 2]}", "{l: [1]}", false},
		{"another order", "{l: [1, 2]}", "{l: [2, 1]}", false},
		{"an empty object for none", "{}", "{a: {}}", true},
		{"an object for a value", "{a: 1}", "{a: {}}", false},
	} {
		if got := contains(read(tt.have), read(tt.want)); got != tt.ok {
			t.Errorf("%s: contains(%s, %s) = %v", tt.name, tt.have, tt.want, got)
		}
	}
}
