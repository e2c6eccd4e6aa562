package kube

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// story is a wish that replaces another; n makes its names its own, so that many can be told on one API server.
type story struct {
	name          string
	before, after func(t *testing.T, n string) []apply.Set
	want          []string // ConfigMaps with our label afterwards, in the story's namespace
	keep          []string // ConfigMaps that must still be the same object
}

var stories = []story{
	{name: "create",
		before: func(*testing.T, string) []apply.Set { return nil },
		after: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "web-"+n, "2", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1"))}
		},
		want: []string{"a", "b"}},
	{name: "change-add-and-prune",
		before: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "web-"+n, "1", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1"), configMap(n, "old", "1"))}
		},
		after: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "web-"+n, "2", namespace(n), configMap(n, "a", "2"), configMap(n, "b", "1"), configMap(n, "new", "1"))}
		},
		want: []string{"a", "b", "new"}, keep: []string{"a", "b"}},
	{name: "hand-over-to-a-renamed-placement",
		before: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "web-"+n, "1", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1"))}
		},
		after: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "web-"+n, "2"), wish(t, "shop-"+n, "2", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1"))}
		},
		want: []string{"a", "b"}, keep: []string{"a", "b"}},
	{name: "swap-between-two-placements",
		before: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "x-"+n, "1", namespace(n), configMap(n, "a", "1")), wish(t, "y-"+n, "1", configMap(n, "b", "1"))}
		},
		after: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "x-"+n, "2", namespace(n), configMap(n, "b", "1")), wish(t, "y-"+n, "2", configMap(n, "a", "1"))}
		},
		want: []string{"a", "b"}, keep: []string{"a", "b"}},
	{name: "leave-the-cluster",
		before: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "ns-"+n, "1", namespace(n)), wish(t, "web-"+n, "1", configMap(n, "a", "1"), configMap(n, "b", "1"))}
		},
		after: func(t *testing.T, n string) []apply.Set {
			return []apply.Set{wish(t, "ns-"+n, "1", namespace(n)), wish(t, "web-"+n, "2")}
		}},
}

// killedAfterEveryWrite kills the process after its k-th write, for every k, and has a new one find its way.
func killedAfterEveryWrite(t *testing.T, c cluster) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			k := 1
			for story.cutAt(t, c, k) {
				k++
			}
			if k < 4 {
				t.Errorf("only %d writes were cut", k-1)
			}
		})
	}
}

// cutAt tells the story with a cut at the k-th write, and reports whether there was one.
func (y story) cutAt(t *testing.T, c cluster, k int) (cut bool) {
	n := fmt.Sprintf("%s-%d", y.name, k)
	first := c.member(t, nil)
	first.converge(t, y.before(t, n)...)
	uids := map[string]types.UID{}
	for _, name := range y.keep {
		uids[name] = must(c.configMaps(n).Get(t.Context(), name, metav1.GetOptions{}))(t).GetUID()
	}
	first.killAt(k)
	first.converge(t, y.after(t, n)...)
	first.close()

	next := c.member(t, nil)
	next.converge(t, y.after(t, n)...)
	if sent := next.converge(t, y.after(t, n)...); len(sent) > 0 {
		t.Errorf("cut %d: converged, and yet sent %v", k, sent)
	}
	next.close()
	y.check(t, c, n, uids)
	return first.killed.Load()
}

func (y story) check(t *testing.T, c cluster, n string, uids map[string]types.UID) {
	t.Helper()
	if diff := cmp.Diff(y.want, c.labelled(t, n)); diff != "" {
		t.Errorf("%s: labelled ConfigMaps (-want +got):\n%s", n, diff)
	}
	for name, uid := range uids {
		if u := must(c.configMaps(n).Get(t.Context(), name, metav1.GetOptions{}))(t); u.GetUID() != uid {
			t.Errorf("%s: %s was deleted and made again", n, name)
		}
	}
	for _, set := range y.after(t, n) {
		u := c.inventory(t, set.Name)
		switch {
		case u == nil && len(set.Objects) > 0:
			t.Errorf("%s: set %s has objects and no inventory", n, set.Name)
		case u != nil && len(set.Objects) == 0:
			t.Errorf("%s: set %s has an inventory and no objects", n, set.Name)
		}
	}
}

// noDeleteWithoutACompleteAnswer breaks every list and watch in every way, and asserts that nothing is deleted although the
// wish no longer names the object; when the fault is over, it is.
func noDeleteWithoutACompleteAnswer(t *testing.T, c cluster) {
	what := map[string]func(memfleet.Request) bool{
		"discovery": func(r memfleet.Request) bool { return r.Class == memfleet.Other && strings.HasPrefix(r.Path, "/api") },
		"parents":   func(r memfleet.Request) bool { return reads(r) && r.Namespace == api.SystemNamespace },
		"objects":   func(r memfleet.Request) bool { return reads(r) && r.Namespace == "" },
		"watches":   func(r memfleet.Request) bool { return r.Class == memfleet.Watch },
		"lists":     func(r memfleet.Request) bool { return r.Class == memfleet.List },
	}
	how := map[string]memfleet.Fault{
		"refused": memfleet.Refuse(), "forbidden": memfleet.Forbidden(), "failing": memfleet.Answer(http.StatusInternalServerError),
		"cut": memfleet.Cut(), "gone": memfleet.Answer(http.StatusNotFound),
	}
	before := wish(t, "faults", "1", namespace("faults"), configMap("faults", "a", "1"), configMap("faults", "b", "1"))
	after := wish(t, "faults", "2", namespace("faults"), configMap("faults", "a", "1"))
	first := c.member(t, nil)
	first.converge(t, before)
	first.close()
	for _, w := range slices.Sorted(maps.Keys(what)) {
		for _, h := range slices.Sorted(maps.Keys(how)) {
			if w == "watches" && h == "cut" {
				continue // a stream that ends is a renewal; the list before it was complete
			}
			t.Run(w+"-"+h, func(t *testing.T) { noDelete(t, c, after, memfleet.When(what[w], how[h])) })
		}
	}
	if sent := withMethod(c.member(t, nil).converge(t, after), http.MethodDelete); len(sent) != 1 {
		t.Errorf("without any fault these deletes were sent: %v, want the one of b", sent)
	}
}

func noDelete(t *testing.T, c cluster, target apply.Set, fault memfleet.Rule) {
	m := c.member(t, fault)
	defer m.close()
	for range 4 {
		m.executor.Execute(m.ctx, m.plan(target)) // has kinds looked up again, too
		until(t.Context(), looks(3))
	}
	if m.observer.Live().Complete {
		t.Error("the view is complete although something behind it failed")
	}
	if sent := deletes(m); len(sent) > 0 {
		t.Errorf("sent %v", sent)
	}
}

// noDeleteOnEmptyAnswers has the API server claim, in well-formed answers, that there is nothing: what is wanted is not
// deleted, and what is not wanted only after a read confirmed it.
func noDeleteOnEmptyAnswers(t *testing.T, c cluster) {
	rows := []struct {
		name    string
		empty   func(memfleet.Request) bool
		deletes int // of b, which is no longer wanted
	}{
		{"parents", func(r memfleet.Request) bool { return reads(r) && r.Namespace == api.SystemNamespace }, 0},
		{"objects", func(r memfleet.Request) bool { return reads(r) && r.Namespace == "" && r.Group == "" }, 1},
		{"all", reads, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := "empty-" + row.name
			before := wish(t, n, "1", namespace(n), configMap(n, "a", "1"), configMap(n, "b", "1"))
			first := c.member(t, nil)
			first.converge(t, before)
			m := c.member(t, memfleet.When(row.empty, memfleet.EmptyList()))
			m.executor.patience = 0 // watches that are empty never show anything
			m.observed(t, []apply.Set{before})
			m.executor.Execute(m.ctx, m.plan(before))
			if sent := deletes(m); len(sent) > 0 {
				t.Errorf("everything is wanted, and yet: %v", sent)
			}
			m.observed(t, []apply.Set{before})
			m.executor.Execute(m.ctx, m.plan(wish(t, n, "2", namespace(n), configMap(n, "a", "1"))))
			if sent := deletes(m); len(sent) != row.deletes {
				t.Errorf("b is not wanted: %v, want %d deletes", sent, row.deletes)
			}
			if diff := cmp.Diff([]string{"a", "b"}[:2-row.deletes], c.labelled(t, n)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func reads(r memfleet.Request) bool { return r.Class == memfleet.List || r.Class == memfleet.Watch }

// looks returns a condition that holds at its n-th look.
func looks(n int) func() bool {
	return func() bool { n--; return n < 0 }
}
