package forgetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/report"
)

// shows wants commit to show exactly these statuses.
func shows(t *testing.T, forge report.Forge, commit string, want ...report.CommitStatus) {
	t.Helper()
	got, err := forge.Statuses(limited(t), commit)
	if err != nil {
		t.Fatalf("reading the statuses of %s: %v", commit, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("statuses of %s (-want +got):\n%s", commit, diff)
	}
}

func set(t *testing.T, forge report.Forge, commit string, s report.CommitStatus) {
	t.Helper()
	if err := forge.SetStatus(limited(t), commit, s); err != nil {
		t.Fatalf("setting %+v: %v", s, err)
	}
}

func statusesAreShown(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	shows(t, forge, commitA)
	plan := report.CommitStatus{Context: report.ContextPlan, State: report.StateSuccess, Description: "2 objects on 3 clusters change"}
	apply := report.CommitStatus{
		Context: report.ContextApply + "/east-1", State: report.StatePending, Description: "1 of 2 placements",
		URL: "https://fleet.example/#east-1",
	}
	set(t, forge, commitA, plan)
	set(t, forge, commitA, apply)
	shows(t, forge, commitA, apply, plan)
}

// statusesAreReplaced goes through all changes of state, with words that need all of the space.
func statusesAreReplaced(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	states := []report.State{report.StatePending, report.StateSuccess, report.StateFailure, report.StateError}
	for _, from := range states {
		for _, to := range states {
			t.Run(fmt.Sprintf("%s-to-%s", from, to), func(t *testing.T) {
				name := fmt.Sprintf("gitfleet/%s/%s", from, to)
				set(t, forge, commitA, report.CommitStatus{Context: name, State: from, Description: "before"})
				want := report.CommitStatus{Context: name, State: to, Description: strings.Repeat("ü", report.LongestDescription)}
				set(t, forge, commitA, want)
				statuses, err := forge.Statuses(limited(t), commitA)
				if err != nil || !slices.Contains(statuses, want) {
					t.Errorf("after %s it does not show %+v, but %+v, %v", from, want, statuses, err)
				}
			})
		}
	}
}

// statusesPostedTwice is a process that died between posting and knowing of it, and its successor.
func statusesPostedTwice(t *testing.T, s Subject) {
	for _, state := range []report.State{report.StatePending, report.StateSuccess, report.StateFailure, report.StateError} {
		t.Run(string(state), func(t *testing.T) {
			srv := serve(t, s)
			forge := srv.open(t, s)
			want := report.CommitStatus{Context: report.ContextApply, State: state, Description: "as before"}
			for range 3 {
				set(t, forge, commitA, want)
			}
			shows(t, forge, commitA, want)
		})
	}
	t.Run("pending with other words", func(t *testing.T) {
		srv := serve(t, s)
		forge := srv.open(t, s)
		want := report.CommitStatus{Context: report.ContextApply, State: report.StatePending}
		for n, words := range []string{"0 of 3 clusters", "1 of 3 clusters", "2 of 3 clusters", "3 of 3 clusters"} {
			posted := want
			posted.Description = words
			set(t, forge, commitA, posted)
			if n < 2 || !s.FixedPendingWords {
				want = posted
			}
			shows(t, forge, commitA, want)
		}
		want.State, want.Description = report.StateSuccess, "all healthy"
		set(t, forge, commitA, want)
		shows(t, forge, commitA, want)
	})
}

// statusesOnManyPages has more statuses than any forge writes on a page, most of which are of others, and repeats.
func statusesOnManyPages(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	var want []report.CommitStatus
	for n := range 230 {
		name := fmt.Sprintf("ci/%03d", n)
		set(t, forge, commitA, report.CommitStatus{Context: name, State: report.StateFailure, Description: "first try"})
		if n%3 == 0 {
			set(t, forge, commitA, report.CommitStatus{Context: name, State: report.StateSuccess, Description: "second try"})
			want = append(want, report.CommitStatus{Context: name, State: report.StateSuccess, Description: "second try"})
			continue
		}
		want = append(want, report.CommitStatus{Context: name, State: report.StateFailure, Description: "first try"})
	}
	shows(t, forge, commitA, want...)
}

func statusesOfAMissingCommit(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	if got, err := forge.Statuses(limited(t), missing); err == nil {
		t.Errorf("a commit that the forge does not have shows %v instead of an error", got)
	}
	if err := forge.SetStatus(limited(t), missing, report.CommitStatus{Context: report.ContextPlan, State: report.StateSuccess}); err == nil {
		t.Error("setting a status of a commit that the forge does not have is no error")
	}
}

// statusesThatNoForgeTakes are refused before anything is asked, so that all forges refuse the same.
func statusesThatNoForgeTakes(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	good := report.CommitStatus{Context: report.ContextPlan, State: report.StateSuccess, Description: "ok"}
	for name, c := range map[string]struct {
		commit string
		change func(*report.CommitStatus)
	}{
		"an abbreviated commit":   {commitA[:12], func(*report.CommitStatus) {}},
		"a branch":                {"main", func(*report.CommitStatus) {}},
		"a path":                  {"../../../user", func(*report.CommitStatus) {}},
		"no context":              {commitA, func(s *report.CommitStatus) { s.Context = "" }},
		"no state":                {commitA, func(s *report.CommitStatus) { s.State = "" }},
		"a state of another tool": {commitA, func(s *report.CommitStatus) { s.State = "running" }},
		"too many words": {commitA, func(s *report.CommitStatus) {
			s.Description = strings.Repeat("ü", report.LongestDescription+1)
		}},
	} {
		status := good
		c.change(&status)
		if err := forge.SetStatus(limited(t), c.commit, status); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	if _, err := forge.Statuses(limited(t), "main"); err == nil {
		t.Error("the statuses of a branch are no error")
	}
	if asked := srv.requests(); len(asked) > 0 {
		t.Errorf("the forge was asked for what it cannot take: %v", asked)
	}
}
