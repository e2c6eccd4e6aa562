// Package clustertest is the contract of what observes and executes plans on one cluster, as tests that run against any
// implementation and any API server, in memory or real. A case sees what the rest of the program sees (apply's values and
// Member) and the requests that reach the API server; how they come about is the implementation's own affair.
package clustertest

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// Member is one process' view of and hold on one cluster. Only Apply and Close block. Apply is called by one goroutine at
// a time; the others may be called from any.
type Member interface {
	// State tells whether the cluster can be used.
	State() fleet.State
	// Track asks for these kinds to be watched, besides those that the inventories on the cluster name.
	Track(kinds []schema.GroupVersionKind)
	// Live returns what is known now, without a request.
	Live() apply.Live
	// Apply carries out a plan.
	Apply(ctx context.Context, plan apply.Plan) apply.Result
	// Close ends the process. What it has begun it may leave behind.
	Close()
}

// Cluster is an API server and what is under test on it.
type Cluster struct {
	// Config reaches the API server with all rights. The suite makes namespaces and definitions of its own there.
	Config *rest.Config
	// Open starts a process that manages the cluster which config reaches; config leads through a proxy of the suite's. It
	// does not block. The process makes its requests as if gitfleet had just been started.
	Open func(config *rest.Config) (Member, error)
}

// part is one case of the contract. Each keeps to names of its own, so that all can be run on one API server.
type part struct {
	name string
	run  func(t *testing.T, s server)
}

// everywhere is what must hold on any API server.
var everywhere = []part{
	{"adopted", existingObjectsAreAdopted},
	{"cancelled", whatWasDoneBeforeTheCutIsRecorded},
	{"confirmed", removalsWaitForAPerson},
	{"damped", repairsAreDamped},
	{"definitions-first", definitionsComeBeforeTheirObjects},
	{"drift-author", driftNamesItsAuthor},
	{"fenced", aSecondWriterIsFenced},
	{"given-away", aGivenFieldIsSomebodyElses},
	{"held-definition", aDefinitionWithForeignObjectsStays},
	{"held-namespace", aNamespaceWithForeignContentStays},
	{"held-shared", aNamespaceWithAnotherRepositorysObjectsStays},
	{"held-unread", aNamespaceThatCannotBeReadStays},
	{"judged", deletesNameWhatWasJudged},
	{"killed-after-every-write", killedAfterEveryWrite},
	{"no-delete-on-empty-answers", noDeleteOnEmptyAnswers},
	{"no-delete-without-complete-answer", noDeleteWithoutACompleteAnswer},
	{"not-ours", whatIsNotOursStays},
	{"only-what-changed", onlyWhatChangedIsWritten},
	{"partial-failure", oneFailureStopsNothingElse},
	{"suspended", aSuspendedSetIsLeftAsItIs},
	{"terminating", aTerminatingNamespaceIsWaitedFor},
	{"unreachable", anUnreachableMemberForgetsNothing},
}

// realOnly is what an API server in memory does not decide, or not otherwise.
var realOnly = []part{
	{"dropped-version", aDroppedVersionIsNoDroppedKind},
	{"held-volume", anAdoptedVolumeStays},
	{"immutable", immutableFieldsNameTheRemedy},
	{"missing-permissions", missingPermissions},
	{"not-held", whatControllersMadeHoldsNothing},
	{"refusals", realRefusals},
	{"string-data", aSecretsStringDataShowsDrift},
}

// Run tests the contract, one subtest a case, each on the cluster that start returns for it: a fresh one, or always the
// same. real tells that its API server validates, authorizes and has controllers, as one in memory does not; then there are
// more cases, and they run one after the other.
func Run(t *testing.T, real bool, start func(t *testing.T) Cluster) {
	parts := everywhere
	if real {
		parts = append(parts[:len(parts):len(parts)], realOnly...)
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			if !real {
				t.Parallel()
			}
			p.run(t, newServer(start(t)))
		})
	}
}
