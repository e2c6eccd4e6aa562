package kube

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// suite is what must hold on any API server. Each part keeps to names of its own.
var suite = map[string]func(t *testing.T, c cluster){
	"killed-after-every-write":          killedAfterEveryWrite,
	"no-delete-without-complete-answer": noDeleteWithoutACompleteAnswer,
	"no-delete-on-empty-answers":        noDeleteOnEmptyAnswers,
	"only-what-changed":                 onlyWhatChangedIsWritten,
	"damped":                            repairsAreDamped,
	"adopted":                           existingObjectsAreAdopted,
	"not-ours":                          whatIsNotOursStays,
	"judged":                            deletesNameWhatWasJudged,
	"definitions-first":                 definitionsComeBeforeTheirObjects,
	"fenced":                            aSecondWriterIsFenced,
	"partial-failure":                   oneFailureStopsNothingElse,
	"unreachable":                       anUnreachableMemberForgetsNothing,
	"cancelled":                         whatWasDoneBeforeTheCutIsRecorded,
	"held-namespace":                    aNamespaceWithForeignContentStays,
	"held-shared":                       aNamespaceWithAnotherRepositorysObjectsStays,
	"held-unread":                       aNamespaceThatCannotBeReadStays,
	"held-definition":                   aDefinitionWithForeignObjectsStays,
	"terminating":                       aTerminatingNamespaceIsWaitedFor,
	"crds-installed":                    ourDefinitionsAreInstalled,
	"crds-foreign":                      foreignDefinitionsAreLeftAlone,
	"crds-unlisted":                     definitionsThatCannotBeListedAreNotMissing,
}

// realOnly is what an API server in memory does not decide, or not otherwise.
var realOnly = map[string]func(t *testing.T, c cluster){
	"dropped-version":     aDroppedVersionIsNoDroppedKind,
	"refusals":            realRefusals,
	"immutable":           immutableFieldsNameTheRemedy,
	"held-volume":         anAdoptedVolumeStays,
	"not-held":            whatControllersMadeHoldsNothing,
	"missing-permissions": missingPermissions,
	"string-data":         aSecretsStringDataShowsDrift,
}

func TestInMemory(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // last of all
	s := memfleet.NewServer()
	t.Cleanup(s.Close)
	for name, part := range suite {
		t.Run(name, func(t *testing.T) { part(t, newCluster(s.Config())) })
	}
}

func TestReal(t *testing.T) {
	f := realfleet.Start(t, 1)
	for name, part := range suite {
		t.Run(name, func(t *testing.T) { part(t, newCluster(f.Config(t, f.Members[0]))) })
	}
	for name, part := range realOnly {
		t.Run(name, func(t *testing.T) { part(t, newCluster(f.Config(t, f.Members[0]))) })
	}
	t.Run("drift", func(t *testing.T) { driftShowsInMetadata(t, f) })
}
