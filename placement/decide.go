package placement

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// Decide chooses the clusters of p among candidates, whose names are unique and whose order does not matter. For many
// placements over the same candidates, index those once with NewFleet.
//
// Decisions are sticky, as upstream: while the policy stays the same (by PolicyDigest), a cluster that holds the
// placement keeps it whatever becomes of its labels, properties, taints and health. A changed policy decides afresh, and
// who held the placement before wins ties only. A cluster of before that is no candidate any more leaves the assignment
// without a verdict, since its registration is gone, not its objects; what happens to those is the caller's to know. A
// name that PickFixed asks for and no candidate bears gets a verdict too.
//
// What cannot be decided (a policy that render should have refused, a property that is no quantity) moves nothing: before
// stays in force as far as its clusters are still candidates, and Scheduled tells what is wrong. Decide never panics and
// never fails.
func Decide(p Placement, before Assignment, candidates []Candidate, now time.Time) Decision {
	r, err := parsePolicy(p.Policy)
	labels, properties := r.keys()
	return index(candidates, labels, properties).decide(p, r, err, before, now)
}

// Decide chooses the clusters of p, as the function Decide does.
func (f *Fleet) Decide(p Placement, before Assignment, now time.Time) Decision {
	r, err := parsePolicy(p.Policy)
	return f.decide(p, r, err, before, now)
}

// decide decides by r, unless undecidable tells that it cannot be.
func (f *Fleet) decide(p Placement, r rule, undecidable error, before Assignment, now time.Time) Decision {
	s := f.begin(p, r, before, now)
	var err error
	switch {
	case undecidable != nil:
		err = undecidable
	case r.kind == v1beta1.PickFixed:
		s.pickFixed()
	case r.kind == v1beta1.PickN:
		err = s.pickN()
	default:
		err = s.pickAll()
	}
	if err != nil {
		return s.hold(err)
	}
	return s.decision
}

// scheduling is a decision in the making.
type scheduling struct {
	*Fleet
	rule
	placement Placement
	before    Assignment
	now       time.Time
	held      []bool // by position: who holds the placement by the present policy
	obsolete  []bool // by position: who holds it by an earlier one
	class     []int32
	judged    []judgement       // by class
	notes     map[int]string    // by position: what the grace period has to say of a cluster that holds the placement, or did
	failing   map[int]time.Time // by position: since when a cluster fails the required terms, where there is a grace period
	decision  Decision
}

// judgement is what the policy says of the clusters of one class.
type judgement struct {
	answer answer // to the required terms
	match  string // which of them is met, or everything that keeps the class from meeting one
	barred string // everything that keeps new placements off, the terms included; empty when nothing does
	kept   string // why a cluster of the class keeps the placement although it is barred, once that was asked for
}

func (f *Fleet) begin(p Placement, r rule, before Assignment, now time.Time) *scheduling {
	digest := PolicyDigest(p.Policy)
	s := &scheduling{Fleet: f, rule: r, placement: p, before: before, now: now, notes: map[int]string{}}
	s.decision = Decision{Name: p.Name, Namespace: p.Namespace, At: now, Assignment: Assignment{PolicyDigest: digest}}
	s.held, s.obsolete = f.mark(before.Clusters), f.mark(before.Obsolete)
	if before.PolicyDigest != digest {
		for i, holds := range s.held {
			s.obsolete[i] = s.obsolete[i] || holds
		}
		clear(s.held)
	}
	for i := range f.candidates {
		s.held[i] = s.held[i] && !f.candidates[i].Leaving
	}
	return s
}

// judge works out what the policy says of every cluster.
func (s *scheduling) judge() {
	columns := append(s.columnsOf(s.terms), s.ineligible, s.taints)
	if s.placement.Namespace != "" {
		columns = append(columns, s.column(func(c *Candidate) (string, bool) { return "", s.lacksNamespace(c) }))
	}
	var members []int
	s.class, members = s.classes(columns)
	s.judged = make([]judgement, len(members))
	for class, i := range members {
		s.judged[class] = s.judgeOne(i)
	}
}

// judgeOne works it out for the candidate at position i.
func (s *scheduling) judgeOne(i int) judgement {
	c := s.candidates[i]
	var j judgement
	if j.answer, j.match = s.match(s.terms, i); j.answer != yes {
		j.barred = j.match
	}
	var lacks string
	if s.lacksNamespace(&c) {
		lacks = fmt.Sprintf("namespace %s is not there: have a ClusterResourcePlacement bring it", s.placement.Namespace)
	}
	if c.Ineligible == "" && lacks == "" && len(c.Taints) == 0 {
		return j
	}
	var reasons []string
	for _, reason := range append([]string{j.barred, c.Ineligible, lacks}, untolerated(c.Taints, s.tolerations)...) {
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	j.barred = strings.Join(reasons, "; ")
	return j
}

// lacksNamespace tells whether c is known to lack the namespace that the placement lives in.
func (s *scheduling) lacksNamespace(c *Candidate) bool {
	return s.placement.Namespace != "" && c.Namespaces != nil && !c.Namespaces[s.placement.Namespace]
}

func (s *scheduling) judgement(i int) *judgement { return &s.judged[s.class[i]] }

// unjudged returns an error when the required terms have no answer for some cluster. Upstream gives up such a cycle.
func (s *scheduling) unjudged() error {
	if slices.ContainsFunc(s.judged, func(j judgement) bool { return j.answer == unknown }) {
		return s.unreadable(s.requiredProperties())
	}
	return nil
}

// pickAll selects every candidate that nothing keeps the placement off, and those that hold it already.
func (s *scheduling) pickAll() error {
	s.judge()
	if err := s.unjudged(); err != nil {
		return err
	}
	s.applyGrace()
	d := &s.decision
	d.Verdicts = make([]Verdict, 0, len(s.candidates))
	for i := range s.candidates {
		if s.held[i] || s.judgement(i).barred == "" {
			d.add(s.candidates[i].Name, true, Score{}, s.reason(i))
		}
	}
	chosen := len(d.Verdicts)
	for i := range s.candidates {
		if !s.held[i] && s.judgement(i).barred != "" {
			d.add(s.candidates[i].Name, false, Score{}, s.reason(i))
		}
	}
	d.take(chosen)
	s.settleGrace()
	d.Scheduled = fulfilled("PickAll: %d of %d registered clusters selected", chosen, len(s.candidates))
	return nil
}

// reason says why the candidate at position i holds the placement, or why it does not, ranking aside.
func (s *scheduling) reason(i int) string {
	j := s.judgement(i)
	note, noted := s.notes[i]
	switch {
	case noted:
		return note
	case j.barred == "":
		return j.match
	case !s.held[i]:
		return j.barred
	case j.kept == "":
		j.kept = keptAlthough(j.barred)
	}
	return j.kept
}

// pickFixed selects the candidates that are named and eligible. Labels, taints and affinity do not matter to it.
func (s *scheduling) pickFixed() {
	d := &s.decision
	named := s.mark(s.names)
	var unselected []Verdict
	var unfit []string
	for i, c := range s.candidates {
		switch {
		case !named[i]:
			unselected = append(unselected, Verdict{Cluster: c.Name, Reason: "not named in spec.policy.clusterNames"})
		case c.Ineligible == "":
			d.add(c.Name, true, Score{}, "named in spec.policy.clusterNames")
		case s.held[i]:
			d.add(c.Name, true, Score{}, keptAlthough(c.Ineligible))
		default:
			unfit = append(unfit, c.Name)
			unselected = append(unselected, Verdict{Cluster: c.Name, Reason: "named in spec.policy.clusterNames, but " + c.Ineligible})
		}
	}
	missing := slices.DeleteFunc(slices.Clone(s.names), func(name string) bool { _, ok := s.find(name); return ok })
	for _, name := range missing {
		unselected = append(unselected, Verdict{Cluster: name, Reason: "named in spec.policy.clusterNames, " +
			"but no MemberCluster has this name: register it or drop the name"})
	}
	slices.SortFunc(unselected, func(a, b Verdict) int { return strings.Compare(a.Cluster, b.Cluster) })
	chosen := len(d.Verdicts)
	d.Verdicts = append(d.Verdicts, unselected...)
	d.take(chosen)
	d.Unfilled = unfilledSlots(len(s.names), chosen, len(missing)+len(unfit))
	d.Scheduled = fulfilled("PickFixed: all %d named clusters selected", len(s.names))
	if d.Unfilled == 0 {
		return
	}
	remedies := ""
	if len(missing) > 0 {
		remedies += "; no MemberCluster is named " + strings.Join(missing, ", ") + ": register it or drop the name"
	}
	if len(unfit) > 0 {
		remedies += "; not eligible: " + strings.Join(unfit, ", ")
	}
	d.Scheduled = unfulfilled("PickFixed: %d of %d named clusters selected%s", chosen, len(s.names), remedies)
}

// hold leaves everything where it is, because of reason: what an earlier policy chose stays obsolete. The reason is the same for
// every cluster and may be long, so Scheduled alone tells it.
func (s *scheduling) hold(reason error) Decision {
	d := s.decision
	d.Verdicts = nil
	d.Scheduled = unfulfilled("%s", reason)
	held := s.mark(s.before.Clusters)
	scores := map[string]Score{}
	for i, c := range s.candidates {
		if held[i] {
			score, known := s.before.Scores[c.Name]
			if known {
				scores[c.Name] = score
			}
			d.add(c.Name, true, score, "kept, since the policy cannot be decided")
		}
	}
	chosen := len(d.Verdicts)
	for i, c := range s.candidates {
		if !held[i] {
			d.add(c.Name, false, Score{}, "not considered, since the policy cannot be decided")
		}
	}
	d.Assignment = Assignment{PolicyDigest: s.before.PolicyDigest}
	d.take(chosen)
	if len(scores) > 0 {
		d.Assignment.Scores = scores
	}
	if unmatched := s.unmatched(held); len(unmatched) > 0 {
		d.Assignment.Unmatched = unmatched
	}
	for i, c := range s.candidates {
		if s.obsolete[i] && !held[i] {
			d.Assignment.Obsolete = append(d.Assignment.Obsolete, c.Name)
		}
	}
	return d
}

// mostUnselected is how many of the clusters that were not selected stand with a decision in upstream's status.
const mostUnselected = 20

// unfilledSlots returns how many of the wanted slots nobody fills when chosen are filled. Only what stands with the decision as
// not selected can stand for one: any other cluster for PickN, for PickFixed a name that is not selected, registered or not.
func unfilledSlots(wanted, chosen, unselected int) int {
	return min(wanted-chosen, unselected, mostUnselected)
}

// keptAlthough is why a cluster keeps a placement that it would not be given now.
func keptAlthough(barred string) string {
	return "kept: chosen earlier under this same policy, and later changes do not unplace (now " + barred + ")"
}

func fulfilled(format string, args ...any) Scheduled {
	return Scheduled{Status: "True", Reason: Fulfilled, Message: fmt.Sprintf(format, args...)}
}

func unfulfilled(format string, args ...any) Scheduled {
	return Scheduled{Status: "False", Reason: Unfulfilled, Message: fmt.Sprintf(format, args...)}
}

// add appends a verdict.
func (d *Decision) add(cluster string, selected bool, score Score, reason string) {
	d.Verdicts = append(d.Verdicts, Verdict{Cluster: cluster, Selected: selected, Score: score, Reason: reason})
}

// take notes the clusters of the first n verdicts, which are the selected ones, as assigned.
func (d *Decision) take(n int) {
	if n == 0 {
		return
	}
	names := make([]string, n)
	for i, v := range d.Verdicts[:n] {
		names[i] = v.Cluster
	}
	slices.Sort(names)
	d.Assignment.Clusters = names
}
