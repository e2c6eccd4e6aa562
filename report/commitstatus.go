package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// where people find what is not told to a forge. Why a member or a repository cannot be reached names addresses and paths, which
// are nobody's business but the operator's.
const where = "in gitfleet's log"

// StatusOptions is what the statuses of commits need to know besides the Report.
type StatusOptions struct {
	Name       string        // begins every context in place of StatusName
	Since      time.Time     // when Applied was put in force
	Deadline   time.Duration // how long it may take from then on to get everything in place and healthy
	PerCluster bool          // a status for each cluster besides that of the fleet
	URL        string        // of the status page; empty for none
	// Working is what is still being done for Applied anywhere, and Unreached what cannot be, besides what the placements of
	// the Report tell.
	Working, Unreached []string
}

// Context returns a context under the name that o gives.
func (o StatusOptions) Context(context string) string {
	return cmp.Or(o.Name, StatusName) + strings.TrimPrefix(context, StatusName)
}

// CommitStatuses returns what the newest commit shall show, sorted by context. Pending becomes success only when everything
// is in place and healthy on every chosen cluster. What its author has to mend is a failure: mistakes in manifests at once,
// anything else when the deadline has passed. What a member or gitfleet fails at is an error by then.
func (r Report) CommitStatuses(o StatusOptions) []CommitStatus {
	if r.Head.Commit == "" {
		return nil
	}
	var list []CommitStatus
	add := func(context string, state State, text string) {
		list = append(list, CommitStatus{Context: o.Context(context), State: state, Description: Describe(text, LongestDescription), URL: o.URL})
	}
	state, text := r.applyStatus(o)
	add(ContextApply, state, text)
	if r.Head.Commit != r.Applied.Commit {
		return list // nothing of it is anywhere
	}
	if text, ok := r.servicesWait(state); ok {
		add(ContextServices, StatePending, text)
	} else if state, text = r.servicesStatus(o); state != "" {
		add(ContextServices, state, text)
	}
	if o.PerCluster {
		for _, m := range r.Members {
			state, text := r.progressOf(m.Name).status(r.overdue(o), o.Deadline)
			add(ContextApply+"/"+m.Name, state, text)
		}
	}
	slices.SortFunc(list, func(a, b CommitStatus) int { return cmp.Compare(a.Context, b.Context) })
	return list
}

// Superseded returns what a commit shows that another one took the place of before it was in place.
func (s CommitStatus) Superseded(by string) CommitStatus {
	s.State, s.Description = StateError, "superseded by "+shortCommit(by)+" before it was in place"
	return s
}

// overdue tells whether the deadline has passed.
func (r Report) overdue(o StatusOptions) bool {
	return o.Deadline > 0 && !r.Time.Before(o.Since.Add(o.Deadline))
}

func (r Report) applyStatus(o StatusOptions) (State, string) {
	switch {
	case len(r.Errors) > 0:
		text := r.Errors[0].Error()
		if more := len(r.Errors) - 1; more > 0 {
			text = fmt.Sprintf("%s: %s", count(len(r.Errors), "mistake"), text)
		}
		return StateFailure, text
	case r.Head.Commit != r.Applied.Commit && r.SourceErr != "":
		return StateError, "not rendered, will be tried again; why is " + where
	case r.Held != "":
		return StatePending, r.Held
	case r.Head.Commit != r.Applied.Commit:
		return StatePending, "being rendered"
	case r.Confirm != nil:
		return StatePending, fmt.Sprintf("waits for a person to confirm %s, by a commit with the trailer that the status page shows", count(r.Confirm.Removals, "deletion"))
	}
	p := r.progressOf("")
	p.waiting, p.member = append(p.waiting, o.Working...), append(p.member, o.Unreached...)
	return p.status(r.overdue(o), o.Deadline)
}

// servicesWait tells why nothing can be said of services yet: what is exported is known once everything is in place and seen.
func (r Report) servicesWait(apply State) (string, bool) {
	known := map[string]bool{}
	for _, e := range r.Exports {
		known[e.Cluster+" "+e.Namespace+"/"+e.Name] = true
	}
	placed := false
	for _, p := range r.Placements {
		for _, c := range p.Clusters {
			for _, o := range c.Objects {
				if o.Kind != "ServiceExport" || o.Group != v1alpha1.Group {
					continue
				}
				placed = true
				if apply == StateSuccess && !known[c.Cluster+" "+o.Namespace+"/"+o.Name] {
					return fmt.Sprintf("the export %s/%s of %s has not been seen yet", o.Namespace, o.Name, c.Cluster), true
				}
			}
		}
	}
	if apply != StateSuccess && (placed || len(r.Exports)+len(r.Services) > 0) {
		return "waits for everything to be in place", true
	}
	return "", false
}

// progress is how far a commit has come on one cluster or all.
type progress struct {
	slots, done    int // pairs of placement and cluster
	clusters       int
	author, member []string // what keeps the rest: who made the commit must act, or who runs the clusters
	waiting        []string // what is being done
}

// progressOf counts for one cluster, or for all of them when its name is empty.
func (r Report) progressOf(cluster string) progress {
	var p progress
	away := map[string]bool{}
	for _, m := range r.Members {
		away[m.Name] = m.Joined != "True"
	}
	on := map[string]bool{}
	for _, placed := range r.Placements {
		if statusOf(placed.Decision.Scheduled.Status) != "True" && cluster == "" {
			p.author = append(p.author, fmt.Sprintf("placement %s: %s", placed.Key(), cmp.Or(placed.Decision.Scheduled.Message, "not scheduled yet")))
		}
		for _, c := range placed.selectedClusters() {
			if cluster != "" && c.Cluster != cluster {
				continue
			}
			on[c.Cluster] = true
			p.add(placed.Key(), c, away[c.Cluster])
		}
	}
	p.clusters = len(on)
	for _, gone := range r.Removals {
		if cluster == "" || gone.Cluster == cluster {
			p.waiting = append(p.waiting, fmt.Sprintf("%s on %s is still to be deleted%s", gone.Ref, gone.Cluster, gone.why()))
		}
	}
	return p
}

// why says what keeps it there, as far as a forge may know.
func (gone Removal) why() string {
	if gone.Operator {
		return ", and not for its author to mend; why is " + where
	}
	return ": " + gone.Reason
}

// add counts one placement on one cluster, which may be away.
func (p *progress) add(placement string, c PlacementOnCluster, away bool) {
	p.slots++
	text := fmt.Sprintf("%s on %s: %s", placement, c.Cluster, c.Message)
	switch {
	case away:
		p.member = append(p.member, c.Cluster+" is not reached; why is "+where)
	case statusOf(c.Applied) == "True" && statusOf(c.Healthy) == "True":
		p.done++
	case statusOf(c.Applied) == "False" && c.Operator:
		p.member = append(p.member, fmt.Sprintf("%s on %s: not applied, and not for its author to mend; why is %s", placement, c.Cluster, where))
	case c.Operator:
		p.waiting = append(p.waiting, fmt.Sprintf("%s on %s: not known yet; why is %s", placement, c.Cluster, where))
	case statusOf(c.Applied) == "False" || statusOf(c.Healthy) == "False":
		p.author = append(p.author, text)
	default:
		p.waiting = append(p.waiting, text)
	}
}

// status puts the progress into the words of a status.
func (p progress) status(overdue bool, deadline time.Duration) (State, string) {
	rest := slices.Concat(p.author, p.member, p.waiting)
	if len(rest) == 0 {
		if p.slots == 0 {
			return StateSuccess, "nothing is placed here"
		}
		return StateSuccess, fmt.Sprintf("in place and healthy on %s", count(p.clusters, "cluster"))
	}
	so := fmt.Sprintf("%d of %d in place", p.done, p.slots)
	if !overdue {
		return StatePending, so + "; " + rest[0]
	}
	state := StateError
	if len(p.author) > 0 {
		state = StateFailure
	}
	return state, fmt.Sprintf("%s after %s; %s", so, deadline, rest[0])
}

// servicesStatus is about exports and multi-cluster services; without any there is none.
func (r Report) servicesStatus(o StatusOptions) (State, string) {
	if len(r.Exports)+len(r.Services) == 0 {
		return "", ""
	}
	var conflicts, invalid []string
	for _, e := range r.Exports {
		name := fmt.Sprintf("export %s/%s of %s", e.Namespace, e.Name, e.Cluster)
		switch {
		case statusOf(e.Conflicted) == "True":
			conflicts = append(conflicts, name+" conflicts: "+e.Message)
		case statusOf(e.Valid) != "True":
			invalid = append(invalid, name+": "+e.Message)
		}
	}
	for _, s := range r.Services {
		if statusOf(s.Valid) != "True" {
			invalid = append(invalid, fmt.Sprintf("service %s/%s on %s: %s", s.Namespace, s.Name, s.Cluster, s.Message))
		}
	}
	switch {
	case len(conflicts) > 0:
		return StateFailure, conflicts[0]
	case len(invalid) > 0 && r.overdue(o):
		return StateFailure, invalid[0]
	case len(invalid) > 0:
		return StatePending, invalid[0]
	}
	text := count(len(r.Exports), "export")
	if len(r.Services) > 0 {
		text += ", " + count(len(r.Services), "multi-cluster service")
	}
	return StateSuccess, text + " in order"
}

// commitRows tells of each commit the state that its statuses have, and the text of the first that is no success.
func commitRows(r Report, now time.Time) [][]string {
	var rows [][]string
	for _, c := range r.Commits {
		row := []string{shortCommit(c.Commit), age(c.Seen, now), none, none, none, shorten(c.Subject, 50), ""}
		for _, s := range c.Statuses {
			switch _, what, _ := strings.Cut(s.Context, "/"); "/" + what {
			case strings.TrimPrefix(ContextApply, StatusName):
				row[2] = string(s.State)
			case strings.TrimPrefix(ContextServices, StatusName):
				row[3] = string(s.State)
			case strings.TrimPrefix(ContextPlan, StatusName):
				row[4] = string(s.State)
			}
			if s.State != StateSuccess && row[6] == "" {
				row[6] = s.Description
			}
		}
		rows = append(rows, row)
	}
	return rows
}
