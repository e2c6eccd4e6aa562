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
