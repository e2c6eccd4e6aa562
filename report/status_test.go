package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
)

var (
	webID  = v1beta1.ResourceIdentifier{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	hookID = v1beta1.ResourceIdentifier{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration", Name: "hook",
		Envelope: &v1beta1.EnvelopeIdentifier{Name: "hooks", Type: "ClusterResourceEnvelope"}}
)

// placedObject is one placed object.
func placedObject(id v1beta1.ResourceIdentifier, applied string, health apply.HealthStatus, err string) PlacedObject {
	return PlacedObject{Ref: refOf(id), Applied: applied, Health: apply.Health{Status: health, Message: "told by its status"}, Error: err}
}

func TestStatus(t *testing.T) {
	p := placed(on("b", "True", "True", ""), on("a", "True", "True", ""))
	p.Resources = []v1beta1.ResourceIdentifier{{Version: "v1", Kind: "Namespace", Name: "shop"}, webID}
	p.Decision.Unfilled = 2
	p.Decision.Scheduled = placement.Scheduled{Status: "False", Reason: placement.Unfulfilled, Message: "2 of 4 clusters"}
	p = p.WithConditions(Placement{}, noon)
	s := p.Status(nil, noon)
	var got []string
	for _, c := range s.PlacementStatuses {
		got = append(got, fmt.Sprintf("%s: %d conditions, first %s", c.ClusterName, len(c.Conditions), brief(c.Conditions)[0]))
	}
	want := []string{"a: 6 conditions, first Scheduled True Scheduled: it matches", "b: 6 conditions, first Scheduled True Scheduled: it matches",
		": 1 conditions, first Scheduled False ScheduleFailed: 2 of 4 clusters", ": 1 conditions, first Scheduled False ScheduleFailed: 2 of 4 clusters"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("placementStatuses (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(p.Conditions, s.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(p.Resources, s.SelectedResources); diff != "" {
		t.Errorf("selectedResources keep their order (-want +got):\n%s", diff)
	}
	if s.ObservedResourceIndex != "" {
		t.Errorf("observedResourceIndex is %q, though there are no snapshots", s.ObservedResourceIndex)
	}
}

func TestStatusWithoutADecisionHasNoClusters(t *testing.T) {
	before := placed(on("a", "True", "True", "")).WithConditions(Placement{}, noon)
	pending := before
	pending.Decision = placement.Decision{Unfilled: 1}
	s := pending.WithConditions(before, noon.Add(time.Hour)).Status(nil, noon)
	if len(s.PlacementStatuses) != 0 {
		t.Errorf("placementStatuses are %+v, want none", s.PlacementStatuses)
	}
	if diff := cmp.Diff(before.Conditions[1:], s.Conditions[1:]); diff != "" {
		t.Errorf("the chain did not stay as it was (-want +got):\n%s", diff)
	}
	nobody := placed().WithConditions(before, noon)
	if s := nobody.Status(nil, noon); len(s.PlacementStatuses) != 0 || len(s.Conditions) != 1 || s.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("a placement on no cluster has %+v, want Scheduled True alone", s)
	}
}

func TestFailedPlacements(t *testing.T) {
	denied, slow, broken, fine := webID, webID, webID, webID
	denied.Name, slow.Name, broken.Name, fine.Name = "denied", "slow", "broken", "fine"
	noKind := placedObject(denied, "False", apply.NotFound, "the kind is not served")
	noKind.Reason = AppliedReason(&meta.NoKindMatchError{})
	held := placedObject(slow, "False", apply.NotFound, "")
	held.Wait = "for another"
	tests := map[string]struct {
		reason  string
		cluster PlacementOnCluster
		want    []string
	}{
		"Healthy":     {"nothing failed", having(on("a", "True", "True", ""), placedObject(fine, "True", apply.Current, "")), nil},
		"Unreachable": {"what is not known has not failed", having(on("a", "Unknown", "Unknown", "no answer"), placedObject(slow, "Unknown", apply.InProgress, "")), nil},
		"WorstFirst": {"failures to apply, then failures, then what takes its time",
			having(on("a", "True", "False", ""), placedObject(slow, "True", apply.InProgress, ""), placedObject(broken, "True", apply.Failed, ""),
				placedObject(fine, "True", apply.Current, ""), placedObject(denied, "False", apply.NotFound, "denied")),
			[]string{"denied Applied ManifestApplyFailed: denied", "broken Available Failed: told by its status",
				"slow Available ManifestNotAvailableYet: told by its status"}},
		"NotServed": {"upstream has a word for a kind that the member does not know", having(on("a", "False", "Unknown", "x"), noKind),
			[]string{"denied Applied DecodingErred: the kind is not served"}},
		"OnlyTheGuilty": {"what one failure keeps others from is not theirs",
			having(on("a", "False", "Unknown", "x"), placedObject(denied, "False", apply.NotFound, "denied"), placedObject(slow, "False", apply.NotFound, "")),
			[]string{"denied Applied ManifestApplyFailed: denied"}},
		"Whole": {"where nothing could be applied, everything that is not in place failed with it",
			having(on("a", "False", "Unknown", "two placements own it"), placedObject(slow, "False", apply.NotFound, ""), placedObject(fine, "True", apply.Current, ""), held),
			[]string{"slow Applied ManifestApplyFailed: two placements own it"}},
		"Gone": {"what disappeared is not available", having(on("a", "True", "False", ""), placedObject(slow, "True", apply.NotFound, "")),
			[]string{"slow Available ManifestNotAvailableYet: told by its status"}},
		"HealthUnknown": {"an object whose health is not known has not failed", having(on("a", "True", "False", ""), placedObject(slow, "True", apply.Unknown, "")), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := placed(tc.cluster)
			p.Resources = []v1beta1.ResourceIdentifier{denied, slow, broken, fine}
			p = p.WithConditions(Placement{}, noon)
			var got []string
			for _, f := range p.Status(nil, noon.Add(time.Hour)).PlacementStatuses[0].FailedPlacements {
				got = append(got, fmt.Sprintf("%s %s %s: %s", f.Name, f.Condition.Type, f.Condition.Reason, f.Condition.Message))
				if f.Condition.Status != metav1.ConditionFalse || f.Condition.ObservedGeneration != 3 || f.Version != "v1" || f.Kind != "Deployment" {
					t.Errorf("%+v: want an identified object, False and generation 3", f)
				}
				if of := meta.FindStatusCondition(p.Clusters[0].Conditions, f.Condition.Type); of != nil && of.Status == metav1.ConditionFalse &&
					!f.Condition.LastTransitionTime.Time.Equal(noon) {
					t.Errorf("%s failed at %v, want when the cluster did", f.Name, f.Condition.LastTransitionTime)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func having(c PlacementOnCluster, objects ...PlacedObject) PlacementOnCluster {
	c.Objects = objects
	return c
}

func TestFailedPlacementsAreBounded(t *testing.T) {
	c := on("a", "True", "False", "")
	for i := range 150 {
		id := webID
		id.Name = fmt.Sprint("web-", i)
		o := placedObject(id, "True", apply.InProgress, "")
		if i == 149 {
			o.Error = strings.Repeat("long ", 1000)
		}
		c.Objects = append(c.Objects, o)
	}
	failed := placed(c).Status(nil, noon).PlacementStatuses[0].FailedPlacements
	if len(failed) != 100 || failed[0].Name != "web-149" {
		t.Fatalf("%d failed placements, first %s; want 100, the one that could not be applied first", len(failed), failed[0].Name)
	}
	if n := len([]rune(failed[0].Condition.Message)); n > longestOfObject {
		t.Errorf("its message has %d characters", n)
	}
}

// TestEnvelopes names what came in an envelope with it.
func TestEnvelopes(t *testing.T) {
	p := placed(having(on("a", "False", "Unknown", ""), placedObject(hookID, "False", apply.NotFound, "denied")))
	p.Resources = []v1beta1.ResourceIdentifier{webID, hookID}
	failed := p.Status(nil, noon).PlacementStatuses[0].FailedPlacements
	if len(failed) != 1 || !cmp.Equal(failed[0].ResourceIdentifier, hookID) {
		t.Errorf("failed is %+v, want %+v", failed, hookID)
	}
}

func TestAppliedReason(t *testing.T) {
	gvr := schema.GroupVersionResource{Resource: "widgets"}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("denied"), "ManifestApplyFailed"},
		{&apply.RefusedError{Err: errors.New("denied")}, "ManifestApplyFailed"},
		{&apply.RefusedError{Err: &meta.NoKindMatchError{}}, "DecodingErred"},
		{fmt.Errorf("patch: %w", &meta.NoResourceMatchError{PartialResource: gvr}), "DecodingErred"},
	} {
		if got := AppliedReason(tc.err); got != tc.want {
			t.Errorf("AppliedReason(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestDriftedPlacements(t *testing.T) {
	web, other := refOf(webID), api.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "other"}
	drift := func(placement, cluster string, ref api.Ref, at time.Time, fields ...string) Drift {
		d := Drift{Drift: apply.Drift{Ref: ref, Time: at, What: "fields were changed"}, Placement: placement, Cluster: cluster}
		for _, f := range fields {
			d.Fields = append(d.Fields, apply.DriftedField{Path: f})
		}
		return d
	}
	again := drift("shop/web", "a", web, noon, ".spec.replicas", `.spec.template.spec.containers[name="web"].image`)
	again.First = noon.Add(-24 * time.Hour)
	all := []Drift{again,
		drift("shop/web", "a", other, noon.Add(-time.Minute)),
		drift("shop/web", "a", api.Ref{Kind: "ConfigMap", Name: "old"}, noon.Add(-time.Hour)),
		drift("shop/web", "b", web, noon), drift("web", "a", web, noon)}
	p := placed(having(on("a", "True", "True", ""), placedObject(webID, "True", apply.Current, "")))
	p.Namespace, p.Resources = "shop", []v1beta1.ResourceIdentifier{webID}
	want := []v1beta1.DriftedResourcePlacement{
		{ResourceIdentifier: webID, ObservationTime: metav1.NewTime(noon), FirstDriftedObservedTime: metav1.NewTime(noon.Add(-24 * time.Hour)),
			ObservedDrifts: []v1beta1.PatchDetail{{Path: "/spec/replicas"}, {Path: `/spec/template/spec/containers/[name="web"]/image`}}},
		{ResourceIdentifier: v1beta1.ResourceIdentifier{Kind: "ConfigMap", Namespace: "shop", Name: "other"},
			ObservationTime: metav1.NewTime(noon.Add(-time.Minute)), FirstDriftedObservedTime: metav1.NewTime(noon.Add(-time.Minute)),
			ObservedDrifts: []v1beta1.PatchDetail{{Path: "/"}}},
	}
	if diff := cmp.Diff(want, p.Status(all, noon).PlacementStatuses[0].DriftedPlacements); diff != "" {
		t.Errorf("of this placement, on this cluster, within the hour (-want +got):\n%s", diff)
	}
	for i := range 120 {
		all = append(all, drift("shop/web", "a", api.Ref{Kind: "ConfigMap", Name: fmt.Sprint(i)}, noon, slices.Repeat([]string{".data.x"}, 120)...))
	}
	got := p.Status(all, noon).PlacementStatuses[0].DriftedPlacements
	if len(got) != 100 || len(got[99].ObservedDrifts) != 100 {
		t.Errorf("%d drifted placements, the last with %d fields; upstream allows 100 of 100", len(got), len(got[99].ObservedDrifts))
	}
}

func TestPointer(t *testing.T) {
	for path, want := range map[string]string{
		"":                             "",
		".spec.replicas":               "/spec/replicas",
		".spec.ports[port=80].name":    "/spec/ports/[port=80]/name",
		".spec.args[0]":                "/spec/args/[0]",
		".metadata.labels.app":         "/metadata/labels/app",
		".metadata.labels.a.b/c[~]":    "/metadata/labels/a.b~1c[~0]",
		`.data.tls.crt`:                "/data/tls.crt",
		".spec.selector.matchLabels.a": "/spec/selector/matchLabels/a",
		`.list[name="a]\"].b"].image`:  `/list/[name="a]\"].b"]/image`,
		".list[name=":                  "/list/[name=",
	} {
		if got := pointer(path); got != want {
			t.Errorf("pointer(%s) = %s, want %s", path, got, want)
		}
	}
}
