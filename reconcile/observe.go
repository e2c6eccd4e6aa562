package reconcile

import (
	"cmp"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// observe takes what the members show since the last step.
func (l *Loop) observe(now time.Time) {
	recall := l.mustRecall()
	for _, m := range l.members {
		if m.conn == nil || !m.dirty && recall == m.recalls {
			continue
		}
		m.recalls = recall
		phase, outdated, observed := m.state.Phase, errorText(m.state.Outdated), m.observed
		m.dirty, m.state, m.observed = false, m.conn.State(), m.conn.Services(recall)
		if l.mayLookLater(m, now) {
			m.dirty = true
		} else {
			l.look(m)
		}
		if m.state.Phase != phase || !reflect.DeepEqual(m.observed, observed) {
			l.stale.services = true
		}
		m.shown = m.shown || m.observed.Synced
		if now := errorText(m.state.Outdated); now != outdated && now != "" {
			l.opt.Log.Warn("credentials cannot be renewed, the ones from before stay in use", "member", m.name, "error", m.state.Outdated)
		} else if now != outdated {
			l.opt.Log.Info("credentials are as their files say again", "member", m.name)
		}
		switch {
		case m.state.Phase == phase:
		case m.state.Phase == fleet.Unreachable:
			l.opt.Log.Warn("member is out of reach, the others go on", "member", m.name, "error", m.state.Err)
		case m.state.Phase == fleet.Ready:
			l.opt.Log.Info("member is reached", "member", m.name, "version", m.state.Version)
		}
	}
}

// mustRecall tells whether there is a member of whose services nothing is known but what others imported.
func (l *Loop) mustRecall() bool {
	for name, m := range l.members {
		if !m.shown && l.memory.Members[name].Services == nil {
			return true
		}
	}
	return false
}

// mayLookLater tells that what m holds now is of interest to the next report only: while the bulk lane runs most of it is that
// lane's own doing, and nothing is planned from it.
func (l *Loop) mayLookLater(m *member, now time.Time) bool {
	return m.lanes[Bulk].running && !l.asksForPlan(m) && !l.tells(now)
}

// look takes what m holds now.
func (l *Loop) look(m *member) {
	before := m.live
	m.live, m.fresh, m.told = m.conn.Live(), false, nil
	m.deleting = nil
	for o := range m.live.Objects.All() {
		if o.Deleting && !o.Controlled {
			m.deleting = append(m.deleting, o)
		}
	}
	slices.SortFunc(m.deleting, func(a, b apply.LiveObject) int {
		return cmp.Or(a.DeletingSince.Compare(b.DeletingSince), a.Ref.Compare(b.Ref))
	})
	if m.live.ParentsSynced != before.ParentsSynced || !samePlaces(m.live.Parents, before.Parents) {
		l.stale.schedule = true
	}
	if !maps.EqualFunc(m.live.Parents, before.Parents, func(a, b apply.Parent) bool { return a.ResourceVersion == b.ResourceVersion }) {
		m.inventories++
	}
}

// askClaims finds out which members this process may change.
func (l *Loop) askClaims() {
	for _, m := range l.members {
		if m.conn == nil {
			continue
		}
		err := m.conn.Claim()
		if errorText(err) == errorText(m.claim) {
			continue
		}
		var claimed *apply.ClaimedError
		var denied *apply.RefusedError
		if errors.As(err, &denied) {
			l.opt.Log.Warn("member is not changed as long as it cannot be claimed", "member", m.name, "error", err)
		} else if errors.As(err, &claimed) {
			l.opt.Log.Error("another gitfleet manages this member, which is left to it", "member", m.name, "error", err)
		} else if errors.As(m.claim, &claimed) && err == nil {
			l.opt.Log.Info("this gitfleet manages the member now", "member", m.name)
		}
		m.claim, m.told, l.stale.services = err, nil, true
	}
}

// refusedClaim tells whether a claim is held by another, or may not be made: then nothing happens until a person acts.
func refusedClaim(err error) bool {
	var claimed *apply.ClaimedError
	var denied *apply.RefusedError
	return errors.As(err, &claimed) || errors.As(err, &denied)
}

// errUnclaimed is the claim on a member that nobody has asked about yet.
var errUnclaimed = errors.New("not claimed yet")

// samePlaces tells whether two sets of inventories say the same about where placements are.
func samePlaces(a, b map[string]apply.Parent) bool {
	return maps.EqualFunc(a, b, func(x, y apply.Parent) bool { return x.PolicyDigest == y.PolicyDigest && x.Source == y.Source })
}
