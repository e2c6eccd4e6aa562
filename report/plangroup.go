package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/apply"
)

// sharedChange is what happens to one object in the very same way on several clusters.
type sharedChange struct {
	Change            // without its Cluster
	clusters []string // sorted
}

// share tells every change once, with the clusters it happens on. The result is sorted by object.
func share(changes []Change) []sharedChange {
	at := map[Change]int{}
	var list []sharedChange
	for _, c := range changes {
		on := c.Cluster
		c.Cluster = ""
		i, seen := at[c]
		if !seen {
			i = len(list)
			at[c] = i
			list = append(list, sharedChange{Change: c})
		}
		list[i].clusters = append(list[i].clusters, on)
	}
	for i := range list {
		slices.Sort(list[i].clusters)
		list[i].clusters = slices.Compact(list[i].clusters)
	}
	slices.SortStableFunc(list, func(a, b sharedChange) int {
		return cmp.Or(a.Ref().Compare(b.Ref()), cmp.Compare(a.Action, b.Action), slices.Compare(a.clusters, b.clusters))
	})
	return list
}

// chapter is everything that happens on exactly these clusters. No change stands in two chapters.
type chapter struct {
	clusters   []string // sorted
	paragraphs []paragraph
}

// paragraph is the changes for one reason.
type paragraph struct {
	placement, reason string
	changes           []sharedChange // by object
}

// chapters divides a plan by where things happen, what concerns most clusters first.
func chapters(changes []sharedChange) []chapter {
	at := map[string]int{}
	var list []chapter
	for _, c := range changes {
		key := strings.Join(c.clusters, "\x00")
		i, seen := at[key]
		if !seen {
			i = len(list)
			at[key] = i
			list = append(list, chapter{clusters: c.clusters})
		}
		list[i].add(c)
	}
	for _, c := range list {
		slices.SortStableFunc(c.paragraphs, func(a, b paragraph) int {
			return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.placement, b.placement), cmp.Compare(a.reason, b.reason))
		})
	}
	slices.SortStableFunc(list, func(a, b chapter) int {
		return cmp.Or(cmp.Compare(len(b.clusters), len(a.clusters)), slices.Compare(a.clusters, b.clusters))
	})
	return list
}

func (c *chapter) add(change sharedChange) {
	for i := range c.paragraphs {
		if p := &c.paragraphs[i]; p.placement == change.Placement && p.reason == change.Reason {
			p.changes = append(p.changes, change)
			return
		}
	}
	c.paragraphs = append(c.paragraphs, paragraph{placement: change.Placement, reason: change.Reason, changes: []sharedChange{change}})
}

// urgency puts what deletes first, then what creates, so that they keep their names where not all have room.
func (p paragraph) urgency() int {
	order := []apply.Action{apply.Delete, apply.Create, apply.Update}
	first := len(order)
	for _, c := range p.changes {
		first = min(first, slices.Index(order, c.Action))
	}
	return first
}

// title says who does it and why.
func (p paragraph) title() string {
	if p.placement == "" {
		return p.reason
	}
	return "placement " + p.placement + ": " + p.reason
}

// title says what happens to which object, and where that is written.
func (c Change) title() string {
	title := string(c.Action) + " " + c.Ref().String()
	switch {
	case c.Source == "":
		return title
	case c.Action == apply.Delete:
		return title + " (formerly " + c.Source + ")"
	}
	return title + " (" + c.Source + ")"
}

// fields returns the lines of the diff, one a field.
func (c Change) fields() []string {
	if c.Diff == "" {
		return nil
	}
	return strings.Split(c.Diff, "\n")
}

func (c chapter) tally() tally {
	var t tally
	for _, p := range c.paragraphs {
		for _, change := range p.changes {
			t.add(change.Action, 1)
		}
	}
	return t
}

// tally counts objects by what happens to them.
type tally struct{ created, changed, deleted int }

func (t *tally) add(a apply.Action, n int) {
	switch a {
	case apply.Create:
		t.created += n
	case apply.Delete:
		t.deleted += n
	default:
		t.changed += n
	}
}

func (t tally) plus(o tally) tally {
	return tally{t.created + o.created, t.changed + o.changed, t.deleted + o.deleted}
}

// clusterGroup is clusters on which the very same happens, all in all.
type clusterGroup struct {
	clusters []string // sorted
	each     tally    // on every one of them
}

// groupClusters puts every cluster that changes into one group, the largest first.
func groupClusters(changes []sharedChange) []clusterGroup {
	keys, tallies := map[string]*strings.Builder{}, map[string]tally{}
	for i, c := range changes {
		for _, cluster := range c.clusters {
			if keys[cluster] == nil {
				keys[cluster] = &strings.Builder{}
			}
			fmt.Fprintf(keys[cluster], "%d ", i)
			t := tallies[cluster]
			t.add(c.Action, 1)
			tallies[cluster] = t
		}
	}
	at := map[string]int{}
	var list []clusterGroup
	for _, cluster := range slices.Sorted(maps.Keys(keys)) {
		key := keys[cluster].String()
		i, seen := at[key]
		if !seen {
			i = len(list)
			at[key] = i
			list = append(list, clusterGroup{each: tallies[cluster]})
		}
		list[i].clusters = append(list[i].clusters, cluster)
	}
	slices.SortStableFunc(list, func(a, b clusterGroup) int { return cmp.Compare(len(b.clusters), len(a.clusters)) })
	return list
}

// sharedMove is a placement that comes to, or leaves, several clusters for the same reason.
type sharedMove struct {
	Move              // without its Cluster
	clusters []string // sorted
}

// shareMoves tells every move once, with its clusters: by placement, gains before losses.
func shareMoves(moves []Move) []sharedMove {
	at := map[Move]int{}
	var list []sharedMove
	for _, m := range moves {
		on := m.Cluster
		m.Cluster = ""
		i, seen := at[m]
		if !seen {
			i = len(list)
			at[m] = i
			list = append(list, sharedMove{Move: m})
		}
		list[i].clusters = append(list[i].clusters, on)
	}
	for i := range list {
		slices.Sort(list[i].clusters)
	}
	slices.SortStableFunc(list, func(a, b sharedMove) int {
		return cmp.Or(cmp.Compare(a.Placement, b.Placement), cmp.Compare(a.Action, b.Action), slices.Compare(a.clusters, b.clusters))
	})
	return list
}

// NameClusters names the first of names for a sentence and counts the rest, so that a large fleet does not burst a line. Whoever prints
// the sentence makes it harmless.
func NameClusters(names []string) string {
	return someOf(names, mostNamed, func(name string) string { return name })
}

// someOf names the first of names and counts the rest: "a, b, c … and 97 more (of 100)". write prints one name.
func someOf(names []string, most int, write func(string) string) string {
	// One name takes no more room than its count.
	if len(names) == most+1 {
		most++
	}
	shown := make([]string, 0, most)
	for _, n := range names[:min(most, len(names))] {
		shown = append(shown, write(n))
	}
	text := strings.Join(shown, ", ")
	switch more := len(names) - most; {
	case more <= 0:
		return text
	case most == 0:
		return count(len(names), "cluster")
	default:
		return fmt.Sprintf("%s … and %d more (of %d)", text, more, len(names))
	}
}
