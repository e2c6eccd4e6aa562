package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// TestClasses: two clusters are in one class if and only if all columns say the same of them, however many classes there
// are, and the member of a class is in it.
func TestClasses(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for _, values := range []int{1, 2, 40, 5000} {
		var candidates []Candidate
		for i := range 300 {
			c := Candidate{Name: fmt.Sprintf("c%03d", i), Labels: map[string]string{}}
			for _, key := range []string{"a", "b", "c"} {
				if random.IntN(5) > 0 {
					c.Labels[key] = fmt.Sprint(random.IntN(values))
				}
			}
			candidates = append(candidates, c)
		}
		f := NewFleet(candidates)
		of, members := f.classes([]column{f.label("a"), f.label("b"), f.label("nobody has it"), f.label("c")})
		same := func(i, j int) bool { return cmp.Equal(f.candidates[i].Labels, f.candidates[j].Labels) }
		for i := range candidates {
			if !same(i, members[of[i]]) {
				t.Fatalf("%d values: %v is in the class of %v", values, f.candidates[i].Labels, f.candidates[members[of[i]]].Labels)
			}
			for j := range i {
				if same(i, j) != (of[i] == of[j]) {
					t.Fatalf("%d values: %v and %v are in classes %d and %d", values, f.candidates[i].Labels, f.candidates[j].Labels, of[i], of[j])
				}
			}
		}
	}
}

// TestFleetIsNotTheCallers: a Fleet keeps nothing of the list that it was made from, and decisions leave it as it is.
func TestFleetIsNotTheCallers(t *testing.T) {
	candidates := members("b r=1", "a r=2", "c r=1 !leaving")
	candidates[2].Ineligible = ""
	f := NewFleet(candidates)
	policy := pickN(1, preferring(prefer(1, labelled("r", "2"), nil)))
	first := f.Decide(placementWith(policy), Assignment{}, noon)
	if candidates[0].Name != "b" || candidates[2].Ineligible != "" {
		t.Errorf("the candidates of the caller were changed: %v", candidates)
	}
	candidates[1].Name = "x"
	f.Decide(placementWith(pickAll()), Assignment{}, noon)
	if diff := cmp.Diff(first, f.Decide(placementWith(policy), Assignment{}, noon)); diff != "" {
		t.Errorf("the same question has another answer (-first +second):\n%s", diff)
	}
}

// TestMark: names count in any order, and those of nobody are left out.
func TestMark(t *testing.T) {
	f := NewFleet(members("a", "b", "c", "d"))
	for _, names := range [][]string{{"b", "d"}, {"d", "b"}, {"b", "b", "gone", "d", "zz"}, {"", "d", "c0", "b"}} {
		if diff := cmp.Diff([]bool{false, true, false, true}, f.mark(names)); diff != "" {
			t.Errorf("marks of %q (-want +got):\n%s", names, diff)
		}
	}
}

// TestUnheardKeys: keys that nobody has are asked about without harm, with and without an index of the policy's keys.
func TestUnheardKeys(t *testing.T) {
	policy := pickN(2, requiring(v1beta1.ClusterSelectorTerm{LabelSelector: where("x", metav1.LabelSelectorOpDoesNotExist)}),
		preferring(prefer(5, nil, ascending("y"))), spreading(spreadOver("z", 1, "DoNotSchedule")))
	for name, d := range map[string]Decision{
		"Decide": Decide(placementWith(policy), Assignment{}, members("a", "b", "c"), noon),
		"Fleet":  NewFleet(members("a", "b", "c")).Decide(placementWith(policy), Assignment{}, noon),
	} {
		if got, want := ranking(d), "c b | a |"; got != want {
			t.Errorf("%s: decided %q, want %q", name, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	if got := (Decision{Name: "web"}).Key(); got != "web" {
		t.Errorf("key is %q, want web", got)
	}
	d := Decide(Placement{Name: "web", Namespace: "shop"}, Assignment{}, nil, noon)
	if got := d.Key(); got != "shop/web" {
		t.Errorf("key is %q, want shop/web: the namespace is carried through", got)
	}
}
