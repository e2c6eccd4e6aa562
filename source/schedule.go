package source

import "time"

// Schedule says how often a repository is asked for its head. It holds no state: time and chance are arguments, so a
// schedule can be tested without waiting.
type Schedule struct {
	Interval time.Duration // between two successful polls
	Max      time.Duration // ceiling of the backoff after failures; below Interval it has no effect
	Jitter   float64       // part of the delay that chance adds or takes away, 0 to 1
}

// Next returns the delay until the next poll. Failures is the number of polls that failed in a row; each doubles the
// delay, up to Max. Random is a number in [0, 1): it spreads the polls of many instances, so that they do not ask one
// server in step.
func (s Schedule) Next(failures int, random float64) time.Duration {
	delay := s.Interval
	for range failures {
		if delay >= s.Max {
			break
		}
		delay = min(2*delay, s.Max)
	}
	return time.Duration(float64(delay) * (1 + s.Jitter*(2*random-1)))
}
