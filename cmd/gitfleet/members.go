package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/apply"
	applykube "github.com/gitfleet/gitfleet/apply/kube"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	mcskube "github.com/gitfleet/gitfleet/mcs/kube"
	"github.com/gitfleet/gitfleet/reconcile"
)

// members opens member clusters with the credentials of kubeconfig files. The files are watched: a context that is added is
// found without a restart, and one that changes is changed in the session that uses it.
type members struct {
	credentials *fleet.Credentials
	self        *apply.Instance // who claims them; nil for who only looks, and changes nothing
	timing      apply.ClaimTiming
	definitions []*unstructured.Unstructured // that every member needs
	stop        chan struct{}
	following   sync.WaitGroup

	mu      sync.Mutex
	servers map[string]string // API server to the member that is open there
	open    map[string]*memberConn
}

// openMembers reads the kubeconfig files and follows them until close. Without self the members are only looked at.
func openMembers(kubeconfigs []string, self *apply.Instance, timing apply.ClaimTiming) (*members, error) {
	credentials, err := fleet.OpenCredentials(kubeconfigs...)
	if err != nil {
		return nil, err
	}
	m := &members{credentials: credentials, self: self, timing: timing, definitions: crd.Member(), stop: make(chan struct{}),
		servers: map[string]string{}, open: map[string]*memberConn{}}
	m.following.Go(func() {
		for {
			select {
			case <-m.stop:
				return
			case <-credentials.Changed():
				m.refresh()
			}
		}
	})
	return m, nil
}

// close ends the following. The members that are open are closed by who opened them.
func (m *members) close() {
	close(m.stop)
	m.following.Wait()
	m.credentials.Close()
}

// Open implements reconcile.Fleet. Two members may not share an API server: each would remove what the other applies.
func (m *members) Open(name, source string, changed func()) (reconcile.Member, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	conn, err := m.connect(name, source, changed)
	if err != nil {
		return nil, err
	}
	m.open[name], m.servers[conn.server()] = conn, name
	return conn, nil
}

// connect opens one member. m.mu is held.
func (m *members) connect(name, source string, changed func()) (*memberConn, error) {
	credential, err := m.credentials.Get(name)
	if err != nil {
		return nil, err
	}
	if other, taken := m.servers[credential.Config.Host]; taken {
		return nil, sameServer(other, name, credential.Config.Host)
	}
	var claim atomic.Pointer[applykube.Claim]
	session, err := fleet.Open(name, credential.Config, func() {
		if c := claim.Load(); c != nil {
			c.Notice()
		}
		changed()
	})
	if err != nil {
		return nil, err
	}
	if m.self != nil {
		claim.Store(applykube.NewClaim(session, source, *m.self, m.timing, changed))
	}
	session.KeepConfig(credential.Outdated)
	conn := &memberConn{
		Session:     session,
		credential:  credential,
		changed:     changed,
		claim:       claim.Load(),
		objects:     applykube.NewObserver(session, changed),
		services:    mcskube.NewObserver(session),
		definitions: applykube.NewCRDs(session, m.definitions),
	}
	for lane := range conn.executors {
		conn.executors[lane] = applykube.NewExecutor(session, conn.objects)
	}
	conn.release = func() { m.release(conn) }
	return conn, nil
}

func sameServer(other, name, server string) error {
	return fmt.Errorf("members %s and %s have the same API server, %s; remove one of them", other, name, server)
}

// release forgets a member that was closed, and gives its API server free for another.
func (m *members) release(conn *memberConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open[conn.Name()] == conn {
		delete(m.open, conn.Name())
		delete(m.servers, conn.server())
	}
}

// refresh gives every open member the credentials that the files hold now.
func (m *members) refresh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, conn := range m.open {
		credential, err := m.credentials.Get(name)
		if err != nil {
			conn.KeepConfig(err)
			continue
		}
		conn.renew(credential)
	}
}

// memberConn joins what the leaf packages do on one session into the member that the loop drives.
type memberConn struct {
	*fleet.Session
	credential  fleet.Credential // guarded by members.mu
	claim       *applykube.Claim // nil for who only looks
	objects     *applykube.Observer
	executors   [reconcile.Lanes]*applykube.Executor
	services    *mcskube.Observer
	definitions *applykube.CRDs
	moved       atomic.Bool
	changed     func()
	release     func() // called when closed
}

var _ reconcile.Member = (*memberConn)(nil)

// server returns the API server that the member is open at.
func (m *memberConn) server() string { return m.credential.Config.Host }

// renew makes the session use a credential, unless it does so already or cannot. Another API server may be another cluster:
// what was seen, planned and claimed is not about that one, so the member must be opened anew.
func (m *memberConn) renew(credential fleet.Credential) {
	if credential.Config.Host != m.server() {
		m.moved.Store(true)
		m.changed()
		return
	}
	if !credential.Same(m.credential) {
		if err := m.SetConfig(credential.Config); err != nil {
			m.KeepConfig(err)
			return
		}
	}
	m.credential = credential
	m.KeepConfig(credential.Outdated)
}

// Moved implements reconcile.Member.
func (m *memberConn) Moved() bool { return m.moved.Load() }

// releaseLimit bounds how long the end of the process waits for a cluster to take its claim back.
const releaseLimit = 3 * time.Second

// release ends a claim. What cannot be released in time a successor takes over after a while.
func release(claim *applykube.Claim) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseLimit)
	defer cancel()
	_ = claim.Release(ctx) // the cluster is out of reach, or slow; nobody is left who could do better
	claim.Close()
}

// Close implements reconcile.Member.
func (m *memberConn) Close() {
	if m.claim != nil {
		release(m.claim)
	}
	m.objects.Close()
	m.Session.Close()
	m.release()
}

func (m *memberConn) Track(kinds []schema.GroupVersionKind)   { m.objects.Track(kinds) }
func (m *memberConn) Doubt(refs map[api.Ref]string)           { m.objects.Doubt(refs) }
func (m *memberConn) UseHealthRules(rules *apply.HealthRules) { m.objects.UseHealthRules(rules) }
func (m *memberConn) Live() apply.Live                        { return m.objects.Live() }

// Services implements reconcile.Member.
func (m *memberConn) Services(recall bool) mcs.Observed {
	o := m.services.Observe(recall)
	if err := m.services.Err(); err != nil && !o.Synced {
		o.Problem = err.Error()
	}
	return o
}

func (m *memberConn) Prepare(ctx context.Context) error {
	return m.definitions.Ensure(ctx)
}

// errOnlooker is the claim of who only looks. The loop changes nothing without a claim.
var errOnlooker = errors.New("only looked at")

// Claim implements reconcile.Member.
func (m *memberConn) Claim() error {
	if m.claim == nil {
		return errOnlooker
	}
	return m.claim.Err()
}

// Apply implements reconcile.Member.
func (m *memberConn) Apply(ctx context.Context, lane reconcile.Lane, plan apply.Plan) apply.Result {
	return m.executors[lane].Execute(ctx, plan)
}

// Preview implements reconcile.Member.
func (m *memberConn) Preview(ctx context.Context, set apply.Set, change apply.Change) (apply.Preview, error) {
	return m.executors[reconcile.Bulk].Preview(ctx, set, change)
}

func (m *memberConn) WriteStatuses(ctx context.Context, writes []mcs.StatusWrite) error {
	return mcskube.WriteStatuses(ctx, m.Session, writes)
}
