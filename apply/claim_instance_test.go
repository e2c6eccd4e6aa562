package apply

import (
	"fmt"
	"time"
)

// modelInstance is one process of the model, and after it the next with the same identity.
type modelInstance struct {
	*model
	id    string
	lost  time.Time // when the lease ceased to name it
	birth int       // of the present process; what belongs to an earlier one is void

	up      bool
	paused  bool
	missed  []func() // what arrived while paused
	state   ClaimState
	view    ClaimView
	busy    bool // with a request
	poked   bool // meanwhile
	wakes   int  // only the latest wake-up counts
	conn    int  // number of the connection; events of earlier ones are void
	online  bool
	synced  time.Time // since when the view is, as far as the loop could see
	arrival time.Time // of the latest event under way
}

func (in *modelInstance) running() bool { return in.up && !in.paused }

func (in *modelInstance) start() {
	in.birth++
	in.up, in.paused, in.missed, in.busy, in.poked = true, false, nil, false, false
	in.view, in.synced = ClaimView{}, time.Time{}
	in.logf("%s: starts", in.id)
	in.state = NewClaimState(Instance{ID: in.id, Description: "host of " + in.id}, "source",
		fmt.Sprintf("%s%d", in.id, in.birth), modelTiming())
	in.loop()
	in.connect()
}

// believes tells whether it would make plans now.
func (in *modelInstance) believes() bool {
	return in.running() && in.view.Lease.Holder.ID == in.id && in.state.Err(in.view, in.now) == nil
}

// here runs do in this process when it is there and not suspended; if it is, later, and then in order.
func (in *modelInstance) here(birth int, do func()) {
	switch {
	case !in.up || in.birth != birth:
	case in.paused || len(in.missed) > 0:
		in.missed = append(in.missed, do)
	default:
		do()
	}
}

// catchUp does one after the other what was missed. Anything may happen in between.
func (in *modelInstance) catchUp(birth int) {
	if !in.running() || in.birth != birth || len(in.missed) == 0 {
		return
	}
	do := in.missed[0]
	do()
	in.missed = in.missed[1:]
	in.after(in.upTo(in.faults.delay/8), func() { in.catchUp(birth) })
}

// connect begins a new connection; its list arrives some time later.
func (in *modelInstance) connect() {
	in.conn++
	in.online = true
	in.view.Synced = false
	in.arrival = in.now
	in.deliver()
}

// deliver sends what the store holds now to the watch, behind what is under way.
func (in *modelInstance) deliver() {
	if !in.up || !in.online {
		return
	}
	lease, conn, birth := in.lease, in.conn, in.birth
	in.arrival = later(in.arrival, in.now.Add(in.way()))
	in.at(in.arrival, func() {
		in.here(birth, func() {
			if in.conn == conn {
				in.view = ClaimView{Synced: true, Lease: lease}
				in.loop()
			}
		})
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// loop is what the claim's goroutine does whenever it is woken.
func (in *modelInstance) loop() {
	if in.busy {
		in.poked = true
		return
	}
	if !in.view.Synced {
		in.synced = time.Time{}
	} else if in.synced.IsZero() {
		in.synced = in.now
	}
	var step ClaimStep
	in.state, step = in.state.Next(in.view, in.now)
	in.wakes++
	if step.Do == ClaimNothing {
		in.wakeAt(step.Wake)
		return
	}
	in.request(step)
}

func (in *modelInstance) wakeAt(at time.Time) {
	wake, birth := in.wakes, in.birth
	in.at(later(at, in.now), func() {
		in.here(birth, func() {
			if in.wakes == wake {
				in.loop()
			}
		})
	})
}

// request sends what step says, and goes on when the answer is there or the patience over.
func (in *modelInstance) request(step ClaimStep) {
	if looked := in.now.Sub(in.synced); step.Do == ClaimTake && in.view.Lease.Holder.ID != "" && looked < modelTiming().Answer {
		in.t.Errorf("%s takes a lease that it has only seen for %s, and may have missed an answer before", in.id, looked)
	}
	in.busy = true
	birth, open, answer := in.birth, true, ""
	done := func() {
		in.here(birth, func() {
			if !open {
				return
			}
			open, in.busy = false, false
			if answer != "" {
				in.state = in.state.Confirmed(answer)
			}
			if in.poked {
				in.poked = false
				in.loop()
			} else {
				in.wakeAt(step.Wake)
			}
		})
	}
	in.after(modelTiming().Limit(step.Do), done)
	there, back := in.way(), in.way()
	if in.faults.lost && in.now.Before(in.calm) {
		switch in.rand.IntN(6) {
		case 0:
			there = 0 // lost on the way
		case 1:
			back = time.Hour // the answer is
		case 2:
			there = in.upTo(2 * time.Minute)
		}
	}
	if !in.online || there == 0 {
		return
	}
	in.after(there, func() {
		switch {
		case step.Do != ClaimConfirm:
			in.write(in, step.Do, step.Lease)
		case in.lease.Exists():
			in.seen.confirms++
			answer = in.lease.ResourceVersion
		}
		in.after(back, done)
	})
}

// disconnect breaks the connection for a while, noticed at once or only when the session finds out.
func (in *modelInstance) disconnect(noticed bool) {
	if !in.up || !in.online {
		return
	}
	in.logf("%s: disconnected, noticed %v", in.id, noticed)
	in.online = false
	in.conn++
	conn, birth := in.conn, in.birth
	notice := modelHang
	if noticed {
		notice = 0
	}
	in.after(notice, func() { in.here(birth, func() { in.unsync(conn) }) })
	in.after(notice+in.upTo(time.Minute), func() { in.here(birth, func() { in.reconnect(conn) }) })
}

func (in *modelInstance) unsync(conn int) {
	if in.conn == conn && !in.online {
		in.view.Synced = false
		in.loop()
	}
}

func (in *modelInstance) reconnect(conn int) {
	if in.conn == conn {
		in.logf("%s: reconnects", in.id)
		in.connect()
	}
}

// cutStream breaks the watch alone; it goes on from where it was, and what happened meanwhile follows.
func (in *modelInstance) cutStream() {
	if !in.up || !in.online || !in.view.Synced {
		return
	}
	in.logf("%s: stream cut", in.id)
	in.online = false // for events; requests of the model are lost too, which is allowed
	in.conn++
	conn, birth := in.conn, in.birth
	in.here(birth, func() { in.unsync(conn) })
	in.after(in.upTo(40*time.Second), func() {
		in.here(birth, func() {
			if in.conn != conn {
				return
			}
			in.online = true
			in.view.Synced = true // before anything arrived
			in.loop()
			in.arrival = in.now
			in.deliver()
		})
	})
}

func (in *modelInstance) pause() {
	if !in.running() {
		return
	}
	in.logf("%s: suspended", in.id)
	in.paused = true
	birth := in.birth
	in.after(in.upTo(40*time.Second), func() {
		if !in.up || in.birth != birth {
			return
		}
		in.logf("%s: goes on", in.id)
		in.paused = false
		in.checkBeliefs() // whatever runs first finds what was believed before
		in.after(in.way(), func() { in.catchUp(birth) })
	})
}

func (in *modelInstance) crash() {
	if !in.up {
		return
	}
	in.logf("%s: dies", in.id)
	in.up = false
	if in.rand.IntN(3) > 0 {
		in.after(in.upTo(2*time.Minute), func() {
			if !in.up {
				in.start()
			}
		})
	}
}

// release is a proper end: when a request is under way it is over first, so that it cannot arrive after the release.
func (in *modelInstance) release() {
	if !in.running() || in.busy || !in.online {
		return
	}
	in.logf("%s: ends", in.id)
	in.up = false
	if in.lease.Holder.ID == in.id {
		in.store(in, "release", in.lease.Released(in.now))
	}
	in.after(in.upTo(2*time.Minute), func() {
		if !in.up {
			in.start()
		}
	})
}
