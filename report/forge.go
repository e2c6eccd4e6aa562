package report

import (
	"context"
	"time"
)

// State is what a commit status says, in the words that forges share.
type State string

// The states. Failure is the author's to mend, Error is not: gitfleet or a member is at fault.
const (
	StatePending State = "pending"
	StateSuccess State = "success"
	StateFailure State = "failure"
	StateError   State = "error"
)

// StatusName is the name under which gitfleet speaks unless it is given another one: several that follow directories of one
// repository need one each.
const StatusName = "gitfleet"

// The contexts of the statuses under that name. Those of single clusters go on after a slash: "gitfleet/apply/aks-member-1".
const (
	ContextPlan     = StatusName + "/plan"
	ContextApply    = StatusName + "/apply"
	ContextServices = StatusName + "/services"
)

// CommitStatus is one line that a forge shows at a commit: at most one for each context.
type CommitStatus struct {
	Context     string `json:"context"`
	State       State  `json:"state"`
	Description string `json:"description"`   // at most LongestDescription characters; no secrets
	URL         string `json:"url,omitempty"` // where there is more; empty for nowhere
}

// LongestDescription is how many characters of a description every forge takes: GitHub's limit.
const LongestDescription = 140

// LongestComment is how many bytes of a comment every forge takes: GitHub takes 65,536 characters, and a little is left for
// the mark by which a forge finds its comment again.
const LongestComment = 60_000

// PullRequest is an open request to merge Head into a branch: GitHub's and Gitea's pull request, GitLab's merge request, a
// branch of a repository without a forge.
type PullRequest struct {
	ID    string // as people write it without its sign: "12"; of a repository without a forge the branch
	Title string // as its author wrote it: untrusted
	URL   string
	Head  string // commit that is to be merged, and that the status goes to; empty for the moments in which a forge prepares it
	// HeadRef and MergeRef name in the base repository what can be fetched: the head, "refs/pull/12/head", and the forge's
	// merge of it into its base, "refs/pull/12/merge". MergeRef is empty where the forge makes none, or cannot. Forges make
	// the merge in the background and leave an old one where a new one conflicts: it counts only when Head is its parent.
	HeadRef  string
	MergeRef string
	Fork     bool // the head comes from another repository, so from somebody who may have no rights here
}

// Forge shows commits and pull requests to people. Every method makes few requests, may be called again after any failure,
// and returns the context's error when that ends. Where a forge asks for patience, and where only an operator can help, the
// error is or wraps a *ForgeError. No error contains a credential. report/forgetest is the contract as a test.
type Forge interface {
	// Statuses returns what commit shows, one for each context, sorted by context. A commit that the forge does not have is
	// an error; one without statuses is not.
	Statuses(ctx context.Context, commit string) ([]CommitStatus, error)
	// SetStatus shows s at commit, in place of what it has for the context. A forge may keep the description of a pending
	// status that is pending already.
	SetStatus(ctx context.Context, commit string, s CommitStatus) error
	// PullRequests returns all open pull requests into branch, sorted by ID, numbers by their value. The answer is complete or an error.
	PullRequests(ctx context.Context, branch string) ([]PullRequest, error)
	// Comment makes body, Markdown of at most LongestComment bytes, gitfleet's one comment on a pull request. It changes the
	// one that is there, which it recognises by a mark that is not shown and by its author, and writes nothing when that says
	// the same. Comments of others are never touched, whatever they contain. body is about head, a full commit: where comments
	// stand on commits it goes to that one, whatever the pull request has become since.
	Comment(ctx context.Context, id, head, body string) error
	// MergedFrom returns the ID of the pull request that brought commit into branch, however it was merged; empty when none is
	// known. One that was merged into another branch is none, although it made the commit: what it showed was for that branch.
	MergedFrom(ctx context.Context, commit, branch string) (string, error)
}

// ForgeError tells what kind of help a failed request to a forge needs.
type ForgeError struct {
	// RetryAfter is how long the forge asks to be left alone; 0 when it does not say.
	RetryAfter time.Duration
	// Remedy is what an operator has to do: the token's missing scope, the repository's name. It is empty when waiting helps.
	Remedy string
	Err    error
}

// Error returns the cause, then the remedy.
func (e *ForgeError) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; " + e.Remedy
}

// Unwrap returns the cause.
func (e *ForgeError) Unwrap() error { return e.Err }
