package placement

import (
	"cmp"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// model decides as the reference says, step by step and without any cleverness: the measure of Decide.
type model struct {
	world
	held       []string
	scores     map[string]Score
	assignment Assignment
	unfilled   int
}

// outcome is what is compared.
func (m *model) outcome() any {
	return []any{append([]string(nil), m.assignment.Clusters...), m.assignment.Scores, m.assignment.PolicyDigest, m.unfilled}
}

func (m *model) decide() {
	policy := m.placement.Policy
	if policy == nil {
		policy = &v1beta1.PlacementPolicy{}
	}
	m.scores = map[string]Score{}
	for _, c := range m.candidates {
		if slices.Contains(m.before.Clusters, c.Name) && m.before.PolicyDigest == PolicyDigest(policy) && !c.Leaving {
			m.held = append(m.held, c.Name)
			if score, ok := m.before.Scores[c.Name]; ok && policy.PlacementType == v1beta1.PickN {
				m.scores[c.Name] = score
			}
		}
	}
	ok := true
	switch policy.PlacementType {
	case v1beta1.PickFixed:
		m.fix(policy)
	case v1beta1.PickN:
		ok = m.rank(policy)
	default:
		ok = m.all(policy)
	}
	if !ok {
		m.hold()
		return
	}
	slices.Sort(m.held)
	m.assignment = Assignment{Clusters: m.held, PolicyDigest: PolicyDigest(policy)}
	for _, name := range m.held {
		if score, ok := m.scores[name]; ok {
			if m.assignment.Scores == nil {
				m.assignment.Scores = map[string]Score{}
			}
			m.assignment.Scores[name] = score
		}
	}
}

func (m *model) hold() {
	m.assignment = Assignment{PolicyDigest: m.before.PolicyDigest}
	for _, c := range m.candidates {
		if !slices.Contains(m.before.Clusters, c.Name) {
			continue
		}
		m.assignment.Clusters = append(m.assignment.Clusters, c.Name)
		if score, ok := m.before.Scores[c.Name]; ok {
			if m.assignment.Scores == nil {
				m.assignment.Scores = map[string]Score{}
			}
			m.assignment.Scores[c.Name] = score
		}
	}
	slices.Sort(m.assignment.Clusters)
}

func (m *model) fix(policy *v1beta1.PlacementPolicy) {
	names := map[string]bool{}
	for _, name := range policy.ClusterNames {
		names[name] = true
	}
	held := m.held
	m.held = nil
	for _, c := range m.candidates {
		if names[c.Name] && (c.Ineligible == "" || slices.Contains(held, c.Name)) {
			m.held = append(m.held, c.Name)
		}
	}
	m.unfilled = min(len(names)-len(m.held), 20)
}

func (m *model) all(policy *v1beta1.PlacementPolicy) bool {
	if !validModel(policy) {
		return false
	}
	for _, c := range m.candidates {
		fits, ok := m.passes(policy, c)
		if !ok {
			return false
		}
		if fits && !slices.Contains(m.held, c.Name) {
			m.held = append(m.held, c.Name)
		}
	}
	return true
}

func (m *model) rank(policy *v1beta1.PlacementPolicy) bool {
	affinity, readable := m.affinity(policy)
	if policy.NumberOfClusters == nil || !validModel(policy) {
		return false
	}
	wanted := int(*policy.NumberOfClusters)
	m.shrink(wanted, affinity)
	if len(m.held) >= wanted {
		return true
	}
	fit := map[string]bool{}
	for _, c := range m.candidates {
		fits, ok := m.passes(policy, c)
		if readable = readable && ok; fits {
			fit[c.Name] = true
		}
	}
	if !readable {
		return false
	}
	for len(m.held) < wanted && m.pickOne(policy, affinity, fit) {
	}
	m.unfilled = min(wanted-len(m.held), len(m.candidates)-len(m.held), 20)
	return true
}

// validModel knows what the worlds of the fuzz target get wrong.
func validModel(policy *v1beta1.PlacementPolicy) bool {
	for _, c := range policy.TopologySpreadConstraints {
		if c.TopologyKey == "" || *c.MaxSkew < 1 || !slices.Contains([]string{"", "DoNotSchedule", "ScheduleAnyway"}, c.WhenUnsatisfiable) {
			return false
		}
	}
	for _, term := range requiredTerms(policy) {
		if _, err := metav1.LabelSelectorAsSelector(term.LabelSelector); err != nil {
			return false
		}
	}
	for _, p := range preferredTerms(policy) {
		if _, err := metav1.LabelSelectorAsSelector(p.Preference.LabelSelector); err != nil {
			return false
		}
		if s := p.Preference.PropertySorter; s != nil && checkPropertyName("", s.Name) != nil {
			return false
		}
	}
	return true
}

func (m *model) shrink(wanted int, affinity map[string]int) {
	score := func(name string) Score {
		if s, ok := m.before.Scores[name]; ok {
			return s
		}
		return Score{Affinity: affinity[name]}
	}
	slices.SortFunc(m.held, func(a, b string) int {
		x, y := score(a), score(b)
		waitsA, waitsB := slices.Contains(m.before.Waiting, a), slices.Contains(m.before.Waiting, b)
		switch {
		case waitsA && !waitsB:
			return -1
		case waitsB && !waitsA:
			return 1
		}
		return cmp.Or(x.TopologySpread-y.TopologySpread, x.Affinity-y.Affinity, cmp.Compare(a, b))
	})
	if surplus := len(m.held) - wanted; surplus > 0 {
		m.held = m.held[surplus:]
	}
}

// passes tells whether c is filtered out, and whether that can be told at all.
func (m *model) passes(policy *v1beta1.PlacementPolicy, c Candidate) (fits, ok bool) {
	if !validModel(policy) {
		return false, false
	}
	matches, doubtful := len(requiredTerms(policy)) == 0, false
	for _, term := range requiredTerms(policy) {
		selector := labels.Everything()
		if term.LabelSelector != nil {
			selector, _ = metav1.LabelSelectorAsSelector(term.LabelSelector)
		}
		met, open := selector.Matches(labels.Set(c.Labels)), false
		if term.PropertySelector != nil {
			for _, e := range term.PropertySelector.MatchExpressions {
				value, reported := c.Properties[e.Name]
				q, err := resource.ParseQuantity(value)
				switch {
				case reported && err != nil:
					open = true
				case !reported || !operators[e.Operator].met(q.Cmp(resource.MustParse(e.Values[0]))):
					met = false
				}
			}
		}
		matches = matches || met && !open
		doubtful = doubtful || met && open
	}
	if doubtful && !matches {
		return false, false
	}
	for _, taint := range c.Taints {
		if !slices.ContainsFunc(policy.Tolerations, func(t v1beta1.Toleration) bool { return tolerates(t, taint) }) {
			return false, true
		}
	}
	return matches && c.Ineligible == "", true
}

// affinity returns the affinity scores, and whether all values that they need can be read.
func (m *model) affinity(policy *v1beta1.PlacementPolicy) (map[string]int, bool) {
	scores, readable := map[string]int{}, true
	for _, p := range preferredTerms(policy) {
		selector := labels.Everything()
		if p.Preference.LabelSelector != nil {
			selector, _ = metav1.LabelSelectorAsSelector(p.Preference.LabelSelector)
		}
		var values map[string]float64
		least, greatest := math.Inf(1), math.Inf(-1)
		sorter := p.Preference.PropertySorter
		if sorter != nil {
			values = map[string]float64{}
			for _, c := range m.candidates {
				if value, reported := c.Properties[sorter.Name]; reported {
					q, err := resource.ParseQuantity(value)
					if err != nil {
						readable, values = false, nil
						break
					}
					values[c.Name] = q.AsApproximateFloat64()
					least, greatest = min(least, values[c.Name]), max(greatest, values[c.Name])
				}
			}
		}
		for _, c := range m.candidates {
			value, known := values[c.Name]
			switch {
			case selector == nil || !selector.Matches(labels.Set(c.Labels)):
			case sorter == nil:
				scores[c.Name] += int(p.Weight)
			case !known || least == greatest:
			case sorter.SortOrder == "Descending":
				scores[c.Name] += int(math.Round((value - least) / (greatest - least) * float64(p.Weight)))
			default:
				scores[c.Name] += int(math.Round((1 - (value-least)/(greatest-least)) * float64(p.Weight)))
			}
		}
	}
	return scores, readable
}

// pickOne is one pass with one pick: without constraints as many passes as picks give the same.
func (m *model) pickOne(policy *v1beta1.PlacementPolicy, affinity map[string]int, fit map[string]bool) bool {
	obsolete := func(name string) int {
		if slices.Contains(m.before.Obsolete, name) || m.before.PolicyDigest != PolicyDigest(policy) && slices.Contains(m.before.Clusters, name) {
			return 1
		}
		return 0
	}
	best := ""
	var bestScore Score
	for _, c := range m.candidates {
		spread, allowed := m.spread(policy, c)
		if !fit[c.Name] || slices.Contains(m.held, c.Name) || !allowed {
			continue
		}
		better := cmp.Or(spread-bestScore.TopologySpread, affinity[c.Name]-bestScore.Affinity, obsolete(c.Name)-obsolete(best), cmp.Compare(c.Name, best))
		if best == "" || better > 0 {
			best, bestScore = c.Name, Score{Affinity: affinity[c.Name], TopologySpread: spread}
		}
	}
	if best == "" {
		return false
	}
	m.held = append(m.held, best)
	m.scores[best] = bestScore
	return true
}

// spread measures the skew of every constraint before and after c.
func (m *model) spread(policy *v1beta1.PlacementPolicy, c Candidate) (score int, allowed bool) {
	allowed = true
	for _, constraint := range policy.TopologySpreadConstraints {
		counts := map[string]int{}
		for _, o := range m.candidates {
			if domain, ok := o.Labels[constraint.TopologyKey]; ok {
				counts[domain] += 0
				if slices.Contains(m.held, o.Name) {
					counts[domain]++
				}
			}
		}
		domain, ok := c.Labels[constraint.TopologyKey]
		if !ok {
			continue
		}
		before := skewOfCounts(counts)
		counts[domain]++
		after := skewOfCounts(counts)
		if len(counts) == 1 {
			after = before + 1 // upstream counts a lone domain as raising the skew
		}
		violated := after > int(*constraint.MaxSkew)
		switch {
		case !violated:
			score -= after - before
		case constraint.WhenUnsatisfiable == "ScheduleAnyway":
			score -= 1000
		default:
			allowed = false
		}
	}
	return score, allowed
}

func skewOfCounts(counts map[string]int) int {
	least, greatest := math.MaxInt, 0
	for _, n := range counts {
		least, greatest = min(least, n), max(greatest, n)
	}
	return greatest - least
}
