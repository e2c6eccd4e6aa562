package armsim

import (
	"fmt"
	"net/http"
	"strings"
)

// Fault is something that goes wrong. It strikes the requests that match, and after Times of them is used up.
type Fault struct {
	Method string // empty for any
	Path   string // part of it, whatever its case
	Skip   int    // how many matching requests it lets pass first
	Times  int    // 1 unless set

	// Before strikes before anything was done, else what was asked for is done.
	Before bool
	Drop   bool // there is no answer
	Cut    bool // half of the answer's body arrives
	Status int  // is answered
	Code   string
	Inner  string // code of the inner error
	After  string // Retry-After
	HTML   bool   // the answer is a page, as of something between
	Stale  bool   // a read is answered as it was when it was asked first

	// Late lets the write be accepted and fail at its end; Hang lets it never end. They are about writes of the resource in Path.
	Late bool
	Hang bool
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

func (s *Server) faultFor(r *http.Request) *Fault {
	return s.strikes(func(f *Fault) bool {
		return !f.Late && !f.Hang && (f.Method == "" || f.Method == r.Method) && strings.Contains(strings.ToLower(r.URL.Path), strings.ToLower(f.Path))
	})
}

// lateFault is what becomes of an operation on a resource.
func (s *Server) lateFault(kind, id string) *Fault {
	return s.strikes(func(f *Fault) bool {
		return (f.Late || f.Hang) && strings.Contains(strings.ToLower(id+"/"+kind), strings.ToLower(f.Path))
	})
}

func (s *Server) strikes(match func(*Fault) bool) *Fault {
	for _, f := range s.faults {
		if f.Times <= 0 || !match(f) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Times--
		return f
	}
	return nil
}

func (f *Fault) failure() *failure {
	if f.Hang {
		return nil
	}
	out := refuse(f.Status, f.Code, "This fault was asked for.")
	out.detail = f.Inner
	if f.After != "" {
		out.header = map[string]string{"Retry-After": f.After}
	}
	return out
}

// strike answers instead of what would be done.
func (f *Fault) strike(w http.ResponseWriter) {
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	f.strikeAfter(w, &answer{status: http.StatusOK, header: http.Header{}})
}

// strikeAfter spoils the answer to what was done.
func (f *Fault) strikeAfter(w http.ResponseWriter, a *answer) {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Stale:
		a.write(w)
	case f.HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.Status)
		fmt.Fprint(w, "<html><body>The service is unavailable.</body></html>")
	case f.Cut:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		fmt.Fprint(w, `{"id": "/subscri`)
	default:
		out := f.failure()
		a.status, a.body = out.status, out.body()
		for key, value := range out.header {
			a.header.Set(key, value)
		}
		a.write(w)
	}
}
