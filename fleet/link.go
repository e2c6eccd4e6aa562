package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// link knows whether the member's API server can be used. Whatever breaks only raises a suspicion; one probe decides, so
// that a single lost connection is not a lost member, and a lost member is not asked by every watch it has.
type link struct {
	member  string
	timing  timing
	notify  func()
	again   func()                                                // called after each new connection; set before run
	probe   func(ctx context.Context) (version string, err error) // set before run
	suspect chan struct{}                                         // holds one token while there is a suspicion
	nudge   chan struct{}                                         // holds one token when the next probe should not wait

	mu       sync.Mutex
	state    State
	latest   connection
	doubtful bool          // a suspicion is being examined
	usable   chan struct{} // closed while Ready and not doubtful
	configs  int           // counts configurations: what a probe finds with one says nothing about the next
	lines    int           // counts those that need connections of their own
	closed   bool
}

// connection is one uninterrupted time of the member being reachable.
type connection struct {
	epoch int             // counted from 1; 0 before the first
	line  int             // link.lines when it began
	lost  context.Context // ends with it
	lose  context.CancelFunc
}

// bind returns a context that ends with ctx or with the connection.
func (c connection) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.lost, cancel)
	return ctx, func() { stop(); cancel() }
}

func newLink(member string, t timing, notify func()) *link {
	return &link{
		member: member, timing: t, notify: notify,
		suspect: make(chan struct{}, 1), nudge: make(chan struct{}, 1), usable: make(chan struct{}),
		state: State{Phase: Connecting, Since: time.Now()},
	}
}

func (l *link) snapshot() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// current returns the number of the present connection, and why there is none.
func (l *link) current() (epoch int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state.Phase {
	case Ready:
		return l.latest.epoch, nil
	case Unreachable:
		return l.latest.epoch, l.state.Err
	default:
		return l.latest.epoch, errConnecting
	}
}

// refused returns the error for a request that is not worth sending.
func (l *link) refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	return l.state.Err
}

// close refuses requests from now on.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// wait blocks until the member can be used and returns the connection.
func (l *link) wait(ctx context.Context) (connection, error) {
	for {
		l.mu.Lock()
		usable := l.usable
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return connection{}, context.Cause(ctx)
		case <-usable:
		}
		l.mu.Lock()
		ok, latest := !l.doubtful && l.state.Phase == Ready, l.latest
		l.mu.Unlock()
		if ok {
			return latest, nil
		}
	}
}

// seen notes that the member sent something.
func (l *link) seen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.LastSeen = time.Now()
}

// suspicion has the member probed now. It does nothing while that happens already.
func (l *link) suspicion() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt()
}

// doubt begins to examine a suspicion. l.mu is held.
func (l *link) doubt() {
	if l.doubtful || l.state.Phase != Ready {
		return
	}
	l.doubtful = true
	l.usable = make(chan struct{})
	l.suspect <- struct{}{} // never blocks: one token for one doubt
}

// reconfigured has the member probed by a new configuration, now. When that has a line of its own and the member answers
// on it, what was read on the old one counts as old; until then nothing changes.
func (l *link) reconfigured(newLine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configs++
	if newLine {
		l.lines++
	}
	l.doubt()
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// setOutdated notes State.Outdated.
func (l *link) setOutdated(err error) {
	l.mu.Lock()
	before := l.state.Outdated
	l.state.Outdated = err
	l.mu.Unlock()
	if fmt.Sprint(before) != fmt.Sprint(err) {
		l.notify()
	}
}

// renew declares the present connection over and begins the next, so that what was read on it counts as old.
func (l *link) renew() {
	l.mu.Lock()
	if l.state.Phase == Ready {
		l.begin()
	}
	l.mu.Unlock()
	l.again()
	l.notify()
}

// begin starts the next connection. l.mu is held.
func (l *link) begin() {
	if l.latest.lose != nil {
		l.latest.lose()
	}
	l.latest.epoch++
	l.latest.line = l.lines
	l.latest.lost, l.latest.lose = context.WithCancel(context.Background())
}

// configuration returns the number of the configuration that a probe will use.
func (l *link) configuration() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.configs
}

// up records that a probe with a configuration was answered, and reports false when that was replaced meanwhile. An API
// server of another version may serve other kinds, so it counts as a new connection.
func (l *link) up(config int, version string) bool {
	l.mu.Lock()
	if config != l.configs {
		l.mu.Unlock()
		return false
	}
	connected := l.state.Phase != Ready
	if connected {
		l.state.Phase, l.state.Since, l.state.Err = Ready, time.Now(), nil
	}
	renewed := connected || l.latest.line != l.lines || version != l.state.Version
	l.state.Version = version
	if renewed {
		l.begin()
	}
	l.doubtful = false
	close(l.usable)
	l.mu.Unlock()
	if renewed {
		l.again()
		l.notify()
	}
	return true
}

// down records that a probe with a configuration was not answered, and reports false when that was replaced meanwhile.
func (l *link) down(config int, err error) bool {
	l.mu.Lock()
	if config != l.configs {
		l.mu.Unlock()
		return false
	}
	if l.state.Phase != Unreachable {
		l.state.Phase, l.state.Since = Unreachable, time.Now()
	}
	l.state.Err = unreachable(l.member, err)
	if l.latest.lose != nil {
		l.latest.lose()
	}
	l.doubtful = false
	l.mu.Unlock()
	l.notify()
	return true
}

// run connects, and then probes whenever there is a suspicion, until ctx ends.
func (l *link) run(ctx context.Context) {
	for {
		l.connect(ctx)
		answered := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-l.suspect:
		}
		// A connection that breaks again and again must not turn into a storm of probes.
		l.rest(ctx, time.Until(answered.Add(l.timing.retryMin)))
	}
}

// connect probes until the member answers, with growing, random pauses: many members lost at once do not come back at once.
func (l *link) connect(ctx context.Context) {
	delay := l.timing.retryMin
	for ctx.Err() == nil {
		config := l.configuration()
		version, err := l.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if l.up(config, version) {
				return
			}
			continue
		}
		if !l.down(config, err) {
			delay = l.timing.retryMin
			continue
		}
		l.rest(ctx, delay/2+rand.N(delay))
		delay = min(2*delay, l.timing.retryMax)
	}
}

// rest waits for d, or until there is a new configuration, or ctx ends.
func (l *link) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.nudge:
	case <-timer.C:
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
