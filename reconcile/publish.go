package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/report"
)

// acquaintance is how long the hub's status of before is left alone after a start, while members are being reached. A
// restart is no news for those who read it.
const acquaintance = 30 * time.Second

// acquainted tells whether every member has shown what it holds, or that it cannot.
func (l *Loop) acquainted() bool {
	for _, m := range l.members {
		reached := m.state.Phase == fleet.Ready && m.live.Complete && m.observed.Synced && !m.prepare.running
		if m.conn != nil && m.state.Phase != fleet.Unreachable && !reached {
			return false
		}
	}
	return true
}

// publishReport hands the report to the hub when something in it changed.
func (l *Loop) publishReport(ctx context.Context, r report.Report) {
	if l.opt.Hub == nil || l.wish == nil || !l.publish.ready(r.Time) {
		return
	}
	if l.published == "" && r.Time.Before(l.started.Add(acquaintance)) && !l.acquainted() {
		return
	}
	digest := reportDigest(r)
	if digest == l.hubShows || !l.mayPublish() {
		return
	}
	l.hubShows = digest // a change of the hub from here on is looked at again
	desired := l.wish.Desired
	start(ctx, l, &l.publish, func(ctx context.Context) error { return l.opt.Hub.Publish(ctx, desired, r) }, func(err error) {
		l.notPublished(ctx, err)
		if err != nil {
			l.hubShows = ""
			l.publish.failed(time.Now())
			return
		}
		l.published = digest
		l.publish.succeeded()
	})
}

// mayPublish tells whether the hub is this process's to write.
func (l *Loop) mayPublish() bool {
	err := l.opt.Hub.Claim()
	var gone *fleet.UnreachableError
	if l.hubLeft = refusedClaim(err) || errors.As(err, &gone); l.hubLeft {
		l.notPublished(context.Background(), fmt.Errorf("the hub is left alone: %w", err))
	}
	return err == nil
}

// notPublished keeps why the hub does not show the report, nil when it does, and tells the log what is new.
func (l *Loop) notPublished(ctx context.Context, err error) {
	if errorText(l.publishErr) == errorText(err) {
		return
	}
	if err == nil {
		l.opt.Log.Info("status is published on the hub again")
	} else if ctx.Err() == nil {
		l.opt.Log.Warn("status not published on the hub, will be tried again", "error", err)
	}
	l.publishErr, l.stale.report = err, true // the report at hand does not say so
}

// toldHub tells whether the hub shows r, or will not.
func (l *Loop) toldHub(r report.Report) bool {
	return l.opt.Hub == nil || l.published == reportDigest(r) || l.publish.failures >= attempts || l.hubLeft && r.HubErr != ""
}

// heard is how exactly a hub is told when a reachable member was heard of: that is written anew once in this time.
const heard = time.Minute

// reportDigest identifies what a report says, whenever it is said; when a reachable member was heard of counts by the minute.
func reportDigest(r report.Report) string {
	r.Time = time.Time{}
	r.Members = slices.Clone(r.Members)
	for i := range r.Members {
		if r.Members[i].Joined == yes {
			r.Members[i].LastSeen = r.Members[i].LastSeen.Truncate(heard)
		}
	}
	return jsonDigest(r)
}
