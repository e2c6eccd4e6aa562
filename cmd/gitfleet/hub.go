package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/apply"
	applykube "github.com/gitfleet/gitfleet/apply/kube"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/hub"
	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// claimedHub publishes on a hub as long as no other gitfleet with the same source does: two of them would overwrite each
// other's status for ever.
type claimedHub struct {
	session   *fleet.Session
	claim     *applykube.Claim
	publisher *hub.Publisher
	changed   chan struct{} // holds a token whenever something on the hub has changed since it was last taken
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
	h.publisher = hub.NewPublisher(h.session, applykube.NewCRDs(h.session, crd.Hub()).Ensure)
	return h, nil
}

// settleLimit is how long a status waits for the claim to be settled: longer than a holder that has died is waited for.
const settleLimit = 15 * time.Second

// Publish implements reconcile.Hub.
func (h *claimedHub) Publish(ctx context.Context, desired *render.Desired, r report.Report) error {
	if err := h.settled(ctx); err != nil {
		return fmt.Errorf("the hub is left alone: %w", err)
	}
	return h.publisher.Publish(ctx, desired, r)
}

// settled returns nil once the hub is claimed, and otherwise why it is not.
func (h *claimedHub) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		err := h.claim.Err()
		var pending *apply.ClaimPendingError
		if err == nil || !errors.As(err, &pending) {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return err
		}
	}
}

// close gives the hub up for another.
func (h *claimedHub) close() {
	release(h.claim)
	h.session.Close()
}
