package main

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/apply"
	applykube "github.com/gitfleet/gitfleet/apply/kube"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	mcskube "github.com/gitfleet/gitfleet/mcs/kube"
	"github.com/gitfleet/gitfleet/reconcile"
)

// members opens member clusters with the credentials of kubeconfig files.
type members struct{ credentials *fleet.Kubeconfigs }

// Open implements reconcile.Fleet.
func (m members) Open(name string, changed func()) (reconcile.Member, error) {
	cfg, err := m.credentials.Config(name)
	if err != nil {
		return nil, err
	}
	session, err := fleet.Open(name, cfg, changed)
	if err != nil {
		return nil, err
	}
	objects := applykube.NewObserver(session, changed)
	return &memberConn{
		Session:     session,
		objects:     objects,
		executor:    applykube.NewExecutor(session, objects),
		services:    mcskube.NewObserver(session),
		definitions: applykube.NewCRDs(session, crd.Member()),
	}, nil
}

// memberConn joins what the leaf packages do on one session into the member that the loop drives.
type memberConn struct {
	*fleet.Session
	objects     *applykube.Observer
	executor    *applykube.Executor
	services    *mcskube.Observer
	definitions *applykube.CRDs
}

var _ reconcile.Member = (*memberConn)(nil)

// Close implements reconcile.Member.
func (m *memberConn) Close() {
	m.objects.Close()
	m.Session.Close()
}

func (m *memberConn) Track(kinds []schema.GroupVersionKind) { m.objects.Track(kinds) }
func (m *memberConn) Live() apply.Live                      { return m.objects.Live() }
func (m *memberConn) Services() mcs.Observed                { return m.services.Observe() }

func (m *memberConn) Prepare(ctx context.Context) error {
	return m.definitions.Ensure(ctx)
}

func (m *memberConn) Apply(ctx context.Context, plan apply.Plan) apply.Result {
	return m.executor.Execute(ctx, plan)
}

func (m *memberConn) WriteStatuses(ctx context.Context, writes []mcs.StatusWrite) error {
	return mcskube.WriteStatuses(ctx, m.Session, writes)
}
