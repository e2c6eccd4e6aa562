package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// committed is a report on a commit in force, with one placement on clusters that fare as told: "True/True" is applied and
// healthy.
func committed(clusters ...string) Report {
	rev := source.Revision{Commit: "1a2b3c4d5e6f"}
	r := Report{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Head: rev, Applied: rev}
	p := Placement{Name: "web", Decision: placement.Decision{Name: "web", Scheduled: placement.Scheduled{Status: "True"}}}
	for i, word := range clusters {
		name := fmt.Sprintf("aks-%d", i+1)
		applied, rest, _ := strings.Cut(word, "/")
		healthy, message, _ := strings.Cut(rest, " ")
		r.Members = append(r.Members, Member{Name: name, Joined: "True"})
		p.Decision.Verdicts = append(p.Decision.Verdicts, placement.Verdict{Cluster: name, Selected: true})
		p.Decision.Assignment.Clusters = append(p.Decision.Assignment.Clusters, name)
		p.Clusters = append(p.Clusters, PlacementOnCluster{Cluster: name, Applied: applied, Healthy: healthy, Message: message})
	}
	r.Placements = []Placement{p}
	return r
}

func TestCommitStatuses(t *testing.T) {
	change := func(r Report, change func(*Report)) Report {
		change(&r)
		return r
	}
	early, late := time.Minute, time.Hour
	for _, tc := range []struct {
		name   string
		report Report
		age    time.Duration // of the commit
		want   string
	}{
		{"no commit yet", Report{}, early, ""},
		{"seen, not rendered", change(committed(), func(r *Report) { r.Applied = source.Revision{} }), early, "gitfleet/apply pending: being rendered"},
		{"the first mistake of several", change(committed(), func(r *Report) {
			r.Applied = source.Revision{}
			r.Errors = []render.ManifestError{{File: "a.yaml", Document: 1, Field: "spec.x", Message: "unknown field"}, {File: "b.yaml", Message: "is empty"}}
		}), early, "gitfleet/apply failure: 2 mistakes: a.yaml: document 1: spec.x: unknown field"},
		{"our own failure to render", change(committed(), func(r *Report) { r.Applied, r.SourceErr = source.Revision{}, "the child was killed" }), early,
			"gitfleet/apply error: not rendered, will be tried again; why is in gitfleet's log"},
		{"the repository is away, the commit is in force", change(committed("True/True"), func(r *Report) { r.SourceErr = "no route" }), early,
			"gitfleet/apply success: in place and healthy on 1 cluster"},
		{"all in place", committed("True/True", "True/True"), late, "gitfleet/apply success: in place and healthy on 2 clusters"},
		{"nothing to place", committed(), early, "gitfleet/apply success: nothing is placed here"},
		{"under way", committed("True/True", "Unknown/Unknown being applied"), early, "gitfleet/apply pending: 1 of 2 in place; web on aks-2: being applied"},
		{"refused by a member, for now", committed("False/Unknown denied"), early, "gitfleet/apply pending: 0 of 1 in place; web on aks-1: denied"},
		{"never healthy", committed("True/True", "True/False Deployment web is InProgress"), late,
			"gitfleet/apply failure: 1 of 2 in place after 10m0s; web on aks-2: Deployment web is InProgress"},
		{"a member away", change(committed("True/True", "Unknown/Unknown"), func(r *Report) { r.Members[1].Joined, r.Members[1].Message = "Unknown", "no answer" }), late,
			"gitfleet/apply error: 1 of 2 in place after 10m0s; aks-2 is not reached; why is in gitfleet's log"},
		{"a member away that is not chosen", change(committed("True/True"), func(r *Report) {
			r.Members = append(r.Members, Member{Name: "aks-9", Joined: "Unknown"})
		}), late, "gitfleet/apply success: in place and healthy on 1 cluster"},
		{"a permission that is missing", change(committed("False/Unknown forbidden"), func(r *Report) { r.Placements[0].Clusters[0].Operator = true }), late,
			"gitfleet/apply error: 0 of 1 in place after 10m0s; web on aks-1: not applied, and not for its author to mend; why is in gitfleet's log"},
		{"the author before the member", change(committed("False/False denied", "Unknown/Unknown"), func(r *Report) { r.Members[1].Joined = "Unknown" }), late,
			"gitfleet/apply failure: 0 of 2 in place after 10m0s; web on aks-1: denied"},
		{"fewer clusters than asked for", change(committed("True/True"), func(r *Report) {
			r.Placements[0].Decision.Scheduled = placement.Scheduled{Status: "False", Message: "1 of 2 clusters"}
		}), late, "gitfleet/apply failure: 1 of 1 in place after 10m0s; placement web: 1 of 2 clusters"},
		{"a person must confirm, however late", change(committed("True/True"), func(r *Report) { r.Confirm = &Confirmation{Removals: 120} }), late,
			"gitfleet/apply pending: waits for a person to confirm 120 deletions, by a commit with the trailer that the status page shows"},
		{"something is still to go", change(committed("True/True"), func(r *Report) {
			r.Removals = []Removal{{Cluster: "aks-1", Reason: "a finalizer"}}
			r.Removals[0].Kind, r.Removals[0].Name = "Namespace", "old"
		}), late, "gitfleet/apply error: 1 of 1 in place after 10m0s; Namespace old on aks-1 is still to be deleted: a finalizer"},
		{"services in order", change(committed("True/True"), func(r *Report) {
			r.Exports = []Export{{Valid: "True", Conflicted: "False"}}
			r.Services = []Service{{Valid: "True"}}
		}), early, "gitfleet/apply success: in place and healthy on 1 cluster\ngitfleet/services success: 1 export, 1 multi-cluster service in order"},
		{"exports that conflict, at once", change(committed("True/True"), func(r *Report) {
			r.Exports = []Export{{Cluster: "aks-1", Namespace: "shop", Name: "web", Valid: "True", Conflicted: "True", Message: "ports differ"}}
		}), early, "gitfleet/apply success: in place and healthy on 1 cluster\ngitfleet/services failure: export shop/web of aks-1 conflicts: ports differ"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := StatusOptions{Since: tc.report.Time.Add(-tc.age), Deadline: 10 * time.Minute}
			var got []string
			for _, s := range tc.report.CommitStatuses(o) {
				got = append(got, fmt.Sprintf("%s %s: %s", s.Context, s.State, s.Description))
				if n := len([]rune(s.Description)); n > LongestDescription {
					t.Errorf("the description has %d characters", n)
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommitStatusesOfClusters(t *testing.T) {
	r := committed("True/True", "True/False not ready")
	var got []string
	for _, s := range r.CommitStatuses(StatusOptions{Name: "shop", Since: r.Time, Deadline: time.Minute, PerCluster: true, URL: "https://fleet.example"}) {
		got = append(got, fmt.Sprintf("%s %s %s", s.Context, s.State, s.URL))
	}
	want := "shop/apply pending https://fleet.example\nshop/apply/aks-1 success https://fleet.example\nshop/apply/aks-2 pending https://fleet.example"
	if diff := cmp.Diff(want, strings.Join(got, "\n")); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}
