package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// previewOf returns what l foresees of documents.
func previewOf(t *testing.T, l *Loop, commit string, documents ...string) report.Plan {
	t.Helper()
	desired := desiredOf(t, documents...)
	desired.Revision.Commit = commit
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

	if got := lines(previewOf(t, l, "same", base...)); got != "" {
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
	if got := sortedLines(lines(previewOf(t, l, "head", head...))); got != sortedLines(want) {
		t.Errorf("got\n%s\nwant\n%s", got, sortedLines(want))
	}

	west.set(func() { west.phase = fleet.Unreachable })
	await(t, l, "west is away", func(r report.Report) bool { return r.Members[1].Joined == unknown })
	got := lines(previewOf(t, l, "head", head...))
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
	got := lines(previewOf(t, l, "head", append(slices.Clone(base), gadget, orphan, hooked)...))
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
	if got := lines(previewOf(t, l, "again", both...)); got != "" {
		t.Errorf("west holds all that it returns for, and the plan is\n%s", got)
	}
	stop()

	east.set(func() { east.phase, east.complete = fleet.Unreachable, false })
	l, _ = startLoop(t, repo, clusters, t.TempDir(), visit)
	head := append(slices.Clone(both[:1]), ns("web"), placeOn("web", "e"), config("web", "a", "2"))
	const want = "east update ConfigMap web/a web: changed data.value: \"1\" -> \"2\"\nrisk Unseen: member east was planned from Git alone: no answer"
	if got := lines(previewOf(t, l, "changed", head...)); got != want {
		t.Errorf("with east out of reach all along got\n%s\nwant\n%s", got, want)
	}
}

// TestPreviewIsNotScheduledByTheLoop: a wish that cannot even be scheduled costs the loop a look at the members, and nothing else.
func TestPreviewIsNotScheduledByTheLoop(t *testing.T) {
	east, repo := newCluster("east"), &repository{}
	base := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e")}
	repo.push("base", base...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("base"))
	impossible := &wish{Desired: &render.Desired{Placements: []render.Placement{{}}}} // whoever schedules it panics
	v, err := l.survey(t.Context(), impossible)
	if err != nil {
		t.Fatal(err)
	}
	if v.wish != impossible || len(v.remembered) != 1 {
		t.Errorf("the survey is for %+v with %d decisions, want those of what is in force", v.wish, len(v.remembered))
	}
	repo.push("next", append(slices.Clone(base), config("web", "a", "1"))...)
	await(t, l, "the next commit", convergedOn("next"))
}

// TestPreviewEndsWithItsContext also while it schedules and compares.
func TestPreviewEndsWithItsContext(t *testing.T) {
	east, repo := newCluster("east"), &repository{}
	documents := []string{memberCluster("east", "e"), ns("web"), placeOn("web", "e"), config("web", "a", "1")}
	repo.push("base", documents...)
	l, _ := startLoop(t, repo, fakeFleet{"east": east}, t.TempDir())
	await(t, l, "the first commit", convergedOn("base"))
	desired := desiredOf(t, documents...)
	v, err := l.survey(t.Context(), newWish(desired))
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.prospect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for name, work := range map[string]func() error{
		"scheduling":          func() error { _, err := v.prospect(ended); return err },
		"planning":            func() error { _, err := p.plan(ended); return err },
		"planning from Git":   func() error { _, err := planFromGit(ended, p.before, p.after, nil); return err },
		"deciding everything": func() error { _, err := decideAll(ended, desired, v.candidates, nil); return err },
	} {
		if err := work(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s goes on when nobody waits for it: %v", name, err)
		}
	}
}

// TestPreviewOfAMemberThatFails: of one that hangs, or goes away while it is asked, the plan says so, and what Git tells of it; the
// others are shown as they answer. Time is that of the test.
func TestPreviewOfAMemberThatFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		asked func() func(context.Context, api.Ref) error
		want  string
		limit time.Duration // a second round may have begun before the first has ended in silence
	}{
		{"it hangs", func() func(context.Context, api.Ref) error {
			return func(ctx context.Context, _ api.Ref) error { <-ctx.Done(); return ctx.Err() }
		}, "member east: planned from Git alone in part: it did not answer in time", 2*answerLimit + time.Second},
		{"it goes away in the middle", func() func(context.Context, api.Ref) error {
			var answered atomic.Int32
			return func(context.Context, api.Ref) error {
				if answered.Add(1) > 10 {
					return errors.New("connection refused")
				}
				return nil
			}
		}, "member east: planned from Git alone in part: connection refused", time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				east, west, repo := newCluster("east"), newCluster("west"), &repository{}
				base := []string{memberCluster("east", "e"), memberCluster("west", "e"), ns("web"), placeOn("web", "e")}
				head := slices.Clone(base)
				for i := range 40 { // more than are asked at once
					base = append(base, config("web", fmt.Sprint("c", i), "1"))
					head = append(head, config("web", fmt.Sprint("c", i), "2"))
				}
				repo.push("base", base...)
				l, stop := startLoop(t, repo, fakeFleet{"east": east, "west": west}, t.TempDir())
				defer stop()
				await(t, l, "the first commit", convergedOn("base"))
				live, after := object(t, config("web", "c0", "1")), object(t, config("web", "c0", "two"))
				west.set(func() { west.previews = map[api.Ref]apply.Preview{api.RefOf(live): {Live: live, After: after}} })
				east.set(func() { east.asked = tc.asked() })

				began := time.Now()
				plan := previewOf(t, l, "head", head...)
				if took := time.Since(began); took > tc.limit {
					t.Errorf("it took %s, want at most %s", took, tc.limit)
				}
				if got := len(plan.Changes); got != 80 {
					t.Errorf("%d changes are planned, want 40 on each member", got)
				}
				want := []report.Risk{{Kind: report.RiskUnseen, Message: tc.want}}
				if !slices.Equal(plan.Risks, want) {
					t.Errorf("risks are %+v, want %+v", plan.Risks, want)
				}
				if text := lines(plan); !strings.Contains(text, `west update ConfigMap web/c0 web: changed data.value: "1" -> two`) {
					t.Errorf("what west answered is not in the plan:\n%s", text)
				}
			})
		})
	}
}

func sortedLines(text string) string {
	list := strings.Split(text, "\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}
