package placement

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fleet is two clusters in the east, of which one has a GPU, and one in the west.
func fleet() []Candidate {
	return []Candidate{
		{Name: "east-1", Labels: map[string]string{"region": "east", "gpu": ""}},
		{Name: "east-2", Labels: map[string]string{"region": "east", "tier": "edge"}},
		{Name: "west-1", Labels: map[string]string{"region": "west"}},
	}
}

func placementWith(policy *v1beta1.PlacementPolicy) Placement {
	return Placement{Name: "shop", Policy: policy}
}

func fixed(names ...string) *v1beta1.PlacementPolicy {
	return &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickFixed, ClusterNames: names}
}

// requires returns a PickAll policy with one term for each selector.
func requires(selectors ...*metav1.LabelSelector) *v1beta1.PlacementPolicy {
	required := &v1beta1.ClusterSelector{}
	for _, s := range selectors {
		required.ClusterSelectorTerms = append(required.ClusterSelectorTerms, v1beta1.ClusterSelectorTerm{LabelSelector: s})
	}
	return &v1beta1.PlacementPolicy{Affinity: &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{Required: required}}}
}

func labelled(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func where(key string, op metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}

// verdicts prints a decision as lines "+ cluster: reason" and "- cluster: reason".
func verdicts(d Decision) []string {
	var lines []string
	for _, v := range d.Verdicts {
		mark := "- "
		if v.Selected {
			mark = "+ "
		}
		lines = append(lines, mark+v.Cluster+": "+v.Reason)
	}
	return lines
}

func TestDecideVerdicts(t *testing.T) {
	const everyone = "the policy requires nothing, so every cluster matches"
	tests := map[string]struct {
		reason string
		policy *v1beta1.PlacementPolicy
		want   []string
	}{
		"NoPolicy": {
			reason: "an absent policy is PickAll over everything",
			want:   []string{"+ east-1: " + everyone, "+ east-2: " + everyone, "+ west-1: " + everyone},
		},
		"EmptyPolicy": {
			reason: "an empty policy is PickAll over everything",
			policy: &v1beta1.PlacementPolicy{},
			want:   []string{"+ east-1: " + everyone, "+ east-2: " + everyone, "+ west-1: " + everyone},
		},
		"NoTerms": {
			reason: "a requirement without terms is met by every cluster",
			policy: requires(),
			want:   []string{"+ east-1: " + everyone, "+ east-2: " + everyone, "+ west-1: " + everyone},
		},
		"AbsentSelector": {
			reason: "a term without a label selector is met by every cluster, although a nil selector elsewhere in Kubernetes matches nothing",
			policy: requires(nil),
			want: []string{"+ east-1: term 1 is empty, so every cluster matches", "+ east-2: term 1 is empty, so every cluster matches",
				"+ west-1: term 1 is empty, so every cluster matches"},
		},
		"MatchLabels": {
			reason: "a cluster with another value is told both values",
			policy: requires(labelled("region", "east")),
			want: []string{"+ east-1: matches term 1: label region is east", "+ east-2: matches term 1: label region is east",
				"- west-1: label region is west, term 1 wants east"},
		},
		"TermsAreORed": {
			reason: "any term suffices, and a rejected cluster is told of every term",
			policy: requires(labelled("tier", "edge"), labelled("region", "west")),
			want: []string{"+ east-2: matches term 1: label tier is edge", "+ west-1: matches term 2: label region is west",
				"- east-1: label tier is not set, term 1 wants edge; label region is east, term 2 wants west"},
		},
		"RequirementsAreANDed": {
			reason: "every failing requirement of a term is named, not only the first",
			policy: requires(&metav1.LabelSelector{
				MatchLabels:      map[string]string{"region": "east"},
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "gpu", Operator: metav1.LabelSelectorOpExists}},
			}),
			want: []string{"+ east-1: matches term 1: label gpu is empty, label region is east",
				"- east-2: label gpu is not set, term 1 wants it set",
				"- west-1: label gpu is not set, term 1 wants it set; label region is west, term 1 wants east"},
		},
		"In": {
			reason: "several wanted values are listed in order",
			policy: requires(where("region", metav1.LabelSelectorOpIn, "south", "north")),
			want: []string{"- east-1: label region is east, term 1 wants one of north, south",
				"- east-2: label region is east, term 1 wants one of north, south",
				"- west-1: label region is west, term 1 wants one of north, south"},
		},
		"NotIn": {
			reason: "a cluster without the label meets NotIn",
			policy: requires(where("tier", metav1.LabelSelectorOpNotIn, "edge")),
			want: []string{"+ east-1: matches term 1: label tier is not set", "+ west-1: matches term 1: label tier is not set",
				"- east-2: label tier is edge, term 1 excludes edge"},
		},
		"DoesNotExist": {
			reason: "a label that is set, even to nothing, exists",
			policy: requires(where("gpu", metav1.LabelSelectorOpDoesNotExist)),
			want: []string{"+ east-2: matches term 1: label gpu is not set", "+ west-1: matches term 1: label gpu is not set",
				"- east-1: label gpu is empty, term 1 wants it absent"},
		},
		"Fixed": {
			reason: "the names alone decide, in any order and however often they are given",
			policy: fixed("west-1", "east-1", "west-1"),
			want: []string{"+ east-1: named in spec.policy.clusterNames", "+ west-1: named in spec.policy.clusterNames",
				"- east-2: not named in spec.policy.clusterNames"},
		},
		"FixedUnknown": {
			reason: "a name that nobody bears gets a verdict with the remedy",
			policy: fixed("east-1", "mars"),
			want: []string{"+ east-1: named in spec.policy.clusterNames", "- east-2: not named in spec.policy.clusterNames",
				"- mars: named in spec.policy.clusterNames, but no MemberCluster has this name: register it or drop the name",
				"- west-1: not named in spec.policy.clusterNames"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := verdicts(Decide(placementWith(tc.policy), Assignment{}, fleet(), noon))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDecideScheduled(t *testing.T) {
	fulfilled := func(message string) Scheduled { return Scheduled{Status: "True", Reason: Fulfilled, Message: message} }
	tests := map[string]struct {
		reason   string
		policy   *v1beta1.PlacementPolicy
		want     Scheduled
		unfilled int
	}{
		"All":      {reason: "PickAll counts", want: fulfilled("PickAll: 3 of 3 registered clusters selected")},
		"AllFixed": {reason: "PickFixed counts names once", policy: fixed("east-1", "east-1"), want: fulfilled("PickFixed: all 1 named clusters selected")},
		"Nothing": {
			reason: "upstream calls a PickAll that matches nothing fulfilled",
			policy: requires(labelled("region", "south")),
			want:   fulfilled("PickAll: 0 of 3 registered clusters selected"),
		},
		"Unknown": {
			reason:   "each unregistered name is one unfilled slot",
			policy:   fixed("venus", "east-1", "mars"),
			unfilled: 2,
			want: Scheduled{Status: "False", Reason: Unfulfilled, Message: "PickFixed: 1 of 3 named clusters selected; " +
				"no MemberCluster is named mars, venus: register it or drop the name"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Decide(placementWith(tc.policy), Assignment{}, fleet(), noon)
			if diff := cmp.Diff(tc.want, d.Scheduled); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if d.Unfilled != tc.unfilled {
				t.Errorf("%s: Unfilled is %d, want %d", tc.reason, d.Unfilled, tc.unfilled)
			}
			if d.Name != "shop" || !d.At.Equal(noon) {
				t.Errorf("decision is of %q at %v, want of \"shop\" at %v", d.Name, d.At, noon)
			}
		})
	}
}

func TestDecideIsSticky(t *testing.T) {
	east := requires(labelled("region", "east"))
	moved := fleet()
	moved[0].Labels = map[string]string{"region": "west"}
	held := Assignment{Clusters: []string{"east-1", "east-2"}, PolicyDigest: PolicyDigest(east)}
	tests := map[string]struct {
		reason     string
		policy     *v1beta1.PlacementPolicy
		before     Assignment
		candidates []Candidate
		want       []string
	}{
		"SamePolicy":    {"a label change does not unplace", east, held, moved, []string{"east-1", "east-2"}},
		"NeverPlaced":   {"without a history the labels decide", east, Assignment{}, moved, []string{"east-2"}},
		"PolicyChanged": {"another policy decides everything anew", requires(labelled("region", "east"), labelled("x", "y")), held, moved, []string{"east-2"}},
		"SameMeaning": {"the same policy in other words is the same policy", requires(where("region", metav1.LabelSelectorOpIn, "east")), held, moved,
			[]string{"east-1", "east-2"}},
		"NoDigest":       {"an assignment of unknown policy is not held on to", east, Assignment{Clusters: []string{"east-1"}}, moved, []string{"east-2"}},
		"Joined":         {"PickAll takes in clusters that match now", east, Assignment{Clusters: []string{"east-1"}, PolicyDigest: held.PolicyDigest}, moved, []string{"east-1", "east-2"}},
		"Unregistered":   {"a removed member leaves the assignment", east, held, moved[1:], []string{"east-2"}},
		"FixedForgets":   {"PickFixed goes by the names alone", fixed("west-1"), Assignment{Clusters: []string{"east-1"}, PolicyDigest: PolicyDigest(fixed("west-1"))}, moved, []string{"west-1"}},
		"NobodyLeft":     {"no candidates, no clusters", east, held, nil, nil},
		"UnheldNoMatch":  {"an assignment keeps only what it names", east, Assignment{Clusters: []string{"east-2"}, PolicyDigest: held.PolicyDigest}, moved, []string{"east-2"}},
		"HeldAndMatches": {"a held cluster that still matches is simply selected", east, held, fleet(), []string{"east-1", "east-2"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Decide(placementWith(tc.policy), tc.before, tc.candidates, noon)
			want := Assignment{Clusters: tc.want, PolicyDigest: PolicyDigest(tc.policy)}
			if diff := cmp.Diff(want, got.Assignment); diff != "" {
				t.Errorf("%s (-want +got):\n%s\nverdicts:\n%s", tc.reason, diff, strings.Join(verdicts(got), "\n"))
			}
		})
	}
}

// TestDecideHoldsWhatItCannotDecide: none of these may be read as "nowhere".
func TestDecideHoldsWhatItCannotDecide(t *testing.T) {
	badOperator := requires(labelled("region", "east"), where("region", "Near", "east"))
	tests := map[string]struct {
		policy *v1beta1.PlacementPolicy
		want   string // part of the message
	}{
		"PickNWithoutNumber": {&v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN}, "spec.policy.numberOfClusters is missing"},
		"UnknownType":        {&v1beta1.PlacementPolicy{PlacementType: "Roundabout"}, `"Roundabout" is not supported`},
		"FixedWithoutNames":  {fixed(), "spec.policy.clusterNames is empty"},
		"UnknownOperator":    {badOperator, "clusterSelectorTerms[1].labelSelector: "},
		"InWithoutValues":    {requires(where("region", metav1.LabelSelectorOpIn)), "clusterSelectorTerms[0].labelSelector: "},
		"BadKey":             {requires(labelled("not a key", "x")), "clusterSelectorTerms[0].labelSelector: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := Assignment{Clusters: []string{"gone", "west-1"}, PolicyDigest: "of an earlier policy"}
			d := Decide(placementWith(tc.policy), before, fleet(), noon)
			if want := (Assignment{Clusters: []string{"west-1"}, PolicyDigest: before.PolicyDigest}); !cmp.Equal(want, d.Assignment) {
				t.Errorf("assignment is %+v, want %+v", d.Assignment, want)
			}
			if d.Scheduled.Status != "False" || d.Scheduled.Reason != Unfulfilled || !strings.Contains(d.Scheduled.Message, tc.want) {
				t.Errorf("Scheduled is %+v, want False with a message that holds %q", d.Scheduled, tc.want)
			}
			want := []string{"+ west-1: kept, since the policy cannot be decided", "- east-1: not considered, since the policy cannot be decided",
				"- east-2: not considered, since the policy cannot be decided"}
			if diff := cmp.Diff(want, verdicts(d)); diff != "" {
				t.Errorf("the reason stands in Scheduled, and is not told again for every cluster (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideDoesNotChangeItsInput(t *testing.T) {
	candidates := fleet()
	slices.Reverse(candidates)
	before := Assignment{Clusters: []string{"west-1", "east-1"}, PolicyDigest: "x"}
	policy := fixed("west-1", "east-2")
	Decide(placementWith(policy), before, candidates, noon)
	if candidates[0].Name != "west-1" || before.Clusters[0] != "west-1" || policy.ClusterNames[0] != "west-1" {
		t.Errorf("Decide sorted its arguments in place: %v, %v, %v", candidates, before, policy.ClusterNames)
	}
}

func shuffled[T any](random *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
