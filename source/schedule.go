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

// leastPause is how long whoever says that the repository changed waits after one failed poll.
const leastPause = 2 * time.Second

// Least returns how long a poll waits even when somebody says that the repository changed. After a success that is no time at
// all. After failures it doubles like the delay, from seconds up to a minute: the word of whoever pushes is worth a try, and a
// server in trouble is not to be asked as often as others push. Delay is what Next returned, and never exceeded.
func Least(failures int, delay time.Duration) time.Duration {
	if failures == 0 {
		return 0
	}
	least := Schedule{Interval: leastPause, Max: time.Minute}
	return min(delay, least.Next(failures-1, 0))
}
