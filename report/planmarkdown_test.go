package report

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
)

var updatePlans = flag.Bool("update-plans", false, "rewrite the expected comments in testdata/plan")

const (
	baseCommit = "1111111111111111111111111111111111111111"
	headCommit = "2222222222222222222222222222222222222222"
	planDigest = "sha256:632dacd4a72241e0b3e604d5000925e1a9672716396a495433412430441b8bff"
)

// onEach is c on clusters aks-001, aks-002 and so on.
func onEach(clusters int, c Change) []Change {
	var list []Change
	for i := range clusters {
		c.Cluster = fmt.Sprintf("aks-%03d", i+1)
		list = append(list, c)
	}
	return list
}

func onePlan() Plan {
	return Plan{Base: baseCommit, Head: headCommit, Digest: planDigest, Changes: onEach(100, Change{
		Action: apply.Update, APIVersion: "apps/v1", Kind: "Deployment", Namespace: "web", Name: "shop", Placement: "web", Source: "web/shop.yaml#2",
		Reason: "changed", Diff: "spec.replicas: 2 -> 3\nspec.template.spec.containers[shop].image: example.org/shop:1 -> example.org/shop:2",
	})}
}

// manyPlan changes 500 objects on 3 clusters, in up to fields fields each.
func manyPlan(fields int) Plan {
	p := Plan{Base: baseCommit, Head: headCommit, Digest: planDigest}
	kinds := []string{"ConfigMap", "Deployment", "Service", "ServiceAccount"}
	for i := range 500 {
		c := Change{Action: apply.Update, APIVersion: "v1", Kind: kinds[i%4], Namespace: fmt.Sprintf("team-%02d", i%25), Name: fmt.Sprintf("shop-%03d", i),
			Placement: "teams", Source: fmt.Sprintf("teams/team-%02d.yaml#%d", i%25, i/25+1), Reason: "changed"}
		if c.Kind == "Deployment" {
			c.APIVersion = "apps/v1"
		}
		switch {
		case i%10 == 0:
			c.Action, c.Reason = apply.Create, "new object"
		case i%25 == 1:
			c.Action, c.Reason = apply.Delete, "no longer rendered"
		default:
			var lines []string
			for f := range i%fields + 1 {
				lines = append(lines, fmt.Sprintf("metadata.annotations[\"example.org/field-%02d\"]: \"as it was before\" -> \"as it is after\"", f))
			}
			c.Diff = strings.Join(lines, "\n")
		}
		p.Changes = append(p.Changes, onEach(3, c)...)
	}
	return p
}

func riskyPlan() Plan {
	p := samplePlan()
	p.Base, p.Head, p.Digest = baseCommit, headCommit, planDigest
	p.Moves = append(p.Moves, Move{Placement: "old", Cluster: "aks-1", Action: Lose, Reason: "the placement is removed"},
		Move{Placement: "old", Cluster: "aks-2", Action: Lose, Reason: "the placement is removed"})
	p.Services = append(p.Services, ServiceChange{Namespace: "web", Name: "cart", Action: "delete", Reason: "export lost on aks-1, aks-2"})
	p.Risks = []Risk{
		{RiskConfirm, "4 of 9 objects are deleted: nothing will be until a commit confirms it with the trailer \"Gitfleet-Confirm: " + planDigest + "\"; it may be this one"},
		{RiskDeleteNamespace, "Namespace old is deleted on aks-1, with everything in it; it is held while it contains what others made"},
		{RiskDeleteStorage, "StatefulSet.apps web/db is deleted on aks-1, aks-2, and the claims of its volumes lose their user"},
		{RiskExportConflict, "the exports of service web/shop do not agree: [80/TCP] on aks-1; [81/TCP] on aks-2; the oldest one counts"},
		{RiskImmutable, "Service web/db on aks-1: spec.clusterIP: field is immutable"},
		{RiskNoCluster, "placement nothing (placements.yaml, document 5) runs on no cluster: 0 of 1 named clusters selected"},
		{RiskNotice, "placements.yaml: document 5: spec.resourceSelectors[0]: selects nothing: the repository has no such Namespace"},
		{"Unheard", "of"},
	}
	return p
}

// hostile is what somebody might write who wants more than to be read.
var hostile = []string{
	"@everyone", "#12", "!12", "GH-12", "owner/repo#12", "https://evil.example/x", "www.evil.example", "a@evil.example", "<img src=x onerror=alert(1)>",
	"</summary></details><script>", "```\n# title\n@team", "````````", "`", "``", "` `", "a`b``c", "[link](https://evil.example)", "![](https://evil.example/pixel)",
	"<!-- gitfleet -->", "\n\n/close\n", "-->", "| a | b |", `\`, `\|`, "*bold* _it_ ~~no~~", "&lt;b&gt;", "\x00\x1b[31m\x7f", "\u202eevil", "\xff\xfe", "", " ", ":tada:", "$x$",
	"\r\n> quote", "2222222222222222222222222222222222222222", "---", "@@ -1 +1 @@", "“a: b” -> \"c -> d",
}

func hostilePlan() Plan {
	p := Plan{Base: "`@base`", Head: "<b>head", Digest: "`sha256`"}
	for i, s := range hostile {
		c := Change{Cluster: s + "-1", Action: apply.Update, APIVersion: "v1", Kind: s, Namespace: s, Name: s, Placement: s, Source: s, Reason: s, Diff: s + ": " + s + " -> " + s}
		p.Changes = append(p.Changes, c)
		c.Cluster, c.Action = s+"-2", apply.Create
		p.Changes = append(p.Changes, c)
		p.Moves = append(p.Moves, Move{Placement: s, Cluster: s, Action: []string{Gain, Lose}[i%2], Reason: s})
		p.Services = append(p.Services, ServiceChange{Namespace: s, Name: s, Action: "update", Reason: s})
		p.Risks = append(p.Risks, Risk{Kind: s, Message: s})
	}
	return p
}

func refusedPlan() Plan {
	p := Plan{Head: headCommit, Errors: []render.ManifestError{
		{File: "placements/web.yaml", Document: 2, Field: "spec.policy.placementType", Message: "unknown type PickSome: want PickAll, PickFixed or PickN"},
		{File: "web", Message: "accumulating resources:\nno such file `base`"},
	}}
	for _, s := range hostile {
		p.Errors = append(p.Errors, render.ManifestError{File: s, Document: 1, Field: s, Message: s})
	}
	return p
}

func TestPlanMarkdown(t *testing.T) {
	tests := []struct {
		name, reason string
		plan         Plan
		options      MarkdownOptions
	}{
		{"one-object-on-100-clusters", "the same change is told once", onePlan(), MarkdownOptions{Title: "Three replicas of shop", URL: "https://gitfleet.example/plans/12"}},
		{"500-objects-on-3-clusters", "everything fits, or it is said what does not", manyPlan(4), MarkdownOptions{Offline: true}},
		{"long-diffs", "diffs go before names", manyPlan(40), MarkdownOptions{}},
		{"risks", "risks, moves and services are seen first", riskyPlan(), MarkdownOptions{Offline: true}},
		{"errors", "every mistake is told with file, document and field", refusedPlan(), MarkdownOptions{}},
		{"nothing", "nothing is told in one line", Plan{Base: baseCommit, Head: headCommit, Digest: planDigest}, MarkdownOptions{Title: "Comments", Offline: true}},
		{"hostile", "what people wrote is only read", hostilePlan(), MarkdownOptions{Title: "`</summary> @all", URL: "javascript:alert(1)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.plan.Markdown(LongestComment, tt.options)
			if len(got) > LongestComment {
				t.Errorf("%d bytes, more than a forge takes", len(got))
			}
			checkHarmless(t, got)
			path := filepath.Join("testdata", "plan", tt.name+".md")
			if *updatePlans {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}
