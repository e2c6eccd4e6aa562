package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// world is a random fleet, policy and history, small enough that everything meets everything.
type world struct {
	placement  Placement
	candidates []Candidate
	before     Assignment
}

func randomWorld(random *rand.Rand) world {
	w := world{placement: placementWith(randomPolicy(random))}
	for i := range random.IntN(7) {
		w.candidates = append(w.candidates, randomCandidate(random, fmt.Sprintf("c%d", i)))
	}
	for i := range 8 {
		name := fmt.Sprintf("c%d", i)
		if random.IntN(3) > 0 {
			continue
		}
		w.before.Clusters = append(w.before.Clusters, name)
		if random.IntN(3) == 0 {
			w.before.Waiting = append(w.before.Waiting, name)
		}
		if random.IntN(2) == 0 {
			if w.before.Scores == nil {
				w.before.Scores = map[string]Score{}
			}
			w.before.Scores[name] = Score{Affinity: random.IntN(3), TopologySpread: random.IntN(3) - 1}
		}
	}
	if random.IntN(2) == 0 {
		w.before.Obsolete = []string{"c1", "c4", "c9"}
	}
	if random.IntN(3) > 0 {
		w.before.PolicyDigest = PolicyDigest(w.placement.Policy)
	}
	return w
}

func randomCandidate(random *rand.Rand, name string) Candidate {
	c := Candidate{Name: name, Labels: randomLabels(random), Properties: map[string]string{}}
	for _, property := range []string{"p", "q"} {
		if random.IntN(4) > 0 {
			c.Properties[property] = []string{"0", "1", "1500m", "2", "3"}[random.IntN(5)]
		}
		if random.IntN(30) == 0 {
			c.Properties[property] = "many"
		}
	}
	if random.IntN(5) == 0 {
		c.Taints = taints([]string{"k=1", "k=2", "l"}[random.IntN(3)])
	}
	if random.IntN(8) == 0 {
		c.Ineligible = "down"
		c.Leaving = random.IntN(2) == 0
	}
	return c
}

func randomPolicy(random *rand.Rand) *v1beta1.PlacementPolicy {
	var terms []v1beta1.ClusterSelectorTerm
	for range random.IntN(3) {
		terms = append(terms, randomTerm(random))
	}
	policy := pickAll(requiring(terms...))
	if random.IntN(2) == 0 {
		policy.Tolerations = []v1beta1.Toleration{{Key: "k", Value: "1"}, {Key: "l", Operator: "Exists"}}
	}
	switch random.IntN(8) {
	case 0:
		return nil
	case 1:
		return fixed(fmt.Sprintf("c%d", random.IntN(6)), fmt.Sprintf("c%d", random.IntN(6)))
	case 2:
		return policy
	}
	policy.PlacementType, policy.NumberOfClusters = v1beta1.PickN, number(random.IntN(6))
	for range random.IntN(3) {
		preferred := prefer(int32(random.IntN(7)-3), randomSelector(random), nil)
		if random.IntN(2) == 0 {
			preferred.Preference.PropertySorter = []*v1beta1.PropertySorter{ascending("p"), descending("p"), descending("q")}[random.IntN(3)]
		}
		policy.Affinity.ClusterAffinity.Preferred = append(policy.Affinity.ClusterAffinity.Preferred, preferred)
	}
	for range random.IntN(3) {
		policy.TopologySpreadConstraints = append(policy.TopologySpreadConstraints,
			spreadOver(randomKey(random), int32(1+random.IntN(2)), []string{"", "DoNotSchedule", "ScheduleAnyway"}[random.IntN(3)]))
	}
	return policy
}

func randomTerm(random *rand.Rand) v1beta1.ClusterSelectorTerm {
	term := v1beta1.ClusterSelectorTerm{LabelSelector: randomSelector(random)}
	if random.IntN(3) == 0 {
		op := []string{"Gt", "Ge", "Eq", "Ne", "Lt", "Le"}[random.IntN(6)]
		term.PropertySelector = comparing(fmt.Sprintf("p %s %d", op, random.IntN(4)), "q Ge 1").PropertySelector
	}
	return term
}

func randomSelector(random *rand.Rand) *metav1.LabelSelector {
	if random.IntN(8) == 0 {
		return nil
	}
	s := &metav1.LabelSelector{MatchLabels: randomLabels(random)}
	operators := []metav1.LabelSelectorOperator{metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn,
		metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist}
	for range random.IntN(3) {
		op := operators[random.IntN(len(operators))]
		// Mistakes are rare, or no policy would be decided.
		if random.IntN(20) == 0 {
			op = "Wrong"
		}
		e := metav1.LabelSelectorRequirement{Key: randomKey(random), Operator: op}
		if op == metav1.LabelSelectorOpIn || op == metav1.LabelSelectorOpNotIn || random.IntN(20) == 0 {
			e.Values = []string{randomValue(random), randomValue(random)}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func randomLabels(random *rand.Rand) map[string]string {
	l := map[string]string{}
	for range random.IntN(3) {
		l[randomKey(random)] = randomValue(random)
	}
	return l
}

func randomKey(random *rand.Rand) string   { return []string{"a", "b", "c"}[random.IntN(3)] }
func randomValue(random *rand.Rand) string { return []string{"", "1", "2"}[random.IntN(3)] }

// checkDecision holds for every policy, fleet and history.
func checkDecision(t *testing.T, random *rand.Rand, w world) {
	t.Helper()
	d := Decide(w.placement, w.before, w.candidates, noon)
	before := w.before
	before.Clusters, before.Obsolete, before.Waiting = shuffled(random, before.Clusters), shuffled(random, before.Obsolete), shuffled(random, before.Waiting)
	if diff := cmp.Diff(d, Decide(w.placement, before, shuffled(random, w.candidates), noon)); diff != "" {
		t.Errorf("the order of candidates matters (-first +shuffled):\n%s", diff)
	}
	fleet := NewFleet(append(shuffled(random, w.candidates), Candidate{Name: "zz", Ineligible: "down"}))
	if diff := cmp.Diff(d.Assignment, fleet.Decide(w.placement, before, noon).Assignment); diff != "" {
		t.Errorf("an ineligible cluster without labels, or the index of all keys, changes who is chosen (-without +with):\n%s", diff)
	}
	if diff := cmp.Diff(d.Assignment, Decide(w.placement, d.Assignment, w.candidates, noon).Assignment); diff != "" {
		t.Errorf("deciding on the outcome changes it (-first +second):\n%s", diff)
	}
	for _, c := range w.candidates {
		c.Name, c.Ineligible, c.Leaving = "double of "+c.Name, "down", false
		if diff := cmp.Diff(d.Assignment, Decide(w.placement, w.before, append(shuffled(random, w.candidates), c), noon).Assignment); diff != "" {
			t.Errorf("an ineligible cluster within all bounds and domains changes who is chosen (-without +with):\n%s", diff)
		}
	}
	seen := map[string]bool{}
	for _, v := range d.Verdicts {
		if v.Reason == "" || seen[v.Cluster] {
			t.Errorf("no reason for %s, or two verdicts", v.Cluster)
		}
		seen[v.Cluster] = true
		if v.Selected != slices.Contains(d.Assignment.Clusters, v.Cluster) {
			t.Errorf("the verdict on %s is selected %v, but assigned are %v", v.Cluster, v.Selected, d.Assignment.Clusters)
		}
	}
	for _, c := range w.candidates {
		if !seen[c.Name] {
			t.Errorf("no verdict for candidate %s", c.Name)
		}
	}
	want := model{world: w}
	want.decide()
	got := model{world: w, assignment: d.Assignment, unfilled: d.Unfilled}
	if diff := cmp.Diff(want.outcome(), got.outcome()); diff != "" {
		t.Errorf("decided otherwise than the reference (-reference +decided):\n%s\n%s", diff, strings.Join(verdicts(d), "\n"))
	}
}

func TestDecideProperties(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := randomWorld(random)
		checkDecision(t, random, w)
		if t.Failed() {
			t.Fatalf("seed %d: policy %s, candidates %v, before %+v", seed, encode(w.placement.Policy), w.candidates, w.before)
		}
	}
}

// TestDecideNeverUnplacesUnderOnePolicy walks a placement through a fleet whose labels keep changing.
func TestDecideNeverUnplacesUnderOnePolicy(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		p := placementWith(requires(randomSelector(random), randomSelector(random)))
		candidates := []Candidate{{Name: "a"}, {Name: "b"}, {Name: "c"}}
		var now Assignment
		for range 10 {
			for i := range candidates {
				candidates[i].Labels = randomLabels(random)
			}
			next := Decide(p, now, candidates, noon).Assignment
			for _, c := range now.Clusters {
				if !slices.Contains(next.Clusters, c) {
					t.Fatalf("seed %d: %s was unplaced by a label change: %v, then %v", seed, c, now.Clusters, next.Clusters)
				}
			}
			now = next
		}
	}
}

// FuzzDecide feeds selectors as authors might write them, past every validation.
func FuzzDecide(f *testing.F) {
	f.Add("p", "3", "a", "ScheduleAnyway", "1", uint64(4))
	f.Add("p", "1e400", "a", "DoNotSchedule", "k=2", uint64(106))
	f.Add("region", "east", "tier", "NotIn", "edge", uint64(1))
	f.Add("not a key", "not a value!", "", "", "", uint64(2))
	f.Add("a", "", "a", "Exists", "", uint64(3))
	f.Fuzz(func(t *testing.T, key, value, exprKey, op, exprValue string, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 3))
		s := labelled(key, value)
		e := metav1.LabelSelectorRequirement{Key: exprKey, Operator: metav1.LabelSelectorOperator(op)}
		if exprValue != "" {
			e.Values = []string{exprValue, value}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
		w := randomWorld(random)
		w.placement.Policy = requires(s, randomSelector(random))
		if seed%2 == 0 {
			w.placement.Policy.PlacementType, w.placement.Policy.NumberOfClusters = v1beta1.PickN, number(int(seed%5))
			w.placement.Policy.Affinity.ClusterAffinity.Preferred = []v1beta1.PreferredClusterSelector{prefer(int32(seed%200)-100, s, ascending(key))}
			w.placement.Policy.TopologySpreadConstraints = []v1beta1.TopologySpreadConstraint{spreadOver(exprKey, int32(seed%3), op)}
		}
		w.candidates = append(w.candidates, Candidate{Name: "z", Labels: map[string]string{key: value, exprKey: exprValue},
			Properties: map[string]string{key: value}, Taints: taints(exprValue)})
		checkDecision(t, random, w)
	})
}
