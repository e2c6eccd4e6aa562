package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

func onlyWhatChangedIsWritten(t *testing.T, c cluster) {
	m := c.member(t, nil)
	first := wish(t, "few", "aaa", namespace("few"), configMap("few", "a", "1"), configMap("few", "b", "1"))
	m.converge(t, first)
	again := first
	again.Revision = "bbb"
	if sent := m.converge(t, again); len(sent) > 0 {
		t.Errorf("a commit that renders the same sent %v", sent)
	}
	changed := wish(t, "few", "ccc", namespace("few"), configMap("few", "a", "2"), configMap("few", "b", "1"))
	want := []string{"PATCH /api/v1/namespaces/few/configmaps/a", "PUT /api/v1/namespaces/gitfleet-system/configmaps/applyset-few"}
	if diff := cmp.Diff(want, m.converge(t, changed)); diff != "" {
		t.Errorf("one changed object (-want +sent):\n%s", diff)
	}
	if sent := c.member(t, nil).converge(t, changed); len(sent) > 0 {
		t.Errorf("a restart sent %v", sent)
	}
	for range 20 {
		m.plan(changed)
	}
	if requests := m.proxy.Requests(); len(requests) > 0 {
		t.Errorf("looking at a converged member made requests: %v", requests)
	}
	c.patch(t, "few", "a", `{"data":{"key":"theirs"}}`)
	eventually(t, "drift is seen", func(context.Context) error {
		if m.plan(changed).Empty() {
			return errors.New("the plan is empty")
		}
		return nil
	})
	want = []string{"PATCH /api/v1/namespaces/few/configmaps/a (dry run)", "PATCH /api/v1/namespaces/few/configmaps/a"}
	if diff := cmp.Diff(want, m.converge(t, changed)); diff != "" {
		t.Errorf("one drifted object (-want +sent):\n%s", diff)
	}
}

func repairsAreDamped(t *testing.T, c cluster) {
	m := c.member(t, nil)
	set := wish(t, "damped", "1", namespace("damped"), configMap("damped", "a", "1"))
	m.converge(t, set)
	for i := range 2 {
		c.patch(t, "damped", "a", fmt.Sprintf(`{"data":{"key":"theirs %d"}}`, i))
		eventually(t, "drift is seen", func(context.Context) error {
			if len(m.plan(set).Sets) == 0 {
				return errors.New("the plan has no set")
			}
			return nil
		})
		if i == 0 {
			m.converge(t, set)
		}
	}
	plan := m.plan(set)
	if at, ok := plan.Wake(); !ok || !plan.Empty() {
		t.Errorf("the second repair within a second is not held (wake %v): %s", at, plan)
	}
}

func existingObjectsAreAdopted(t *testing.T, c cluster) {
	m := c.member(t, nil)
	m.converge(t, wish(t, "adopt-ns", "1", namespace("adopt")))
	theirs := object(t, configMap("adopt", "a", "theirs"))
	set(t, theirs, "kept", "data", "more")
	before := must(c.configMaps("adopt").Create(t.Context(), theirs, metav1.CreateOptions{FieldManager: "foreigner"}))(t)
	other := must(c.configMaps("adopt").Create(t.Context(), object(t, configMap("adopt", "other", "1")), metav1.CreateOptions{}))(t)
	out := m.outcomes(t, wish(t, "adopt", "1", configMap("adopt", "a", "ours"), configMap("adopt", "new", "1")))
	if note := out["ConfigMap a"].Note; !strings.Contains(note, "adopted") {
		t.Errorf("the outcome of an object that was there says %q, want adopted", note)
	}
	if note := out["ConfigMap new"].Note; note != "" {
		t.Errorf("the outcome of a new object says %q", note)
	}
	after := must(c.configMaps("adopt").Get(t.Context(), "a", metav1.GetOptions{}))(t)
	if diff := cmp.Diff(map[string]any{"key": "ours", "more": "kept"}, after.Object["data"]); diff != "" || after.GetUID() != before.GetUID() {
		t.Errorf("adopted object: uid %s, was %s, data (-want +got):\n%s", after.GetUID(), before.GetUID(), diff)
	}
	m.converge(t, wish(t, "adopt", "2"))
	now := must(c.configMaps("adopt").Get(t.Context(), "other", metav1.GetOptions{}))(t)
	if now.GetResourceVersion() != other.GetResourceVersion() {
		t.Error("an object that no commit names was touched")
	}
}

// whatIsNotOursStays changes an object so that it is no longer ours, and then takes it out of the wish.
func whatIsNotOursStays(t *testing.T, c cluster) {
	rows := []struct{ name, patch, note string }{
		{"label-removed", `{"metadata":{"labels":{"` + partOf + `":null}}}`, "removed its label"},
		{"label-changed", `{"metadata":{"labels":{"` + partOf + `":"applyset-somebody-elses-v1"}}}`, ""},
		{"controlled", `{"metadata":{"ownerReferences":[{"apiVersion":"example.com/v1","kind":"X","name":"x","uid":"x","controller":true}]}}`, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := "foreign-" + row.name
			m := c.member(t, nil)
			m.converge(t, wish(t, n, "1", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1")))
			before := m.observer.Live().Objects[configMapRef(n, "a")]
			c.patch(t, n, "a", row.patch)
			eventually(t, "the change is seen", func(context.Context) error {
				if m.observer.Live().Objects[configMapRef(n, "a")] == before {
					return errors.New("the object looks as before")
				}
				return nil
			})
			out := m.outcomes(t, wish(t, n, "2", namespace(n), configMap(n, "b", "1")))
			if note := out["ConfigMap a"].Note; !strings.Contains(note, row.note) {
				t.Errorf("the outcome says %q, want %q", note, row.note)
			}
			if _, err := c.configMaps(n).Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
				t.Errorf("the object is gone: %v", err)
			}
			if sent := m.converge(t, wish(t, n, "2", namespace(n), configMap(n, "b", "1"))); len(sent) > 0 {
				t.Errorf("it is still worked on: %v", sent)
			}
		})
	}
}

// deletesNameWhatWasJudged has somebody change the object between our look and our delete.
func deletesNameWhatWasJudged(t *testing.T, c cluster) {
	rows := []struct {
		name  string
		patch string
		gone  bool
	}{
		{"data-changed", `{"data":{"theirs":"1"}}`, true},
		{"label-removed", `{"metadata":{"labels":{"` + partOf + `":null}}}`, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := "race-" + row.name
			m := c.member(t, nil)
			m.converge(t, wish(t, n, "1", namespace(n), configMap(n, "a", "1")))
			isDelete := func(r memfleet.Request) bool { return r.Method == http.MethodDelete && r.Name == "a" }
			m.proxy.SetRule(memfleet.Nth(1, isDelete, memfleet.Call(func(memfleet.Request) memfleet.Fault {
				c.patch(t, n, "a", row.patch)
				return memfleet.Pass()
			})))
			m.converge(t, wish(t, n, "2", namespace(n)))
			_, err := c.configMaps(n).Get(t.Context(), "a", metav1.GetOptions{})
			if apierrors.IsNotFound(err) != row.gone {
				t.Errorf("afterwards: %v; gone: want %v", err, row.gone)
			}
		})
	}
}

func definitionsComeBeforeTheirObjects(t *testing.T, c cluster) {
	m := c.member(t, nil)
	definition := strings.ReplaceAll(widgets, "example.com", "staged.example.com")
	widget := "{apiVersion: staged.example.com/v1, kind: Widget, metadata: {namespace: staged, name: w}, spec: {size: 1}}"
	set := wish(t, "staged", "1", widget, configMap("staged", "a", "1"), namespace("staged"), definition)
	m.seen(t)
	for name, out := range m.executeAll(t, m.plan(set)) {
		if out.Err != nil {
			t.Errorf("%s: %v", name, out.Err)
		}
	}
	m.converge(t, set)
	m.executeAll(t, m.plan(wish(t, "staged", "2", namespace("staged"))))
	eventually(t, "the definition is gone", func(ctx context.Context) error {
		_, err := c.client.Resource(definitions).Get(ctx, "widgets.staged.example.com", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("still there: %w", err)
	})
	c.member(t, nil).converge(t, wish(t, "staged", "3", widget, namespace("staged"), definition))
	resource := c.client.Resource(schema.GroupVersionResource{Group: "staged.example.com", Version: "v1", Resource: "widgets"})
	must(resource.Namespace("staged").Get(t.Context(), "w", metav1.GetOptions{}))(t)
}

// seen waits until the inventories are known; kinds need not be.
func (m *member) seen(t *testing.T) {
	t.Helper()
	eventually(t, "the inventories are known", func(context.Context) error {
		if !m.observer.Live().ParentsSynced {
			return errors.New("they are not")
		}
		return nil
	})
}

func (m *member) executeAll(t *testing.T, plan apply.Plan) map[string]apply.Outcome {
	t.Helper()
	result := m.executor.Execute(m.ctx, plan)
	out := map[string]apply.Outcome{}
	for set, outcomes := range result.Outcomes {
		if err := result.Errs[set]; err != nil {
			t.Errorf("set %s: %v", set, err)
		}
		for _, o := range outcomes {
			out[o.Ref.String()] = o
		}
	}
	return out
}

// aSecondWriterIsFenced has two processes manage one cluster: the one with the older view writes nothing.
func aSecondWriterIsFenced(t *testing.T, c cluster) {
	a, b := c.member(t, nil), c.member(t, nil)
	first := wish(t, "fence", "1", namespace("fence"), configMap("fence", "a", "1"))
	a.converge(t, first)
	b.converge(t, first)
	stale := b.plan(wish(t, "fence", "2", namespace("fence"), configMap("fence", "b", "1")))
	a.converge(t, wish(t, "fence", "3", namespace("fence"), configMap("fence", "a", "1"), configMap("fence", "c", "1")))
	b.sent()
	result := b.executor.Execute(b.ctx, stale)
	if _, ok := errors.AsType[*apply.FencedError](result.Errs["fence"]); !ok {
		t.Errorf("the stale plan ended with %v, want a FencedError", result.Errs["fence"])
	}
	if diff := cmp.Diff([]string{"PUT /api/v1/namespaces/gitfleet-system/configmaps/applyset-fence"}, b.sent()); diff != "" {
		t.Errorf("the stale plan (-want +sent):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "c"}, c.labelled(t, "fence")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func oneFailureStopsNothingElse(t *testing.T, c cluster) {
	m := c.member(t, nil)
	m.converge(t, wish(t, "part", "1", namespace("part"), configMap("part", "old", "1"), configMap("part", "stuck", "1")))
	next := wish(t, "part", "2", namespace("part"), configMap("part", "a", "1"), configMap("part", "bad", "1"))
	m.proxy.SetRule(func(r memfleet.Request) memfleet.Fault {
		if r.Name == "bad" || r.Name == "stuck" {
			return memfleet.Answer(http.StatusInternalServerError)
		}
		return memfleet.Pass()
	})
	out := m.outcomes(t, next)
	for name, fails := range map[string]bool{"ConfigMap a": false, "ConfigMap bad": true, "ConfigMap old": false, "ConfigMap stuck": true} {
		if got := out[name].Err != nil; got != fails {
			t.Errorf("%s: error %v, want one: %v", name, out[name].Err, fails)
		}
	}
	items := string(must(c.inventory(t, "part").MarshalJSON())(t))
	for name, listed := range map[string]bool{"a": true, "bad": true, "old": false, "stuck": true} {
		if got := strings.Contains(items, `\"name\":\"`+name+`\"`); got != listed {
			t.Errorf("%s is in the inventory: %v, want %v", name, got, listed)
		}
	}
	m.proxy.SetRule(nil)
	m.converge(t, next)
	if diff := cmp.Diff([]string{"a", "bad"}, c.labelled(t, "part")); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
}

func anUnreachableMemberForgetsNothing(t *testing.T, c cluster) {
	m := c.member(t, nil)
	m.converge(t, wish(t, "away", "1", namespace("away"), configMap("away", "a", "1"), configMap("away", "b", "1")))
	next := wish(t, "away", "2", namespace("away"), configMap("away", "a", "2"))
	plan := m.plan(next)
	m.proxy.SetDown(true)
	eventually(t, "the session notices", func(context.Context) error {
		if m.session.State().Phase != fleet.Unreachable {
			return errors.New("it does not")
		}
		return nil
	})
	result := m.executor.Execute(m.ctx, plan)
	var unreachable *fleet.UnreachableError
	for name, outcomes := range result.Outcomes {
		for _, o := range outcomes {
			if !errors.As(o.Err, &unreachable) {
				t.Errorf("set %s: %s: %v, want an UnreachableError", name, o.Ref, o.Err)
			}
		}
	}
	if unreachable == nil || result.Errs["away"] == nil {
		t.Errorf("the result does not tell that the member is unreachable: %+v", result)
	}
	live := m.observer.Live()
	if _, ok := live.Objects[configMapRef("away", "b")]; !ok || live.Complete {
		t.Errorf("while it is away: complete %v, known objects %d", live.Complete, len(live.Objects))
	}
	m.proxy.SetDown(false)
	m.converge(t, next)
	if diff := cmp.Diff([]string{"a"}, c.labelled(t, "away")); diff != "" {
		t.Errorf("when it is back (-want +got):\n%s", diff)
	}
}

func configMapRef(namespace, name string) api.Ref {
	return api.Ref{Kind: "ConfigMap", Namespace: namespace, Name: name}
}
