package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/report"
)

// commitMemory is a commit that was the newest, with what it shall show.
type commitMemory struct {
	report.Commit
	// Told tells that a forge shows the statuses, and that none of them will change any more.
	Told bool `json:"told,omitempty"`
}

// mostCommits bounds how many are remembered.
const mostCommits = 20

// recordCommits notes what r says of the newest commit and, while that is not in force, of the one that is; and the end of
// those that came before, or were passed over. Before the repository has been asked nobody knows which is the newest.
func (l *Loop) recordCommits(r report.Report) {
	if !l.source.looked || r.Head.Commit == "" || l.takesUp(r) {
		return
	}
	commits := slices.Clone(l.memory.Commits)
	if len(commits) == 0 || commits[0].Commit.Commit != r.Head.Commit {
		commits = slices.DeleteFunc(commits, func(c commitMemory) bool { return c.Commit.Commit == r.Head.Commit })
		commits = slices.Insert(commits, 0, commitMemory{Commit: report.Commit{Revision: r.Head, Seen: r.Time.UTC().Truncate(time.Second)}})
		commits = commits[:min(len(commits), mostCommits)]
	}
	list := l.inForceStatuses(r)
	if r.Head.Commit != r.Applied.Commit {
		list = r.CommitStatuses(l.statusOptions())
	}
	commits[0] = commits[0].showing(keepSuccess(list, commits[0].Statuses))
	for i := 1; i < len(commits); i++ {
		if commits[i].Commit.Commit == r.Applied.Commit {
			commits[i] = commits[i].showing(keepSuccess(l.inForceStatuses(r), commits[i].Statuses))
			continue
		}
		commits[i] = commits[i].superseded(r.Head.Commit)
	}
	l.memory.Commits = commits
}

// inForceStatuses is what the commit in force shows, whatever a newer one is about.
func (l *Loop) inForceStatuses(r report.Report) []report.CommitStatus {
	if r.Head.Commit != r.Applied.Commit {
		r.Head, r.Errors, r.Held, r.SourceErr = r.Applied, l.schedule.errs, "", ""
	}
	list := r.CommitStatuses(l.statusOptions())
	if s, ok := l.reviewStatus(); ok {
		list = append(list, s)
	}
	return list
}

func (l *Loop) statusOptions() report.StatusOptions {
	o := l.opt.Statuses
	working, unreached := l.unsettled()
	return report.StatusOptions{Name: o.Name, Since: l.memory.Since, Deadline: o.Deadline, PerCluster: o.PerCluster, URL: o.URL,
		Working: working, Unreached: unreached}
}

// unsettled tells on which members something is still being done for the wish, and which cannot be asked and hold what it does
// not want there any more.
func (l *Loop) unsettled() (working, unreached []string) {
	if l.wish == nil {
		return nil, nil
	}
	from := l.sourceName()
	for _, m := range l.sortedMembers() {
		away := m.conn == nil && !m.opening || m.state.Phase == fleet.Unreachable
		switch {
		case away:
			for _, set := range slices.Sorted(maps.Keys(m.live.Parents)) {
				wanted := slices.ContainsFunc(l.schedule.targets[m.name], func(s apply.Set) bool { return s.Name == set })
				if parent := m.live.Parents[set]; parent.Source == from && set != servicesSet && !wanted {
					unreached = append(unreached, fmt.Sprintf("%s is not reached, and holds what placement %s brought", m.name, set))
				}
			}
		case refusedClaim(m.claim):
			if len(l.schedule.targets[m.name]) > 0 {
				unreached = append(unreached, m.name+" is not ours to write to: another gitfleet has it, or this one may not ask; the log has more")
			}
		case m.plannedFor != l.wish || !m.live.Complete || m.busy():
			working = append(working, m.name+" is being worked on")
		}
	}
	return working, unreached
}

// takesUp tells whether the newest commit is that of the process before, and this one has yet to find out how it stands. What
// the one before said stands meanwhile: a restart is no news for those who read it.
func (l *Loop) takesUp(r report.Report) bool {
	if !l.takenUp {
		again := len(l.memory.Commits) > 0 && l.memory.Commits[0].Commit.Commit == r.Head.Commit
		l.takenUp = !again || !r.Time.Before(l.started.Add(acquaintance)) || l.foundOut()
	}
	return !l.takenUp
}

// foundOut tells whether the head has been rendered, and every member in reach has done or failed at what is to be done there.
func (l *Loop) foundOut() bool {
	s := &l.source
	if s.tried != s.head.Commit {
		return s.renderErr != nil
	}
	if l.wish == nil || l.wish.Revision.Commit != s.head.Commit {
		return true // it is refused
	}
	for _, m := range l.members {
		undone := m.plannedFor != l.wish || m.busy() && m.laneFailures() == 0
		if m.opening || m.state.Phase == fleet.Ready && undone {
			return false
		}
	}
	return l.acquainted()
}

// keepSuccess keeps what has succeeded: that says that the commit was in place, and not how its pods fare ever after.
func keepSuccess(list, before []report.CommitStatus) []report.CommitStatus {
	for i, s := range list {
		for _, b := range before {
			if b.Context == s.Context && b.State == report.StateSuccess {
				list[i] = b
			}
		}
	}
	return list
}

// showing returns c with these statuses.
func (c commitMemory) showing(list []report.CommitStatus) commitMemory {
	if !slices.Equal(c.Statuses, list) {
		c.Statuses, c.Told = list, false
	}
	return c
}

// superseded ends what is pending on a commit that another one has taken the place of.
func (c commitMemory) superseded(by string) commitMemory {
	list := slices.Clone(c.Statuses)
	for i, s := range list {
		if s.State == report.StatePending {
			list[i] = s.Superseded(by)
		}
	}
	return c.showing(list)
}

// forgetSuccess takes back that a commit was in place, as it is put in force again.
func (l *Loop) forgetSuccess(commit string) {
	l.memory.Commits = slices.DeleteFunc(slices.Clone(l.memory.Commits), func(c commitMemory) bool { return c.Commit.Commit == commit })
}

// markTold notes which commits show all that they ever will, so that nobody looks at them again, also after a restart.
func (l *Loop) markTold() {
	commits := slices.Clone(l.memory.Commits)
	for i, c := range commits {
		all := i > 0 && !c.Told && l.forge.shown[c.Commit.Commit] != nil && c.Commit.Commit != l.memory.Applied.Commit
		for _, s := range c.Statuses {
			all = all && l.forge.shown[c.Commit.Commit][s.Context].CommitStatus == s
		}
		if all {
			commits[i].Told = true
			delete(l.forge.shown, c.Commit.Commit)
		}
	}
	l.memory.Commits = commits
}

// seenCommits are the commits as the Report tells them.
func (l *Loop) seenCommits() []report.Commit {
	var list []report.Commit
	for _, c := range l.memory.Commits {
		list = append(list, c.Commit)
	}
	return list
}
