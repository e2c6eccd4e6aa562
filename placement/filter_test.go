package placement

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// taints reads taints from "key=value" and "key".
func taints(texts ...string) []clusterv1beta1.Taint {
	var list []clusterv1beta1.Taint
	for _, text := range texts {
		key, value, _ := strings.Cut(text, "=")
		list = append(list, clusterv1beta1.Taint{Key: key, Value: value, Effect: "NoSchedule"})
	}
	return list
}

// comparing returns a term of comparisons, each "property operator value".
func comparing(comparisons ...string) v1beta1.ClusterSelectorTerm {
	s := &v1beta1.PropertySelector{}
	for _, text := range comparisons {
		words := strings.Fields(text)
		s.MatchExpressions = append(s.MatchExpressions, v1beta1.PropertySelectorRequirement{Name: words[0], Operator: words[1], Values: words[2:]})
	}
	return v1beta1.ClusterSelectorTerm{PropertySelector: s}
}

func pickAll(with ...func(*v1beta1.PlacementPolicy)) *v1beta1.PlacementPolicy {
	p := &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickAll}
	for _, change := range with {
		change(p)
	}
	return p
}

func TestPropertySelectors(t *testing.T) {
	tests := map[string]struct {
		reason   string
		operator string
		want     string // who is selected of l p:499m, e p:500m, g p:0.501, and m without p
	}{
		"Gt": {"more than", "Gt", "g"},
		"Ge": {"at least", "Ge", "e g"},
		"Eq": {"equal as quantities: 500m is 0.5", "Eq", "e"},
		"Ne": {"anything else, but a cluster that does not report the property never matches", "Ne", "g l"},
		"Lt": {"less than; nothing is not less", "Lt", "l"},
		"Le": {"at most", "Le", "e l"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Decide(placementWith(pickAll(requiring(comparing("p "+tc.operator+" 0.5")))), Assignment{},
				members("l p:499m", "e p:500m", "g p:0.501", "m q:1"), noon)
			if got := strings.Join(d.Assignment.Clusters, " "); got != tc.want {
				t.Errorf("%s: %q are selected, want %q\n%s", tc.reason, got, tc.want, strings.Join(verdicts(d), "\n"))
			}
		})
	}
}

func TestFilterReasons(t *testing.T) {
	both := comparing("cpu Ge 4", "mem Gt 1Gi")
	both.LabelSelector = labelled("r", "e")
	tainted := func(c Candidate, keys ...string) Candidate {
		c.Taints = taints(keys...)
		return c
	}
	const notTolerated = " is not tolerated, tolerate it in spec.policy.tolerations or take it off the cluster"
	tests := map[string]struct {
		reason string
		policy *v1beta1.PlacementPolicy
		member Candidate
		want   string
	}{
		"LabelsAndProperties": {"both parts of a term must be met, and each failure is told", pickAll(requiring(both)), member("a r=w cpu:3"),
			"- a: label r is w, term 1 wants e; property cpu is 3, term 1 wants at least 4; property mem is not reported, term 1 wants more than 1Gi"},
		"LabelsAlone":      {"the label part alone is not enough", pickAll(requiring(both)), member("a r=e cpu:4 mem:1Gi"), "- a: property mem is 1Gi, term 1 wants more than 1Gi"},
		"PropertiesAlone":  {"the property part alone is not enough", pickAll(requiring(both)), member("a cpu:4 mem:2Gi"), "- a: label r is not set, term 1 wants e"},
		"Met":              {"the facts that count are told", pickAll(requiring(both)), member("a r=e cpu:4 mem:2Gi x:1"), "+ a: matches term 1: label r is e, property cpu is 4, property mem is 2Gi"},
		"SecondTerm":       {"terms are alternatives", pickAll(requiring(both, comparing("x Eq 1"))), member("a x:1"), "+ a: matches term 2: property x is 1"},
		"Wishes":           {"each operator has its words", pickAll(requiring(comparing("p Lt 1", "p Le 1", "q Eq 1", "s Ne 2"))), member("a p:2 q:2 s:2"), "- a: property p is 2, term 1 wants less than 1; property p is 2, term 1 wants at most 1; property q is 2, term 1 wants exactly 1; property s is 2, term 1 wants anything but 2"},
		"EmptySelector":    {"a property selector without expressions is met by all", pickAll(requiring(comparing())), member("a"), "+ a: term 1 is empty, so every cluster matches"},
		"Ineligible":       {"eligibility is asked also where nothing is required", pickAll(), member("a !down"), "- a: down"},
		"Untolerated":      {"every taint must be tolerated, and each that is not is told", pickAll(), tainted(member("a"), "spot", "gpu=yes"), "- a: taint gpu=yes:NoSchedule" + notTolerated + "; taint spot:NoSchedule" + notTolerated},
		"OneUntolerated":   {"one that is tolerated does not excuse the other", pickAll(tolerating(v1beta1.Toleration{Key: "spot", Operator: "Exists"})), tainted(member("a"), "spot", "gpu=yes"), "- a: taint gpu=yes:NoSchedule" + notTolerated},
		"ExistsAll":        {"Exists without a key tolerates every taint", pickAll(tolerating(v1beta1.Toleration{Operator: "Exists"})), tainted(member("a"), "spot", "gpu=yes"), "+ a: the policy requires nothing, so every cluster matches"},
		"ExistsKey":        {"Exists with a key tolerates every value of it", pickAll(tolerating(v1beta1.Toleration{Key: "gpu", Operator: "Exists"})), tainted(member("a"), "gpu=yes"), "+ a: the policy requires nothing, so every cluster matches"},
		"EqualByDefault":   {"no operator is Equal", pickAll(tolerating(v1beta1.Toleration{Key: "gpu", Value: "yes"})), tainted(member("a"), "gpu=yes"), "+ a: the policy requires nothing, so every cluster matches"},
		"EqualOtherValue":  {"Equal compares the value", pickAll(tolerating(v1beta1.Toleration{Key: "gpu", Operator: "Equal", Value: "no"})), tainted(member("a"), "gpu=yes"), "- a: taint gpu=yes:NoSchedule" + notTolerated},
		"EqualOtherKey":    {"Equal compares the key", pickAll(tolerating(v1beta1.Toleration{Key: "cpu", Operator: "Equal", Value: "yes"})), tainted(member("a"), "gpu=yes"), "- a: taint gpu=yes:NoSchedule" + notTolerated},
		"SameEffect":       {"the effect must be the taint's", pickAll(tolerating(v1beta1.Toleration{Key: "gpu", Operator: "Exists", Effect: "NoSchedule"})), tainted(member("a"), "gpu=yes"), "+ a: the policy requires nothing, so every cluster matches"},
		"OtherEffect":      {"another effect tolerates nothing", pickAll(tolerating(v1beta1.Toleration{Operator: "Exists", Effect: "NoExecute"})), tainted(member("a"), "gpu=yes"), "- a: taint gpu=yes:NoSchedule" + notTolerated},
		"EffectByDefault":  {"a taint without an effect is NoSchedule", pickAll(tolerating(v1beta1.Toleration{Operator: "Exists", Effect: "NoSchedule"})), Candidate{Name: "a", Taints: []clusterv1beta1.Taint{{Key: "k"}}}, "+ a: the policy requires nothing, so every cluster matches"},
		"Everything":       {"terms, eligibility and taints are told together", pickAll(requiring(comparing("p Gt 1"))), tainted(member("a !down"), "k"), "- a: property p is not reported, term 1 wants more than 1; down; taint k:NoSchedule" + notTolerated},
		"FixedIsNotTaint":  {"PickFixed does not ask for taints", fixed("a"), tainted(member("a"), "k"), "+ a: named in spec.policy.clusterNames"},
		"FixedIneligible":  {"PickFixed asks for eligibility", fixed("a"), member("a !down"), "- a: named in spec.policy.clusterNames, but down"},
		"LeavingByDefault": {"a cluster that is being removed is not eligible, even if nobody says why", pickAll(), Candidate{Name: "a", Leaving: true}, "- a: " + leaving},
		"SpreadOfPickAll":  {"PickAll knows no spread", pickAll(spreading(spreadOver("r", 1, "DoNotSchedule"))), member("a r=1"), "+ a: the policy requires nothing, so every cluster matches"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(verdicts(Decide(placementWith(tc.policy), Assignment{}, []Candidate{tc.member}, noon)), "\n")
			if got != tc.want {
				t.Errorf("%s:\n got %s\nwant %s", tc.reason, got, tc.want)
			}
		})
	}
}

// TestStickyWhateverHappens: labels, properties, taints and health unplace nobody under one policy, of any type.
func TestStickyWhateverHappens(t *testing.T) {
	required := v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "e"), PropertySelector: comparing("p Gt 1").PropertySelector}
	worse := member("a r=w p:0 !down")
	worse.Taints = taints("k")
	for name, policy := range map[string]*v1beta1.PlacementPolicy{
		"PickAll": pickAll(requiring(required)), "PickN": pickN(1, requiring(required)), "PickFixed": fixed("a")} {
		t.Run(name, func(t *testing.T) {
			first := Decide(placementWith(policy), Assignment{}, members("a r=e p:2"), noon)
			if len(first.Assignment.Clusters) != 1 {
				t.Fatalf("a is not selected to begin with: %v", verdicts(first))
			}
			d := Decide(placementWith(policy), first.Assignment, []Candidate{worse, member("b r=e p:2 !down")}, noon)
			if got := strings.Join(d.Assignment.Clusters, " "); got != "a" {
				t.Errorf("%q hold the placement, want a", got)
			}
			if d.Scheduled.Status != "True" || d.Unfilled != 0 {
				t.Errorf("unfilled %d, scheduled %+v, want 0 and True", d.Unfilled, d.Scheduled)
			}
			if !strings.Contains(d.Verdicts[0].Reason, "kept: chosen earlier under this same policy") || !strings.Contains(d.Verdicts[0].Reason, "down") {
				t.Errorf("reason is %q, want that it is kept although it is down", d.Verdicts[0].Reason)
			}
			afresh := Decide(placementWith(policy), Assignment{Clusters: []string{"a"}, PolicyDigest: "another"}, []Candidate{worse}, noon)
			if len(afresh.Assignment.Clusters) != 0 {
				t.Errorf("under another policy %v hold the placement, want nobody: it is decided afresh", afresh.Assignment.Clusters)
			}
			gone := Decide(placementWith(policy), first.Assignment, members("a r=e p:2 !leaving"), noon)
			if len(gone.Assignment.Clusters) != 0 {
				t.Errorf("%v hold the placement although they are being removed", gone.Assignment.Clusters)
			}
		})
	}
}

// TestPickFixedUnfilled: the slots that nobody fills are the names less who is selected, but no more than 20. Only who is named
// counts, and each name once; others are not part of the decision, however many are registered.
func TestPickFixedUnfilled(t *testing.T) {
	numbered := func(n int) []string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("n%02d", i))
		}
		return names
	}
	const absent, remedy = "; no MemberCluster is named ", ": register it or drop the name"
	tests := map[string]struct {
		reason  string
		names   []string
		held    string
		members []Candidate
		want    int
		message string
	}{
		"Fulfilled":     {"all are there", []string{"a", "b"}, "", members("a", "b", "c !down"), 0, "PickFixed: all 2 named clusters selected"},
		"Mixed":         {"who is absent and who is ineligible", []string{"a", "b", "c", "nobody"}, "", members("a", "b !down", "c !down", "d"), 3, "PickFixed: 1 of 4 named clusters selected" + absent + "nobody" + remedy + "; not eligible: b, c"},
		"Ineligible":    {"who does not hold the placement must be eligible", []string{"a"}, "", members("a !down"), 1, "PickFixed: 0 of 1 named clusters selected; not eligible: a"},
		"HeldDown":      {"who holds it stays selected when it is not eligible any more, so its slot is filled", []string{"a"}, "a", members("a !down"), 0, "PickFixed: all 1 named clusters selected"},
		"HeldAndOthers": {"and only the others' slots are not", []string{"a", "b", "c"}, "a", members("a !down", "b !down", "d"), 2, "PickFixed: 1 of 3 named clusters selected" + absent + "c" + remedy + "; not eligible: b"},
		"HeldLeaving":   {"one that is being removed holds nothing any more", []string{"a"}, "a", members("a !leaving"), 1, "PickFixed: 0 of 1 named clusters selected; not eligible: a"},
		"HeldGone":      {"one that was removed is a name that nobody bears", []string{"a"}, "a", members("b"), 1, "PickFixed: 0 of 1 named clusters selected" + absent + "a" + remedy},
		"NoLongerNamed": {"who holds it and is not named is no slot", []string{"a"}, "a b", members("a", "b !down"), 0, "PickFixed: all 1 named clusters selected"},
		"EmptyFleet":    {"a name stands for its slot though nobody is registered", []string{"a", "b", "c"}, "", nil, 3, "PickFixed: 0 of 3 named clusters selected" + absent + "a, b, c" + remedy},
		"OneRegistered": {"nor do the names need other clusters to stand for them", []string{"a", "b", "c"}, "", members("a"), 2, "PickFixed: 1 of 3 named clusters selected" + absent + "b, c" + remedy},
		"OthersOnly":    {"and others that are registered stand for none", []string{"x"}, "", members("a", "b", "c"), 1, "PickFixed: 0 of 1 named clusters selected" + absent + "x" + remedy},
		"Twice":         {"a name that is given twice is one slot", []string{"a", "x", "x"}, "", members("a"), 1, "PickFixed: 1 of 2 named clusters selected" + absent + "x" + remedy},
		"AtTheCap":      {"20 can be listed", numbered(21), "", members("n00"), 20, "PickFixed: 1 of 21 named clusters selected" + absent + strings.Join(numbered(21)[1:], ", ") + remedy},
		"Cap":           {"and not 21, but the message names all", numbered(21), "", nil, 20, "PickFixed: 0 of 21 named clusters selected" + absent + strings.Join(numbered(21), ", ") + remedy},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := fixed(tc.names...)
			d := Decide(placementWith(policy), holding(policy, tc.held), tc.members, noon)
			want := Scheduled{Status: "False", Reason: Unfulfilled, Message: tc.message}
			if tc.want == 0 {
				want.Status, want.Reason = "True", Fulfilled
			}
			if d.Unfilled != tc.want || d.Scheduled != want {
				t.Errorf("%s: unfilled %d, scheduled %+v; want %d, %+v", tc.reason, d.Unfilled, d.Scheduled, tc.want, want)
			}
		})
	}
}

// TestUnreadableProperties: where a value that is no quantity would decide, nothing moves, and the message tells which.
func TestUnreadableProperties(t *testing.T) {
	east := comparing("p Gt 1")
	east.LabelSelector = labelled("r", "e")
	byLabel := v1beta1.ClusterSelectorTerm{LabelSelector: labelled("r", "w")}
	const remedy = ": that is no Kubernetes quantity, so the clusters cannot be compared; correct what the cluster reports, or take the property out of the policy"
	tests := map[string]struct {
		reason  string
		policy  *v1beta1.PlacementPolicy
		held    string
		members []Candidate
		want    string // the message of what holds, or else the clusters
	}{
		"PickAll":              {"a required term", pickAll(requiring(comparing("p Gt 1"))), "", members("a p:2", "b p:many"), `property p of cluster b is "many"` + remedy},
		"Ineligible":           {"terms are asked first, so of ineligible clusters too", pickAll(requiring(comparing("p Gt 1"))), "", members("a p:2", "b p:many !down"), `property p of cluster b is "many"` + remedy},
		"Held":                 {"and of those that hold the placement", pickAll(requiring(comparing("p Gt 1"))), "b", members("a p:2", "b p:many"), `property p of cluster b is "many"` + remedy},
		"LabelsDecide":         {"the label part says no, so the property is not asked", pickAll(requiring(east)), "", members("a r=e p:2", "b r=w p:many"), "a"},
		"OtherTermDecides":     {"another term says yes", pickAll(requiring(comparing("p Gt 1"), byLabel)), "", members("b r=w p:many"), "b"},
		"OtherPropertyDecides": {"another comparison says no", pickAll(requiring(comparing("p Gt 1", "q Gt 1"))), "", members("b p:many q:0"), ""},
		"Sorter":               {"a property that is ranked by, of any cluster", pickN(1, preferring(prefer(1, labelled("r", "e"), ascending("p")))), "", members("a p:2", "b p:many !down"), `property p of cluster b is "many"` + remedy},
		"SorterEnough":         {"with enough clusters nothing is ranked", pickN(1, preferring(prefer(1, nil, ascending("p")))), "a", members("a p:2", "b p:many"), "a"},
		"TermEnough":           {"nor filtered", pickN(1, requiring(comparing("p Gt 1"))), "b", members("a p:2", "b p:many"), "b"},
		"TermPickN":            {"with too few it is", pickN(2, requiring(comparing("p Gt 1"))), "b", members("a p:2", "b p:many"), `property p of cluster b is "many"` + remedy},
		"DownscaleGoesOn":      {"fewer are never ranked by what cannot be read", pickN(1, preferring(prefer(9, nil, ascending("p")))), "a b", members("a p:2", "b p:many"), "b"},
		"UnaskedProperty":      {"what no policy asks about may be any text", pickN(1, requiring(comparing("p Gt 1"))), "", members("a p:2 version:v1.30"), "a"},
		"AllAreNamed": {"three are named and the rest counted", pickN(1, preferring(prefer(1, nil, ascending("p")), prefer(1, nil, ascending("q")))), "", members("a p:x q:y", "b p:x", "c p:x", "d p:x", "e"),
			`property p of cluster a is "x"; property p of cluster b is "x"; property p of cluster c is "x"; 2 more are like it` + remedy},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := holding(tc.policy, tc.held)
			d := Decide(placementWith(tc.policy), before, tc.members, noon)
			if !strings.Contains(tc.want, remedy) {
				if got := strings.Join(d.Assignment.Clusters, " "); got != tc.want || d.Scheduled.Status != "True" {
					t.Errorf("%s: %q are selected, scheduled %+v, want %q", tc.reason, got, d.Scheduled, tc.want)
				}
				return
			}
			if want := (Scheduled{Status: "False", Reason: Unfulfilled, Message: tc.want}); d.Scheduled != want {
				t.Errorf("%s: scheduled %+v, want %+v", tc.reason, d.Scheduled, want)
			}
			if got := strings.Join(d.Assignment.Clusters, " "); got != tc.held {
				t.Errorf("%s: %q hold the placement now, want %q as before", tc.reason, got, tc.held)
			}
		})
	}
}

// TestHoldRemembersEverything: what was known before an undecidable policy is known after it.
func TestHoldRemembersEverything(t *testing.T) {
	since := noon.Add(-1)
	before := Assignment{Clusters: []string{"gone", "b", "a"}, Obsolete: []string{"d", "a", "gone"}, PolicyDigest: "earlier", Waiting: []string{"a"},
		Scores: map[string]Score{"a": {Affinity: 3, TopologySpread: -1}, "c": {Affinity: 1}}, Unmatched: map[string]time.Time{"b": since, "c": since}}
	p := Placement{Name: "shop", Policy: &v1beta1.PlacementPolicy{PlacementType: "Roundabout"}, UnplaceAfter: 1}
	d := Decide(p, before, members("a !leaving", "b", "c", "d"), noon)
	want := Assignment{Clusters: []string{"a", "b"}, Obsolete: []string{"d"}, PolicyDigest: "earlier",
		Scores: map[string]Score{"a": {Affinity: 3, TopologySpread: -1}}, Unmatched: map[string]time.Time{"b": since}}
	if diff := cmp.Diff(want, d.Assignment); diff != "" {
		t.Errorf("assignment (-want +got):\n%s", diff)
	}
	if got, want := ranking(d), "a(3,-1) b |  | c d"; got != want {
		t.Errorf("verdicts are %q, want %q", got, want)
	}
}

func TestUndecidablePickN(t *testing.T) {
	sorterInRequired := v1beta1.ClusterSelectorTerm{PropertySorter: ascending("p")}
	selectorInPreferred := v1beta1.PreferredClusterSelector{Preference: comparing("p Gt 1")}
	const noFigure = " names no figure of the clusters' resources; write resources.kubernetes-fleet.io/total-NAME, resources.kubernetes-fleet.io/allocatable-NAME " +
		"or resources.kubernetes-fleet.io/available-NAME, such as resources.kubernetes-fleet.io/available-cpu"
	const dash = ", and no resource whose name has a dash can be asked for; ask for another one, such as resources.kubernetes-fleet.io/total-cpu, or select the clusters by a label"
	tests := map[string]struct {
		policy *v1beta1.PlacementPolicy
		want   string // the end of the message
	}{
		"Negative":           {pickN(-1), "spec.policy.numberOfClusters is -1: use 0 or more"},
		"Term":               {pickN(1, requiring(v1beta1.ClusterSelectorTerm{LabelSelector: where("x", "Near")})), `clusterSelectorTerms[0].labelSelector: "Near" is not a valid label selector operator`},
		"TermSorter":         {pickN(1, requiring(comparing(), sorterInRequired)), "clusterSelectorTerms[1].propertySorter is for preferred terms only: require a property with propertySelector"},
		"Operator":           {pickN(1, requiring(comparing("p Near 1"))), `matchExpressions[0].operator is "Near": use Gt, Ge, Eq, Ne, Lt or Le`},
		"NoValue":            {pickN(1, requiring(comparing("p Gt"))), "matchExpressions[0].values has 0 values: Gt compares with exactly one"},
		"TwoValues":          {pickN(1, requiring(comparing("p Eq 1", "p Gt 1 2"))), "matchExpressions[1].values has 2 values: Gt compares with exactly one"},
		"NoQuantity":         {pickAll(requiring(comparing("p Gt many"))), `matchExpressions[0].values[0] is "many", which is no Kubernetes quantity such as 4, 500m or 16Gi`},
		"NoName":             {pickAll(requiring(v1beta1.ClusterSelectorTerm{PropertySelector: &v1beta1.PropertySelector{MatchExpressions: []v1beta1.PropertySelectorRequirement{{}}}})), "matchExpressions[0].name is empty: name a property"},
		"DashInResource":     {pickAll(requiring(comparing("resources.kubernetes-fleet.io/total-ephemeral-storage Gt 1"))), `matchExpressions[0].name: "resources.kubernetes-fleet.io/total-ephemeral-storage" asks for resource ephemeral-storage` + dash},
		"NoDash":             {pickAll(requiring(comparing("resources.kubernetes-fleet.io/cpu Gt 1"))), `matchExpressions[0].name: "resources.kubernetes-fleet.io/cpu"` + noFigure},
		"UnknownFigure":      {pickAll(requiring(comparing("resources.kubernetes-fleet.io/used-cpu Gt 1"))), `matchExpressions[0].name: "resources.kubernetes-fleet.io/used-cpu"` + noFigure},
		"EmptyResource":      {pickAll(requiring(comparing("resources.kubernetes-fleet.io/total- Gt 1"))), `matchExpressions[0].name: "resources.kubernetes-fleet.io/total-"` + noFigure},
		"NoSorterName":       {pickN(1, preferring(prefer(1, nil, &v1beta1.PropertySorter{SortOrder: "Ascending"}))), "preference.propertySorter.name is empty: name a property"},
		"PreferredLabels":    {pickN(1, preferring(prefer(1, where("x", "Near"), nil))), `Execution[0].preference.labelSelector: "Near" is not a valid label selector operator`},
		"PreferredSelector":  {pickN(1, preferring(prefer(1, nil, nil), selectorInPreferred)), "Execution[1].preference.propertySelector is for required terms only: rank by the property with propertySorter"},
		"SorterName":         {pickN(1, preferring(prefer(1, nil, ascending("resources.kubernetes-fleet.io/total-a-b")))), `preference.propertySorter.name: "resources.kubernetes-fleet.io/total-a-b" asks for resource a-b` + dash},
		"SortOrder":          {pickN(1, preferring(prefer(1, nil, &v1beta1.PropertySorter{Name: "p"}))), `preference.propertySorter.sortOrder is "": use Ascending or Descending`},
		"NoTopologyKey":      {pickN(1, spreading(spreadOver("", 1, ""))), "spec.policy.topologySpreadConstraints[0].topologyKey is empty: name the cluster label to spread over"},
		"NoSkew":             {pickN(1, spreading(spreadOver("r", 1, ""), spreadOver("r", 0, ""))), "spec.policy.topologySpreadConstraints[1].maxSkew is 0: use 1 or more"},
		"WhenUnsatisfiable":  {pickN(1, spreading(spreadOver("r", 1, "Panic"))), `spec.policy.topologySpreadConstraints[0].whenUnsatisfiable is "Panic": use DoNotSchedule or ScheduleAnyway`},
		"TolerationOperator": {pickAll(tolerating(v1beta1.Toleration{Key: "k"}, v1beta1.Toleration{Key: "k", Operator: "Near"})), `spec.policy.tolerations[1].operator is "Near": use Equal or Exists`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := Assignment{Clusters: []string{"a"}, PolicyDigest: PolicyDigest(tc.policy)}
			d := Decide(placementWith(tc.policy), before, members("a", "b"), noon)
			if d.Scheduled.Status != "False" || !strings.HasSuffix(d.Scheduled.Message, tc.want) {
				t.Errorf("scheduled is %+v, want False and a message that ends in %q", d.Scheduled, tc.want)
			}
			if diff := cmp.Diff(before, d.Assignment); diff != "" {
				t.Errorf("the assignment is not what it was (-want +got):\n%s", diff)
			}
		})
	}
}

// TestResourceNames: the three figures of a resource can be asked for.
func TestResourceNames(t *testing.T) {
	for _, figure := range []string{"total", "allocatable", "available"} {
		name := "resources.kubernetes-fleet.io/" + figure + "-cpu"
		d := Decide(placementWith(pickAll(requiring(comparing(name+" Ge 4")))), Assignment{}, members("a "+name+":4", "b "+name+":3"), noon)
		if got := strings.Join(d.Assignment.Clusters, " "); got != "a" {
			t.Errorf("%s: %q are selected, want a: %v", name, got, d.Scheduled)
		}
	}
}

// TestDefaultsOfSpread: maxSkew is 1 and DoNotSchedule holds unless the policy says otherwise.
func TestDefaultsOfSpread(t *testing.T) {
	policy := pickN(3, spreading(v1beta1.TopologySpreadConstraint{TopologyKey: "r"}))
	d := Decide(placementWith(policy), Assignment{}, members("a r=1", "b r=1", "c r=2 !down"), noon)
	if got, want := ranking(d), "b(0,-1) |  | a c"; got != want {
		t.Errorf("decided %q, want %q: one more in 1 would make the skew 2", got, want)
	}
}

func TestLabelsOfMembers(t *testing.T) {
	d := Decide(placementWith(requires(where("r", metav1.LabelSelectorOpNotIn, "e"))), Assignment{}, []Candidate{{Name: "a"}}, noon)
	if len(d.Assignment.Clusters) != 1 {
		t.Errorf("a cluster without any labels meets NotIn, but got %v", verdicts(d))
	}
}
