package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestTwoGitfleets starts two gitfleets on one fleet and one repository, as happens by mistake: the second writes nothing
// but its question who is there, says so, and takes over when the first ends; and the first again when the second is killed.
func TestTwoGitfleets(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // last of all
	f := newChaosFleet(t, 2)
	defer f.close()
	story := chapters()
	commit := f.branch.push(story[0].files)
	first := f.start(nil)
	first.await(t, nil, func() error { return first.converged(commit) })

	elsewhere := f.directory("state")
	defer removeAll(t, elsewhere)
	second := f.startIn(elsewhere, nil)
	second.await(t, nil, second.fenced)
	commit = f.branch.push(story[1].files)
	first.await(t, nil, func() error { return first.converged(commit) })
	second.await(t, nil, func() error {
		if r := second.loop.Report(); r.Applied.Commit != commit {
			return fmt.Errorf("the second has %q in force, want %q", r.Applied.Commit, commit)
		}
		return second.fenced()
	})
	if err := f.check(story[1].want, nil); err != nil {
		t.Errorf("with two at work: %v", err)
	}
	if writes := second.writes(); len(writes) > 0 {
		t.Errorf("the second wrote %v", writes)
	}

	first.stop(t)
	commit = f.branch.push(story[2].files)
	second.await(t, nil, func() error { return second.converged(commit) })
	err := f.check(story[2].want, nil)
	if err != nil {
		t.Errorf("after the second took over: %v\n%s", err, second.log.tail())
	}

	third := f.start(nil)
	third.await(t, nil, third.fenced)
	second.kill(t)
	commit = f.branch.push(story[3].files)
	third.await(t, nil, func() error { return third.converged(commit) })
	err = f.check(story[3].want, nil)
	third.stop(t)
	if err != nil {
		t.Errorf("after the third took over: %v\n%s", err, third.log.tail())
	}
}

// fenced returns nil when the report says of every member that another gitfleet manages it.
func (p *program) fenced() error {
	var errs []error
	r := p.loop.Report()
	for _, m := range r.Members {
		if !strings.Contains(m.Message, "another gitfleet") {
			errs = append(errs, fmt.Errorf("%s: joined %s, %q: it is not said that another gitfleet manages it", m.Name, m.Joined, m.Message))
		}
	}
	if len(r.Members) == 0 {
		errs = append(errs, errors.New("no member is reported"))
	}
	return errors.Join(errs...)
}

// writes returns what the members were asked to change, but for claims.
func (p *program) writes() []string {
	var out []string
	for name, proxy := range p.proxies {
		for _, r := range proxy.Requests() {
			if r.Writes() && r.Resource != "leases" {
				out = append(out, name+" "+r.String())
			}
		}
	}
	return out
}
