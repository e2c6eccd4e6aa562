package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// world is a random fleet, policy and history, small enough that everything meets everything.
type world struct {
	policy     *v1beta1.PlacementPolicy
	candidates []Candidate
	before     Assignment
}

func randomWorld(random *rand.Rand) world {
	w := world{policy: randomPolicy(random)}
	for i := range random.IntN(5) {
		w.candidates = append(w.candidates, Candidate{Name: fmt.Sprintf("c%d", i), Labels: randomLabels(random)})
	}
	for i := range 6 {
		if random.IntN(3) == 0 {
			w.before.Clusters = append(w.before.Clusters, fmt.Sprintf("c%d", i))
		}
	}
	if random.IntN(3) > 0 {
		w.before.PolicyDigest = PolicyDigest(w.policy)
	}
	return w
}

func randomPolicy(random *rand.Rand) *v1beta1.PlacementPolicy {
	switch random.IntN(8) {
	case 0:
		return nil
	case 1:
		return fixed(fmt.Sprintf("c%d", random.IntN(6)), fmt.Sprintf("c%d", random.IntN(6)))
	case 2:
		return &v1beta1.PlacementPolicy{PlacementType: v1beta1.PickN}
	}
	var selectors []*metav1.LabelSelector
	for range random.IntN(4) {
		selectors = append(selectors, randomSelector(random))
	}
	return requires(selectors...)
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
	p := placementWith(w.policy)
	d := Decide(p, w.before, w.candidates, noon)

	again := Decide(p, Assignment{Clusters: shuffled(random, w.before.Clusters), PolicyDigest: w.before.PolicyDigest},
		shuffled(random, w.candidates), noon)
	if diff := cmp.Diff(d, again); diff != "" {
		t.Errorf("the order of candidates matters (-first +shuffled):\n%s", diff)
	}
	if diff := cmp.Diff(d.Assignment, Decide(p, d.Assignment, w.candidates, noon).Assignment); diff != "" {
		t.Errorf("deciding on the outcome changes it (-first +second):\n%s", diff)
	}
	reasons := map[string]Verdict{}
	for _, v := range d.Verdicts {
		if v.Reason == "" {
			t.Errorf("no reason for %s", v.Cluster)
		}
		reasons[v.Cluster] = v
	}
	for _, c := range w.candidates {
		v, ok := reasons[c.Name]
		if !ok {
			t.Errorf("no verdict for candidate %s", c.Name)
			continue
		}
		held := slices.Contains(w.before.Clusters, c.Name)
		if want, known := oracle(w.policy, c, held, w.before.PolicyDigest == PolicyDigest(w.policy)); known && v.Selected != want {
			t.Errorf("%s with labels %v: selected is %v, want %v (%s)", c.Name, c.Labels, v.Selected, want, v.Reason)
		}
	}
}

// oracle decides one cluster with Kubernetes' own selectors. known is false when it has no opinion: bad policies hold.
func oracle(policy *v1beta1.PlacementPolicy, c Candidate, held, samePolicy bool) (selected, known bool) {
	if policy == nil {
		return true, true
	}
	switch policy.PlacementType {
	case v1beta1.PickFixed:
		return slices.Contains(policy.ClusterNames, c.Name), true
	case v1beta1.PickN:
		return held, true
	}
	terms := requiredTerms(policy)
	match, valid := len(terms) == 0, true
	for _, term := range terms {
		selector := labels.Everything()
		if term.LabelSelector != nil {
			var err error
			if selector, err = metav1.LabelSelectorAsSelector(term.LabelSelector); err != nil {
				valid = false
				continue
			}
		}
		match = match || selector.Matches(labels.Set(c.Labels))
	}
	if !valid {
		return held, true
	}
	return match || held && samePolicy, true
}

func TestDecideProperties(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := randomWorld(random)
		checkDecision(t, random, w)
		if t.Failed() {
			t.Fatalf("seed %d: policy %s, candidates %v, before %+v", seed, encode(w.policy), w.candidates, w.before)
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
		w.policy = requires(s, randomSelector(random))
		w.candidates = append(w.candidates, Candidate{Name: "z", Labels: map[string]string{key: value, exprKey: exprValue}})
		checkDecision(t, random, w)
	})
}
