package reconcile

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/source"
)

// lookedAt is a repository that counts how often it is asked.
type lookedAt struct {
	repository
	looks atomic.Int32
}

func (r *lookedAt) Fetch(ctx context.Context) (source.Revision, error) {
	r.looks.Add(1)
	return r.repository.Fetch(ctx)
}

func newLookedAt(err error) *lookedAt {
	r := &lookedAt{}
	r.push("c1")
	r.fail(err)
	return r
}

// following runs the part of a loop that looks at a repository, in a bubble where time passes only while everybody waits. ring
// says that the repository changed.
func following(t *testing.T, r *lookedAt, during func(ring func())) {
	synctest.Test(t, func(t *testing.T) {
		bell := web.NewBell(2 * time.Second)
		l := &Loop{opt: Options{Repository: r, Interval: time.Hour, SourceChanged: bell.Signals()}, events: make(chan func())}
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for {
				select {
				case <-l.events: // what a look comes to does not matter here
				case <-ctx.Done():
					return
				}
			}
		}()
		l.startSource(ctx)
		synctest.Wait()
		during(bell.Ring)
		stop()
		l.work.Wait()
		time.Sleep(time.Minute) // a bell that was rung rings out
	})
}

// TestWebhooksSpareAFailingRepository rings all the time, as a busy forge does, or somebody who means harm.
func TestWebhooksSpareAFailingRepository(t *testing.T) {
	r := newLookedAt(errors.New("server in trouble"))
	following(t, r, func(ring func()) {
		for range 10 * 60 * 10 {
			ring()
			time.Sleep(100 * time.Millisecond)
		}
		// At once, after pauses of 2, 4, 8, 16 and 32 seconds, and then each minute.
		if synctest.Wait(); r.looks.Load() < 10 || r.looks.Load() > 16 {
			t.Errorf("a repository that cannot be read was asked %d times in ten minutes, want 14: six in the first, then one a minute", r.looks.Load())
		}
		r.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := r.looks.Load()
		for range 3 {
			ring()
			synctest.Wait()
			time.Sleep(2 * time.Second)
		}
		if synctest.Wait(); r.looks.Load() != before+3 {
			t.Errorf("once it can be read again, three webhooks had it asked %d times, want 3", r.looks.Load()-before)
		}
	})
}

// TestWebhookDuringAPauseIsHeard rings once, right after a failure: the next look would be in minutes.
func TestWebhookDuringAPauseIsHeard(t *testing.T) {
	r := newLookedAt(errors.New("server in trouble"))
	following(t, r, func(ring func()) {
		ring()
		time.Sleep(time.Second)
		if synctest.Wait(); r.looks.Load() != 1 {
			t.Errorf("a second after a failure it was asked %d times, want once: the pause is two", r.looks.Load())
		}
		r.fail(nil)
		time.Sleep(time.Second)
		if synctest.Wait(); r.looks.Load() != 2 {
			t.Errorf("after the pause it was asked %d times, want twice: the webhook was lost", r.looks.Load())
		}
	})
}
