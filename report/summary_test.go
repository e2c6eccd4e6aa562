package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

func TestSummary(t *testing.T) {
	behind := sample()
	behind.Head = source.Revision{Commit: "9c8d7e6f5a4b3c2d1e0f", Subject: "typo"}
	behind.SourceErr = "fetch: connection reset\nby peer"
	for i := range 5 {
		behind.Errors = append(behind.Errors, render.ManifestError{File: "web.yaml", Document: i + 1, Field: "spec.replica", Message: "unknown field"})
	}
	failed := Report{Converged: true, Placements: []Placement{placed(on("a", "False", "", "denied"))}, Members: []Member{{Name: "a", Joined: "True"}}}
	tests := map[string]struct {
		reason string
		report Report
		want   string
	}{
		"Nothing": {
			reason: "before the first commit there is nothing to tell",
			want:   "not converged: no commit seen yet\n0 placements on 0 members: applied on 0 of 0 placements x clusters, healthy on 0\n",
		},
		"Waiting": {
			reason: "a first commit that is not applied",
			report: Report{Head: source.Revision{Commit: "9c8d7e6f5a4b3c2d1e0f"}},
			want: "not converged: nothing applied yet, newest commit is 9c8d7e6f5a4b\n" +
				"0 placements on 0 members: applied on 0 of 0 placements x clusters, healthy on 0\n",
		},
		"Unreachable": {
			reason: "a lost member is named, with why",
			report: sample(),
			want: "not converged: commit 3f2a1b000000 \"scale web\"\n" +
				"3 placements on 3 members: applied on 3 of 4 placements x clusters, healthy on 3\n" +
				"not reachable: aks-3: connection refused since 11:58\n" +
				"not reachable: aks-2: no kubeconfig context is named aks-2\n",
		},
		"Behind": {
			reason: "a refused commit: the first errors, and how many more",
			report: behind,
			want: "not converged: commit 3f2a1b000000 \"scale web\", while 9c8d7e6f5a4b is newest\n" +
				"3 placements on 3 members: applied on 3 of 4 placements x clusters, healthy on 3\n" +
				"repository: fetch: connection reset by peer\n" +
				"error: web.yaml: document 1: spec.replica: unknown field\n" +
				"error: web.yaml: document 2: spec.replica: unknown field\n" +
				"error: web.yaml: document 3: spec.replica: unknown field\n" +
				"error: and 2 more\n" +
				"not reachable: aks-3: connection refused since 11:58\n" +
				"not reachable: aks-2: no kubeconfig context is named aks-2\n",
		},
		"Failed": {
			reason: "placements fail on clusters",
			report: failed,
			want: "converged: no commit seen yet\n1 placement on 1 member: applied on 0 of 1 placements x clusters, healthy on 0\n" +
				"error: placement web on a: denied\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Summary(tc.report)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
