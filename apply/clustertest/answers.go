package clustertest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// noDeleteWithoutACompleteAnswer breaks every list and watch in every way, and asserts that nothing is deleted although the
// wish no longer names the object; when the fault is over, it is.
func noDeleteWithoutACompleteAnswer(t *testing.T, s server) {
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
	first := s.start(t, nil)
	first.converge(t, before)
	first.close()
	for _, w := range slices.Sorted(maps.Keys(what)) {
		for _, h := range slices.Sorted(maps.Keys(how)) {
			if w == "watches" && h == "cut" {
				continue // a stream that ends is a renewal; the list before it was complete
			}
			t.Run(w+"-"+h, func(t *testing.T) { noDelete(t, s, after, memfleet.When(what[w], how[h])) })
		}
	}
	if sent := withMethod(s.start(t, nil).converge(t, after), http.MethodDelete); len(sent) != 1 {
		t.Errorf("without any fault these deletes were sent: %v, want the one of b", sent)
	}
}

func noDelete(t *testing.T, s server, target apply.Set, fault memfleet.Rule) {
	m := s.start(t, fault)
	defer m.close()
	for range 4 {
		m.Apply(m.ctx, m.plan(target)) // has kinds looked up again, too
		looks := 0
		Eventually(t, "a wrong delete has had time to come", func(context.Context) error {
			if looks++; looks > 3 {
				return nil
			}
			return errors.New("not yet")
		})
	}
	if m.Live().Complete {
		t.Error("the view is complete although something behind it failed")
	}
	if sent := deletes(m); len(sent) > 0 {
		t.Errorf("sent %v", sent)
	}
}

// noDeleteOnEmptyAnswers has the API server claim, in well-formed answers, that there is nothing: what is wanted is not
// deleted, and what is not wanted only after a read confirmed it.
func noDeleteOnEmptyAnswers(t *testing.T, s server) {
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
			first := s.start(t, nil)
			first.converge(t, before)
			m := s.start(t, memfleet.When(row.empty, memfleet.EmptyList()))
			m.observed(t, []apply.Set{before})
			m.Apply(m.ctx, m.plan(before))
			if sent := deletes(m); len(sent) > 0 {
				t.Errorf("everything is wanted, and yet: %v", sent)
			}
			m.observed(t, []apply.Set{before})
			m.Apply(m.ctx, m.plan(wish(t, n, "2", namespace(n), configMap(n, "a", "1"))))
			if sent := deletes(m); len(sent) != row.deletes {
				t.Errorf("b is not wanted: %v, want %d deletes", sent, row.deletes)
			}
			if diff := cmp.Diff([]string{"a", "b"}[:2-row.deletes], s.labelled(t, n)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func reads(r memfleet.Request) bool { return r.Class == memfleet.List || r.Class == memfleet.Watch }
