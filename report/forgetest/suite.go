// Package forgetest is the contract of report.Forge, as tests that run against any implementation that speaks HTTP. A
// package under test brings a server that answers as its forge documents; the suite brings what the server answers from, and
// the faults.
package forgetest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// Subject is an implementation under test and the forge that it speaks to.
type Subject struct {
	// Repo is the name of the repository on the forge.
	Repo string
	// Open returns the implementation; it makes no request.
	Open func(c Connection) (report.Forge, error)
	// Serve answers as the forge documents. The server is called with the repository locked.
	Serve func(repo *Repo) http.Handler
	// HeadRef and MergeRef are the refs of a pull request, with NUMBER in the number's place; MergeRef is empty where the
	// forge has none.
	HeadRef, MergeRef string
	// Patience is how the forge asks for it.
	Patience []Patience
	// OnlyMergeCommits is a forge that knows the pull request of a merge commit only, not of what was merged.
	OnlyMergeCommits bool
	// FixedPendingWords is a forge that changes the words of a pending status once at most.
	FixedPendingWords bool
}

// Patience is one way of a forge to ask for it.
type Patience struct {
	Name   string
	Answer Answer
	Want   time.Duration
}

// The commits of the suite. Only commitA exists from the beginning.
var (
	commitA = hash(0xa)
	commitB = hash(0xb)
	missing = hash(0xdead)
)

// part is one case of the contract.
type part struct {
	name string
	run  func(t *testing.T, s Subject)
}

var parts = []part{
	{"statuses-are-shown", statusesAreShown},
	{"statuses-are-replaced", statusesAreReplaced},
	{"statuses-posted-twice", statusesPostedTwice},
	{"statuses-on-many-pages", statusesOnManyPages},
	{"statuses-of-a-missing-commit", statusesOfAMissingCommit},
	{"statuses-that-no-forge-takes", statusesThatNoForgeTakes},
	{"pull-requests-are-listed", pullRequestsAreListed},
	{"pull-requests-on-many-pages", pullRequestsOnManyPages},
	{"pull-requests-are-complete-or-an-error", pullRequestsAreCompleteOrAnError},
	{"comment-is-one", commentIsOne},
	{"comment-of-somebody-else", commentOfSomebodyElse},
	{"comment-of-another-gitfleet", commentOfAnotherGitfleet},
	{"comment-edited-by-a-person", commentEditedByAPerson},
	{"comment-behind-many-others", commentBehindManyOthers},
	{"comment-whose-answer-was-lost", commentWhoseAnswerWasLost},
	{"comment-that-no-forge-takes", commentThatNoForgeTakes},
	{"merged-from", mergedFrom},
	{"refusals-name-a-remedy", refusalsNameARemedy},
	{"patience-is-passed-on", patienceIsPassedOn},
	{"errors-of-the-server", errorsOfTheServer},
	{"a-hung-server-ends-with-the-context", aHungServerEndsWithTheContext},
	{"half-an-answer-is-none", halfAnAnswerIsNone},
	{"an-endless-answer-is-cut", anEndlessAnswerIsCut},
	{"redirects-keep-the-token", redirectsKeepTheToken},
	{"renamed-repositories", renamedRepositories},
	{"tokens-rotate", tokensRotate},
	{"tokens-that-cannot-be-read", tokensThatCannotBeRead},
	{"unknown-certificates", unknownCertificates},
	{"few-requests", fewRequests},
}

// Run runs the contract.
func Run(t *testing.T, s Subject) {
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, s) })
	}
}

// ref fills a number into a pattern of Subject.
func ref(pattern, number string) string { return strings.ReplaceAll(pattern, "NUMBER", number) }
