package report

import (
	"fmt"
	"strings"
)

// Summary says in a few lines what the fleet came to: the commit in force and the newest one, how much of it is applied
// and healthy, the first errors, and the members out of reach. It ends with a newline.
func Summary(r Report) string {
	var b strings.Builder
	state := "not converged"
	if r.Converged {
		state = "converged"
	}
	fmt.Fprintf(&b, "%s: %s\n", state, commit(r))
	t := r.totals()
	fmt.Fprintf(&b, "%s on %s: applied on %d of %d placements x clusters, healthy on %d\n",
		count(len(r.Placements), "placement"), count(len(r.Members), "member"), t.applied, t.slots, t.healthy)
	if r.SourceErr != "" {
		fmt.Fprintf(&b, "repository: %s\n", oneLine(r.SourceErr))
	}
	if r.HubErr != "" {
		fmt.Fprintf(&b, "hub: %s\n", oneLine(r.HubErr))
	}
	if r.ForgeErr != "" {
		fmt.Fprintf(&b, "forge: %s\n", oneLine(r.ForgeErr))
	}
	if r.Held != "" {
		fmt.Fprintf(&b, "commit %s waits: %s\n", shortCommit(r.Head.Commit), oneLine(r.Held))
	}
	if r.Confirm != nil {
		fmt.Fprintf(&b, "waits for a person: %s\n", oneLine(r.Confirm.Message))
	}
	lines(&b, "error", t.errors)
	lines(&b, "not healthy", t.unhealthy)
	lines(&b, "not reachable", t.unreachable)
	lines(&b, "notice", t.notices)
	return b.String()
}

// commit names the commit in force, and the newer one that is not.
func commit(r Report) string {
	head, applied := shortCommit(r.Head.Commit), shortCommit(r.Applied.Commit)
	switch {
	case head == "":
		return "no commit seen yet"
	case applied == "":
		return fmt.Sprintf("nothing applied yet, newest commit is %s", head)
	case head != applied:
		return fmt.Sprintf("commit %s %s, while %s is newest", applied, quoted(r.Applied.Subject), head)
	}
	return fmt.Sprintf("commit %s %s", applied, quoted(r.Applied.Subject))
}

func quoted(subject string) string { return fmt.Sprintf("%q", shorten(subject, 72)) }

// shortCommit returns the first 12 digits, which are unique in any repository people review by hand.
func shortCommit(commit string) string { return commit[:min(12, len(commit))] }

// totals are the figures of a summary.
type totals struct {
	slots, applied, healthy int // pairs of placement and selected cluster
	errors                  []string
	unhealthy               []string
	unreachable             []string
	notices                 []string
}

func (r Report) totals() totals {
	var t totals
	for _, e := range r.Errors {
		t.errors = append(t.errors, e.Error())
	}
	for _, p := range r.Placements {
		for _, c := range p.selectedClusters() {
			t.slots++
			switch c.Applied {
			case "True":
				t.applied++
			case "False":
				t.errors = append(t.errors, fmt.Sprintf("placement %s on %s: %s", p.Key(), c.Cluster, c.Message))
			}
			switch c.Healthy {
			case "True":
				t.healthy++
			case "False":
				t.unhealthy = append(t.unhealthy, fmt.Sprintf("placement %s on %s: %s", p.Key(), c.Cluster, c.Message))
			}
		}
	}
	for _, m := range r.Members {
		switch {
		case m.Joined != "True":
			t.unreachable = append(t.unreachable, m.Name+": "+m.Message)
		case m.Message != "":
			t.errors = append(t.errors, "member "+m.Name+": "+m.Message)
		}
	}
	for _, n := range r.Notices {
		t.notices = append(t.notices, n.Error())
	}
	return t
}

// lines writes up to three of list, one a line, and counts the rest.
func lines(b *strings.Builder, title string, list []string) {
	const most = 3
	for i, s := range list {
		if i == most {
			fmt.Fprintf(b, "%s: and %d more\n", title, len(list)-most)
			return
		}
		fmt.Fprintf(b, "%s: %s\n", title, shorten(oneLine(s), 300))
	}
}

// count writes "1 member", "2 members".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
