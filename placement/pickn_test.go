package placement

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// pickN returns a PickN policy, changed by each of with.
func pickN(n int, with ...func(*v1beta1.PlacementPolicy)) *v1beta1.PlacementPolicy {
	p := &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN, NumberOfClusters: number(n)}
	for _, change := range with {
		change(p)
	}
	return p
}

func requiring(terms ...v1beta1.ClusterSelectorTerm) func(*v1beta1.PlacementPolicy) {
	return func(p *v1beta1.PlacementPolicy) {
		affinityOf(p).Required = &v1beta1.ClusterSelector{ClusterSelectorTerms: terms}
	}
}

func preferring(preferred ...v1beta1.PreferredClusterSelector) func(*v1beta1.PlacementPolicy) {
	return func(p *v1beta1.PlacementPolicy) { affinityOf(p).Preferred = preferred }
}

func spreading(constraints ...v1beta1.TopologySpreadConstraint) func(*v1beta1.PlacementPolicy) {
	return func(p *v1beta1.PlacementPolicy) { p.TopologySpreadConstraints = constraints }
}

func tolerating(tolerations ...v1beta1.Toleration) func(*v1beta1.PlacementPolicy) {
	return func(p *v1beta1.PlacementPolicy) { p.Tolerations = tolerations }
}

func affinityOf(p *v1beta1.PlacementPolicy) *v1beta1.ClusterAffinity {
	if p.Affinity == nil {
		p.Affinity = &v1beta1.Affinity{ClusterAffinity: &v1beta1.ClusterAffinity{}}
	}
	return p.Affinity.ClusterAffinity
}

func ascending(property string) *v1beta1.PropertySorter {
	return &v1beta1.PropertySorter{Name: property, SortOrder: "Ascending"}
}

func descending(property string) *v1beta1.PropertySorter {
	return &v1beta1.PropertySorter{Name: property, SortOrder: "Descending"}
}

// member reads a candidate from "name key=value … property:value … !ineligible": short enough for a fleet in a table.
func member(text string) Candidate {
	c := Candidate{Labels: map[string]string{}, Properties: map[string]string{}}
	for i, word := range strings.Fields(text) {
		key, value, isLabel := strings.Cut(word, "=")
		property, reading, isProperty := strings.Cut(word, ":")
		switch {
		case i == 0:
			c.Name = word
		case strings.HasPrefix(word, "!"):
			c.Ineligible = word[1:]
			c.Leaving = word == "!leaving"
		case isLabel:
			c.Labels[key] = value
		case isProperty:
			c.Properties[property] = reading
		}
	}
	return c
}

func members(texts ...string) []Candidate {
	var list []Candidate
	for _, text := range texts {
		list = append(list, member(text))
	}
	return list
}

// ranking prints a decision as "b(10,-1) a | c(5,0) | d": selected, scored but not picked, and filtered clusters, with
// their affinity and topology spread scores where they are not both zero. Who has no score was filtered or scored nothing,
// so the reason tells the two apart.
func ranking(d Decision) string {
	var parts [3][]string
	for _, v := range d.Verdicts {
		text := v.Cluster
		if v.Score != (Score{}) {
			text += fmt.Sprintf("(%d,%d)", v.Affinity, v.TopologySpread)
		}
		part := 2
		switch {
		case v.Selected:
			part = 0
		case strings.HasPrefix(v.Reason, "not picked: ") || strings.HasPrefix(v.Reason, "not needed: ") || strings.HasPrefix(v.Reason, "given up: "):
			part = 1
		}
		parts[part] = append(parts[part], text)
	}
	var words []string
	for _, p := range parts {
		words = append(words, strings.Join(p, " "))
	}
	return strings.TrimSpace(strings.Join(words, " | "))
}

// before returns the assignment by which p holds clusters, given as "a b", those behind a slash by an older policy.
func holding(p *v1beta1.PlacementPolicy, clusters string) Assignment {
	present, older, _ := strings.Cut(clusters, "/")
	return Assignment{Clusters: strings.Fields(present), Obsolete: strings.Fields(older), PolicyDigest: PolicyDigest(p)}
}

func TestPickNRanks(t *testing.T) {
	region := func(maxSkew int32, when string) v1beta1.TopologySpreadConstraint {
		return spreadOver("r", maxSkew, when)
	}
	tests := map[string]struct {
		reason  string
		policy  *v1beta1.PlacementPolicy
		before  string
		members []Candidate
		want    string
	}{
		"GreatestNameWins": {
			reason: "of equal scores the lexicographically greatest name is picked",
			policy: pickN(2), members: members("a", "c", "b", "a10"),
			want: "c b | a10 a |",
		},
		"AffinityBeforeName": {
			reason:  "a higher affinity score outranks a greater name",
			policy:  pickN(1, preferring(prefer(10, labelled("x", "1"), nil))),
			members: members("a x=1", "b"),
			want:    "a(10,0) | b |",
		},
		"SpreadBeforeAffinity": {
			reason: "the topology spread score is compared before the affinity score, whatever their sizes",
			policy: pickN(2, preferring(prefer(100, labelled("x", "1"), nil)), spreading(region(1, "ScheduleAnyway"))), before: "a",
			members: members("a r=1", "b r=1 x=1", "c r=2"),
			want:    "c(0,1) a | b(100,-1000) |",
		},
		"ObsoleteBeforeName": {
			reason: "of equal scores the one that held the placement is picked, before the greater name",
			policy: pickN(1), before: "/a", members: members("a", "b", "c"),
			want: "a | c b |",
		},
		"AffinityBeforeObsolete": {
			reason: "having held the placement only breaks ties",
			policy: pickN(1, preferring(prefer(1, labelled("x", "1"), nil))), before: "/a", members: members("a", "b x=1"),
			want: "b(1,0) | a |",
		},
		"WeightsAddUp": {
			reason:  "every preference that is met counts, negative ones too, and one without a selector is met by all",
			policy:  pickN(1, preferring(prefer(10, labelled("x", "1"), nil), prefer(5, labelled("y", "1"), nil), prefer(-20, labelled("z", "1"), nil), prefer(1, nil, nil))),
			members: members("a x=1 y=1", "b x=1 y=1 z=1", "c", "d x=1"),
			want:    "a(16,0) | d(11,0) c(1,0) b(-4,0) |",
		},
		"DescendingInterpolates": {
			reason:  "the greatest value earns the whole weight, the least nothing, a missing one nothing",
			policy:  pickN(1, preferring(prefer(100, nil, descending("p")))),
			members: members("a p:10", "b p:20", "c p:30", "d"),
			want:    "c(100,0) | b(50,0) d a |",
		},
		"AscendingInterpolates": {
			reason:  "the least value earns the whole weight; a missing one earns nothing although it is no greatest",
			policy:  pickN(1, preferring(prefer(100, nil, ascending("p")))),
			members: members("a p:10", "b p:20", "c p:30", "d"),
			want:    "a(100,0) | b(50,0) d c |",
		},
		"BoundsOfWholeFleet": {
			reason:  "bounds are taken over all clusters: ineligible ones, those that fail the terms, those that hold the placement",
			policy:  pickN(2, requiring(v1beta1.ClusterSelectorTerm{LabelSelector: where("out", metav1.LabelSelectorOpDoesNotExist)}), preferring(prefer(100, nil, descending("p")))),
			before:  "d",
			members: members("a p:10", "b p:20", "c p:50 !down", "d p:0", "e p:100 out=1"),
			want:    "b(20,0) d | a(10,0) | c e",
		},
		"RoundsHalfAwayFromZero": {
			reason:  "half a point rounds away from zero, up and down",
			policy:  pickN(4, preferring(prefer(1, labelled("w", "plus"), descending("p")), prefer(-1, labelled("w", "minus"), descending("p")))),
			members: members("a w=plus p:1", "b w=minus p:1", "c p:0", "d p:2"),
			want:    "a(1,0) d c b(-1,0) |  |",
		},
		"RoundsToNearest": {
			reason:  "below the half it rounds towards zero",
			policy:  pickN(4, preferring(prefer(1, nil, descending("p")))),
			members: members("a p:0", "b p:49", "c p:50", "d p:100"),
			want:    "d(1,0) c(1,0) b a |  |",
		},
		"AllEqualEarnNothing": {
			reason:  "where the least is the greatest, nobody earns anything, neither ascending nor descending",
			policy:  pickN(1, preferring(prefer(100, nil, descending("p")), prefer(50, nil, ascending("p")))),
			members: members("a p:1", "b p:1000m"),
			want:    "b | a |",
		},
		"SorterNeedsLabels": {
			reason:  "a cluster that misses the preference's labels earns nothing by its sorter, but its value is a bound",
			policy:  pickN(1, preferring(prefer(100, labelled("x", "1"), descending("p")))),
			members: members("a p:10 x=1", "b p:20", "c p:5 x=1"),
			want:    "a(33,0) | c b |",
		},
		"QuantitiesOfAllForms": {
			reason:  "values are Kubernetes quantities, however written",
			policy:  pickN(1, preferring(prefer(100, nil, descending("p")))),
			members: members("a p:512Mi", "b p:1Gi", "c p:0"),
			want:    "b(100,0) | a(50,0) c |",
		},
		"UnknownToAll": {
			reason:  "a property that nobody reports earns nothing",
			policy:  pickN(1, preferring(prefer(100, nil, ascending("q")))),
			members: members("a p:1", "b p:2"),
			want:    "b | a |",
		},
		"Zero":          {reason: "none may be asked for", policy: pickN(0), members: members("a", "b"), want: "| b a |"},
		"NobodyThere":   {reason: "an empty fleet has nobody to pick", policy: pickN(2), want: "|  |"},
		"MoreThanThere": {reason: "all that fit are picked", policy: pickN(5), members: members("a", "b !down", "c"), want: "c a |  | b"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Decide(placementWith(tc.policy), holding(tc.policy, tc.before), tc.members, noon)
			if got, want := ranking(d), strings.TrimSpace(tc.want); got != want {
				t.Errorf("%s: decided %q, want %q\n%s", tc.reason, got, want, strings.Join(verdicts(d), "\n"))
			}
		})
	}
}

func TestPickNSpreads(t *testing.T) {
	const hard, soft = "DoNotSchedule", "ScheduleAnyway"
	one := func(when string) func(*v1beta1.PlacementPolicy) { return spreading(spreadOver("r", 1, when)) }
	tests := map[string]struct {
		reason  string
		policy  *v1beta1.PlacementPolicy
		before  string
		members []Candidate
		want    string
	}{
		"OnePerDomain": {
			reason: "each pick is a pass of its own: the first raises the skew (-1), the second evens it out (+1)",
			policy: pickN(2, one(hard)), members: members("a r=1", "b r=1", "c r=2", "d r=2"),
			want: "b(0,1) d(0,-1) | a(0,1) | c",
		},
		"ThreeDomains": {
			reason: "with two domains still empty the second pick changes nothing (0), the third evens it out (+1)",
			policy: pickN(3, one(hard)), members: members("a r=1", "b r=2", "c r=3"),
			want: "a(0,1) b c(0,-1) |  |",
		},
		"MiddleDomain": {
			reason: "one more in a domain that is neither the fullest nor the emptiest changes nothing",
			policy: pickN(4, spreading(spreadOver("r", 5, hard))), before: "a1 a2 b1",
			members: members("a1 r=1", "a2 r=1", "a3 r=1", "b1 r=2", "b2 r=2", "c1 r=3"),
			want:    "c1(0,1) b1 a2 a1 | b2 a3(0,-1) |",
		},
		"NoKey": {
			reason: "a cluster without the label violates nothing and scores 0, which beats a raised skew",
			policy: pickN(1, one(hard)), members: members("a", "b r=1", "c r=2"),
			want: "a | c(0,-1) b(0,-1) |",
		},
		"EmptyValueIsADomain": {
			reason: "a label that is set to nothing is a domain like any other",
			policy: pickN(2, one(hard)), before: "b", members: members("a r=", "b r=1", "c r=1"),
			want: "a(0,1) b |  | c",
		},
		"UnreachableDomainBlocks": {
			reason: "an empty domain whose only cluster is ineligible keeps the others from a second one",
			policy: pickN(3, one(hard)), members: members("a r=1", "b r=1", "c r=2", "d r=2", "e r=3 !down"),
			want: "b d(0,-1) |  | a c e",
		},
		"FilteredDomainBlocks": {
			reason: "a domain whose clusters fail the terms counts too",
			policy: pickN(2, one(hard), requiring(v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "1")})), members: members("a r=1", "b r=1", "c r=2"),
			want: "b(0,-1) |  | a c",
		},
		"ScheduleAnywayOnlyCosts": {
			reason: "a violated ScheduleAnyway constraint takes 1000 instead of the skew change, and nobody is kept out",
			policy: pickN(2, one(soft), requiring(v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "1")})), members: members("a r=1", "b r=1", "c r=2"),
			want: "b(0,-1) a(0,-1000) |  | c",
		},
		"MaxSkew": {
			reason:  "a greater maxSkew lets a domain run ahead by as much",
			policy:  pickN(3, spreading(spreadOver("r", 2, hard)), requiring(v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "1")})),
			members: members("a r=1", "b r=1", "c r=1", "d r=2"),
			want:    "c(0,-1) b(0,-1) |  | a d",
		},
		"OneDomain": {
			reason: "a single domain has no skew, so it is never violated, but each pick counts as raising it",
			policy: pickN(3, one(hard)), members: members("a r=1", "b r=1", "c r=1"),
			want: "c(0,-1) b(0,-1) a(0,-1) |  |",
		},
		"TwoConstraintsAdd": {
			reason: "skew changes are summed over the constraints, of both modes",
			policy: pickN(1, spreading(spreadOver("r", 1, hard), spreadOver("z", 1, soft))), before: "",
			members: members("a r=1 z=1", "b r=2", "c"),
			want:    "c | b(0,-1) a(0,-2) |",
		},
		"EvenedOutTwice": {
			reason: "the emptiest domain of two constraints scores for both",
			policy: pickN(2, spreading(spreadOver("r", 1, hard), spreadOver("z", 1, hard))), before: "a",
			members: members("a r=1 z=1", "b r=2 z=2", "c r=2 z=2", "d r=1 z=2"),
			want:    "c(0,2) a | b(0,2) | d",
		},
		"HeldCount": {
			reason: "those that hold the placement count in their domains",
			policy: pickN(2, one(hard)), before: "d", members: members("a r=1", "c r=2", "d r=2"),
			want: "a(0,1) d |  | c",
		},
		"ObsoleteDoNotCount": {
			reason: "those that held it by an earlier policy do not count, they only win ties",
			policy: pickN(1, one(hard)), before: "/a", members: members("a r=1", "b r=1", "c r=2"),
			want: "a(0,-1) | c(0,-1) b(0,-1) |",
		},
		"ObsoleteInEveryPass": {
			reason: "they win ties in every pass, so that nothing moves without need",
			policy: pickN(2, one(hard)), before: "/a c", members: members("a r=1", "b r=1", "c r=2", "d r=2"),
			want: "a(0,1) c(0,-1) | b(0,1) | d",
		},
		"SkewTooGreatAlready": {
			reason: "where the skew exceeds maxSkew already, only what lowers it enough is allowed",
			policy: pickN(4, one(hard)), before: "a1 a2 a3", members: members("a1 r=1", "a2 r=1", "a3 r=1", "b1 r=2", "b2 r=2", "c1 r=3"),
			want: "a3 a2 a1 |  | b1 b2 c1",
		},
		"AffinityWithinDomains": {
			reason: "within a pass the affinity score decides among equal skews",
			policy: pickN(2, one(hard), preferring(prefer(10, labelled("x", "1"), nil))), members: members("a r=1 x=1", "b r=1", "c r=2 x=1", "d r=2"),
			want: "a(10,1) c(10,-1) | b(0,1) | d",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Decide(placementWith(tc.policy), holding(tc.policy, tc.before), tc.members, noon)
			if got, want := ranking(d), strings.TrimSpace(tc.want); got != want {
				t.Errorf("%s: decided %q, want %q\n%s", tc.reason, got, want, strings.Join(verdicts(d), "\n"))
			}
		})
	}
}

func TestPickNIsSticky(t *testing.T) {
	east := func(n int) *v1beta1.PlacementPolicy {
		return pickN(n, requiring(v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "e")}), preferring(prefer(10, labelled("x", "1"), nil)))
	}
	score := func(affinity, topology int) Score { return Score{Affinity: affinity, TopologySpread: topology} }
	tests := map[string]struct {
		reason  string
		policy  *v1beta1.PlacementPolicy
		before  Assignment
		members []Candidate
		want    Assignment
	}{
		"Enough": {
			reason: "with enough clusters nothing moves, however good another is, and whatever became of those that hold it",
			policy: east(2), before: Assignment{Clusters: []string{"a", "b"}},
			members: members("a r=w", "b r=e !down", "c r=e x=1"),
			want:    Assignment{Clusters: []string{"a", "b"}},
		},
		"ScoresStay": {
			reason: "scores are those of the day the cluster was picked",
			policy: east(1), before: Assignment{Clusters: []string{"a"}, Scores: map[string]Score{"a": score(7, -1), "gone": score(1, 1)}},
			members: members("a r=e x=1"),
			want:    Assignment{Clusters: []string{"a"}, Scores: map[string]Score{"a": score(7, -1)}},
		},
		"Upscale": {
			reason: "one more is picked beside those that hold it; its score is remembered",
			policy: east(3), before: Assignment{Clusters: []string{"a", "b"}, Scores: map[string]Score{"a": score(5, 0)}},
			members: members("a r=w", "b r=e", "c r=e x=1", "d r=e"),
			want:    Assignment{Clusters: []string{"a", "b", "c"}, Scores: map[string]Score{"a": score(5, 0), "c": score(10, 0)}},
		},
		"Replaced": {
			reason: "the place of a cluster that has left the fleet is filled",
			policy: east(2), before: Assignment{Clusters: []string{"a", "gone"}},
			members: members("a r=e", "c r=e"),
			want:    Assignment{Clusters: []string{"a", "c"}, Scores: map[string]Score{"c": {}}},
		},
		"Leaving": {
			reason: "so is that of a cluster that is being removed",
			policy: east(2), before: Assignment{Clusters: []string{"a", "b"}},
			members: members("a r=e", "b r=e !leaving", "c r=e"),
			want:    Assignment{Clusters: []string{"a", "c"}, Scores: map[string]Score{"c": {}}},
		},
		"DownscaleLowestScore": {
			reason: "the lowest remembered score goes first, topology spread before affinity",
			policy: east(2), before: Assignment{Clusters: []string{"a", "b", "c"}, Scores: map[string]Score{"a": score(0, 1), "b": score(90, -1), "c": score(50, 1)}},
			members: members("a r=e", "b r=e", "c r=e"),
			want:    Assignment{Clusters: []string{"a", "c"}, Scores: map[string]Score{"a": score(0, 1), "c": score(50, 1)}},
		},
		"DownscaleAffinity": {
			reason: "with equal topology spread scores the lowest affinity goes first",
			policy: east(2), before: Assignment{Clusters: []string{"a", "b", "c"}, Scores: map[string]Score{"a": score(3, 0), "b": score(4, 0), "c": score(2, 0)}},
			members: members("a r=e", "b r=e", "c r=e"),
			want:    Assignment{Clusters: []string{"a", "b"}, Scores: map[string]Score{"a": score(3, 0), "b": score(4, 0)}},
		},
		"DownscaleSmallestName": {
			reason: "of equal scores the smallest name goes first",
			policy: east(1), before: Assignment{Clusters: []string{"a", "b", "c"}},
			members: members("a r=e", "b r=e", "c r=e"),
			want:    Assignment{Clusters: []string{"c"}},
		},
		"DownscaleWaitingFirst": {
			reason: "those that nothing was applied to go before any other, the worst of them first",
			policy: east(2), before: Assignment{Clusters: []string{"a", "b", "c", "d"}, Waiting: []string{"b", "c", "d"},
				Scores: map[string]Score{"a": score(0, 0), "b": score(90, 0), "c": score(80, 0), "d": score(70, 0)}},
			members: members("a r=e", "b r=e", "c r=e", "d r=e"),
			want:    Assignment{Clusters: []string{"a", "b"}, Scores: map[string]Score{"a": score(0, 0), "b": score(90, 0)}},
		},
		"DownscaleUnknownScore": {
			reason: "a score that is not known is the affinity of today, with no topology spread",
			policy: east(2), before: Assignment{Clusters: []string{"a", "b", "c"}, Scores: map[string]Score{"a": score(5, 0), "c": score(11, 0)}},
			members: members("a r=e", "b r=e x=1", "c r=e"),
			want:    Assignment{Clusters: []string{"b", "c"}, Scores: map[string]Score{"c": score(11, 0)}},
		},
		"DownscaleToZero": {
			reason: "zero takes it from everywhere",
			policy: east(0), before: Assignment{Clusters: []string{"a"}}, members: members("a r=e"),
		},
		"DownscaleOnlyAmongPresent": {
			reason: "clusters that have left do not count as surplus",
			policy: east(1), before: Assignment{Clusters: []string{"a", "gone"}}, members: members("a r=e", "b r=e"),
			want: Assignment{Clusters: []string{"a"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.before.PolicyDigest, tc.want.PolicyDigest = PolicyDigest(tc.policy), PolicyDigest(tc.policy)
			d := Decide(placementWith(tc.policy), tc.before, tc.members, noon)
			if diff := cmp.Diff(tc.want, d.Assignment); diff != "" {
				t.Errorf("%s (-want +got):\n%s\n%s", tc.reason, diff, strings.Join(verdicts(d), "\n"))
			}
		})
	}
}

// TestPickNPolicyChange: another policy decides afresh; who held the placement, by this or that list, wins ties only.
func TestPickNPolicyChange(t *testing.T) {
	policy := pickN(2, preferring(prefer(10, labelled("x", "1"), nil)))
	before := Assignment{Clusters: []string{"a"}, Obsolete: []string{"b"}, PolicyDigest: "of an earlier policy",
		Scores: map[string]Score{"a": {Affinity: 99}}}
	d := Decide(placementWith(policy), before, members("a", "b", "c", "d", "e x=1"), noon)
	if got, want := ranking(d), "e(10,0) b | a d c |"; got != want {
		t.Errorf("decided %q, want %q: the preferred one, then the greater name of those that held it", got, want)
	}
	want := Assignment{Clusters: []string{"b", "e"}, PolicyDigest: PolicyDigest(policy), Scores: map[string]Score{"b": {}, "e": {Affinity: 10}}}
	if diff := cmp.Diff(want, d.Assignment); diff != "" {
		t.Errorf("assignment (-want +got):\n%s", diff)
	}
}

func TestPickNUnfilled(t *testing.T) {
	fleetOf := func(fit, unfit int) []Candidate {
		var list []Candidate
		for i := range fit {
			list = append(list, member(fmt.Sprint("fit-", i)))
		}
		for i := range unfit {
			list = append(list, member(fmt.Sprint("unfit-", i, " !down")))
		}
		return list
	}
	tests := map[string]struct {
		reason        string
		n, fit, unfit int
		want          int
		status        string
		message       string
	}{
		"Fulfilled":    {"nothing is unfilled", 7, 7, 3, 0, "True", "PickN: 7 of 7 wanted clusters selected"},
		"FleetTooFew":  {"of 10, 7 are chosen and only 2 others exist", 10, 7, 2, 2, "False", "PickN: 7 of 10 wanted clusters selected; none of the 2 others that are registered can be"},
		"FleetEnough":  {"of 10, 7 are chosen and more than 3 others exist", 10, 7, 9, 3, "False", "PickN: 7 of 10 wanted clusters selected; none of the 9 others that are registered can be"},
		"NobodyElse":   {"no other cluster exists to stand for a slot", 10, 7, 0, 0, "False", "PickN: 7 of 10 wanted clusters selected; no other is registered"},
		"Cap":          {"at most 20 clusters are listed as unselected", 100, 1, 40, 20, "False", "PickN: 1 of 100 wanted clusters selected; none of the 40 others that are registered can be"},
		"BelowTheCap":  {"19 slots, 40 others", 20, 1, 40, 19, "False", "PickN: 1 of 20 wanted clusters selected; none of the 40 others that are registered can be"},
		"NoneSelected": {"all slots are empty", 2, 0, 5, 2, "False", "PickN: 0 of 2 wanted clusters selected; none of the 5 others that are registered can be"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Decide(placementWith(pickN(tc.n)), Assignment{}, fleetOf(tc.fit, tc.unfit), noon)
			if d.Unfilled != tc.want || d.Scheduled.Status != tc.status || d.Scheduled.Message != tc.message {
				t.Errorf("%s: unfilled %d, scheduled %+v; want %d, %s %q", tc.reason, d.Unfilled, d.Scheduled, tc.want, tc.status, tc.message)
			}
		})
	}
}

func TestPickNReasons(t *testing.T) {
	policy := pickN(2, requiring(v1beta1.ClusterSelectorTerm{LabelSelector: labelled("e", "1")}),
		preferring(prefer(10, labelled("x", "1"), nil)), spreading(spreadOver("r", 1, "DoNotSchedule")))
	fleet := members("a e=1 r=1", "b e=1 r=1", "c e=1 r=2 x=1", "d e=1 r=2", "f e=2 r=2 !down", "g e=1 !down")
	fleet[4].Taints = taints("gpu=yes", "spot")
	tests := map[string]struct {
		reason string
		policy *v1beta1.PlacementPolicy
		before Assignment
		want   []string
	}{
		"AllAtOnce": {
			reason: "everything that keeps a cluster out is told: terms, eligibility, every taint, spread",
			policy: policy,
			want: []string{"+ b: matches term 1: label e is 1", "+ c: matches term 1: label e is 1",
				"- a: not picked: the last place went to b with topologySpreadScore 1 and affinityScore 0, and of equals the greatest name is picked; matches term 1: label e is 1",
				"- d: one more in domain 2 of topologyKey r would make the skew 2, and maxSkew is 1 (domain 1 has 0, the fullest has 1)",
				"- f: label e is 2, term 1 wants 1; down; taint gpu=yes:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster; " +
					"taint spot:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster; " +
					"one more in domain 2 of topologyKey r would make the skew 2, and maxSkew is 1 (domain 1 has 0, the fullest has 1)",
				"- g: down"},
		},
		"NotNeeded": {
			reason: "with enough clusters the others are told so, and what keeps them out besides",
			policy: policy, before: Assignment{Clusters: []string{"a", "g"}, PolicyDigest: PolicyDigest(policy)},
			want: []string{"+ g: kept: chosen earlier under this same policy, and later changes do not unplace (now down)",
				"+ a: matches term 1: label e is 1",
				"- c: not needed: spec.policy.numberOfClusters is 2, and as many hold the placement; matches term 1: label e is 1",
				"- d: not needed: spec.policy.numberOfClusters is 2, and as many hold the placement; matches term 1: label e is 1",
				"- b: one more in domain 1 of topologyKey r would make the skew 2, and maxSkew is 1 (domain 2 has 0, the fullest has 1)",
				"- f: label e is 2, term 1 wants 1; down; taint gpu=yes:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster; " +
					"taint spot:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster"},
		},
		"Outscored": {
			reason: "the last one picked is named with its scores",
			policy: pickN(1, preferring(prefer(10, labelled("x", "1"), nil)), tolerating(v1beta1.Toleration{Operator: "Exists"})),
			want: []string{"+ c: the policy requires nothing, so every cluster matches",
				"- d: not picked: the last place went to c with topologySpreadScore 0 and affinityScore 10; the policy requires nothing, so every cluster matches",
				"- b: not picked: the last place went to c with topologySpreadScore 0 and affinityScore 10; the policy requires nothing, so every cluster matches",
				"- a: not picked: the last place went to c with topologySpreadScore 0 and affinityScore 10; the policy requires nothing, so every cluster matches",
				"- f: down", "- g: down"},
		},
		"HeldBefore": {
			reason: "a tie that an earlier placement broke is told",
			policy: pickN(1), before: Assignment{Obsolete: []string{"b"}},
			want: []string{"+ b: the policy requires nothing, so every cluster matches",
				"- d: not picked: the last place went to b with topologySpreadScore 0 and affinityScore 0, which held the placement before; the policy requires nothing, so every cluster matches",
				"- c: not picked: the last place went to b with topologySpreadScore 0 and affinityScore 0, which held the placement before; the policy requires nothing, so every cluster matches",
				"- a: not picked: the last place went to b with topologySpreadScore 0 and affinityScore 0, which held the placement before; the policy requires nothing, so every cluster matches",
				"- f: down; taint gpu=yes:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster; " +
					"taint spot:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster",
				"- g: down"},
		},
		"GivenUp": {
			reason: "who loses the placement to a lower number is told why it was chosen for that",
			policy: pickN(1), before: Assignment{Clusters: []string{"a", "b", "c"}, Waiting: []string{"c"}, PolicyDigest: PolicyDigest(pickN(1))},
			want: []string{"+ b: the policy requires nothing, so every cluster matches",
				"- d: not needed: spec.policy.numberOfClusters is 1, and as many hold the placement; the policy requires nothing, so every cluster matches",
				"- c: given up: spec.policy.numberOfClusters is now 1, and nothing has been applied here yet",
				"- a: given up: spec.policy.numberOfClusters is now 1, and the others that hold the placement rank higher",
				"- f: down; taint gpu=yes:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster; " +
					"taint spot:NoSchedule is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster",
				"- g: down"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, verdicts(Decide(placementWith(tc.policy), tc.before, fleet, noon))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestWeightsAreExact compares the interpolation with the formula of the reference, over many values.
func TestWeightsAreExact(t *testing.T) {
	const least, greatest = 3, 103
	for value := least; value <= greatest; value++ {
		for _, weight := range []int32{-100, -7, 1, 33, 100} {
			fleet := members(fmt.Sprint("a p:", least), fmt.Sprint("b p:", value), fmt.Sprint("c p:", greatest))
			share := float64(value-least) / (greatest - least)
			for _, tc := range []struct {
				sorter *v1beta1.PropertySorter
				want   float64
			}{{descending("p"), share * float64(weight)}, {ascending("p"), (1 - share) * float64(weight)}} {
				d := Decide(placementWith(pickN(3, preferring(prefer(weight, nil, tc.sorter)))), Assignment{}, fleet, noon)
				if got := d.Assignment.Scores["b"].Affinity; got != int(math.Round(tc.want)) {
					t.Fatalf("%s, value %d, weight %d: scored %d, want %v rounded", tc.sorter.SortOrder, value, weight, got, tc.want)
				}
			}
		}
	}
}
