package web

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBell rings in a bubble, where time passes only while everybody waits.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := NewBell(2*time.Second), time.Now()
		next := func() time.Duration { <-b.Signals(); return time.Since(start) }
		quiet := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case <-b.Signals():
				t.Errorf("%s: a signal after %s that nobody asked for", what, time.Since(start))
			default:
			}
		}
		quiet("before the first ring")
		b.Ring()
		if at := next(); at != 0 {
			t.Errorf("the first ring is heard after %s, want at once", at)
		}
		for range 1000 {
			b.Ring()
		}
		if at := next(); at != 2*time.Second {
			t.Errorf("a thousand more are heard after %s, want 2s", at)
		}
		quiet("a thousand rings are one signal")
		time.Sleep(time.Hour)
		quiet("an hour later")
		b.Ring()
		if at := next(); at != time.Hour+2*time.Second {
			t.Errorf("a ring after an hour is heard after %s, want at once", at)
		}
	})
}

// TestBellNeverBlocks rings for somebody who is at work, and wants one signal to be left for afterwards.
func TestBellNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBell(2 * time.Second)
		for range 10 {
			b.Ring()
			time.Sleep(time.Minute)
		}
		<-b.Signals()
		select {
		case <-b.Signals():
			t.Error("what was rung meanwhile is more than one signal")
		default:
		}
	})
}

// TestBellFlood rings all the time and counts what is heard.
func TestBellFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, heard := NewBell(2*time.Second), 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 60_000 {
				b.Ring()
				time.Sleep(time.Millisecond)
			}
		}()
		for {
			select {
			case <-b.Signals():
				heard++
				continue
			case <-done:
			}
			break
		}
		if heard < 30 || heard > 31 {
			t.Errorf("a minute of ringing is heard %d times, want once in two seconds", heard)
		}
	})
}
