package apply

import (
	"hash/fnv"
	"strconv"
	"time"
)

// A claim keeps two processes from managing one member from the same source. It is a Lease without heartbeats: whoever
// finds it held writes a challenge into it, and only a holder that leaves the challenge unanswered loses it. Every write
// names the resourceVersion that it is based on, so the API server settles all races; a process believes to hold the claim
// when its watch shows its name, and only as long as it is sure to have looked. No two clocks are compared.

// Instance tells one process of gitfleet from another.
type Instance struct {
	ID          string // survives a restart with the same state directory, and no two processes have the same at one time
	Description string // for a person: the host's name, for example
}

// ClaimTiming is how long a claim waits for others. The same for all instances, roughly.
type ClaimTiming struct {
	Answer  time.Duration // how long a challenge stands before the lease is taken
	Recheck time.Duration // how long a holder that answered is left alone, on average, before it is challenged again
}

// DefaultClaimTiming returns the times of production.
func DefaultClaimTiming() ClaimTiming {
	return ClaimTiming{Answer: 10 * time.Second, Recheck: 4 * time.Minute}
}

// Pulse is the longest time between two calls of Next after which a holder still trusts what it saw: a process that was
// suspended for longer has to ask first. It is half of what a challenger waits.
func (t ClaimTiming) Pulse() time.Duration { return t.Answer / 2 }

// retry returns the pause after the n-th attempt (from 0) at one write. An answer has to come in time.
func (t ClaimTiming) retry(do ClaimAction, n int) time.Duration {
	const most = 30 * time.Second
	limit := max(most, t.Answer)
	if do == ClaimAnswer || do == ClaimConfirm {
		limit = t.Answer / 5
	}
	return min(t.Answer/10<<min(n, 10), limit)
}

// Limit returns how long the request of an action may take. A holder must look again before its pulse is over.
func (t ClaimTiming) Limit(do ClaimAction) time.Duration {
	if do == ClaimAnswer || do == ClaimConfirm {
		return t.Pulse() / 2
	}
	return t.Answer
}

// ClaimView is what a watch shows of the lease.
type ClaimView struct {
	Synced bool       // complete and current, as far as is known; otherwise the rest means nothing
	Lease  ClaimLease // zero when there is none
}

// ClaimAction is what to do about a lease.
type ClaimAction string

// The actions. All but the last write the lease of the step, on condition that nothing has changed.
const (
	ClaimNothing   ClaimAction = ""
	ClaimCreate    ClaimAction = "create"
	ClaimTake      ClaimAction = "take"      // over, from nobody or from a holder that did not answer
	ClaimChallenge ClaimAction = "challenge" // the holder
	ClaimAnswer    ClaimAction = "answer"    // a challenge
	ClaimConfirm   ClaimAction = "confirm"   // read the lease and tell Confirmed its resourceVersion
)

// ClaimStep is what to do now, and when to ask again if the view does not change before.
type ClaimStep struct {
	Do    ClaimAction
	Lease ClaimLease // what to write
	Wake  time.Time
}

// ClaimState is what one instance remembers of the lease. It is a value: Next returns the next one. An action that fails
// needs no word to it; it is repeated, with growing pauses, until the view changes.
type ClaimState struct {
	self   Instance
	source string
	timing ClaimTiming
	nonce  string // prefix of our challenges
	count  int    // of our challenges

	looked    time.Time // when Next was called last
	synced    bool      // the view was, at some time
	holder    string    // that was seen last; empty for nobody
	answered  string    // the same holder's last answer
	alive     bool      // it answered while we looked
	quiet     time.Time // it is not challenged before
	challenge string    // that stands, and for how long we have seen it stand
	since     time.Time
	gone      time.Time // since when another's lease has been missing

	doubt     bool   // we did not look for a while: a lease that names us may be another's already
	confirmed string // the resourceVersion that was read since

	tried   string // the action and the resourceVersion it was based on
	tries   int
	retryAt time.Time
}

// NewClaimState returns the state of an instance that has seen nothing. nonce must differ in every process: it makes the
// challenges unique.
func NewClaimState(self Instance, source, nonce string, timing ClaimTiming) ClaimState {
	return ClaimState{self: self, source: source, nonce: nonce, timing: timing}
}

// Next decides what to do about what is seen at now. The times of all calls must come from one monotonic clock.
func (s ClaimState) Next(v ClaimView, now time.Time) (ClaimState, ClaimStep) {
	if s.synced && !v.Synced || s.paused(now) {
		s.doubt, s.confirmed = true, ""
	}
	s.looked, s.synced = now, s.synced || v.Synced
	if v.Lease.Exists() || !v.Synced {
		s.gone = time.Time{}
	}
	var step ClaimStep
	switch {
	case !v.Synced:
		s.challenge, s.tried = "", "" // an answer to the one could not be seen; the other is worth another try
	case !v.Lease.Exists():
		step = s.missing(v, now)
	case v.Lease.Holder.ID == "":
		step = s.try(ClaimTake, v.Lease.heldBy(s.self, now), v, now)
	case v.Lease.Holder.ID == s.self.ID:
		step = s.ours(v, now)
	default:
		step = s.others(v, now)
	}
	if pulse := now.Add(s.timing.Pulse() / 2); step.Wake.IsZero() || pulse.Before(step.Wake) {
		step.Wake = pulse
	}
	return s, step
}

// Confirmed notes that a read, begun after the step that asked for it, found the lease at this resourceVersion.
func (s ClaimState) Confirmed(resourceVersion string) ClaimState {
	s.confirmed = resourceVersion
	return s
}

// Err returns nil when the claim is held at now, given what is seen now: a *ClaimedError when another holds it, and
// otherwise a *ClaimPendingError.
func (s ClaimState) Err(v ClaimView, now time.Time) error {
	holder := v.Lease.Holder
	pending := &ClaimPendingError{Source: s.source}
	switch {
	case !v.Synced:
		pending.Reason = "nothing is known of it now"
	case holder.ID == s.self.ID && (s.holder != holder.ID || s.doubt || s.paused(now)):
		pending.Reason = "being confirmed"
	case holder.ID == s.self.ID:
		return nil
	case holder.ID == "":
		pending.Reason = "being acquired"
	case s.holder == holder.ID && s.alive:
		return &ClaimedError{Source: s.source, Holder: holder, Since: v.Lease.Since}
	default:
		pending.Reason = "being acquired: if " + holder.String() + " does not answer within " + s.timing.Answer.String() + ", it is taken over"
	}
	return pending
}

// paused tells that nobody looked for too long. What the watch delivers then is from before, for a while. The monotonic clock
// stands still while a machine sleeps, and the other one may be set; either tells.
func (s ClaimState) paused(now time.Time) bool {
	return !s.looked.IsZero() && max(now.Sub(s.looked), now.Round(0).Sub(s.looked.Round(0))) > s.timing.Pulse()
}

// missing is for a lease that is not there. One that was deleted is its holder's to create again.
func (s *ClaimState) missing(v ClaimView, now time.Time) ClaimStep {
	s.challenge = ""
	if s.holder != "" && s.holder != s.self.ID {
		if s.gone.IsZero() {
			s.gone = now
		}
		if at := s.gone.Add(s.timing.Answer); now.Before(at) {
			return ClaimStep{Wake: at}
		}
	}
	return s.try(ClaimCreate, ClaimLease{Source: s.source}.heldBy(s.self, now), v, now)
}

// ours is for a lease that names us.
func (s *ClaimState) ours(v ClaimView, now time.Time) ClaimStep {
	s.holder, s.alive = s.self.ID, false
	if s.confirmed == v.Lease.ResourceVersion {
		s.doubt = false
	}
	switch {
	case v.Lease.Challenge != "":
		return s.try(ClaimAnswer, v.Lease.answer(s.self, now), v, now)
	case s.doubt:
		return s.try(ClaimConfirm, v.Lease, v, now)
	}
	return ClaimStep{}
}

// others is for a lease that names somebody else.
func (s *ClaimState) others(v ClaimView, now time.Time) ClaimStep {
	l := v.Lease
	switch {
	case s.holder != l.Holder.ID:
		s.holder, s.alive, s.quiet, s.challenge = l.Holder.ID, false, time.Time{}, ""
	case s.answered != l.Answered:
		s.alive, s.quiet = true, now.Add(s.recheck(l))
	}
	s.answered = l.Answered
	if l.Challenge == "" {
		s.challenge = ""
		if now.Before(s.quiet) {
			return ClaimStep{Wake: s.quiet}
		}
		s.count++
		return s.try(ClaimChallenge, l.challenge(s.nonce+"-"+strconv.Itoa(s.count), s.self), v, now)
	}
	// Whoever wrote the challenge: that it stands unanswered says the same to all.
	if s.challenge != l.Challenge {
		s.challenge, s.since = l.Challenge, now
	}
	if at := s.since.Add(s.timing.Answer); now.Before(at) {
		return ClaimStep{Wake: at}
	}
	return s.try(ClaimTake, l.heldBy(s.self, now), v, now)
}

// try returns the step that does something, unless the same was tried a moment ago.
func (s *ClaimState) try(do ClaimAction, write ClaimLease, v ClaimView, now time.Time) ClaimStep {
	if key := string(do) + " " + v.Lease.ResourceVersion; s.tried != key {
		s.tried, s.tries, s.retryAt = key, 0, now
	}
	if now.Before(s.retryAt) {
		return ClaimStep{Wake: s.retryAt}
	}
	s.retryAt = now.Add(s.timing.retry(do, s.tries))
	s.tries++
	return ClaimStep{Do: do, Lease: write, Wake: s.retryAt}
}

// recheck returns how long the holder of l is left alone: between three quarters and five quarters of the mean, not the
// same for any two instances, nor twice for one.
func (s *ClaimState) recheck(l ClaimLease) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(s.self.ID + " " + l.ResourceVersion))
	const parts = 1024
	return s.timing.Recheck*3/4 + s.timing.Recheck/2*time.Duration(h.Sum32()%parts)/parts
}
