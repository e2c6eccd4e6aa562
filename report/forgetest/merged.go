package forgetest

import "testing"

func mergedFrom(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8} {
		srv.repo.Commits[hash(n)] = &Commit{Branch: "main"}
	}
	merged := func(number, mergeCommit, at int, commits ...int) *PullRequest {
		pr := open(number, hash(commits[len(commits)-1]))
		pr.State, pr.MergedAt, pr.MergeCommit, pr.Commits = "merged", at, hash(mergeCommit), nil
		for _, c := range commits {
			pr.Commits = append(pr.Commits, hash(c))
		}
		return pr
	}
	into := func(branch string, pr *PullRequest) *PullRequest {
		pr.Base = branch
		return pr
	}
	stillOpen, closed := open(40, hash(3)), open(41, hash(3))
	closed.State = "closed"
	srv.repo.PullRequests = []*PullRequest{
		merged(20, 2, 30, 1),                   // a merge commit, 2, of commit 1
		merged(21, 4, 20, 0x77),                // a squash, 4, of a commit that is gone
		into("topic", merged(22, 6, 10, 5)),    // a branch that 23 then brought into main
		into("topic", merged(25, 7, 5, 0x78)),  // a squash
		into("topic", merged(26, 8, 40, 3, 1)), // later than what brought commit 1 into main
		merged(23, 0x99, 25, 5, 7, 6),          // the later of two that have commit 5
		stillOpen, closed,
	}
	for _, c := range []struct {
		name, commit, want string
		descent            bool // not known to a forge that knows merge commits only
	}{
		{name: "pushed without a pull request", commit: commitA},
		{name: "merge commit", commit: hash(2), want: "20"},
		{name: "squash", commit: hash(4), want: "21"},
		{name: "merged into another branch only", commit: hash(8)},
		{name: "merge commit that another one brought further", commit: hash(6), want: "23", descent: true},
		{name: "squash that another one brought further", commit: hash(7), want: "23", descent: true},
		{name: "in an open and a closed one", commit: hash(3)},
		{name: "below a merge", commit: hash(1), want: "20", descent: true},
		{name: "below two merges", commit: hash(5), want: "23", descent: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.descent && s.OnlyMergeCommits {
				c.want = ""
			}
			if got, err := forge.MergedFrom(limited(t), c.commit, "main"); err != nil || got != c.want {
				t.Errorf("it comes from pull request %q, error %v, instead of %q", got, err, c.want)
			}
		})
	}
	if got, err := forge.MergedFrom(limited(t), missing, "main"); err == nil {
		t.Errorf("a commit that the forge does not have comes from %q instead of being an error", got)
	}
	if got, err := forge.MergedFrom(limited(t), "main", "main"); err == nil {
		t.Errorf("a branch comes from %q instead of being an error", got)
	}
	if got, err := forge.MergedFrom(limited(t), hash(2), ""); err == nil {
		t.Errorf("a commit of no branch comes from %q instead of being an error", got)
	}
}
