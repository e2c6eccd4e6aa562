package apply

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
)

// sweepBacklog is how many objects whose turn has passed are still looked at, one after the other. What is beyond, after a
// suspended machine or a member that was long out of reach, waits for its next turn: a sweep is never urgent.
const sweepBacklog = 10

// Sweep decides when each object of one member is verified by a dry run although nothing shows that it drifted: for what
// metadata cannot show, such as mutating admission. Every object has its turn once an interval, at a moment that follows
// from its uid: so the turns are spread evenly, and a restart forgets none and repeats none. A Sweep is a value.
type Sweep struct {
	interval time.Duration
	spacing  time.Duration // between two objects
	last     sweepTurn     // up to which turns have been taken or given up
	ready    time.Time     // nothing is due before
	wake     time.Time     // zero when nothing ever will be
}

// sweepTurn is when an object is due. Two objects may have the same moment, so the ref belongs to it.
type sweepTurn struct {
	at  int64 // nanoseconds since 1970
	ref api.Ref
}

func (t sweepTurn) compare(o sweepTurn) int {
	return cmp.Or(cmp.Compare(t.at, o.at), t.ref.Compare(o.ref))
}

// NewSweep returns a sweep that takes interval for all of a member, and verifies at most perMinute objects a minute. With an
// interval of 0, or less, or a budget of none, nothing is ever due. Turns before now are others'.
func NewSweep(interval time.Duration, perMinute int, now time.Time) Sweep {
	s := Sweep{last: sweepTurn{at: now.UnixNano()}}
	if interval > 0 && perMinute > 0 {
		s.interval, s.spacing = interval, time.Minute/time.Duration(perMinute)
	}
	return s
}

// Next returns the object of the inventory whose turn it is at now, if there is one, and the sweep that knows of it. It
// returns at most one, and not the next before the budget allows. Objects whose uid is not known yet have no turn: they are
// verified anyway.
//
// When there are more objects than half the budget can verify in the interval, the interval is doubled until there are not.
func (s Sweep) Next(items []Item, now time.Time) (next Sweep, ref api.Ref, ok bool) {
	next = s
	next.wake = time.Time{}
	interval := s.stretched(len(items))
	if interval == 0 {
		return next, api.Ref{}, false
	}
	var due []sweepTurn
	var upcoming int64 // the first turn after now
	for _, it := range items {
		if it.UID == "" {
			continue
		}
		turn := sweepTurn{latestTurn(it.UID, interval, now), it.Ref}
		if turn.compare(s.last) > 0 {
			due = append(due, turn)
		}
		if at := turn.at + int64(interval); upcoming == 0 || at < upcoming {
			upcoming = at
		}
	}
	slices.SortFunc(due, sweepTurn.compare)
	due = due[max(0, len(due)-sweepBacklog):]
	if len(due) > 0 && !now.Before(s.ready) {
		next.last, next.ready = due[0], now.Add(s.spacing)
		ref, ok, due = due[0].ref, true, due[1:]
	}
	switch {
	case len(due) > 0:
		next.wake = next.ready
	case upcoming != 0:
		next.wake = time.Unix(0, max(upcoming, next.ready.UnixNano()))
	}
	return next, ref, ok
}

// Wake returns when to call Next again, if the inventory does not change before.
func (s Sweep) Wake() (at time.Time, ok bool) { return s.wake, !s.wake.IsZero() }

// stretched returns the interval that n objects need, or 0 for never.
func (s Sweep) stretched(n int) time.Duration {
	const longest = 1 << 61 // nanoseconds; doubled once more it is no Duration
	interval := s.interval
	for interval > 0 && interval < longest && time.Duration(n) > interval/s.spacing/2 {
		interval *= 2
	}
	return interval
}

// latestTurn returns the last turn of an object up to now. The remainder of a time before 1970 is negative, and so would be
// a turn after now; no clock that a certificate has passed shows one.
func latestTurn(uid types.UID, interval time.Duration, now time.Time) int64 {
	h := fnv.New64a()
	h.Write([]byte(uid))
	phase := int64(h.Sum64() % uint64(interval))
	at := now.UnixNano()
	return at - ((at-phase)%int64(interval)+int64(interval))%int64(interval)
}
