package placement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Decide chooses the clusters of p among candidates, whose names are unique and whose order does not matter.
//
// Decisions are sticky, as upstream: while the policy stays the same (by PolicyDigest), a cluster that holds the
// placement keeps it whatever becomes of its labels. A changed policy decides afresh. A cluster of before that is no
// candidate any more leaves the assignment without a verdict, since its registration is gone, not its objects; what
// happens to those is the caller's to know. A name that PickFixed asks for and no candidate bears gets a verdict too.
//
// A policy that cannot be decided (one that render should have refused) moves nothing: before stays in force as far as
// its clusters are still candidates, and Scheduled tells what is wrong. Decide never panics and never fails.
func Decide(p Placement, before Assignment, candidates []Candidate, now time.Time) Decision {
	rule, err := parsePolicy(p.Policy)
	digest := PolicyDigest(p.Policy)
	held := setOf(before.Clusters)
	var d Decision
	switch {
	case err != nil:
		d, digest = hold(err, held, candidates), before.PolicyDigest
	case rule.fixed:
		d = pickFixed(rule.names, candidates)
	case before.PolicyDigest == digest:
		d = pickAll(rule.terms, held, candidates)
	default:
		d = pickAll(rule.terms, nil, candidates)
	}
	d.Name, d.Namespace, d.At = p.Name, p.Namespace, now
	slices.SortFunc(d.Verdicts, func(a, b Verdict) int {
		switch {
		case a.Selected && !b.Selected:
			return -1
		case b.Selected && !a.Selected:
			return 1
		}
		return strings.Compare(a.Cluster, b.Cluster)
	})
	d.Assignment = Assignment{Clusters: d.selected(), PolicyDigest: digest}
	return d
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// selected returns the names of the selected clusters, in the order of the verdicts.
func (d Decision) selected() []string {
	var names []string
	for _, v := range d.Verdicts {
		if v.Selected {
			names = append(names, v.Cluster)
		}
	}
	return names
}

// pickAll selects every candidate that meets a term, and those of held that did when they were chosen.
func pickAll(terms []term, held map[string]bool, candidates []Candidate) Decision {
	var d Decision
	for _, c := range candidates {
		v := Verdict{Cluster: c.Name}
		v.Selected, v.Reason = match(terms, c.Labels)
		if !v.Selected && held[c.Name] {
			v.Selected = true
			v.Reason = "kept: chosen earlier under this same policy, and later label changes do not unplace (now " + v.Reason + ")"
		}
		d.Verdicts = append(d.Verdicts, v)
	}
	d.Scheduled = Scheduled{Status: "True", Reason: Fulfilled,
		Message: fmt.Sprintf("PickAll: %d of %d registered clusters selected", len(d.selected()), len(candidates))}
	return d
}

// pickFixed selects the candidates that are named. Labels and affinity do not matter to it.
func pickFixed(names []string, candidates []Candidate) Decision {
	var d Decision
	missing := setOf(names)
	for _, c := range candidates {
		v := Verdict{Cluster: c.Name, Reason: "not named in spec.policy.clusterNames"}
		if missing[c.Name] {
			v.Selected, v.Reason = true, "named in spec.policy.clusterNames"
		}
		d.Verdicts = append(d.Verdicts, v)
		delete(missing, c.Name)
	}
	unknown := slices.Sorted(maps.Keys(missing))
	for _, name := range unknown {
		d.Verdicts = append(d.Verdicts, Verdict{Cluster: name, Reason: "named in spec.policy.clusterNames, " +
			"but no MemberCluster has this name: register it or drop the name"})
	}
	d.Unfilled = len(unknown)
	d.Scheduled = Scheduled{Status: "True", Reason: Fulfilled,
		Message: fmt.Sprintf("PickFixed: all %d named clusters selected", len(names))}
	if len(unknown) > 0 {
		d.Scheduled = Scheduled{Status: "False", Reason: Unfulfilled,
			Message: fmt.Sprintf("PickFixed: %d of %d named clusters selected; no MemberCluster is named %s: register it or drop the name",
				len(names)-len(unknown), len(names), strings.Join(unknown, ", "))}
	}
	return d
}

// hold leaves everything where it is, because reason makes the policy undecidable.
func hold(reason error, held map[string]bool, candidates []Candidate) Decision {
	d := Decision{Scheduled: Scheduled{Status: "False", Reason: Unfulfilled, Message: reason.Error()}}
	for _, c := range candidates {
		v := Verdict{Cluster: c.Name, Reason: "not considered: " + reason.Error()}
		if held[c.Name] {
			v.Selected, v.Reason = true, "kept, since the policy cannot be decided: "+reason.Error()
		}
		d.Verdicts = append(d.Verdicts, v)
	}
	return d
}
