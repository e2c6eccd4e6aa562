package kube

import (
	"context"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// ownParts is what must hold on any API server and is no part of the contract in clustertest.
var ownParts = []struct {
	name string
	run  func(t *testing.T, config *rest.Config)
}{
	{"crds-foreign", foreignDefinitionsAreLeftAlone},
	{"crds-installed", ourDefinitionsAreInstalled},
	{"crds-unlisted", definitionsThatCannotBeListedAreNotMissing},
}

func TestInMemory(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // last of all
	test(t, false, func(t *testing.T) clustertest.Cluster {
		s := memfleet.NewServer()
		t.Cleanup(s.Close)
		return clustertest.Cluster{Config: s.Config(), Open: open}
	})
}

func TestReal(t *testing.T) {
	f := realfleet.Start(t, 1)
	test(t, true, func(t *testing.T) clustertest.Cluster {
		return clustertest.Cluster{Config: f.Config(t, f.Members[0]), Open: open}
	})
	t.Run("drift", func(t *testing.T) { driftShowsInMetadata(t, f) })
}

func test(t *testing.T, real bool, start func(t *testing.T) clustertest.Cluster) {
	clustertest.Run(t, real, start)
	for _, p := range ownParts {
		t.Run(p.name, func(t *testing.T) { p.run(t, start(t).Config) })
	}
}

// process is what one process of ours has of one member.
type process struct {
	*fleet.Session
	*Observer
	*Executor
}

var _ clustertest.Member = process{}

func open(config *rest.Config) (clustertest.Member, error) {
	session, err := fleet.Open("aks-1", config, nil)
	if err != nil {
		return nil, err
	}
	observer := NewObserver(session, nil)
	return process{session, observer, NewExecutor(session, observer)}, nil
}

func (p process) Apply(ctx context.Context, plan apply.Plan) apply.Result {
	return p.Execute(ctx, plan)
}

// Close ends what was started, and may be called again.
func (p process) Close() {
	p.Observer.Close()
	p.Session.Close()
}
