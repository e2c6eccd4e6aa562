package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// anywayPenalty is what a violated ScheduleAnyway constraint takes from the topology spread score: more than all that
// constraints can add.
const anywayPenalty = 1000

const (
	doNotSchedule  = "DoNotSchedule"
	scheduleAnyway = "ScheduleAnyway"
)

// constraint bounds how unevenly a placement is spread over the values of a label.
type constraint struct {
	key     string
	maxSkew int
	anyway  bool // prefer not to violate it, instead of never
}

func parseConstraints(constraints []v1beta1.TopologySpreadConstraint) ([]constraint, error) {
	var list []constraint
	for i, c := range constraints {
		field := fmt.Sprintf("spec.policy.topologySpreadConstraints[%d]", i)
		one := constraint{key: c.TopologyKey, maxSkew: skewOf(c), anyway: c.WhenUnsatisfiable == scheduleAnyway}
		switch {
		case one.key == "":
			return nil, fmt.Errorf("%s.topologyKey is empty: name the cluster label to spread over", field)
		case one.maxSkew < 1:
			return nil, fmt.Errorf("%s.maxSkew is %d: use 1 or more", field, one.maxSkew)
		case !slices.Contains([]string{"", doNotSchedule, scheduleAnyway}, c.WhenUnsatisfiable):
			return nil, fmt.Errorf("%s.whenUnsatisfiable is %q: use %s or %s", field, c.WhenUnsatisfiable, doNotSchedule, scheduleAnyway)
		}
		list = append(list, one)
	}
	return list, nil
}

// skewOf returns the maxSkew of c, which is 1 when absent.
func skewOf(c v1beta1.TopologySpreadConstraint) int {
	if c.MaxSkew == nil {
		return 1
	}
	return int(*c.MaxSkew)
}

// domains counts the clusters that hold the placement in each domain of one constraint. A domain is a value of the label
// that any cluster of the fleet has, also one that cannot be scheduled onto: an empty domain out of reach counts.
type domains struct {
	constraint
	column
	counts []int // by number of the value; 0 stands for the clusters that are in no domain
	// The extremes of counts. The second equals the least when two domains have it.
	least, second, greatest int
}

// count changes the count of the domain of the candidate at position i.
func (d *domains) count(i, by int) {
	if domain := d.of[i]; domain > 0 {
		d.counts[domain] += by
	}
}

// measure finds the extremes.
func (d *domains) measure() {
	counts := d.counts[1:]
	if len(counts) == 0 {
		return
	}
	d.least, d.greatest = slices.Min(counts), slices.Max(counts)
	d.second = d.greatest
	seen := false
	for _, n := range counts {
		if n == d.least && !seen {
			seen = true
			continue
		}
		d.second = min(d.second, n)
	}
}

// change returns by how much the skew, the difference between the fullest and the emptiest domain, would change with one
// more in domain.
func (d *domains) change(domain int32) int {
	n := d.counts[domain]
	switch {
	case d.least == d.greatest:
		return 1
	case n == d.least && d.second != d.least:
		return -1
	case n == d.greatest:
		return 1
	}
	return 0
}

// violated tells whether the skew would be too great with one more in domain.
func (d *domains) violated(domain int32) bool {
	return d.greatest-d.least+d.change(domain) > d.maxSkew
}

// violation says how one more in domain violates d.
func (d *domains) violation(domain int32) string {
	emptiest := slices.Index(d.counts[1:], d.least) + 1
	return fmt.Sprintf("one more in domain %s of topologyKey %s would make the skew %d, and maxSkew is %d (domain %s has %d, the fullest has %d)",
		named(d.values[domain]), d.key, d.greatest-d.least+d.change(domain), d.maxSkew,
		named(d.values[emptiest]), d.least, d.greatest)
}

// named shows the value of a label, which may be empty.
func named(value string) string { return cmp.Or(value, `""`) }

// spread is how a placement is spread over the fleet. Clusters in the same domain of every constraint are a lane: they
// score alike, so each pass looks at lanes instead of clusters.
type spread struct {
	constraints []*domains
	lane        []int32 // by position
	members     []int   // one position of each lane
	scores      []int   // by lane: the topology spread score of one more there
	blocked     []bool  // by lane: whether one more violates a DoNotSchedule constraint
}

// spreadOf returns how the clusters that are marked in held are spread.
func (f *Fleet) spreadOf(constraints []constraint, held []bool) *spread {
	s := &spread{}
	var columns []column
	for _, c := range constraints {
		col := f.label(c.key)
		columns = append(columns, col)
		s.constraints = append(s.constraints, &domains{constraint: c, column: col, counts: make([]int, len(col.values))})
	}
	s.lane, s.members = f.classes(columns)
	s.scores, s.blocked = make([]int, len(s.members)), make([]bool, len(s.members))
	for i, holds := range held {
		if holds {
			s.count(i, 1)
		}
	}
	s.weigh()
	return s
}

// count changes how many hold the placement where the candidate at position i is.
func (s *spread) count(i, by int) {
	for _, d := range s.constraints {
		d.count(i, by)
	}
}

// weigh scores every lane for one more cluster, as things are. A constraint whose label a cluster lacks says nothing of it.
func (s *spread) weigh() {
	for _, d := range s.constraints {
		d.measure()
	}
	for lane, i := range s.members {
		s.scores[lane], s.blocked[lane] = 0, false
		for _, d := range s.constraints {
			domain := d.of[i]
			switch {
			case domain == 0:
			case !d.violated(domain):
				s.scores[lane] -= d.change(domain)
			case d.anyway:
				s.scores[lane] -= anywayPenalty
			default:
				s.blocked[lane] = true
			}
		}
	}
}

// violations says which DoNotSchedule constraints one more in lane would violate.
func (s *spread) violations(lane int32) []string {
	var reasons []string
	for _, d := range s.constraints {
		if domain := d.of[s.members[lane]]; domain > 0 && !d.anyway && d.violated(domain) {
			reasons = append(reasons, d.violation(domain))
		}
	}
	return reasons
}
