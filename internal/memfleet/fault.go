package memfleet

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Rule decides what becomes of a request. It is called concurrently.
type Rule func(Request) Fault

// Fault is what the proxy does instead of passing a request and its answer on. The zero Fault passes it on.
type Fault struct {
	kind  faultKind
	code  int
	pause time.Duration
	wait  <-chan struct{}
	hook  func(Request) Fault
}

type faultKind int

const (
	doPass faultKind = iota
	doRefuse
	doAnswer
	doCut
	doHold
	doEmptyList
	doLoseAnswer
	doCall
	doThrottle
	doSlow
	doExpire
)

// Pass lets the request through.
func Pass() Fault { return Fault{} }

// Refuse breaks the connection (with HTTP/2, the stream) without an answer; the server never sees the request.
func Refuse() Fault { return Fault{kind: doRefuse} }

// Answer gives an API server's error of that HTTP status code; the server never sees the request.
func Answer(code int) Fault { return Fault{kind: doAnswer, code: code} }

// Throttle answers 429 and names after, rounded up to seconds, as the time to come back; the server never sees the request.
// client-go waits that long and asks again by itself.
func Throttle(after time.Duration) Fault { return Fault{kind: doThrottle, pause: after} }

// Forbidden is Answer with 403.
func Forbidden() Fault { return Answer(http.StatusForbidden) }

// Cut passes the request on and half of the answer back. Of a watch it passes on half of what comes first.
func Cut() Fault { return Fault{kind: doCut} }

// Hold keeps the request waiting until released is closed, then passes it on. With nil it waits until the client gives up.
func Hold(released <-chan struct{}) Fault { return Fault{kind: doHold, wait: released} }

// EmptyList passes a list on and takes everything out of the answer. A watch ends at once, without an event.
func EmptyList() Fault { return Fault{kind: doEmptyList} }

// Slow passes the request on and the answer back in pieces, with a pause before each.
func Slow(pause time.Duration) Fault { return Fault{kind: doSlow, pause: pause} }

// Expire passes a watch on until something comes. Instead of that the client gets the error 410 as an event, and the watch
// ends: what an API server says whose history no longer reaches back far enough. Other requests are passed on.
func Expire() Fault { return Fault{kind: doExpire} }

// LoseAnswer passes the request on, waits for the whole answer, and breaks the connection: the server did what it was
// asked, also when the client goes away meanwhile, and the client cannot know.
func LoseAnswer() Fault { return Fault{kind: doLoseAnswer} }

// Call calls hook before anything else happens to the request; what hook returns happens then. A crash test kills its
// process there and returns Refuse.
func Call(hook func(Request) Fault) Fault { return Fault{kind: doCall, hook: hook} }

// Nth is the rule that gives the k-th request that matches (counted from 1) a fault, and passes all others on.
func Nth(k int, match func(Request) bool, fault Fault) Rule {
	var seen atomic.Int64
	return func(r Request) Fault {
		if match(r) && seen.Add(1) == int64(k) {
			return fault
		}
		return Pass()
	}
}

// When is the rule that gives every request that matches a fault.
func When(match func(Request) bool, fault Fault) Rule {
	return func(r Request) Fault {
		if match(r) {
			return fault
		}
		return Pass()
	}
}
