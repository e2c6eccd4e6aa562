package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// on is one selected cluster and what is known of it.
func on(cluster, applied, healthy, message string) PlacementOnCluster {
	return PlacementOnCluster{Cluster: cluster, Applied: applied, Healthy: healthy, Message: message}
}

// placed is a scheduled placement of generation 3 on the given clusters.
func placed(clusters ...PlacementOnCluster) Placement {
	p := Placement{Name: "web", Generation: 3, Clusters: clusters}
	p.Decision.Scheduled = placement.Scheduled{Status: "True", Reason: placement.Fulfilled, Message: "as wished"}
	for _, c := range clusters {
		p.Decision.Verdicts = append(p.Decision.Verdicts, placement.Verdict{Cluster: c.Cluster, Selected: true, Reason: "it matches"})
	}
	p.Decision.Verdicts = append(p.Decision.Verdicts, placement.Verdict{Cluster: "unselected", Reason: "it does not match"})
	return p
}

func applying(c PlacementOnCluster) PlacementOnCluster {
	c.Applying = true
	return c
}

var export = api.Ref{Group: "networking.fleet.azure.com", Kind: "ServiceExport", Namespace: "web", Name: "shop"}

// bearing is c with objects that are healthy, as far as anybody can tell.
func bearing(c PlacementOnCluster, refs ...api.Ref) PlacementOnCluster {
	for _, ref := range refs {
		c.Objects = append(c.Objects, PlacedObject{Ref: ref, Applied: "True", Health: apply.Health{Status: apply.Current}})
	}
	return c
}

// brief prints conditions as "Type Status Reason: message", without the placement prefix.
func brief(conditions []metav1.Condition) []string {
	var lines []string
	for _, c := range conditions {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", strings.TrimPrefix(strings.TrimPrefix(c.Type, "Cluster"), "ResourcePlacement"), c.Status, c.Reason, c.Message))
	}
	return lines
}

func TestConditions(t *testing.T) {
	start := []string{"Scheduled True SchedulingPolicyFulfilled: as wished"}
	upTo := func(n int, lines ...string) []string {
		of := fmt.Sprintf("on %d of %d clusters", n, n)
		return slices.Concat(start, []string{"RolloutStarted True RolloutStarted: " + of, "Overridden True NoOverrideSpecified: " + of,
			"WorkSynchronized True WorkSynchronized: " + of}, lines)
	}
	unfilled := placed(on("a", "True", "True", ""))
	unfilled.Decision.Scheduled = placement.Scheduled{Status: "False", Reason: placement.Unfulfilled, Message: "no cluster is named b"}
	silent := placed(on("a", "True", "True", ""))
	silent.Clusters = nil
	tests := map[string]struct {
		reason    string
		placement Placement
		want      []string
	}{
		"AllWell": {
			reason:    "a placement that is in place shows the whole chain",
			placement: placed(on("a", "True", "True", ""), on("b", "True", "True", "")),
			want:      upTo(2, "Applied True ApplySucceeded: on 2 of 2 clusters", "Available True ResourceAvailable: on 2 of 2 clusters"),
		},
		"NotHealthy": {
			reason:    "an unhealthy cluster is named with its message",
			placement: placed(on("a", "True", "True", ""), on("b", "True", "False", "Deployment x is not ready")),
			want: upTo(2, "Applied True ApplySucceeded: on 2 of 2 clusters",
				"Available False ResourceNotAvailableYet: on 1 of 2 clusters; b: False, Deployment x is not ready"),
		},
		"ChainStops": {
			reason:    "nothing is said of health while applying failed",
			placement: placed(on("a", "False", "True", "denied")),
			want:      upTo(1, "Applied False ApplyFailed: on 0 of 1 clusters; a: False, denied"),
		},
		"UnknownWins": {
			reason:    "one unknown cluster makes the whole unknown, though another failed",
			placement: placed(on("a", "False", "", "denied"), on("b", "Unknown", "", "unreachable"), on("c", "False", "", "denied")),
			want:      upTo(3, "Applied Unknown ApplyPending: on 0 of 3 clusters; a: False, denied; b: Unknown, unreachable; c: False, denied"),
		},
		"UnknownFirst": {
			reason:    "nor does the order of clusters matter",
			placement: placed(on("a", "Unknown", "", ""), on("b", "False", "", "")),
			want:      upTo(2, "Applied Unknown ApplyPending: on 0 of 2 clusters; a: Unknown; b: False"),
		},
		"HealthUnknown": {
			reason:    "a member that was lost after applying is unknown, not unhealthy",
			placement: placed(on("a", "True", "Unknown", "unreachable")),
			want: upTo(1, "Applied True ApplySucceeded: on 1 of 1 clusters",
				"Available Unknown ResourceAvailableUnknown: on 0 of 1 clusters; a: Unknown, unreachable"),
		},
		"Silent": {
			reason:    "a selected cluster without a result is unknown",
			placement: silent,
			want:      upTo(1, "Applied Unknown ApplyPending: on 0 of 1 clusters; a: Unknown, nothing is known of it yet"),
		},
		"Many": {
			reason: "a large fleet is counted, not listed",
			placement: placed(on("a", "False", "", ""), on("b", "False", "", ""), on("c", "False", "", ""), on("d", "False", "", ""),
				on("e", "False", "", "")),
			want: upTo(5, "Applied False ApplyFailed: on 0 of 5 clusters; a: False; b: False; c: False; and 2 more"),
		},
		"InProgress": {
			reason:    "work under way is not applied, and no failure of the whole's either",
			placement: placed(on("a", "True", "True", ""), applying(on("b", "Unknown", "Unknown", "being applied"))),
			want:      upTo(2, "Applied False ApplyFailed: on 1 of 2 clusters; b: False, being applied"),
		},
		"InProgressAndUnknown": {
			reason:    "one that nothing is known of outweighs one under way",
			placement: placed(on("a", "Unknown", "Unknown", "unreachable"), applying(on("b", "Unknown", "Unknown", "being applied"))),
			want:      upTo(2, "Applied Unknown ApplyPending: on 0 of 2 clusters; a: Unknown, unreachable; b: False, being applied"),
		},
		"AvailableUnknownWins": {
			reason:    "Unknown wins at every stage",
			placement: placed(on("a", "True", "False", "crash loop"), on("b", "True", "Unknown", "unreachable")),
			want: upTo(2, "Applied True ApplySucceeded: on 2 of 2 clusters",
				"Available Unknown ResourceAvailableUnknown: on 0 of 2 clusters; a: False, crash loop; b: Unknown, unreachable"),
		},
		"NotTrackable": {
			reason:    "what nobody can see is available for the placement as a whole",
			placement: placed(bearing(on("a", "True", "True", ""), export)),
			want:      upTo(1, "Applied True ApplySucceeded: on 1 of 1 clusters", "Available True ResourceAvailable: on 1 of 1 clusters"),
		},
		"NoCluster": {
			reason:    "without clusters there is only Scheduled, which may well be True",
			placement: placed(),
			want:      start,
		},
		"Unfilled": {
			reason:    "an unfilled slot does not spoil what is placed",
			placement: unfilled,
			want: slices.Concat([]string{"Scheduled False SchedulingPolicyUnfulfilled: no cluster is named b"},
				upTo(1, "Applied True ApplySucceeded: on 1 of 1 clusters", "Available True ResourceAvailable: on 1 of 1 clusters")[1:]),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Conditions(tc.placement, nil, noon)
			if diff := cmp.Diff(tc.want, brief(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			for _, c := range got {
				if !strings.HasPrefix(c.Type, "ClusterResourcePlacement") || c.ObservedGeneration != 3 || !c.LastTransitionTime.Time.Equal(noon) {
					t.Errorf("condition %+v: want the prefix ClusterResourcePlacement, generation 3 and the time of the call", c)
				}
			}
		})
	}
}

// TestConditionTypes checks the prefix by the placement's kind.
func TestConditionTypes(t *testing.T) {
	for namespace, prefix := range map[string]string{"": "ClusterResourcePlacement", "shop": "ResourcePlacement"} {
		p := placed(on("a", "True", "True", ""))
		p.Namespace = namespace
		var got []string
		for _, c := range Conditions(p, nil, noon) {
			got = append(got, c.Type)
		}
		var want []string
		for _, kind := range []string{"Scheduled", "RolloutStarted", "Overridden", "WorkSynchronized", "Applied", "Available"} {
			want = append(want, prefix+kind)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("types of a placement in namespace %q (-want +got):\n%s", namespace, diff)
		}
	}
}

// TestConditionsDropWhatNoLongerHolds takes a placement back to earlier stages: what it passed is not remembered.
func TestConditionsDropWhatNoLongerHolds(t *testing.T) {
	before := Conditions(placed(on("a", "True", "True", "")), nil, noon)
	for name, tc := range map[string]struct {
		placement Placement
		want      []string
	}{
		"NoCluster": {placed(), []string{"Scheduled"}},
		"Failed":    {placed(on("a", "False", "True", "")), []string{"Scheduled", "RolloutStarted", "Overridden", "WorkSynchronized", "Applied"}},
	} {
		var got []string
		for _, c := range Conditions(tc.placement, before, noon) {
			got = append(got, strings.TrimPrefix(c.Type, "ClusterResourcePlacement"))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: types (-want +got):\n%s", name, diff)
		}
	}
}

func TestWithConditions(t *testing.T) {
	first := placed(on("a", "True", "True", ""), on("b", "True", "False", "")).WithConditions(Placement{}, noon)
	next := placed(on("b", "True", "True", ""), on("a", "True", "True", ""))
	second := next.WithConditions(first, noon.Add(time.Hour))
	if next.Clusters[0].Conditions != nil {
		t.Error("the clusters of the argument are modified")
	}
	for _, c := range second.Clusters {
		available := c.Conditions[len(c.Conditions)-1]
		want := map[string]time.Time{"a": noon, "b": noon.Add(time.Hour)}[c.Cluster]
		if available.Type != "Available" || !available.LastTransitionTime.Time.Equal(want) {
			t.Errorf("on %s: %+v, want Available since %v", c.Cluster, available, want)
		}
	}
	if whole := second.condition("Available"); whole == nil || !whole.LastTransitionTime.Time.Equal(noon.Add(time.Hour)) {
		t.Errorf("Available of the whole is %+v, want it to have changed an hour after noon", whole)
	}
}

func TestConditionsKeepTheChainOfAnUndecidedPlacement(t *testing.T) {
	before := Conditions(placed(on("a", "True", "True", "")), nil, noon)
	invalid := placed(on("a", "True", "True", ""))
	invalid.Err = "the namespace is reserved"
	waiting := placed()
	waiting.Decision.Scheduled = placement.Scheduled{Status: "Unknown", Message: "two members have not shown what they hold"}
	tests := map[string]struct {
		placement Placement
		want      string
	}{
		"Invalid":   {invalid, "Scheduled False InvalidResourceSelectors: the namespace is reserved"},
		"Undecided": {Placement{Name: "web", Generation: 3}, "Scheduled Unknown SchedulePending: no decision yet"},
		"Waiting":   {waiting, "Scheduled Unknown SchedulePending: two members have not shown what they hold"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Conditions(tc.placement, before, noon.Add(time.Hour))
			if brief(got)[0] != tc.want {
				t.Errorf("Scheduled is %q, want %q", brief(got)[0], tc.want)
			}
			if diff := cmp.Diff(before[1:], got[1:]); diff != "" {
				t.Errorf("the chain of before did not stay (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConditionsRememberTransitions(t *testing.T) {
	healthy, sick := placed(on("a", "True", "True", "")), placed(on("a", "True", "False", "crash loop"))
	later := noon.Add(90*time.Minute + 300*time.Millisecond)
	first := Conditions(healthy, nil, noon)
	first[0].Message = "an older message" // does not count as a transition

	second := Conditions(sick, first, later)
	third := Conditions(sick, second, later.Add(time.Hour))
	for i, c := range second {
		want := noon
		if c.Type == "ClusterResourcePlacementAvailable" {
			want = later.Truncate(time.Second)
		}
		if !c.LastTransitionTime.Time.Equal(want) {
			t.Errorf("%s changed at %v, want %v", c.Type, c.LastTransitionTime, want)
		}
		if !third[i].LastTransitionTime.Equal(&c.LastTransitionTime) {
			t.Errorf("%s changed again at %v although its status did not", c.Type, third[i].LastTransitionTime)
		}
	}
	if second[0].Message != "as wished" {
		t.Errorf("message is %q, want that of now", second[0].Message)
	}
	sick.Clusters[0].Message = strings.Repeat("long ", 10000)
	if n := len(Conditions(sick, nil, noon)[5].Message); n > 32768 {
		t.Errorf("message has %d characters, the API allows 32768", n)
	}
}

func TestClusterConditions(t *testing.T) {
	chain := func(lines ...string) []string {
		return append([]string{"Scheduled True Scheduled: it matches", "RolloutStarted True RolloutStarted: ",
			"Overridden True NoOverrideSpecified: ", "WorkSynchronized True AllWorkSynced: "}, lines...)
	}
	tests := map[string]struct {
		reason  string
		cluster PlacementOnCluster
		want    []string
	}{
		"AllWell": {"the whole chain", on("a", "True", "True", ""),
			chain("Applied True AllWorkHaveBeenApplied: ", "Available True AllWorkAreAvailable: ")},
		"NotApplied": {"the chain stops at the first that is not True", on("a", "False", "False", "denied"),
			chain("Applied False NotAllWorkHaveBeenApplied: denied")},
		"InProgress": {"work under way has not failed", applying(on("a", "Unknown", "Unknown", "being applied")),
			chain("Applied False ApplyInProgress: being applied")},
		"FailedInProgress": {"what failed has failed, though it is being tried again", applying(on("a", "False", "Unknown", "denied")),
			chain("Applied False NotAllWorkHaveBeenApplied: denied")},
		"NotTrackable": {"nothing shows whether a ServiceExport is available", bearing(on("a", "True", "True", ""), export),
			chain("Applied True AllWorkHaveBeenApplied: ",
				"Available True NotAllWorkAreAvailabilityTrackable: ServiceExport.networking.fleet.azure.com web/shop is taken for available, since nothing tells")},
		"NotTrackableNorHealthy": {"what is not available outweighs what cannot be seen", bearing(on("a", "True", "False", "crash loop"), export),
			chain("Applied True AllWorkHaveBeenApplied: ", "Available False NotAllWorkAreAvailable: crash loop")},
		"Unreachable": {"silence is Unknown", on("a", "", "", "unreachable"), chain("Applied Unknown ApplyPending: unreachable")},
		"Sick": {"health comes after applying", on("a", "True", "False", "crash loop"),
			chain("Applied True AllWorkHaveBeenApplied: ", "Available False NotAllWorkAreAvailable: crash loop")},
		"Lost": {"health may be unknown", on("a", "True", "Unknown", ""),
			chain("Applied True AllWorkHaveBeenApplied: ", "Available Unknown ResourceAvailableUnknown: ")},
		"Unfilled": {"a slot without a cluster could not be scheduled", on("", "", "", ""), []string{"Scheduled False ScheduleFailed: as wished"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := placed(on("a", "", "", ""))
			got := ClusterConditions(p, tc.cluster, nil, noon)
			if diff := cmp.Diff(tc.want, brief(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			again := ClusterConditions(p, tc.cluster, got, noon.Add(time.Hour))
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("unchanged conditions got another time (-first +second):\n%s", diff)
			}
		})
	}
}
