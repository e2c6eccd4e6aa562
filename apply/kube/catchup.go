package kube

import (
	"context"
	"errors"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

var errNotAsked = errors.New("not looked up yet")

const (
	// catchUpLimit bounds the wait for watches to show what was written. Past it the next plan may repeat an apply, which
	// then changes nothing.
	catchUpLimit = 3 * time.Second
	// catchUpStep is the pause between two looks. Watches have no signal of their own, and what is waited for is
	// milliseconds away.
	catchUpStep = 5 * time.Millisecond

	// relistPause lies between two times that silence has everything listed anew.
	relistPause = time.Minute

	// forgetRepairs is how long an object must be left alone until its repairs are forgotten.
	forgetRepairs = 10 * time.Minute
)

// written is one write whose effect the watches must show before the next plan is made.
type written struct {
	ref     api.Ref
	uid     types.UID
	version string // resourceVersion of the answer; "" after a delete
}

// catchUp waits until the watches show all writes, so that a plan made afterwards is not made from what was before them.
// A watch that stays silent about a write is slow, or was listed wrongly, which no stream of changes mends: then everything
// is listed anew. Meanwhile a plan may repeat what was done, which changes nothing.
func (o *Observer) catchUp(ctx context.Context, patience time.Duration, writes []written) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	silent := false
	for _, w := range writes {
		silent = !until(waiting, func() bool { return o.shows(w) }) || silent
	}
	if silent && ctx.Err() == nil && o.mayRelist(time.Now()) {
		o.session.Relist()
	}
}

// mayRelist bounds how often silence has everything listed anew.
func (o *Observer) mayRelist(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.relisted) < relistPause {
		return false
	}
	o.relisted = now
	return true
}

// until looks again and again until done, and reports whether it was before ctx ended.
func until(ctx context.Context, done func() bool) bool {
	ticker := time.NewTicker(catchUpStep)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

func (o *Observer) shows(w written) bool {
	if parent, ok := o.parentVersion(w); ok {
		return parent
	}
	watch := o.watchOf(w.ref)
	if watch == nil || !watch.Synced() {
		return true // there is nothing to wait for: Live says of this kind that it is not known
	}
	kept, found := watch.Get(w.ref.Namespace, w.ref.Name)
	if !found {
		return w.version == ""
	}
	lo := kept.(*apply.LiveObject)
	if w.version == "" {
		return lo.UID != w.uid || lo.Deleting
	}
	return lo.UID != w.uid || reached(lo.ResourceVersion, w.version)
}

// parentVersion tells whether a written parent shows; ok is false when w is no parent.
func (o *Observer) parentVersion(w written) (shows, ok bool) {
	if w.ref.Kind != "ConfigMap" || w.ref.Namespace != api.SystemNamespace || !apply.IsParentName(w.ref.Name) {
		return false, false
	}
	if !o.parents.Synced() {
		return true, true
	}
	kept, found := o.parents.Get(w.ref.Namespace, w.ref.Name)
	if !found || w.version == "" {
		return !found && w.version == "", true
	}
	return reached(kept.(parentSeen).parent.ResourceVersion, w.version), true
}

// reached compares resourceVersions as KEP-5504 allows for all that a kube-apiserver stores; others must be equal.
func reached(have, want string) bool {
	h, errH := strconv.ParseUint(have, 10, 64)
	w, errW := strconv.ParseUint(want, 10, 64)
	if errH != nil || errW != nil {
		return have == want
	}
	return h >= w
}

// repaired remembers that drift of an object was repaired at now.
func (o *Observer) repaired(ref api.Ref, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r, rep := range o.repairs {
		if now.Sub(rep.Last) > forgetRepairs {
			delete(o.repairs, r)
		}
	}
	rep := o.repairs[ref]
	o.repairs[ref] = apply.Repair{Count: rep.Count + 1, Last: now}
}

// Doubt has objects verified by a dry run although their metadata shows nothing, each for a reason: until that has been done,
// or they are doubted anew.
func (o *Observer) Doubt(refs map[api.Ref]string) {
	if len(refs) == 0 {
		return
	}
	now := time.Now()
	o.mu.Lock()
	for ref, reason := range refs {
		o.doubts[ref] = doubt{reason, now}
	}
	o.mu.Unlock()
	if o.changed != nil {
		o.changed()
	}
}

// doubt is why an object must be verified, and since when.
type doubt struct {
	reason string
	since  time.Time
}

// verified clears the doubt about an object, unless it was raised after the look at the object began.
func (o *Observer) verified(ref api.Ref, began time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d, ok := o.doubts[ref]; ok && !d.since.After(began) {
		delete(o.doubts, ref)
	}
}
