package apply

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
)

const sweepDay = 24 * time.Hour

// sweepItems returns n objects with random uids, as API servers give them.
func sweepItems(n int) []Item {
	r := rand.New(rand.NewPCG(7, 7))
	items := make([]Item, n)
	for i := range items {
		uid := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.Uint32N(1<<16), r.Uint32N(1<<12), r.Uint32N(1<<12), r.Uint64N(1<<48))
		items[i] = Item{Ref: api.Ref{Kind: "ConfigMap", Namespace: "web", Name: fmt.Sprintf("c%d", i)}, UID: types.UID(uid)}
	}
	return items
}

// sweepFor calls Next whenever it asks to be called, and now and then without being asked, and returns when each object was due.
func sweepFor(t *testing.T, s Sweep, items []Item, from, until time.Time) (times []time.Time, count map[api.Ref]int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	count = map[api.Ref]int{}
	for now := from; now.Before(until); {
		var ref api.Ref
		var ok bool
		if s, ref, ok = s.Next(items, now); ok {
			count[ref]++
			times = append(times, now)
		}
		at, more := s.Wake()
		if !more {
			return times, count
		}
		if !at.After(now) {
			t.Fatalf("at %s it wants to be called at %s", now, at)
		}
		if pause := at.Sub(now); r.IntN(4) == 0 {
			now = now.Add(1 + time.Duration(r.Int64N(int64(pause)))) // something else happens before
		} else {
			now = at
		}
	}
	return times, count
}

func TestSweepTakesEveryObjectOnceAnInterval(t *testing.T) {
	for _, tc := range []struct {
		name     string
		objects  int
		interval time.Duration
		budget   int
		takes    time.Duration // for all of them
	}{
		{"a day", 300, sweepDay, 30, sweepDay},
		{"half the budget", 150, 10 * time.Minute, 30, 10 * time.Minute},
		{"one object", 1, sweepDay, 1, sweepDay},
		{"more than the budget allows", 500, 10 * time.Minute, 30, 40 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const rounds = 5
			items := sweepItems(tc.objects)
			until := storyTime.Add(rounds * tc.takes)
			times, count := sweepFor(t, NewSweep(tc.interval, tc.budget, storyTime), items, storyTime, until)
			for _, it := range items {
				// A turn right before the end may be held back by the budget.
				if n := count[it.Ref]; n != rounds && n != rounds-1 {
					t.Errorf("%s had %d turns in %d rounds", it.Ref, n, rounds)
				}
			}
			if want := rounds * tc.objects; len(times) > want || len(times) < want-sweepBacklog {
				t.Errorf("%d turns, want %d", len(times), want)
			}
			for i := 1; i < len(times); i++ {
				if pause := times[i].Sub(times[i-1]); pause < time.Minute/time.Duration(tc.budget) {
					t.Fatalf("only %s between two objects", pause)
				}
			}
		})
	}
}

func TestSweepIsEven(t *testing.T) {
	times, _ := sweepFor(t, NewSweep(sweepDay, 30, storyTime), sweepItems(1200), storyTime, storyTime.Add(sweepDay))
	var hours [24]int
	for _, at := range times {
		hours[int(at.Sub(storyTime)/time.Hour)]++
	}
	for h, n := range hours {
		if n < 25 || n > 80 { // 50 are expected, and 7 are one standard deviation
			t.Errorf("%d of 1200 objects in hour %d: %v", n, h, hours)
		}
	}
}

// TestSweepSurvivesRestarts: a new process goes on where the last one ended, without having been told.
func TestSweepSurvivesRestarts(t *testing.T) {
	items := sweepItems(300)
	total := map[api.Ref]int{}
	for hour := range 24 {
		from := storyTime.Add(time.Duration(hour) * time.Hour)
		_, count := sweepFor(t, NewSweep(sweepDay, 600, from), items, from, from.Add(time.Hour))
		for ref, n := range count {
			total[ref] += n
		}
	}
	missed := 0
	for _, it := range items {
		switch n := total[it.Ref]; n {
		case 0:
			missed++ // held back by the budget when the process ended
		case 1:
		default:
			t.Errorf("%s had %d turns in a day", it.Ref, n)
		}
	}
	if missed > 1 {
		t.Errorf("%d objects had no turn", missed)
	}
}

func TestSweepDoesNotCatchUpInABurst(t *testing.T) {
	items := sweepItems(1000)
	s, _, _ := NewSweep(sweepDay, 30, storyTime).Next(items, storyTime)
	now := storyTime.Add(20 * time.Hour) // nobody looked
	times, _ := sweepFor(t, s, items, now, now.Add(5*time.Minute))
	// 3.5 have their turn in five minutes.
	if n := len(times); n < sweepBacklog || n > sweepBacklog+12 {
		t.Errorf("%d objects in the five minutes after a pause, want the backlog of %d and those whose turn it is", n, sweepBacklog)
	}
	if back, _, ok := s.Next(items, storyTime.Add(-time.Hour)); ok {
		t.Error("an object is due after the clock was set back")
	} else if at, more := back.Wake(); !more || at.After(storyTime) {
		t.Errorf("after the clock was set back by an hour the next look is at %s", at)
	}
}

func TestSweepOff(t *testing.T) {
	unknown := sweepItems(1)
	unknown[0].UID = ""
	for name, s := range map[string]struct {
		sweep Sweep
		items []Item
	}{
		"no interval":   {NewSweep(0, 30, storyTime), sweepItems(3)},
		"no budget":     {NewSweep(sweepDay, 0, storyTime), sweepItems(3)},
		"no objects":    {NewSweep(sweepDay, 30, storyTime), nil},
		"never created": {NewSweep(sweepDay, 30, storyTime), unknown},
	} {
		next, ref, ok := s.sweep.Next(s.items, storyTime.Add(48*time.Hour))
		if _, more := next.Wake(); ok || more {
			t.Errorf("%s: %v is due (%v), to be called again (%v)", name, ref, ok, more)
		}
	}
}

// TestSweepOfTwins: two objects with one and the same moment both have their turn.
func TestSweepOfTwins(t *testing.T) {
	items := sweepItems(2)
	items[1].UID = items[0].UID
	_, count := sweepFor(t, NewSweep(time.Hour, 60, storyTime), items, storyTime, storyTime.Add(90*time.Minute))
	if len(count) != 2 {
		t.Errorf("turns: %v", count)
	}
}

func BenchmarkSweep(b *testing.B) {
	items := sweepItems(1000)
	s := NewSweep(sweepDay, 30, storyTime)
	for b.Loop() {
		s.Next(items, storyTime.Add(time.Hour))
	}
}
