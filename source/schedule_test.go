package source_test

import (
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/source"
)

func TestScheduleNext(t *testing.T) {
	plain := source.Schedule{Interval: 15 * time.Second, Max: 2 * time.Minute}
	jittery := source.Schedule{Interval: 10 * time.Second, Max: time.Minute, Jitter: 0.1}
	for _, tt := range []struct {
		name     string
		schedule source.Schedule
		failures int
		random   float64
		want     time.Duration
	}{
		{"a success polls again after the interval", plain, 0, 0.5, 15 * time.Second},
		{"one failure doubles", plain, 1, 0.5, 30 * time.Second},
		{"three failures double three times", plain, 3, 0.5, 2 * time.Minute},
		{"the ceiling holds", plain, 4, 0.5, 2 * time.Minute},
		{"many failures do not overflow", plain, 1 << 30, 0.5, 2 * time.Minute},
		{"a ceiling below the interval does not speed polling up", source.Schedule{Interval: time.Minute, Max: time.Second}, 5, 0.5, time.Minute},
		{"least chance takes a tenth away", jittery, 0, 0, 9 * time.Second},
		{"middle chance changes nothing", jittery, 0, 0.5, 10 * time.Second},
		{"jitter applies to the backed-off delay too", jittery, 2, 0, 36 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.schedule.Next(tt.failures, tt.random); got != tt.want {
				t.Errorf("%+v.Next(%d, %v) = %v, want %v", tt.schedule, tt.failures, tt.random, got, tt.want)
			}
		})
	}
}

func TestScheduleJitterStaysInBounds(t *testing.T) {
	s := source.Schedule{Interval: time.Minute, Max: time.Hour, Jitter: 0.2}
	for i := range 100 {
		if got := s.Next(0, float64(i)/100); got < 48*time.Second || got >= 72*time.Second {
			t.Errorf("random %d/100: delay %v is outside 48s to 72s", i, got)
		}
	}
}

func TestLeast(t *testing.T) {
	for _, tt := range []struct {
		name     string
		failures int
		delay    time.Duration
		want     time.Duration
	}{
		{"after a success nobody waits", 0, 15 * time.Second, 0},
		{"one failure", 1, time.Minute, 2 * time.Second},
		{"each further one doubles", 4, time.Minute, 16 * time.Second},
		{"the ceiling", 6, 5 * time.Minute, time.Minute},
		{"many failures do not overflow", 1 << 30, 5 * time.Minute, time.Minute},
		{"never longer than the poll would wait anyway", 6, 20 * time.Second, 20 * time.Second},
		{"nor when it polls faster than that", 1, 200 * time.Millisecond, 200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := source.Least(tt.failures, tt.delay); got != tt.want {
				t.Errorf("Least(%d, %v) = %v, want %v", tt.failures, tt.delay, got, tt.want)
			}
		})
	}
}
