package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// Summary says in at most LongestDescription characters what p comes to, for the status of a commit:
// "2 created, 1 changed on 3 clusters; 1 risk". Of a plan with errors it tells the first.
func (p Plan) Summary() string {
	if len(p.Errors) > 0 {
		return Describe(count(len(p.Errors), "error")+": "+p.Errors[0].Error(), LongestDescription)
	}
	x := extentOf(p)
	parts := []string{x.objects(done, "cluster")}
	if parts[0] == "" {
		parts[0] = "nothing changes"
	}
	if x.services > 0 {
		parts = append(parts, count(x.services, "service"))
	}
	if len(p.Risks) > 0 {
		parts = append(parts, count(len(p.Risks), "risk"))
	}
	if x.confirm {
		parts = append(parts, "waits for confirmation")
	}
	return Describe(strings.Join(parts, "; "), LongestDescription)
}

// Describe makes s one line of at most limit characters, cut at a word where that leaves enough of it.
func Describe(s string, limit int) string {
	runes := []rune(visible(strings.Join(strings.Fields(s), " ")))
	if len(runes) <= limit {
		return string(runes)
	}
	if limit < 1 {
		return ""
	}
	cut := limit - 1 // for the ellipsis
	for at := cut; at > limit/2; at-- {
		if runes[at] == ' ' {
			cut = at
			break
		}
	}
	return strings.TrimRight(string(runes[:cut]), " ,;:") + "…"
}

// extent is how far a plan reaches.
type extent struct {
	created, changed, deleted reach
	clusters                  int // on which any object changes
	gained, lost              reach
	services                  int
	confirm                   bool
}

// reach counts different things and the different clusters on which something happens to one of them.
type reach struct{ things, clusters int }

// reachSet collects a reach.
type reachSet struct{ things, clusters map[string]bool }

func (r *reachSet) add(thing, cluster string) {
	if r.things == nil {
		r.things, r.clusters = map[string]bool{}, map[string]bool{}
	}
	r.things[thing], r.clusters[cluster] = true, true
}

func (r *reachSet) reach() reach { return reach{len(r.things), len(r.clusters)} }

func extentOf(p Plan) extent {
	var created, changed, deleted, gained, lost reachSet
	clusters := map[string]bool{}
	for _, c := range p.Changes {
		clusters[c.Cluster] = true
		switch thing := c.Ref().String(); c.Action {
		case apply.Create:
			created.add(thing, c.Cluster)
		case apply.Delete:
			deleted.add(thing, c.Cluster)
		default:
			changed.add(thing, c.Cluster)
		}
	}
	for _, m := range p.Moves {
		if m.Action == Lose {
			lost.add(m.Placement, m.Cluster)
		} else {
			gained.add(m.Placement, m.Cluster)
		}
	}
	return extent{
		created: created.reach(), changed: changed.reach(), deleted: deleted.reach(), clusters: len(clusters),
		gained: gained.reach(), lost: lost.reach(), services: len(p.Services), confirm: p.trailer() != "",
	}
}

// verbs are what happens to objects: created, changed, deleted.
type verbs [3]string

// The tenses in which a plan is told: of the commit, as it will have been, and of the work to do.
var (
	done = verbs{"created", "changed", "deleted"}
	toDo = verbs{"to create", "to update", "to delete"}
)

// objects says how many objects come and go, and on how many clusters; it is empty when none does. The clusters are told once
// where everything happens on all of them. noun is what a cluster is called.
func (x extent) objects(v verbs, noun string) string {
	var parts []string
	everywhere := true
	for i, r := range []reach{x.created, x.changed, x.deleted} {
		if r.things > 0 {
			parts = append(parts, fmt.Sprintf("%d %s on %s", r.things, v[i], count(r.clusters, noun)))
			everywhere = everywhere && r.clusters == x.clusters
		}
	}
	if everywhere {
		on := " on " + count(x.clusters, noun)
		for i := range max(0, len(parts)-1) {
			parts[i] = strings.TrimSuffix(parts[i], on)
		}
	}
	return strings.Join(parts, ", ")
}

// placements says how many placements come and go; it is empty when none does.
func (x extent) placements() string {
	var parts []string
	add := func(r reach, one, several string) {
		verb := several
		if r.things == 1 {
			verb = one
		}
		if r.things > 0 {
			parts = append(parts, fmt.Sprintf("%s %s %s", count(r.things, "placement"), verb, count(r.clusters, "cluster")))
		}
	}
	add(x.gained, "comes to", "come to")
	add(x.lost, "leaves", "leave")
	return strings.Join(parts, ", ")
}

// words says what t counts: "1 created, 2 changed".
func (t tally) words(v verbs) string {
	var parts []string
	for i, n := range []int{t.created, t.changed, t.deleted} {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v[i]))
		}
	}
	return strings.Join(parts, ", ")
}

// trailer returns the line by which a commit confirms what p holds back; empty when it holds nothing back.
func (p Plan) trailer() string {
	if !slices.ContainsFunc(p.Risks, func(r Risk) bool { return r.Kind == RiskConfirm }) || p.Digest == "" {
		return ""
	}
	return api.TrailerConfirm + ": " + p.Digest
}

// riskWords are what a reviewer reads for each kind of risk, in the order of how much is at stake.
var riskWords = []struct{ kind, words string }{
	{RiskConfirm, "Waits for confirmation"},
	{RiskDeleteNamespace, "Namespace deleted"},
	{RiskDeleteCRD, "Definition of a kind deleted"},
	{RiskDeleteStorage, "Storage deleted"},
	{RiskRecreate, "Deleted and created anew"},
	{RiskImmutable, "Field that cannot be changed"},
	{RiskRefused, "Refused by a cluster"},
	{RiskBlocked, "Blocked"},
	{RiskExportConflict, "Exports that do not agree"},
	{RiskNoCluster, "Placement on no cluster"},
	{RiskUnfilled, "Placement with too few clusters"},
	{RiskMemberRemoved, "Cluster no longer registered"},
	{RiskAdopt, "Object taken over"},
	{RiskBaseInvalid, "Nothing to compare with"},
	{RiskSuspended, "Suspended"},
	{RiskUnseen, "Cluster not asked"},
	{RiskProperties, "Known only to the running gitfleet"},
	{RiskNotice, "Notice"},
}

// rank tells where a kind of risk stands in riskWords; a kind that is not there comes last.
func (r Risk) rank() int {
	for i, w := range riskWords {
		if w.kind == r.Kind {
			return i
		}
	}
	return len(riskWords)
}

// rankedRisks returns risks with the gravest first.
func rankedRisks(risks []Risk) []Risk {
	ranked := slices.Clone(risks)
	slices.SortStableFunc(ranked, func(a, b Risk) int { return a.rank() - b.rank() })
	return ranked
}
