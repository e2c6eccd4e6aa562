package azure

import (
	"time"

	"golang.org/x/time/rate"
)

// Budget limits requests for each subscription and region: Azure's own limits are shared by all that use the same identity and
// subscription, and gitfleet takes a fifth of the writes at most.
// https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
type Budget struct {
	Writes, Reads         float64 // a second
	WriteBurst, ReadBurst int
	// PollEvery is how long to wait at least before it is asked how a write goes. LongestSlice is how long one Apply may go on before
	// what has changed meanwhile gets its chance.
	PollEvery, LongestSlice time.Duration
}

// DefaultBudget is what gitfleet takes unless told otherwise.
func DefaultBudget() Budget {
	return Budget{Writes: 0.5, WriteBurst: 20, Reads: 5, ReadBurst: 50, PollEvery: 2 * time.Second, LongestSlice: 5 * time.Second}
}

// lane is one kind of request to one subscription and region.
type lane struct {
	subscription, region string
	write                bool
}

// meter keeps to a budget, and to what Azure asked for when it throttled.
type meter struct {
	budget   Budget
	limiters map[lane]*rate.Limiter
	gates    map[lane]time.Time // until when nothing is sent
}

func newMeter(b Budget) *meter {
	return &meter{budget: b, limiters: map[lane]*rate.Limiter{}, gates: map[lane]time.Time{}}
}

// take takes one request out of the budget of l; else it returns how long to wait.
func (m *meter) take(l lane, now time.Time) (wait time.Duration, ok bool) {
	if until := m.gates[l]; now.Before(until) {
		return until.Sub(now), false
	}
	limiter := m.limiters[l]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(m.budget.Reads), m.budget.ReadBurst)
		if l.write {
			limiter = rate.NewLimiter(rate.Limit(m.budget.Writes), m.budget.WriteBurst)
		}
		m.limiters[l] = limiter
	}
	r := limiter.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// has tells whether l has a request left.
func (m *meter) has(l lane, now time.Time) bool {
	if now.Before(m.gates[l]) {
		return false
	}
	limiter := m.limiters[l]
	return limiter == nil || limiter.TokensAt(now) >= 1
}

// throttle closes l for as long as Azure asks.
func (m *meter) throttle(l lane, now time.Time, after time.Duration) {
	if after == 0 {
		after = time.Minute
	}
	m.gates[l] = now.Add(after)
}
