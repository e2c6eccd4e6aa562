package main

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/apply"
	applykube "github.com/gitfleet/gitfleet/apply/kube"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	mcskube "github.com/gitfleet/gitfleet/mcs/kube"
	"github.com/gitfleet/gitfleet/reconcile"
)

// members opens member clusters with the credentials of kubeconfig files. The files are read at each opening, so that a
// context which is added is found without a restart.
type members struct {
	kubeconfigs []string

	mu      sync.Mutex
	servers map[string]string // API server to the member that is open there
}

// Open implements reconcile.Fleet. Two members may not share an API server: each would remove what the other applies.
func (m *members) Open(name string, changed func()) (reconcile.Member, error) {
	credentials, err := fleet.LoadKubeconfigs(m.kubeconfigs...)
	if err != nil {
		return nil, err
	}
	cfg, err := credentials.Config(name)
	if err != nil {
		return nil, err
	}
	if err := m.claim(cfg.Host, name); err != nil {
		return nil, err
	}
	session, err := fleet.Open(name, cfg, changed)
	if err != nil {
		m.release(cfg.Host)
		return nil, err
	}
	objects := applykube.NewObserver(session, changed)
	return &memberConn{
		Session:     session,
		objects:     objects,
		executor:    applykube.NewExecutor(session, objects),
		services:    mcskube.NewObserver(session),
		definitions: applykube.NewCRDs(session, crd.Member()),
		release:     func() { m.release(cfg.Host) },
	}, nil
}

func (m *members) claim(server, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other, taken := m.servers[server]; taken {
		return fmt.Errorf("members %s and %s have the same API server, %s; remove one of them", other, name, server)
	}
	m.servers[server] = name
	return nil
}

func (m *members) release(server string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.servers, server)
}

// memberConn joins what the leaf packages do on one session into the member that the loop drives.
type memberConn struct {
	*fleet.Session
	objects     *applykube.Observer
	executor    *applykube.Executor
	services    *mcskube.Observer
	definitions *applykube.CRDs
	release     func() // gives the API server free for another member
}

var _ reconcile.Member = (*memberConn)(nil)

// Close implements reconcile.Member.
func (m *memberConn) Close() {
	m.objects.Close()
	m.Session.Close()
	m.release()
}

func (m *memberConn) Track(kinds []schema.GroupVersionKind) { m.objects.Track(kinds) }
func (m *memberConn) Live() apply.Live                      { return m.objects.Live() }

// Services implements reconcile.Member.
func (m *memberConn) Services() mcs.Observed {
	o := m.services.Observe()
	if err := m.services.Err(); err != nil && !o.Synced {
		o.Problem = err.Error()
	}
	return o
}

func (m *memberConn) Prepare(ctx context.Context) error {
	return m.definitions.Ensure(ctx)
}

func (m *memberConn) Apply(ctx context.Context, plan apply.Plan) apply.Result {
	return m.executor.Execute(ctx, plan)
}

func (m *memberConn) WriteStatuses(ctx context.Context, writes []mcs.StatusWrite) error {
	return mcskube.WriteStatuses(ctx, m.Session, writes)
}
