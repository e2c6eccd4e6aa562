package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// claimWorld is one member and the lease of one source on it. client reaches it directly, as a foreigner does.
type claimWorld struct {
	config *rest.Config
	source string
	timing apply.ClaimTiming
	client dynamic.Interface
}

func newClaimWorld(config *rest.Config, source string) claimWorld {
	return claimWorld{config, source, apply.ClaimTiming{Answer: 2 * time.Second, Recheck: 3 * time.Second}, dynamic.NewForConfigOrDie(config)}
}

func (w claimWorld) leases() dynamic.ResourceInterface {
	return w.client.Resource(coordinationv1.SchemeGroupVersion.WithResource("leases")).Namespace(api.SystemNamespace)
}

// claimant is one process of ours, behind a proxy of its own.
type claimant struct {
	*Claim
	proxy   *memfleet.Proxy
	session *fleet.Session
	once    sync.Once
}

func (w claimWorld) start(t *testing.T, id string) *claimant {
	t.Helper()
	return w.startWith(t, id, nil)
}

func (w claimWorld) startWith(t *testing.T, id string, rule memfleet.Rule) *claimant {
	t.Helper()
	p := &claimant{proxy: clustertest.Must(memfleet.NewProxy(w.config))(t)}
	p.proxy.SetRule(rule)
	var claim atomic.Pointer[Claim]
	notify := func() {
		if c := claim.Load(); c != nil {
			c.Notice()
		}
	}
	p.session = clustertest.Must(fleet.Open("aks-1", p.proxy.Config(), notify))(t)
	p.Claim = NewClaim(p.session, w.source, apply.Instance{ID: id, Description: "host of " + id}, w.timing, nil)
	claim.Store(p.Claim)
	t.Cleanup(p.kill)
	return p
}

// kill ends a process without a word to the member.
func (p *claimant) kill() {
	p.once.Do(func() {
		p.Close()
		p.session.Close()
		p.proxy.Close()
	})
}

func (p *claimant) holds(t *testing.T) {
	t.Helper()
	clustertest.Eventually(t, p.self.ID+" holds the claim", func(context.Context) error { return p.Err() })
}

// isFencedBy waits for the error that names the holder.
func (p *claimant) isFencedBy(t *testing.T, holder string) {
	t.Helper()
	clustertest.Eventually(t, fmt.Sprintf("%s says that %s holds the claim", p.self.ID, holder), func(context.Context) error {
		var claimed *apply.ClaimedError
		if err := p.Err(); !errors.As(err, &claimed) || claimed.Holder.ID != holder {
			return fmt.Errorf("it says: %w", err)
		}
		return nil
	})
}

// asked returns the requests about leases, without the watches' own.
func (p *claimant) asked() (sent []string) {
	for _, r := range p.proxy.Requests() {
		if r.Resource == "leases" && r.Class != memfleet.List && r.Class != memfleet.Watch || r.Writes() && r.Resource != "leases" {
			sent = append(sent, r.Method+" "+r.Resource)
		}
	}
	return sent
}

func (w claimWorld) lease(t *testing.T) apply.ClaimLease {
	t.Helper()
	u := clustertest.Must(w.leases().Get(t.Context(), apply.ClaimName(w.source), metav1.GetOptions{}))(t)
	return reduceClaim(u, w.source).(apply.ClaimLease)
}
