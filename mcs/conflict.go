package mcs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// Conflict is one thing that the exports of a service do not agree on.
type Conflict struct {
	Field   string   // of the Service or the ServiceExport
	Reason  string   // KEP-1645's word for it
	Decider string   // the cluster whose export decides; empty when ports are only united
	Losers  []string // the clusters that want something else, sorted; none when ports are only united
	Total   int      // valid exports of the service

	by     author
	here   map[string]string // how a loser differs, by cluster
	united string            // the ports that only some exports have
}

func (c *Conflict) lose(cluster, difference string) {
	c.Losers = append(c.Losers, cluster)
	slices.Sort(c.Losers)
	c.here[cluster] = difference
}

// mentioned returns the condition Conflict when it is one with a cluster that cannot be seen now. Messages name clusters as
// words, which makes the status on the member the memory of it.
func mentioned(conditions []metav1.Condition, unseen []string) (Verdict, bool) {
	for _, c := range conditions {
		if c.Type != networkingv1alpha1.ConditionConflict || c.Status != metav1.ConditionTrue {
			continue
		}
		words := strings.FieldsFunc(c.Message, func(r rune) bool { return strings.ContainsRune(" ,;:()\"", r) })
		if slices.ContainsFunc(unseen, func(cluster string) bool { return slices.Contains(words, cluster) }) {
			return Verdict{c.Status, c.Reason, c.Message}, true
		}
	}
	return Verdict{}, false
}

const portsDiffer = "the Service's ports differ from those"

// tell says what c means to e. Only a loser is told of the cluster that decides in the form of quoted, see beaten and lost.
func (c Conflict) tell(e Export) string {
	if c.united != "" {
		return "not all exports have the same ports, and the import has them all: " + c.united
	}
	differ, consequence := portsDiffer, "; ports that differ get no traffic from the fleet"
	if f, ok := fieldNamed(c.Field); ok {
		differ, consequence = f.differ, ""
	}
	if difference, lost := c.here[e.Cluster]; lost {
		return fmt.Sprintf("in %d of %d exports %s in %s, %s and decides: %s", len(c.Losers), c.Total, differ, quoted(c.Decider),
			c.by.why(e.Created), difference+consequence)
	}
	return fmt.Sprintf("in %d of %d exports (%s) %s in %s, %s and decides%s", len(c.Losers), c.Total, listed(c.Losers), differ, c.Decider,
		c.by.why(time.Time{}), consequence)
}

// conflictOf returns the condition Conflict of the valid export e in the words of its dialect. Azure's calls a conflict only
// what costs some export something; the standard also counts ports that not every export has.
func conflictOf(e Export, conflicts []Conflict) Verdict {
	if len(conflicts) == 0 {
		return Verdict{metav1.ConditionFalse, e.Dialect.words().noConflict, "no older export differs"}
	}
	var reasons, contradictions, all []string
	for _, c := range conflicts {
		if !slices.Contains(reasons, c.Reason) {
			reasons = append(reasons, c.Reason)
		}
		all = append(all, c.tell(e))
		if len(c.Losers) > 0 {
			contradictions = append(contradictions, c.tell(e))
		}
	}
	switch {
	case e.Dialect == Standard:
		// The pattern of reasons allows commas, but no spaces.
		return Verdict{metav1.ConditionTrue, strings.Join(reasons, ","), strings.Join(all, "; ")}
	case len(contradictions) > 0:
		return Verdict{metav1.ConditionTrue, networkingv1alpha1.ReasonConflictFound, strings.Join(contradictions, "; ")}
	}
	return Verdict{metav1.ConditionFalse, e.Dialect.words().noConflict, "no export contradicts another; " + strings.Join(all, "; ")}
}

// shown is how many entries of a list a message names: the API server refuses messages above 32 KiB.
const shown = 8

func listed(entries []string) string {
	if len(entries) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(entries[:shown], ", "), len(entries)-shown)
	}
	return strings.Join(entries, ", ")
}
