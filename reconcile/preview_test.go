package reconcile

import (
	"context"
	"errors"
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

// TestPreviewOfWhatCannotBe: what lacks its namespace or its definition is refused unless that comes along, and what was never there
// is not deleted.
func TestPreviewOfWhatCannotBe(t *testing.T) {
	east := newCluster("east")
	repo := &repository{}
	base := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("base", append(slices.Clone(base), config("web", "never", "1"))...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("base"))
	ref := func(document string) api.Ref { return api.RefOf(object(t, document)) }
	const gadget = "{apiVersion: example.com/v1, kind: Gadget, metadata: {namespace: web, name: gadget}}"
	never, orphan, hooked := config("web", "never", "1"), config("web", "orphan", "1"), config("web", "hooked", "1")
	east.set(func() {
		delete(east.objects, ref(never)) // the inventory lists it, but no API server ever took it
		parent := east.parents["web"]
		parent.Items = slices.Clone(parent.Items)
		for i := range parent.Items {
			if parent.Items[i].Ref == ref(never) {
				parent.Items[i].UID, parent.Items[i].EntryHash = "", ""
			}
		}
		east.parents["web"] = parent
		east.refuse = errors.New("refused")
		east.previews = map[api.Ref]apply.Preview{
			ref(gadget): {Unasked: "the member does not serve the kind", Lacks: "CustomResourceDefinition"},
			ref(orphan): {Unasked: "its namespace is not there", Lacks: "Namespace"},
			ref(hooked): {Unasked: "an admission webhook of the member takes no dry runs"},
		}
	})
	want := `east create ConfigMap web/hooked web: new object
east create ConfigMap web/orphan web: new object
east create Gadget.example.com web/gadget web: new object
risk Refused: Gadget.example.com web/gadget on east: the member does not serve the kind, and nothing brings it there
risk Unseen: ConfigMap web/hooked on east: planned from Git alone: an admission webhook of the member takes no dry runs`
	got := lines(previewOf(t, l, repo, "head", append(slices.Clone(base), gadget, orphan, hooked)...))
	if sortedLines(got) != sortedLines(want) {
		t.Errorf("got\n%s\nwant\n%s", sortedLines(got), sortedLines(want))
	}
}

// TestPreviewOfANewcomer: who only looks also looks at members that are new in a commit, and one that is out of reach holds what Git
// says.
func TestPreviewOfANewcomer(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	both := []string{memberCluster("east", "e"), memberCluster("west", "e"), ns("web"), placeOn("web", "e"), config("web", "a", "1")}
	repo.push("both", both...)
	clusters := fakeFleet{"east": east, "west": west}
	first, stop := startLoop(t, repo, clusters, t.TempDir())
	await(t, first, "the first commit", convergedOn("both"))
	repo.push("one", append(slices.Clone(both[:1]), both[2:]...)...)
	await(t, first, "west has left", convergedOn("one"))
	stop()
	for _, c := range clusters {
		c.set(func() { c.claim = errors.New("only looked at") })
	}
	visit := func(o *Options) { o.Visits = []string{"east", "west"} }
	l, stop := startLoop(t, repo, clusters, t.TempDir(), visit)
	if got := lines(previewOf(t, l, repo, "again", both...)); got != "" {
		t.Errorf("west holds all that it returns for, and the plan is\n%s", got)
	}
	stop()

	east.set(func() { east.phase, east.complete = fleet.Unreachable, false })
	l, _ = startLoop(t, repo, clusters, t.TempDir(), visit)
	head := append(slices.Clone(both[:1]), ns("web"), placeOn("web", "e"), config("web", "a", "2"))
	const want = "east update ConfigMap web/a web: changed data.value: \"1\" -> \"2\"\nrisk Unseen: member east was planned from Git alone: no answer"
	if got := lines(previewOf(t, l, repo, "changed", head...)); got != want {
		t.Errorf("with east out of reach all along got\n%s\nwant\n%s", got, want)
	}
}

func sortedLines(text string) string {
	list := strings.Split(text, "\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}
