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

var webID = placementv1beta1.ResourceIdentifier{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"}

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
		r.Members = append(r.Members, report.Member{Name: name, Joined: "True", LastSeen: start, Nodes: &i, Version: "v1.37.0", Resources: &report.Resources{
			Capacity:    map[string]string{"cpu": "8", "memory": "17Gi"},
			Allocatable: map[string]string{"cpu": "8", "memory": "16Gi"},
			Available:   map[string]string{"cpu": "3920m", "memory": "12Gi"},
		}})
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
		Name: "shop", Generation: 3, Resources: []placementv1beta1.ResourceIdentifier{webID},
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

// conditions computes the conditions of every placement anew.
func conditions(r report.Report) report.Report {
	r.Placements = slices.Clone(r.Placements)
	for i, p := range r.Placements {
		r.Placements[i].Conditions = report.Conditions(p, nil, r.Time)
	}
	return r
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
	data, err = yaml.Marshal(member.StatusOn(nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	want = `agentStatus:
- conditions:
  - lastTransitionTime: "2026-01-02T03:04:05Z"
    message: ""
    reason: InternalMemberClusterJoined
    status: "True"
    type: Joined
  - lastTransitionTime: "2026-01-02T03:04:05Z"
    message: ""
    reason: InternalMemberClusterHealthy
    status: "True"
    type: Healthy
  lastReceivedHeartbeat: "2026-01-02T03:04:05Z"
  type: MemberAgent
conditions:
- lastTransitionTime: "2026-01-02T03:04:05Z"
  message: its API server answers
  reason: MemberClusterJoined
  status: "True"
  type: Joined
- lastTransitionTime: "2026-01-02T03:04:05Z"
  message: credentials are there
  reason: MemberClusterReadyToJoin
  status: "True"
  type: ReadyToJoin
properties:
  k8s.io/k8s-version:
    observationTime: "2026-01-02T03:04:05Z"
    value: v1.37.0
  kubernetes-fleet.io/node-count:
    observationTime: "2026-01-02T03:04:05Z"
    value: "2"
resourceUsage:
  allocatable:
    cpu: "8"
    memory: 16Gi
  available:
    cpu: 3920m
    memory: 12Gi
  capacity:
    cpu: "8"
    memory: 17Gi
  observationTime: "2026-01-02T03:04:05Z"
`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("status of a member (-want +got):\n%s", diff)
	}
	unseen := find(t, Objects(desired, report.Report{Time: start, Members: []report.Member{{Name: "two"}}}), "MemberCluster", "two").StatusOn(nil, 1)
	for _, field := range []string{"resourceUsage", "properties", "agentStatus"} {
		if value, there := unseen[field]; there {
			t.Errorf("%s is published though nothing is known: %v", field, value)
		}
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
	later := again(r, start.Add(59*time.Second), func(*report.Placement) {})
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
		p.Clusters[1].Objects = []report.PlacedObject{{Ref: p.Clusters[0].Objects[0].Ref, Health: apply.Health{Status: apply.InProgress, Message: "1 of 2"}}}
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

// TestStatusOfAPlacementThatIsNotDecided starts a new process, which does not know what the hub shows.
func TestStatusOfAPlacementThatIsNotDecided(t *testing.T) {
	desired, r := shop()
	before := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop").StatusOn(nil, 1)
	var was placementv1beta1.PlacementStatus
	decode(before, &was)
	for name, tc := range map[string]struct {
		change   func(*report.Placement)
		want     metav1.Condition
		clusters []placementv1beta1.ClusterStatus
	}{
		"Invalid": {func(p *report.Placement) { p.Err = "no such kind" },
			metav1.Condition{Status: metav1.ConditionFalse, Reason: "InvalidResourceSelectors"}, was.PlacementStatuses},
		"Pending": {func(p *report.Placement) { p.Decision = placement.Decision{} },
			metav1.Condition{Status: metav1.ConditionUnknown, Reason: "SchedulePending"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := again(r, start.Add(time.Minute), func(p *report.Placement) {
				p.Generation, p.Conditions, p.Clusters = 4, nil, nil
				tc.change(p)
			})
			r.Placements[0].Conditions = report.Conditions(r.Placements[0], nil, r.Time)
			var s placementv1beta1.PlacementStatus
			status := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop").StatusOn(before, 2)
			decode(status, &s)
			if c := s.Conditions[0]; c.Status != tc.want.Status || c.Reason != tc.want.Reason || c.ObservedGeneration != 2 {
				t.Errorf("Scheduled is %+v, want %+v at the hub's generation 2", c, tc.want)
			}
			if diff := cmp.Diff(was.Conditions[1:], s.Conditions[1:]); diff != "" {
				t.Errorf("the chain, at the hub's generation 1 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.clusters, s.PlacementStatuses); diff != "" {
				t.Errorf("placementStatuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(was.SelectedResources, s.SelectedResources); diff != "" {
				t.Errorf("selectedResources (-want +got):\n%s", diff)
			}
			if again := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop").StatusOn(status, 2); !reflect.DeepEqual(again, status) {
				t.Errorf("publishing the same again changes something:\n%s", cmp.Diff(status, again))
			}
		})
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

// memberOn returns what the hub shows of m after before, and whether that is something else.
func memberOn(t *testing.T, m report.Member, spec clusterv1beta1.MemberClusterSpec, now time.Time, before map[string]any) (shown map[string]any, changed bool) {
	t.Helper()
	m.Name = "one"
	desired := &render.Desired{Members: []render.Member{{MemberCluster: &clusterv1beta1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: spec}}}}
	shown = Objects(desired, report.Report{Time: now, Members: []report.Member{m}})[0].StatusOn(before, 1)
	return shown, !reflect.DeepEqual(shown, before)
}

func decodeMember(status map[string]any) clusterv1beta1.MemberClusterStatus {
	var s clusterv1beta1.MemberClusterStatus
	decode(status, &s)
	return s
}

func TestHeartbeat(t *testing.T) {
	two, three, slow := 2, 3, int32(600)
	calm := func(m *report.Member) {}
	for name, tc := range map[string]struct {
		reason  string
		spec    clusterv1beta1.MemberClusterSpec
		after   time.Duration
		change  func(*report.Member)
		renewed bool
	}{
		"Soon":       {reason: "a heartbeat alone is no change", after: 59 * time.Second, change: calm},
		"Minute":     {reason: "nobody is told that a member was last seen more than a minute ago when it was not", after: time.Minute, change: calm, renewed: true},
		"Slow":       {reason: "the spec may ask for less", spec: clusterv1beta1.MemberClusterSpec{HeartbeatPeriodSeconds: &slow}, after: 599 * time.Second, change: calm},
		"SlowAndOld": {reason: "but gets that", spec: clusterv1beta1.MemberClusterSpec{HeartbeatPeriodSeconds: &slow}, after: 600 * time.Second, change: calm, renewed: true},
		"Changed":    {reason: "what is written anyway is up to date", after: time.Second, change: func(m *report.Member) { m.Nodes = &three }, renewed: true},
		"Resources": {reason: "so is it with other resources", after: time.Second, renewed: true,
			change: func(m *report.Member) {
				m.Resources = &report.Resources{Available: map[string]string{"cpu": "1"}}
			}},
		"Lost": {reason: "a lost member was last seen when it was, which is told at once", after: time.Hour, renewed: true,
			change: func(m *report.Member) { m.Joined, m.LastSeen = "Unknown", start.Add(time.Hour-time.Second) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := report.Member{Joined: "True", LastSeen: start, Nodes: &two, Resources: &report.Resources{Available: map[string]string{"cpu": "2"}}}
			before, _ := memberOn(t, m, tc.spec, start, nil)
			now := start.Add(tc.after)
			m.LastSeen = now
			tc.change(&m)
			after, changed := memberOn(t, m, tc.spec, now, before)
			if changed != tc.renewed {
				t.Fatalf("%s: changed is %v:\n%s", tc.reason, changed, cmp.Diff(before, after))
			}
			want := start
			if tc.renewed {
				want = m.LastSeen
			}
			s := decodeMember(after)
			if got := s.AgentStatus[0].LastReceivedHeartbeat.Time; !got.Equal(want) {
				t.Errorf("%s: last seen %v, want %v", tc.reason, got, want)
			}
			if got := s.ResourceUsage.ObservationTime.Time; !got.Equal(want) {
				t.Errorf("%s: resources observed %v, want %v", tc.reason, got, want)
			}
			if got := s.AgentStatus[0].Conditions[0].LastTransitionTime.Time; !got.Equal(start) {
				t.Errorf("%s: the agent joined at %v, want %v", tc.reason, got, start)
			}
			if _, again := memberOn(t, m, tc.spec, now, after); again {
				t.Error("publishing the same again changes something")
			}
		})
	}
}

// TestLostMember goes on for hours without a word from it, and forgets nothing of what was known.
func TestLostMember(t *testing.T) {
	two := 2
	m := report.Member{Joined: "True", LastSeen: start, Nodes: &two, Version: "v1.37.0", Resources: &report.Resources{Available: map[string]string{"cpu": "2"}}}
	before, _ := memberOn(t, m, clusterv1beta1.MemberClusterSpec{}, start, nil)
	m = report.Member{Joined: "Unknown", Message: "refused", LastSeen: start} // as after a restart
	lost, changed := memberOn(t, m, clusterv1beta1.MemberClusterSpec{}, start.Add(time.Minute), before)
	if !changed {
		t.Fatal("nothing tells that the member is lost")
	}
	if _, changed := memberOn(t, m, clusterv1beta1.MemberClusterSpec{}, start.Add(5*time.Hour), lost); changed {
		t.Error("a member that nobody hears is written about")
	}
	m.LastSeen = time.Time{} // as with a new state directory
	lost, _ = memberOn(t, m, clusterv1beta1.MemberClusterSpec{}, start.Add(6*time.Hour), lost)
	s, was := decodeMember(lost), decodeMember(before)
	if diff := cmp.Diff(was.Properties, s.Properties); diff != "" {
		t.Errorf("properties (-before +after):\n%s", diff)
	}
	if len(s.AgentStatus) != 1 || !s.AgentStatus[0].LastReceivedHeartbeat.Time.Equal(start) || s.ResourceUsage.Available.Cpu().String() != "2" {
		t.Errorf("what was last seen is not there any more: %+v", s)
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

// TestCapStatusForgetsFieldsFirst: which fields drifted is what is missed least.
func TestCapStatusForgetsFieldsFirst(t *testing.T) {
	var s placementv1beta1.PlacementStatus
	for i := range 20 {
		c := placementv1beta1.ClusterStatus{ClusterName: fmt.Sprint("m", i)}
		for range 20 {
			c.DriftedPlacements = append(c.DriftedPlacements, placementv1beta1.DriftedResourcePlacement{
				ObservedDrifts: make([]placementv1beta1.PatchDetail, 100)})
		}
		s.PlacementStatuses = append(s.PlacementStatuses, c)
	}
	const limit = 200 << 10
	before := size(s)
	if capStatus(&s, limit); before < limit || size(s) > limit || len(s.PlacementStatuses) != 20 || len(s.PlacementStatuses[19].DriftedPlacements) != 20 {
		t.Errorf("capped from %d to %d bytes with %d clusters, want at most %d with all clusters and drifted objects", before, size(s), len(s.PlacementStatuses), limit)
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
