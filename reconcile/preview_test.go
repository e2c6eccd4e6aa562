package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// previewOf returns what l foresees of documents.
func previewOf(t *testing.T, l *Loop, repo *repository, commit string, documents ...string) report.Plan {
	t.Helper()
	repo.mu.Lock()
	repo.commits[commit] = documents
	repo.mu.Unlock()
	objects, err := repo.Build(t.Context(), source.Snapshot{Revision: source.Revision{Commit: commit}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	desired, err := render.Compose(source.Revision{Commit: commit}, objects)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := l.Preview(t.Context(), desired)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// lines prints the changes of a plan, and then its risks.
func lines(p report.Plan) string {
	var out []string
	for _, c := range p.Changes {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s: %s %s", c.Cluster, c.Action, c.Ref(), c.Placement, c.Reason, strings.TrimSpace(c.Diff))))
	}
	for _, r := range p.Risks {
		out = append(out, "risk "+r.Kind+": "+r.Message)
	}
	return strings.Join(out, "\n")
}

func object(t *testing.T, document string) *unstructured.Unstructured {
	t.Helper()
	objects, err := (&repository{commits: map[string][]string{"c": {document}}}).Build(t.Context(), source.Snapshot{Revision: source.Revision{Commit: "c"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return objects[0].Unstructured
}

// TestPreview tells from what members show and answer what a commit changes, and what would be left as it is.
func TestPreview(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	members := []string{memberCluster("east", "e"), memberCluster("west", "e")}
	base := append(slices.Clone(members), ns("web"), placeOn("web", "e"), config("web", "a", "1"), config("web", "b", "1"), config("web", "gone", "1"))
	repo.push("base", base...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
	await(t, l, "the first commit", convergedOn("base"))
	plans := len(east.plans)

	if got := lines(previewOf(t, l, repo, "same", base...)); got != "" {
		t.Errorf("the commit in force changes something:\n%s", got)
	}

	live, after := object(t, config("web", "b", "1")), object(t, config("web", "b", "2"))
	foreign := object(t, config("web", "new", "theirs"))
	east.set(func() {
		east.previews = map[api.Ref]apply.Preview{
			api.RefOf(live):    {Live: live, After: after},
			api.RefOf(foreign): {Live: foreign, After: object(t, config("web", "new", "1"))},
		}
		delete(east.objects, api.RefOf(object(t, config("web", "a", "1"))))
	})
	west.set(func() {
		west.previews = map[api.Ref]apply.Preview{api.RefOf(foreign): {Refused: &apply.RefusedError{Ref: api.RefOf(foreign), Verb: "patch", Actor: apply.Author, Message: "denied by policy"}}}
	})
	head := append(slices.Clone(members), ns("web"), placeOn("web", "e"), config("web", "a", "1"), config("web", "b", "2"), config("web", "new", "1"))
	want := `east update ConfigMap web/b web: changed data.value: "1" -> "2"
east update ConfigMap web/new web: new object; it exists there already, and is adopted
east delete ConfigMap web/gone web: no longer rendered
west update ConfigMap web/b web: changed data.value: "1" -> "2"
west create ConfigMap web/new web: new object
west delete ConfigMap web/gone web: no longer rendered
risk Adopt: ConfigMap web/new on east: exists there, and gitfleet did not create it: it is adopted, and what the manifest names is overwritten
risk Refused: ConfigMap web/new on west: denied by policy`
	if got := sortedLines(lines(previewOf(t, l, repo, "head", head...))); got != sortedLines(want) {
		t.Errorf("got\n%s\nwant\n%s", got, sortedLines(want))
	}

	west.set(func() { west.phase = fleet.Unreachable })
	await(t, l, "west is away", func(r report.Report) bool { return r.Members[1].Joined == unknown })
	got := lines(previewOf(t, l, repo, "head", head...))
	for _, line := range []string{"west delete ConfigMap web/gone web: no longer rendered", "risk Unseen: member west was planned from Git alone: no answer"} {
		if !strings.Contains(got, line) {
			t.Errorf("with west away there is no line %q in\n%s", line, got)
		}
	}
	if len(east.plans) > plans+1 { // one for the object that was deleted there
		t.Errorf("planning ahead made east be planned: %q", east.plans[plans:])
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := l.Preview(ended, &render.Desired{}); err == nil {
		t.Error("a preview that nobody waits for has no error")
	}
}

func sortedLines(text string) string {
	list := strings.Split(text, "\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}
