package placement

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

var update = flag.Bool("update", false, "rewrite the expected decisions in testdata")

// TestStories runs testdata/*.txtar. In a story the files follow one another in time: placement.yaml, members.yaml (labels
// by name) and reports.yaml (what else is known of members, by name) set the stage, and each decision.txt is what must be
// decided then, on the assignment of the decision before it.
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories in testdata (%v)", err)
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) { runStory(t, story) })
	}
}

// report is what a story knows of a member besides its labels.
type report struct {
	Properties map[string]string `json:"properties"`
	Taints     []string          `json:"taints"` // key=value
	Ineligible string            `json:"ineligible"`
}

func runStory(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p v1beta1.ClusterResourcePlacement
	var members map[string]map[string]string
	var reports map[string]report
	var held Assignment
	random := rand.New(rand.NewPCG(1, 2))
	for i, file := range archive.Files {
		switch filepath.Base(file.Name) {
		case "placement.yaml":
			p = v1beta1.ClusterResourcePlacement{}
			parse(t, file, &p)
		case "members.yaml":
			members = nil
			parse(t, file, &members)
		case "reports.yaml":
			reports = nil
			parse(t, file, &reports)
		case "decision.txt":
			var candidates []Candidate
			for name, labels := range members {
				r := reports[name]
				candidates = append(candidates, Candidate{Name: name, Labels: labels, Properties: r.Properties, Taints: taints(r.Taints...), Ineligible: r.Ineligible})
			}
			d := Decide(Placement{Name: p.Name, Policy: p.Spec.Policy}, held, candidates, noon)
			got := describeDecision(d)
			if again := describeDecision(Decide(Placement{Name: p.Name, Policy: p.Spec.Policy}, held, shuffled(random, candidates), noon)); again != got {
				t.Errorf("%s: the order of members matters (-first +shuffled):\n%s", file.Name, cmp.Diff(got, again))
			}
			if diff := cmp.Diff(string(file.Data), got); diff != "" && !*update {
				t.Errorf("%s (-want +got):\n%s", file.Name, diff)
			}
			archive.Files[i].Data = []byte(got)
			held = d.Assignment
		default:
			t.Fatalf("%s: a story holds placement.yaml, members.yaml, reports.yaml and decision.txt only", file.Name)
		}
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func parse(t *testing.T, file txtar.File, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(file.Data, into); err != nil {
		t.Fatalf("%s: %v", file.Name, err)
	}
}

func describeDecision(d Decision) string {
	lines := verdicts(d)
	for i, v := range d.Verdicts {
		if v.Score != (Score{}) {
			mark, reason, _ := strings.Cut(lines[i], ": ")
			lines[i] = fmt.Sprintf("%s (affinity %d, spread %d): %s", mark, v.Affinity, v.TopologySpread, reason)
		}
	}
	return fmt.Sprintf("Scheduled %s %s: %s\nunfilled %d\n%s\n", d.Scheduled.Status, d.Scheduled.Reason, d.Scheduled.Message,
		d.Unfilled, strings.Join(lines, "\n"))
}
