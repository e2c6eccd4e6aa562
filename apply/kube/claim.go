package kube

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// Claim keeps this process the only one that manages a member from one source. It begins to claim the member when it is
// made, and goes on until it is released or closed. While it is held and nobody challenges it, it makes no request but
// the watch of one Lease.
type Claim struct {
	session *fleet.Session
	watch   *fleet.Watch
	key     string // of watch
	name    string // of the lease
	source  string
	self    apply.Instance
	timing  apply.ClaimTiming
	changed func()

	ctx    context.Context
	cancel context.CancelFunc
	ending chan struct{} // closed when nothing new is to be begun
	end    func()        // closes ending
	done   chan struct{}
	poke   chan struct{} // holds one token when the lease must be looked at

	mu       sync.Mutex
	state    apply.ClaimState
	failed   error  // the last request's error; nil when it was done, or lost to somebody else's
	failedAt string // the resourceVersion of the lease then
	races    int    // how often in a row a write based on failedAt was refused as outdated
}

// errReleased is the error of a claim that has ended.
var errReleased = errors.New("the claim on this member was given up: this process is ending")

// NewClaim starts to claim the member of s for source, as self. changed is called without blocking when the result of Err
// may have changed for a reason that the session does not notice; it may be nil. The other way round, Notice must be
// called whenever the session notifies.
func NewClaim(s *fleet.Session, source string, self apply.Instance, timing apply.ClaimTiming, changed func()) *Claim {
	c := &Claim{session: s, source: source, self: self, timing: timing, changed: changed, key: "apply/claim " + source, name: apply.ClaimName(source),
		ending: make(chan struct{}), done: make(chan struct{}), poke: make(chan struct{}, 1),
		state: apply.NewClaimState(self, source, rand.Text(), timing)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.end = sync.OnceFunc(func() { close(c.ending) })
	c.watch = s.Watch(fleet.WatchSpec{
		Key: c.key, Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: api.SystemNamespace,
		FieldSelector: "metadata.name=" + c.name,
		Reduce:        func(u *unstructured.Unstructured) any { return reduceClaim(u, source) },
	})
	go c.run()
	return c
}

func reduceClaim(u *unstructured.Unstructured, source string) any {
	var lease coordinationv1.Lease
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &lease); err != nil {
		// No API server serves such a Lease. What names nobody is taken over, and so repaired.
		return apply.ClaimLease{ResourceVersion: u.GetResourceVersion(), UID: u.GetUID(), Source: source}
	}
	return apply.DecodeClaim(&lease, source)
}

// Notice has the lease looked at soon. It never blocks. Without it every change is noticed too, but seconds later.
func (c *Claim) Notice() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Err returns nil while the claim is held, and otherwise why nothing may be changed on the member now: a
// *apply.ClaimedError when another instance holds it, a *apply.ClaimPendingError while that is being settled, a
// *fleet.UnreachableError or what else keeps the lease from being watched, a *apply.RefusedError when a permission is
// missing.
func (c *Claim) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isEnding() {
		return errReleased
	}
	watching := c.watch.Err()
	view := c.view(watching == nil)
	err := c.state.Err(view, time.Now())
	var pending *apply.ClaimPendingError
	switch {
	case watching != nil:
		return c.denied(watching)
	case errors.As(err, &pending) && c.failed != nil && c.failedAt == view.Lease.ResourceVersion:
		return c.failed
	}
	return err
}

// view returns what the watch shows. It is asked whether it is synced before its content is read, which can only be newer.
func (c *Claim) view(synced bool) apply.ClaimView {
	v := apply.ClaimView{Synced: synced}
	if kept, ok := c.watch.Get(api.SystemNamespace, c.name); ok {
		v.Lease = kept.(apply.ClaimLease)
	}
	return v
}

// run looks at the lease whenever that is due and does what follows, until it ends.
func (c *Claim) run() {
	defer close(c.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	said := ""
	for {
		select {
		case <-c.ending:
			return
		case <-c.poke:
		case <-timer.C:
		}
		step := c.next()
		if step.Do != apply.ClaimNothing {
			c.act(step)
		}
		if now := fmt.Sprint(c.Err()); now != said {
			said = now
			if c.changed != nil {
				c.changed()
			}
		}
		timer.Reset(time.Until(step.Wake))
	}
}

func (c *Claim) next() (step apply.ClaimStep) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, step = c.state.Next(c.view(c.watch.Synced()), time.Now())
	return step
}

// act makes the request of one step. Its effect shows in the watch; here only its failure is noted.
func (c *Claim) act(step apply.ClaimStep) {
	ctx, cancel := context.WithTimeout(c.ctx, c.timing.Limit(step.Do))
	defer cancel()
	var confirmed string
	var err error
	switch step.Do {
	case apply.ClaimConfirm:
		var lease apply.ClaimLease
		lease, err = c.read(ctx)
		confirmed = lease.ResourceVersion
	default:
		err = c.write(ctx, step.Lease)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if confirmed != "" {
		c.state = c.state.Confirmed(confirmed)
		c.Notice()
	}
	if c.failedAt != step.Lease.ResourceVersion || !lostRace(err) {
		c.races = 0
	}
	c.failed, c.failedAt = err, step.Lease.ResourceVersion
	if lostRace(err) {
		c.failed = nil // the watch shows to whom
		c.races++
		c.doubt()
	}
}

// doubt has everything listed anew when the watch goes on to show a lease that the API server says is outdated: a list was
// answered wrongly, and no stream of changes will mend that. As it may be for another reason, it is done more and more
// rarely.
func (c *Claim) doubt() {
	if powerOfTwo := c.races&(c.races-1) == 0; c.races > 2 && powerOfTwo {
		c.session.Relist()
	}
}

// lostRace tells that a write was refused because the lease is not what it was based on.
func lostRace(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

func (c *Claim) leases() dynamic.ResourceInterface {
	return c.session.Dynamic().Resource(coordinationv1.SchemeGroupVersion.WithResource("leases")).Namespace(api.SystemNamespace)
}

// read returns the lease as the API server holds it now; the zero lease when there is none.
func (c *Claim) read(ctx context.Context) (apply.ClaimLease, error) {
	u, err := c.leases().Get(ctx, c.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return apply.ClaimLease{}, nil
	}
	if err != nil {
		return apply.ClaimLease{}, c.denied(err)
	}
	return reduceClaim(u, c.source).(apply.ClaimLease), nil
}

// write stores l, on condition that the lease is still what l was made from.
func (c *Claim) write(ctx context.Context, l apply.ClaimLease) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(apply.EncodeClaim(l))
	if err != nil {
		return fmt.Errorf("lease %s: %w", apply.ClaimName(l.Source), err)
	}
	u := &unstructured.Unstructured{Object: content}
	if l.Exists() {
		_, err = c.leases().Update(ctx, u, metav1.UpdateOptions{FieldManager: api.FieldManager})
	} else {
		_, err = createInSystemNamespace(ctx, c.session, c.leases(), u)
	}
	return c.denied(err)
}

// denied turns a missing permission into words for the operator, and leaves other errors as they are.
func (c *Claim) denied(err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	for _, verb := range []string{"get", "list", "watch", "create", "update"} {
		if strings.Contains(err.Error(), " cannot "+verb+" resource \"leases\"") {
			ref := api.Ref{Group: coordinationv1.GroupName, Kind: "Lease", Namespace: api.SystemNamespace, Name: c.name}
			return &apply.RefusedError{Ref: ref, Verb: verb, Actor: apply.Operator, Err: err, Message: fmt.Sprintf(
				"not allowed: grant gitfleet's user get, list, watch, create and update on leases.%s in namespace %s; until then nothing is changed on this member, "+
					"because another gitfleet may manage it", coordinationv1.GroupName, api.SystemNamespace)}
		}
	}
	return err
}

func (c *Claim) isEnding() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// Release gives the claim up, so that a successor need not wait, and ends it: Err is never nil again. Nothing of this
// process may change the member any more when it is called. It makes no write when the claim is not held.
func (c *Claim) Release(ctx context.Context) error {
	c.end()
	select {
	case <-c.done: // a write under way must not arrive after the release
	case <-ctx.Done():
		return fmt.Errorf("claim not released: %w", context.Cause(ctx))
	}
	for {
		l, err := c.read(ctx)
		if err == nil && l.Holder.ID == c.self.ID {
			err = c.write(ctx, l.Released(time.Now()))
		}
		if err != nil && !lostRace(err) {
			return fmt.Errorf("claim not released: %w", err)
		}
		if err == nil {
			return nil
		}
	}
}

// Close ends the claim without releasing it: this instance goes on with it after a restart, others have to wait.
func (c *Claim) Close() {
	c.end()
	c.cancel()
	<-c.done
	c.session.Unwatch(c.key)
}
