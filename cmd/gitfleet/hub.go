package main

import (
	"fmt"
	"sync/atomic"

	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/apply"
	applykube "github.com/gitfleet/gitfleet/apply/kube"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/hub"
	"github.com/gitfleet/gitfleet/reconcile"
)

// claimedHub is a hub that one gitfleet with the same source publishes on.
type claimedHub struct {
	*hub.Publisher
	session *fleet.Session
	claim   *applykube.Claim
	changed chan struct{} // holds a token whenever something on the hub has changed since it was last taken
}

var _ reconcile.Hub = (*claimedHub)(nil)

// openHub opens the hub that o names, and claims it for self.
func openHub(o runOptions, self apply.Instance) (*claimedHub, error) {
	cfg, err := fleet.LoadContext(o.hubKubeconfig, o.hubContext)
	if err != nil {
		return nil, fmt.Errorf("--hub-kubeconfig: %w", err)
	}
	h := &claimedHub{changed: make(chan struct{}, 1)}
	var claim atomic.Pointer[applykube.Claim]
	notify := func() {
		if c := claim.Load(); c != nil {
			c.Notice()
		}
		select {
		case h.changed <- struct{}{}:
		default: // the token before has not been taken yet
		}
	}
	if h.session, err = fleet.Open("hub", cfg, notify); err != nil {
		return nil, err
	}
	h.claim = applykube.NewClaim(h.session, "hub of "+o.source(), self, apply.DefaultClaimTiming(), notify)
	claim.Store(h.claim)
	h.Publisher = hub.NewPublisher(h.session, applykube.NewCRDs(h.session, crd.Hub()).Ensure)
	return h, nil
}

// Claim implements reconcile.Hub.
func (h *claimedHub) Claim() error { return h.claim.Err() }

// close gives the hub up for another.
func (h *claimedHub) close() {
	release(h.claim)
	h.session.Close()
}
