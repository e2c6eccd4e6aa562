package reconcile

import (
	"fmt"
	"testing"

	"github.com/gitfleet/gitfleet/report"
)

// TestLoopCountsWhatWasThere: a commit that replaces a few objects by others is below the threshold, and stays so while what it
// creates makes the fleet one of those whose halves are guarded.
func TestLoopCountsWhatWasThere(t *testing.T) {
	east, repo := newCluster("east"), &repository{}
	with := func(prefix string, n int) []string {
		list := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
		for i := range n {
			list = append(list, config("web", fmt.Sprint(prefix, i), "1"))
		}
		return list
	}
	repo.push("before", with("old", 13)...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("before"))
	repo.push("after", with("new", 9)...)
	await(t, l, "the replacement", func(r report.Report) bool {
		if r.Confirm != nil {
			t.Fatalf("a replacement below the threshold waits: %s", r.Confirm.Message)
		}
		return convergedOn("after")(r)
	})
}
