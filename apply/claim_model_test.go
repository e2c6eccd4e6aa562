package apply

import (
	"cmp"
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The model: two or three instances, each a ClaimState behind a watch and a connection that misbehave, and one store with
// the API server's optimistic concurrency. Time is virtual; a seed decides every delay and fault.

const (
	modelHang   = 30 * time.Second // after which a session finds out that its connection is dead
	modelFaulty = 6 * time.Minute
	modelQuiet  = 5 * time.Minute // after that, twice: long enough for the last restart and some rechecks
)

func modelTiming() ClaimTiming { return ClaimTiming{Answer: 10 * time.Second, Recheck: time.Minute} }

var schedules = flag.Int("schedules", 1, "run that many times the usual number of schedules of the claim model")

// modelFaults is what may happen in a schedule.
type modelFaults struct {
	delay    time.Duration // the longest way of a request, an answer or an event, one way
	lost     bool          // requests and answers get lost, and requests arrive after their sender gave up
	cuts     bool          // connections and streams break, at once or unnoticed
	pauses   bool          // processes are suspended
	crashes  bool          // processes die and come back, or not
	deletes  bool          // somebody deletes the lease
	releases bool          // processes end properly, and come back
}

// bound is how long an instance may go on believing that it holds what it has lost.
func (f modelFaults) bound() time.Duration {
	b := 2 * f.delay // an event, after what it waits for
	if f.cuts {
		b += modelHang
	}
	if f.pauses {
		b += modelTiming().Pulse()
	}
	return b
}

func TestClaimModel(t *testing.T) {
	for _, tc := range []struct {
		name      string
		faults    modelFaults
		schedules int
	}{
		{"slow", modelFaults{delay: 2 * time.Second}, 50},
		{"deleted", modelFaults{delay: 500 * time.Millisecond, deletes: true}, 50},
		{"ended", modelFaults{delay: 500 * time.Millisecond, releases: true, crashes: true}, 50},
		{"suspended", modelFaults{delay: 500 * time.Millisecond, pauses: true}, 150},
		{"cut", modelFaults{delay: 500 * time.Millisecond, cuts: true, lost: true}, 150},
		{"all", modelFaults{delay: time.Second, lost: true, cuts: true, pauses: true, crashes: true, deletes: true, releases: true}, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := modelSeen{}
			for seed := range uint64(tc.schedules * *schedules) {
				m := newModel(t, seed, tc.faults)
				m.run()
				if t.Failed() {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(m.log, "\n"))
				}
				seen.add(m.seen)
			}
			t.Logf("%+v", seen)
			if tc.faults.pauses && seen.confirms == 0 || tc.faults.cuts && seen.taken == 0 || seen.answers == 0 {
				t.Errorf("the schedules show too little: %+v", seen)
			}
		})
	}
}

// modelSeen counts what the schedules made happen, so that they are known to test something.
type modelSeen struct{ challenges, answers, taken, confirms, doubles int }

func (s *modelSeen) add(o modelSeen) {
	s.challenges += o.challenges
	s.answers += o.answers
	s.taken += o.taken
	s.confirms += o.confirms
	s.doubles += o.doubles
}

type model struct {
	t      *testing.T
	rand   *rand.Rand
	faults modelFaults
	calm   time.Time // when faults end
	now    time.Time
	events modelEvents
	seq    int
	log    []string
	seen   modelSeen

	lease      ClaimLease
	version    int
	challenged time.Time // when the standing challenge was stored
	instances  []*modelInstance
}

func newModel(t *testing.T, seed uint64, f modelFaults) *model {
	m := &model{t: t, rand: rand.New(rand.NewPCG(seed, 1)), faults: f, now: storyTime}
	m.calm = m.now.Add(modelFaulty)
	for i := range 2 + int(seed%2) {
		in := &modelInstance{model: m, id: string(rune('a' + i))}
		m.instances = append(m.instances, in)
		m.after(m.upTo(30*time.Second), in.start)
	}
	m.after(m.upTo(30*time.Second), m.misbehave)
	return m
}

func (m *model) run() {
	settled, transitions := m.calm.Add(modelQuiet), int32(0)
	m.at(settled, func() {
		m.checkOneHolder()
		transitions = m.lease.Transitions
	})
	end := settled.Add(modelQuiet)
	m.at(end, func() {
		m.checkOneHolder()
		if n := m.lease.Transitions - transitions; n > 0 {
			m.t.Errorf("the holder changed %d times although nothing went wrong", n)
		}
	})
	for m.events.Len() > 0 && !m.t.Failed() {
		e := heap.Pop(&m.events).(modelEvent)
		if e.at.After(end) {
			return
		}
		m.now = e.at
		e.do()
		m.checkBeliefs()
	}
}

// checkBeliefs is the safety of the protocol.
func (m *model) checkBeliefs() {
	believers := 0
	for _, in := range m.instances {
		if !in.believes() {
			continue
		}
		believers++
		if m.lease.Holder.ID == in.id {
			in.lost = time.Time{}
			continue
		}
		if in.lost.IsZero() {
			m.t.Errorf("%s believes to hold what it never held: %+v", in.id, m.lease)
		} else if d := m.now.Sub(in.lost); d > m.faults.bound() {
			m.t.Errorf("%s still believes to hold the lease %s after it lost it, at most %s are allowed", in.id, d, m.faults.bound())
		}
	}
	if believers > 1 {
		m.seen.doubles++
		if f := m.faults; !f.cuts && !f.pauses && !f.deletes && !f.lost {
			m.t.Errorf("%d instances believe to hold the lease although all answers arrive in time", believers)
		}
	}
}

// checkOneHolder is its liveness: when faults have ended one live instance holds the lease.
func (m *model) checkOneHolder() {
	var believers []string
	live := 0
	for _, in := range m.instances {
		if in.running() {
			live++
			if in.believes() {
				believers = append(believers, in.id)
			}
		}
	}
	if live > 0 && (len(believers) != 1 || believers[0] != m.lease.Holder.ID) {
		m.t.Errorf("%s after the last fault %v of %d believe to hold the lease, want one: %+v", m.now.Sub(m.calm), believers, live, m.lease)
	}
}

// misbehave lets one thing go wrong, and arranges for the next.
func (m *model) misbehave() {
	if m.now.After(m.calm) {
		return
	}
	defer m.after(m.upTo(30*time.Second), m.misbehave)
	in := m.instances[m.rand.IntN(len(m.instances))]
	kinds := []struct {
		allowed bool
		do      func()
	}{
		{m.faults.cuts, func() { in.disconnect(m.rand.IntN(2) == 0) }},
		{m.faults.cuts, in.cutStream},
		{m.faults.pauses, in.pause},
		{m.faults.crashes, in.crash},
		{m.faults.releases, in.release},
		{m.faults.deletes, func() { m.store(in, "deleted by somebody", ClaimLease{Source: m.lease.Source}) }},
	}
	if k := kinds[m.rand.IntN(len(kinds))]; k.allowed {
		k.do()
	}
}

// store changes the lease and tells all watches. It is what the API server does once it has checked the preconditions.
func (m *model) store(by *modelInstance, what string, l ClaimLease) {
	m.logf("%s: %s", by.id, what)
	m.version++
	deleted := l == (ClaimLease{Source: l.Source})
	if !deleted {
		l.ResourceVersion = strconv.Itoa(m.version)
	} else {
		l = ClaimLease{}
	}
	if l.Challenge != m.lease.Challenge {
		m.challenged = m.now
	}
	for _, in := range m.instances {
		if m.lease.Holder.ID == in.id && l.Holder.ID != in.id {
			in.lost = m.now
		}
	}
	m.lease = DecodeClaim(EncodeClaim(l), "source")
	for _, in := range m.instances {
		in.deliver()
	}
}

// write is one request to the store.
func (m *model) write(in *modelInstance, do ClaimAction, l ClaimLease) {
	if l.ResourceVersion != m.lease.ResourceVersion {
		m.logf("%s: %s refused", in.id, do)
		return
	}
	switch do {
	case ClaimChallenge:
		m.seen.challenges++
	case ClaimAnswer:
		m.seen.answers++
	case ClaimTake:
		if m.lease.Holder.ID != "" {
			m.checkTaken(in)
		}
	}
	m.store(in, string(do), l)
}

func (m *model) checkTaken(in *modelInstance) {
	m.seen.taken++
	if stood := m.now.Sub(m.challenged); m.lease.Challenge == "" || stood < modelTiming().Answer {
		m.t.Errorf("%s takes the lease from %s whose challenge %q stood for %s", in.id, m.lease.Holder.ID, m.lease.Challenge, stood)
	}
	for _, other := range m.instances {
		if f := m.faults; other.id == m.lease.Holder.ID && other.running() && !f.cuts && !f.pauses && !f.lost && !f.crashes {
			m.t.Errorf("%s takes the lease from %s, which lives and is slow at worst", in.id, other.id)
		}
	}
}

func (m *model) at(t time.Time, do func()) {
	m.seq++
	heap.Push(&m.events, modelEvent{t, m.seq, do})
}

func (m *model) after(d time.Duration, do func()) { m.at(m.now.Add(d), do) }

func (m *model) upTo(d time.Duration) time.Duration {
	return time.Duration(m.rand.Int64N(int64(d) + 1))
}

// way is how long something takes from one side to the other.
func (m *model) way() time.Duration { return m.upTo(m.faults.delay) }

func (m *model) logf(format string, args ...any) {
	m.log = append(m.log, m.now.Sub(storyTime).String()+" "+fmt.Sprintf(format, args...))
}

type modelEvent struct {
	at  time.Time
	seq int
	do  func()
}

// modelEvents is a heap by time.
type modelEvents []modelEvent

func (h modelEvents) Len() int { return len(h) }
func (h modelEvents) Less(i, j int) bool {
	return cmp.Or(h[i].at.Compare(h[j].at), cmp.Compare(h[i].seq, h[j].seq)) < 0
}
func (h modelEvents) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *modelEvents) Push(x any)   { *h = append(*h, x.(modelEvent)) }
func (h *modelEvents) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
