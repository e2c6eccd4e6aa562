package placement

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// TestGracePeriod: with UnplaceAfter, who fails the required terms for that long loses the placement.
func TestGracePeriod(t *testing.T) {
	const hour = time.Hour
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	term := v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "e")}
	byLabel := pickAll(requiring(term))
	byProperty := pickAll(requiring(comparing("p Gt 1")))
	tests := map[string]struct {
		reason    string
		policy    *v1beta1.PlacementPolicy
		unmatched map[string]time.Time
		members   []Candidate
		clusters  string
		want      map[string]time.Time // Unmatched
		wake      time.Time
		says      string // part of the verdict on a
	}{
		"Begins": {
			reason: "the period begins when the failure is first seen",
			policy: byLabel, members: members("a r=w"), clusters: "a", want: map[string]time.Time{"a": noon}, wake: noon.Add(hour),
			says: "kept until 2026-03-01T13:00:00Z, unless it matches again before (now label r is w, term 1 wants e)",
		},
		"GoesOn": {
			reason: "a minute before its end the cluster keeps the placement",
			policy: byLabel, unmatched: map[string]time.Time{"a": at(-59)}, members: members("a r=w"), clusters: "a",
			want: map[string]time.Time{"a": at(-59)}, wake: at(1), says: "kept until 2026-03-01T12:01:00Z",
		},
		"Ends": {
			reason: "at its end the cluster loses it, and is forgotten",
			policy: byLabel, unmatched: map[string]time.Time{"a": at(-60)}, members: members("a r=w"), clusters: "",
			says: "lost it: label r is w, term 1 wants e; so since 2026-03-01T11:00:00Z, which is the grace period of 1h0m0s",
		},
		"MatchesAgain": {
			reason: "who matches again is forgotten",
			policy: byLabel, unmatched: map[string]time.Time{"a": at(-59)}, members: members("a r=e"), clusters: "a",
		},
		"ClockSetBack": {
			reason: "a beginning in the future is none",
			policy: byLabel, unmatched: map[string]time.Time{"a": at(30)}, members: members("a r=w"), clusters: "a",
			want: map[string]time.Time{"a": noon}, wake: noon.Add(hour),
		},
		"Unregistered": {
			reason: "who is no member any more is forgotten",
			policy: byLabel, unmatched: map[string]time.Time{"gone": at(-5)}, members: members("a r=e"), clusters: "a",
		},
		"EarliestWakes": {
			reason: "the first to leave is waited for",
			policy: byLabel, unmatched: map[string]time.Time{"b": at(-50), "c": at(-40)}, members: members("a r=w", "b r=w", "c r=w"), clusters: "a b c",
			want: map[string]time.Time{"a": noon, "b": at(-50), "c": at(-40)}, wake: at(10),
		},
		"Property": {
			reason: "properties count as labels do",
			policy: byProperty, unmatched: map[string]time.Time{"a": at(-60)}, members: members("a p:1"), clusters: "", says: "lost it: property p is 1",
		},
		"PropertyNotReported": {
			reason: "nor does one that reports, but not this property: perhaps nobody may read it now",
			policy: byProperty, unmatched: map[string]time.Time{"a": at(-60)}, members: members("a q:1"), clusters: "a",
			want: map[string]time.Time{"a": at(-60)}, says: "kept: chosen earlier",
		},
		"NothingReported": {
			reason: "a cluster that reports nothing does not fail for sure: neither does the period begin",
			policy: byProperty, members: members("a"), clusters: "a", says: "kept: chosen earlier",
		},
		"OutOfTouch": {
			reason: "nor does one whose report is old lose it, but what was seen before is remembered",
			policy: byProperty, unmatched: map[string]time.Time{"a": at(-90)}, members: members("a p:1 !down"), clusters: "a",
			want: map[string]time.Time{"a": at(-90)}, says: "kept: chosen earlier",
		},
		"LabelsAreAlwaysKnown": {
			reason: "labels stand in the registry, whatever the cluster does",
			policy: byLabel, unmatched: map[string]time.Time{"a": at(-60)}, members: members("a r=w !down"), clusters: "", says: "lost it: label r is w, term 1 wants e; down",
		},
		"OneTermUnknown": {
			reason: "a term that may be met saves the placement",
			policy: pickAll(requiring(term, comparing("p Gt 1"))), unmatched: map[string]time.Time{"a": at(-60)}, members: members("a r=w"), clusters: "a",
			want: map[string]time.Time{"a": at(-60)},
		},
		"TaintsDoNotUnplace": {
			reason: "only the required terms count",
			policy: byLabel, unmatched: map[string]time.Time{"a": at(-60)}, members: members("a r=e !down"), clusters: "a",
		},
		"PickNRefills": {
			reason: "PickN gives the place to another",
			policy: pickN(1, requiring(term)), unmatched: map[string]time.Time{"a": at(-60)}, members: members("a r=w", "b r=e"), clusters: "b", says: "lost it: ",
		},
		"PickNKeeps": {
			reason: "but not before the end",
			policy: pickN(1, requiring(term)), unmatched: map[string]time.Time{"a": at(-59)}, members: members("a r=w", "b r=e"), clusters: "a",
			want: map[string]time.Time{"a": at(-59)}, wake: at(1), says: "kept until",
		},
		"PickNGivesUpFirst": {
			reason: "who is given up for a lower number is forgotten",
			policy: pickN(0, requiring(term)), unmatched: map[string]time.Time{"a": at(-59)}, members: members("a r=w"), clusters: "", says: "given up: ",
		},
		"FixedHasNoTerms": {
			reason: "PickFixed requires nothing",
			policy: fixed("a"), unmatched: map[string]time.Time{"a": at(-60)}, members: members("a r=w"), clusters: "a",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := Assignment{PolicyDigest: PolicyDigest(tc.policy), Unmatched: tc.unmatched}
			for _, c := range tc.members {
				if name == "PickNRefills" && c.Name != "a" || name == "PickNKeeps" && c.Name != "a" {
					continue
				}
				before.Clusters = append(before.Clusters, c.Name)
			}
			d := Decide(Placement{Name: "shop", Policy: tc.policy, UnplaceAfter: hour}, before, tc.members, noon)
			if got := strings.Join(d.Assignment.Clusters, " "); got != tc.clusters {
				t.Errorf("%s: %q hold the placement, want %q", tc.reason, got, tc.clusters)
			}
			if diff := cmp.Diff(tc.want, d.Assignment.Unmatched); diff != "" {
				t.Errorf("%s: remembered (-want +got):\n%s", tc.reason, diff)
			}
			if want := tc.wake; !d.Wake.Equal(want) {
				t.Errorf("%s: wakes at %v, want %v", tc.reason, d.Wake, want)
			}
			for _, v := range d.Verdicts {
				if v.Cluster == "a" && !strings.Contains(v.Reason, tc.says) {
					t.Errorf("%s: reason is %q, want it to hold %q", tc.reason, v.Reason, tc.says)
				}
			}
		})
	}
}

// TestNoGracePeriod: without UnplaceAfter nothing is remembered, and nobody ever leaves.
func TestNoGracePeriod(t *testing.T) {
	policy := pickAll(requiring(v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "e")}))
	before := Assignment{Clusters: []string{"a"}, PolicyDigest: PolicyDigest(policy), Unmatched: map[string]time.Time{"a": {}}}
	d := Decide(placementWith(policy), before, members("a r=w"), noon)
	if len(d.Assignment.Clusters) != 1 || d.Assignment.Unmatched != nil || !d.Wake.IsZero() {
		t.Errorf("assignment is %+v, wakes at %v; want a kept, nothing remembered, no wake", d.Assignment, d.Wake)
	}
}
