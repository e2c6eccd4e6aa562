package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
func killedAfterEveryWrite(t *testing.T, s server) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			k := 1
			for story.cutAt(t, s, k) {
				k++
			}
			if k < 4 {
				t.Errorf("only %d writes were cut", k-1)
			}
		})
	}
}

// cutAt tells the story with a cut at the k-th write, and reports whether there was one.
func (y story) cutAt(t *testing.T, s server, k int) (cut bool) {
	n := fmt.Sprintf("%s-%d", y.name, k)
	first := s.start(t, nil)
	first.converge(t, y.before(t, n)...)
	uids := map[string]types.UID{}
	for _, name := range y.keep {
		uids[name] = Must(s.configMaps(n).Get(t.Context(), name, metav1.GetOptions{}))(t).GetUID()
	}
	first.killAt(k)
	first.converge(t, y.after(t, n)...)
	first.close()

	next := s.start(t, nil)
	next.converge(t, y.after(t, n)...)
	if sent := next.converge(t, y.after(t, n)...); len(sent) > 0 {
		t.Errorf("cut %d: converged, and yet sent %v", k, sent)
	}
	next.close()
	y.check(t, s, n, uids)
	return first.killed.Load()
}

func (y story) check(t *testing.T, s server, n string, uids map[string]types.UID) {
	t.Helper()
	if diff := cmp.Diff(y.want, s.labelled(t, n)); diff != "" {
		t.Errorf("%s: labelled ConfigMaps (-want +got):\n%s", n, diff)
	}
	for name, uid := range uids {
		if u := Must(s.configMaps(n).Get(t.Context(), name, metav1.GetOptions{}))(t); u.GetUID() != uid {
			t.Errorf("%s: %s was deleted and made again", n, name)
		}
	}
	for _, set := range y.after(t, n) {
		u := s.inventory(t, set.Name)
		switch {
		case u == nil && len(set.Objects) > 0:
			t.Errorf("%s: set %s has objects and no inventory", n, set.Name)
		case u != nil && len(set.Objects) == 0:
			t.Errorf("%s: set %s has an inventory and no objects", n, set.Name)
		}
	}
}

// whatWasDoneBeforeTheCutIsRecorded cancels an execution while one of its objects is on the wire.
func whatWasDoneBeforeTheCutIsRecorded(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "cut-ns", "1", namespace("cut")))
	target := wish(t, "cut", "1", configMap("cut", "a", "1"), // and in the next stage:
		"{apiVersion: v1, kind: Service, metadata: {namespace: cut, name: b}, spec: {ports: [{port: 80}]}}")
	m.observed(t, []apply.Set{target})
	ctx, cancel := context.WithCancel(m.ctx)
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Name == "b" }, memfleet.Call(func(memfleet.Request) memfleet.Fault {
		cancel()
		return memfleet.Hold(nil)
	})))
	result := m.Apply(ctx, m.plan(target))
	if !errors.Is(result.Errs["cut"], context.Canceled) {
		t.Errorf("the set ended with %v, want context.Canceled", result.Errs["cut"])
	}
	m.close()
	next := s.start(t, nil)
	next.observed(t, []apply.Set{target})
	var left []string
	for _, stage := range next.plan(target).Sets[0].Stages {
		for _, change := range stage {
			left = append(left, string(change.Action)+" "+change.Ref.Name)
		}
	}
	if diff := cmp.Diff([]string{"create b"}, left); diff != "" {
		t.Errorf("left for the next process (-want +got):\n%s", diff)
	}
	next.converge(t, target)
}
