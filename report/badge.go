package report

import (
	"fmt"
	"slices"
	"strings"
)

// Badge is a report in two or three words, for a README. It names nothing that the asker did not name.
type Badge struct {
	Label   string
	Message string
	State   State // chooses the colour; empty when there is nothing to tell of what was asked
	Unknown bool  // nothing is known by a name that was asked for
}

// BadgeQuestion says what a badge is about: the whole fleet, one cluster, one placement, or one placement on one cluster.
type BadgeQuestion struct {
	Name      string // the branch that is followed, or at least 7 digits of a commit; empty for the branch
	Cluster   string // empty for all
	Placement string // its Key; empty for all
}

// whole tells whether q is about the whole fleet.
func (q BadgeQuestion) whole() bool { return q.Cluster == "" && q.Placement == "" }

// The words of more than one badge.
const (
	inPlace         = "in place" // applied and healthy
	repositoryError = "repository error"
)

// BadgeOf answers q from r. Of commits it knows the newest and the one in force, and answers about any other one, as
// about names that are not in the fleet, that it is unknown.
func BadgeOf(r Report, q BadgeQuestion) Badge {
	b := Badge{Label: q.kind()}
	if r.Head.Commit == "" && r.Applied.Commit == "" {
		if r.SourceErr != "" {
			return b.saying(StateError, repositoryError)
		}
		return b.saying(StatePending, "no commit seen yet")
	}
	commit, ok := r.commitNamed(q.Name)
	if !ok {
		return Badge{Label: b.Label, Message: "unknown branch or commit", Unknown: true}
	}
	if r.Applied.Commit != "" { // else nothing vouches for the names, and words of strangers are not repeated
		if q.Cluster != "" && !r.hasCluster(q.Cluster) {
			return Badge{Label: "cluster", Message: "unknown", Unknown: true}
		}
		if q.Placement != "" && r.placement(q.Placement) == nil {
			return Badge{Label: "placement", Message: "unknown", Unknown: true}
		}
		b.Label = q.subject()
	}
	if !r.onBranch(q.Name) {
		b.Label += " at " + shortCommit(q.Name)
	}
	return r.badgeAt(b, commit, q)
}

// kind is what q asks about, without names.
func (q BadgeQuestion) kind() string {
	switch {
	case q.whole():
		return "fleet"
	case q.Placement == "":
		return "cluster"
	}
	return "placement"
}

// saying returns b with what it says.
func (b Badge) saying(state State, message string) Badge {
	b.State, b.Message = state, message
	return b
}

// subject is what q asks about, in its own words.
func (q BadgeQuestion) subject() string {
	switch {
	case q.Cluster != "" && q.Placement != "":
		return shorten(q.Placement, longestName) + " on " + shorten(q.Cluster, longestName)
	case q.whole():
		return q.kind()
	}
	return shorten(q.Cluster+q.Placement, longestName)
}

// longestName is how many characters of a name fit on a badge: Kubernetes allows 253.
const longestName = 60

// onBranch tells whether name stands for the branch that is followed.
func (r Report) onBranch(name string) bool {
	const heads = "refs/heads/"
	return name == "" || slices.ContainsFunc([]string{r.Head.Ref, r.Applied.Ref}, func(ref string) bool {
		return ref != "" && strings.TrimPrefix(name, heads) == strings.TrimPrefix(ref, heads)
	})
}

// leastDigits is how many digits of a commit Git itself prints at least.
const leastDigits = 7

// commitNamed returns the commit that name stands for, the newest one when it is a branch.
func (r Report) commitNamed(name string) (commit string, ok bool) {
	head, applied := r.Head.Commit, r.Applied.Commit
	if r.onBranch(name) {
		if head == "" {
			return applied, true
		}
		return head, true
	}
	if len(name) < leastDigits {
		return "", false
	}
	digits := strings.ToLower(name)
	isHead, isApplied := strings.HasPrefix(head, digits), strings.HasPrefix(applied, digits)
	switch {
	case isHead && isApplied && head != applied:
		return "", false // too few digits
	case isApplied:
		return applied, true
	}
	return head, isHead
}

func (r Report) hasCluster(name string) bool {
	if slices.ContainsFunc(r.Members, func(m Member) bool { return m.Name == name }) {
		return true
	}
	return slices.ContainsFunc(r.Placements, func(p Placement) bool {
		return slices.ContainsFunc(p.selectedClusters(), func(c PlacementOnCluster) bool { return c.Cluster == name })
	})
}

// placement returns the placement of that key, nil when there is none.
func (r Report) placement(key string) *Placement {
	i := slices.IndexFunc(r.Placements, func(p Placement) bool { return p.Key() == key })
	if i < 0 {
		return nil
	}
	return &r.Placements[i]
}

// badgeAt says how commit fares, which is the newest one or the one in force.
func (r Report) badgeAt(b Badge, commit string, q BadgeQuestion) Badge {
	switch {
	case commit == r.Applied.Commit:
	case len(r.Errors) > 0:
		return b.saying(StateFailure, "refused, "+count(len(r.Errors), "error"))
	case r.SourceErr != "":
		return b.saying(StateError, repositoryError)
	default:
		return b.saying(StatePending, "in progress")
	}
	t := r.badgeTally(q)
	if t.total == 0 {
		return b.saying(t.nothing(q))
	}
	state, rest := t.rest(q)
	if state == StateSuccess {
		state, rest = r.unfinished(q, commit)
	}
	switch {
	case q.Cluster != "" && q.Placement != "" && t.done == 0:
		return b.saying(state, strings.TrimPrefix(rest, "1 "))
	case q.Cluster != "" && q.Placement != "":
		b = b.saying(state, inPlace)
	default:
		b = b.saying(state, fmt.Sprintf("%d/%d %s", t.done, t.total, inPlace))
	}
	if rest != "" {
		b.Message += ", " + rest
	}
	return b
}

// unfinished says what is left to do although everything that can be counted is in place.
func (r Report) unfinished(q BadgeQuestion, commit string) (State, string) {
	switch {
	case r.onBranch(q.Name) && r.SourceErr != "":
		return StateError, repositoryError // the branch may be further
	case q.whole() && commit == r.Head.Commit && len(r.Errors) > 0:
		return StateFailure, count(len(r.Errors), "error")
	case q.whole() && r.Confirm != nil:
		return StatePending, "waits for a person"
	case r.removes(q):
		return StatePending, "removing"
	case q.whole() && commit == r.Head.Commit && !r.Converged && r.SourceErr == "":
		return StatePending, "in progress"
	}
	return StateSuccess, ""
}

// removes tells whether something that Git no longer wants is still there.
func (r Report) removes(q BadgeQuestion) bool {
	if q.whole() {
		return r.Removing > 0
	}
	return slices.ContainsFunc(r.Removals, func(o Removal) bool {
		return (q.Cluster == "" || o.Cluster == q.Cluster) && (q.Placement == "" || o.Placement == q.Placement)
	})
}
