package reconcile

import (
	"context"
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
	if digest == l.hubShows {
		return
	}
	l.hubShows = digest // a change of the hub from here on is looked at again
	desired := l.wish.Desired
	start(ctx, l, &l.publish, func(ctx context.Context) error { return l.opt.Hub.Publish(ctx, desired, r) }, func(err error) {
		news := errorText(l.publishErr) != errorText(err)
		l.publishErr = err
		if err != nil {
			l.hubShows = ""
			if ctx.Err() == nil && news {
				l.opt.Log.Warn("status not published on the hub, will be tried again", "error", err)
			}
			l.publish.failed(time.Now())
			return
		}
		l.published = digest
		l.publish.succeeded()
	})
}

// toldHub tells whether the hub shows r, or will not.
func (l *Loop) toldHub(r report.Report) bool {
	return l.opt.Hub == nil || l.published == reportDigest(r) || l.publish.failures >= attempts
}

// reportDigest identifies what a report says, whenever it is said and however lately a reachable member was heard.
func reportDigest(r report.Report) string {
	r.Time = time.Time{}
	r.Members = slices.Clone(r.Members)
	for i := range r.Members {
		if r.Members[i].Joined == yes {
			r.Members[i].LastSeen = time.Time{}
		}
	}
	return jsonDigest(r)
}
