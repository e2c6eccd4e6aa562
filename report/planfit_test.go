package report

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
)

// randomPlan is a plan of any size, with anything in it.
func randomPlan(r *rand.Rand) Plan {
	word := func(prefix string, of int) string {
		if r.IntN(30) == 0 {
			return hostile[r.IntN(len(hostile))]
		}
		return fmt.Sprintf("%s-%d", prefix, r.IntN(of))
	}
	upTo := func() int { return r.IntN(1 << r.IntN(11)) }
	sizes := 1 << r.IntN(7)
	p := Plan{Base: baseCommit, Head: headCommit, Digest: planDigest}
	for range upTo() {
		c := Change{Action: []apply.Action{apply.Create, apply.Update, apply.Delete}[r.IntN(3)], APIVersion: "apps/v1", Kind: word("Kind", sizes),
			Namespace: word("ns", sizes), Name: word("name", sizes), Placement: word("placement", sizes), Source: "a.yaml#1", Reason: word("because", sizes)}
		if c.Action == apply.Update {
			c.Diff = strings.Repeat("spec.replicas: 1 -> 2\n", upTo()/10) + "spec.paused: (none) -> true"
		}
		for range r.IntN(4) + 1 {
			c.Cluster = word("cluster", sizes)
			p.Changes = append(p.Changes, c)
		}
	}
	for range upTo() {
		p.Moves = append(p.Moves, Move{word("placement", sizes), word("cluster", sizes), []string{Gain, Lose}[r.IntN(2)], word("because", sizes)})
	}
	for range upTo() / 4 {
		p.Services = append(p.Services, ServiceChange{word("ns", sizes), word("service", sizes), "update", strings.Repeat(word("because", sizes), upTo())})
	}
	for range upTo() / 4 {
		p.Risks = append(p.Risks, Risk{riskWords[r.IntN(len(riskWords))].kind, strings.Repeat(word("message", sizes), upTo())})
	}
	if r.IntN(5) == 0 {
		for range upTo() {
			p.Errors = append(p.Errors, render.ManifestError{File: word("file", sizes), Document: r.IntN(3), Message: word("message", sizes)})
		}
	}
	return p
}

var tableRow = regexp.MustCompile(`(?m)^\| (.*) \| (\d+) \| (\d+) \| (\d+) \|$`)

func TestMarkdownFits(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		p := randomPlan(r)
		limit := []int{0, 1, 40, 200, 1000, 5000, 20000, LongestComment}[r.IntN(8)]
		got := p.Markdown(limit, MarkdownOptions{Title: hostile[r.IntN(len(hostile))]})
		if len(got) > limit {
			t.Fatalf("seed %d: %d bytes for a limit of %d", seed, len(got), limit)
		}
		if limit >= 5000 {
			checkHarmless(t, got)
			checkCounted(t, p, got)
		}
		if t.Failed() {
			t.Fatalf("seed %d, limit %d:\n%s", seed, limit, got)
		}
	}
}

// checkCounted wants every risk, move and change of p to be in the figures of its comment.
func checkCounted(t *testing.T, p Plan, comment string) {
	t.Helper()
	x := extentOf(p)
	for _, want := range []struct {
		n    int
		text string
	}{
		{len(p.Errors), count(len(p.Errors), "error")},
		{len(p.Risks), count(len(p.Risks), "risk")},
	} {
		if want.n > 0 && !strings.Contains(comment, want.text) {
			t.Errorf("the comment does not count %s", want.text)
		}
	}
	if len(p.Errors) == 0 && !strings.Contains(comment, x.placements()) {
		t.Errorf("the comment does not say %q", x.placements())
	}
	checkRisks(t, p.Risks, comment)
	groups := groupClusters(share(p.Changes))
	want, rows := 0, 0
	for _, g := range groups {
		want += len(g.clusters) * (g.each.created + g.each.changed + g.each.deleted)
	}
	for i, row := range tableRow.FindAllStringSubmatch(comment, -1) {
		var created, changed, deleted int
		fmt.Sscan(strings.Join(row[2:], " "), &created, &changed, &deleted)
		times := 1
		if !strings.HasSuffix(row[1], ", together") {
			times = len(groups[i].clusters)
		}
		rows += times * (created + changed + deleted)
	}
	if rows != want {
		t.Errorf("the table counts %d changes, want %d", rows, want)
	}
}

// checkRisks wants every kind of risk to be listed as often as it is there, or to be counted.
func checkRisks(t *testing.T, risks []Risk, comment string) {
	t.Helper()
	of := map[int]int{}
	for _, r := range risks {
		of[r.rank()]++
	}
	for rank, n := range of {
		words := riskWords[rank].words
		if strings.Count(comment, "- **"+words+":** ") != n && !strings.Contains(comment, fmt.Sprintf("%s: %d", words, n)) {
			t.Errorf("%d times %q is neither listed nor counted", n, words)
		}
	}
}

func TestMarkdownLeavesOutWhatIsMissedLeast(t *testing.T) {
	long := manyPlan(1)
	long.Changes = append(long.Changes, Change{Cluster: "aks-001", Action: apply.Update, Kind: "Long",
		Diff: strings.Repeat("spec.a: 1 -> 2\n", 99) + "spec.b: " + strings.Repeat("x", 300) + " -> 2"})
	whole := len(long.Markdown(1<<20, MarkdownOptions{}))
	tests := []struct {
		reason     string
		plan       Plan
		limit      int
		has, lacks []string
	}{
		{"with room for everything nothing is left out", long, whole, []string{"spec.b: xxx"}, []string{"Left out"}},
		{"first the ends of long diffs go", long, whole - 1, []string{"… and 60 more fields", "60 of 530 fields of diffs"}, []string{"names of objects", "spec.b"}},
		{"then some diffs as a whole", manyPlan(40), LongestComment, []string{"shop-499", "fields\n", "… and 10 more fields", "8780 of 8880 fields of diffs"}, []string{"names of objects"}},
		{"then all diffs", manyPlan(40), 38000, []string{"shop-499", "8880 of 8880 fields of diffs"}, []string{"more field", "names of objects"}},
		{"then some names", manyPlan(40), 30000, []string{"100 of 500 names of objects", "- delete Deployment.apps team-01/shop-001", "+ create ", "! update 100 more Deployment.apps", "8880 of 8880 fields"}, nil},
		{"then all names, but not how many of which kind", manyPlan(40), 3000, []string{"500 of 500 names of objects", "+ create 25 ConfigMap"}, []string{"shop-"}},
		{"then the ends of lists", hostilePlan(), 4000, []string{"risks", "more clusters, together"}, nil},
	}
	for _, tt := range tests {
		got := tt.plan.Markdown(tt.limit, MarkdownOptions{})
		for _, want := range tt.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s: want %q in\n%s", tt.reason, want, shorten(got, 3000))
			}
		}
		for _, not := range tt.lacks {
			if strings.Contains(got, not) {
				t.Errorf("%s: want no %q in\n%s", tt.reason, not, shorten(got, 3000))
			}
		}
		if strings.Contains(got, "Left out") != strings.Contains(got, "`gitfleet plan --kubeconfig FILE --base "+tt.plan.Base) && tt.plan.Base == baseCommit {
			t.Errorf("%s: what is left out comes with the command that shows it:\n%s", tt.reason, shorten(got, 3000))
		}
	}
}

func TestPlanSummary(t *testing.T) {
	risky := riskyPlan()
	tests := []struct {
		reason string
		plan   Plan
		want   string
	}{
		{"one object is one, however many clusters", onePlan(), "1 changed on 100 clusters"},
		{"the clusters are told once where they are the same", manyPlan(2), "50 created, 430 changed, 20 deleted on 3 clusters"},
		{"the clusters are told for each where they differ", risky,
			"1 created on 1 cluster, 1 changed on 3 clusters, 1 deleted on 1 cluster; 2 services; 8 risks; waits for confirmation"},
		{"nothing is told too", Plan{Risks: []Risk{{Kind: RiskUnseen}}}, "nothing changes; 1 risk"},
		{"of errors the first is told", refusedPlan(),
			"40 errors: placements/web.yaml: document 2: spec.policy.placementType: unknown type PickSome: want PickAll, PickFixed or PickN"},
	}
	for _, tt := range tests {
		if got := tt.plan.Summary(); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.reason, got, tt.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	tests := []struct {
		reason, text string
		limit        int
		want         string
	}{
		{"what fits stays", "one two", 7, "one two"},
		{"the cut is at a word", "one two three", 12, "one two…"},
		{"a word that just fits stays", "one two three", 8, "one two…"},
		{"a mark before the cut goes", "one two, three four", 11, "one two…"},
		{"a long word is cut", "one abcdefghijklmnop", 10, "one abcde…"},
		{"characters count, not bytes", "äöü äöü", 7, "äöü äöü"},
		{"it is one line", "one\n\ttwo", 20, "one two"},
		{"it drives no terminal", "a\x1bb", 20, "a␛b"},
		{"it is UTF-8", "a\xffb", 20, "a\uFFFDb"},
		{"no room", "one", 0, ""},
		{"hardly any room", "one", 1, "…"},
	}
	for _, tt := range tests {
		if got := Describe(tt.text, tt.limit); got != tt.want {
			t.Errorf("%s: %q cut to %d is %q, want %q", tt.reason, tt.text, tt.limit, got, tt.want)
		}
	}
}

func TestSidesOf(t *testing.T) {
	tests := []struct {
		reason, field string
		want          []string
	}{
		{"a change has two sides", "spec.replicas: 1 -> 2", []string{"-     spec.replicas: 1", "+     spec.replicas: 2"}},
		{"what is new has one", "spec.paused: (none) -> true", []string{"+     spec.paused: true"}},
		{"what goes has one", "spec.paused: true -> (none)", []string{"-     spec.paused: true"}},
		{"separators in quotes do not separate", `data["a: b"]: "\"c -> d: " -> "e -> f"`, []string{`-     data["a: b"]: "\"c -> d: "`, `+     data["a: b"]: "e -> f"`}},
		{"what is no such line stays whole", "whatever", []string{"!     whatever"}},
		{"neither does a value that was cut", `a: "{\"b -> c… -> d`, []string{`!     a: "{\"b -> c… -> d`}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, sidesOf(tt.field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

func TestWebAddress(t *testing.T) {
	tests := []struct{ address, want string }{
		{"https://gitfleet.example/plans/12?a=b#c", "https://gitfleet.example/plans/12?a=b#c"},
		{"http://127.0.0.1:8765/", "http://127.0.0.1:8765/"},
		{"javascript://evil.example/%0aalert(1)", ""},
		{"/plans/12", ""},
		{"https://", ""},
		{"https://a.example/> <img>", "https://a.example/%3E%20%3Cimg%3E"},
		{"https://a.example/\n", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := webAddress(tt.address); got != tt.want {
			t.Errorf("%q is written %q, want %q", tt.address, got, tt.want)
		}
	}
}

func FuzzMarkdownIsHarmless(f *testing.F) {
	for i, s := range hostile {
		f.Add(s, hostile[(i+1)%len(hostile)], LongestComment)
		f.Add(s, s, 2000)
		f.Add(s, s, 60)
	}
	f.Fuzz(func(t *testing.T, a, b string, limit int) {
		limit = min(max(limit, 0), LongestComment)
		p := hostilePlan()
		p.Base, p.Head, p.Digest = a, b, b
		p.Changes = []Change{
			{Cluster: a, Action: apply.Update, APIVersion: b, Kind: a, Namespace: b, Name: a, Placement: b, Source: a, Reason: b, Diff: a + ": " + b + " -> " + a},
			{Cluster: b, Action: apply.Delete, APIVersion: a, Kind: b, Namespace: a, Name: b, Placement: a, Source: b, Reason: a},
		}
		p.Moves = []Move{{Placement: a, Cluster: b, Action: Gain, Reason: a}}
		p.Services = []ServiceChange{{Namespace: a, Name: b, Action: "create", Reason: a}}
		p.Risks = []Risk{{Kind: a, Message: b}, {Kind: RiskConfirm, Message: a}}
		got := p.Markdown(limit, MarkdownOptions{Title: a, URL: b})
		if len(got) > limit {
			t.Errorf("%d bytes for a limit of %d", len(got), limit)
		}
		checkHarmless(t, got)
		p.Errors = []render.ManifestError{{File: a, Document: 1, Field: b, Message: a}, {File: b, Message: b}}
		checkHarmless(t, p.Markdown(limit, MarkdownOptions{Title: b, URL: a}))
		if s := p.Summary(); utf8.RuneCountInString(s) > LongestDescription || strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("no description of a status: %q", s)
		}
	})
}
