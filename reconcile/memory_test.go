package reconcile

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// TestStoreKeepsWhatMustSurvive at once, and lets the words for the same state wait: a crash before they are saved has one status
// told twice, and a disk is not waited for whenever another object is in place.
func TestStoreKeepsWhatMustSurvive(t *testing.T) {
	status := func(s report.State, text string) report.CommitStatus {
		return report.CommitStatus{Context: report.ContextApply, State: s, Description: text}
	}
	commits := func(commit string, told bool, list ...report.CommitStatus) []commitMemory {
		return []commitMemory{{Commit: report.Commit{Revision: source.Revision{Commit: commit}, Statuses: list}, Told: told}}
	}
	before := memory{Instance: "i", Placements: map[string]placementMemory{}, Members: map[string]memberMemory{}, Commits: commits("c", false, status(report.StatePending, "1 of 9 in place"))}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name   string
		change func(*memory)
		after  time.Duration // since the file was written
		waits  bool
	}{
		{"nothing", func(*memory) {}, 0, false},
		{"other words", func(m *memory) { m.Commits = commits("c", false, status(report.StatePending, "2 of 9 in place")) }, wordsEvery - 1, true},
		{"other words, after a while", func(m *memory) { m.Commits = commits("c", false, status(report.StatePending, "2 of 9 in place")) }, wordsEvery, false},
		{"another state", func(m *memory) { m.Commits = commits("c", false, status(report.StateSuccess, "in place")) }, 0, false},
		{"another context", func(m *memory) {
			m.Commits = commits("c", false, slices.Concat(m.Commits[0].Statuses, []report.CommitStatus{status(report.StatePending, "")})...)
		}, 0, false},
		{"another commit", func(m *memory) { m.Commits = commits("d", false, m.Commits[0].Statuses...) }, 0, false},
		{"nobody is told any more", func(m *memory) { m.Commits = commits("c", true, m.Commits[0].Statuses...) }, 0, false},
		{"other words, and a review", func(m *memory) {
			m.Commits = commits("c", false, status(report.StatePending, "2 of 9 in place"))
			m.Reviewed = []plannedRequest{{ID: "1"}}
		}, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store, err := OpenStore(t.TempDir(), "fleet")
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if err := store.save(before, now); err != nil {
				t.Fatal(err)
			}
			m := before.clone()
			tc.change(&m)
			wait, err := store.keep(m, now.Add(tc.after))
			if err != nil || wait.IsZero() == tc.waits {
				t.Errorf("keep says %v, %v, want it to wait %v", wait, err, tc.waits)
			}
			if tc.waits && !wait.Equal(now.Add(wordsEvery)) {
				t.Errorf("it waits until %s, want %s", wait, now.Add(wordsEvery))
			}
			data, err := os.ReadFile(store.path)
			if err != nil {
				t.Fatal(err)
			}
			want := m
			if tc.waits {
				want = before
			}
			text, err := json.MarshalIndent(want, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if got := string(data); got != string(text)+"\n" {
				t.Errorf("the file holds\n%s\nwant\n%s", got, text)
			}
		})
	}
}
