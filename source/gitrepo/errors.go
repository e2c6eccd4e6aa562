package gitrepo

import (
	"fmt"
	"strings"
	"time"
)

// Problem is what keeps a repository from being read, or its notes from being written. It tells who must act, and is printed as is.
type Problem string

// The problems. None of them takes the last good revision away.
const (
	Unreachable   Problem = "unreachable"        // network, server or git process; passes by itself or is the operator's
	Unauthorized  Problem = "not authorized"     // the credentials are missing, wrong or not sufficient
	NotFound      Problem = "no such repository" // or, as many servers say it, no permission to know of it
	Empty         Problem = "repository is empty"
	BranchMissing Problem = "no such branch"
	Damaged       Problem = "damaged cache" // the local cache cannot be read and could not be replaced either
	ReadOnly      Problem = "read-only"     // it can be read, and does not take what is pushed
	Contended     Problem = "changed by others faster than it could be pushed to"
)

// Error says why a repository could not be read or written. It holds no credentials, whatever the server answered.
type Error struct {
	Problem  Problem
	Repo     string   // URL without credentials
	Branch   string   // the branch asked for
	Branches []string // for BranchMissing: those that exist, sorted
	Detail   string   // what happened, in one line

	remedy     string // where the problem alone does not tell
	patience   bool   // the server asks to be left alone
	retryAfter time.Duration
	cause      error // context.Canceled and the like: nothing that could print a credential
}

// maxBranches keeps an error readable in repositories with a branch for every change.
const maxBranches = 10

// Error prints the repository, the problem and what to do about it, as far as that is known.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "repository %s: ", e.Repo)
	switch e.Problem {
	case BranchMissing:
		fmt.Fprintf(&b, "branch %q does not exist; %s", e.Branch, branchList(e.Branches))
	case Empty:
		fmt.Fprintf(&b, "is empty; push a first commit to branch %q", e.Branch)
	default:
		b.WriteString(string(e.Problem))
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// Unwrap returns the context's error when the call was given up, otherwise nil.
func (e *Error) Unwrap() error { return e.cause }

// Remedy returns what an operator has to do, empty when waiting may help.
func (e *Error) Remedy() string {
	if e.remedy != "" {
		return e.remedy
	}
	switch e.Problem {
	case Unauthorized, NotFound:
		return "check the repository's URL and the credentials: they must be allowed to read it"
	case ReadOnly:
		return "allow the credentials to push, and the repository to take, references below refs/notes/"
	case BranchMissing:
		return "push the branch, or name another"
	}
	return ""
}

// RetryAfter tells whether the server asks to be left alone, and for how long: 0 when it does not say.
func (e *Error) RetryAfter() (wait time.Duration, asked bool) { return e.retryAfter, e.patience }

func branchList(names []string) string {
	switch {
	case len(names) == 0:
		return "there are no branches"
	case len(names) > maxBranches:
		return fmt.Sprintf("the branches are %s and %d more", strings.Join(names[:maxBranches], ", "), len(names)-maxBranches)
	}
	return "the branches are " + strings.Join(names, ", ")
}
