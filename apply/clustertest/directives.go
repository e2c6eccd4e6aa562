package clustertest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// value reads data.key of a ConfigMap.
func (s server) value(t *testing.T, namespace, name, key string) string {
	t.Helper()
	u := Must(s.configMaps(namespace).Get(t.Context(), name, metav1.GetOptions{}))(t)
	text, _, err := unstructured.NestedString(u.Object, "data", key)
	return Must(text, err)(t)
}

// aGivenFieldIsSomebodyElses: the object is created with it, and from then on nobody minds who changes it.
func aGivenFieldIsSomebodyElses(t *testing.T, s server) {
	given := func(set apply.Set) apply.Set {
		rule := api.IgnoreRule{Kind: schema.GroupKind{Kind: "ConfigMap"}, Path: fieldpath.MakePathOrDie("data", "key")}
		for i, o := range set.Objects {
			set.Objects[i] = apply.NewTarget(o.Object, []api.IgnoreRule{rule})
		}
		return set
	}
	another := func(value string) string {
		return "{apiVersion: v1, kind: ConfigMap, metadata: {namespace: given, name: a}, data: {key: ours, other: '" + value + "'}}"
	}
	m := s.start(t, nil)
	first := given(wish(t, "given", "1", namespace("given"), another("1")))
	m.converge(t, first)
	if got := s.value(t, "given", "a", "key"); got != "ours" {
		t.Errorf("the object was created with %q, want the value of the wish", got)
	}
	before := m.sees(configMapRef("given", "a")).ResourceVersion
	s.patch(t, "given", "a", `{"data":{"key":"theirs"}}`)
	Eventually(t, "the change is seen", func(context.Context) error {
		if m.sees(configMapRef("given", "a")).ResourceVersion == before {
			return errors.New("the object looks as before")
		}
		return nil
	})
	if sent := m.converge(t, first); len(sent) > 0 {
		t.Errorf("a change of what was given away is answered with %v", sent)
	}
	m.converge(t, given(wish(t, "given", "2", namespace("given"), another("2"))))
	if key, other := s.value(t, "given", "a", "key"), s.value(t, "given", "a", "other"); key != "theirs" || other != "2" {
		t.Errorf("after another field was changed in Git: key %q, other %q; want theirs and 2", key, other)
	}
}

// aSuspendedSetIsLeftAsItIs: neither drift nor a new wish is acted on until it goes on.
func aSuspendedSetIsLeftAsItIs(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "suspended", "1", namespace("suspended"), configMap("suspended", "a", "1"), configMap("suspended", "b", "1")))
	before := m.sees(configMapRef("suspended", "b"))
	s.patch(t, "suspended", "b", `{"data":{"key":"theirs"}}`)
	Eventually(t, "the change is seen", func(context.Context) error {
		if m.sees(configMapRef("suspended", "b")).EntryHash == before.EntryHash {
			return errors.New("the object looks as before")
		}
		return nil
	})
	next := wish(t, "suspended", "2", namespace("suspended"), configMap("suspended", "b", "2"), configMap("suspended", "c", "1"))
	next.Suspended = true
	if sent := m.converge(t, next); len(sent) > 0 {
		t.Errorf("a suspended set sent %v", sent)
	}
	next.Suspended = false
	m.converge(t, next)
	if diff := cmp.Diff([]string{"b", "c"}, s.labelled(t, "suspended")); diff != "" || s.value(t, "suspended", "b", "key") != "2" {
		t.Errorf("when it goes on: b is %q, and there are (-want +got):\n%s", s.value(t, "suspended", "b", "key"), diff)
	}
}

// removalsWaitForAPerson: the rest of the wish does not.
func removalsWaitForAPerson(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "confirm", "1", namespace("confirm"), configMap("confirm", "a", "1"), configMap("confirm", "b", "1")))
	next := wish(t, "confirm", "2", namespace("confirm"), configMap("confirm", "a", "2"))
	next.HoldRemovals = "too many"
	if sent := withMethod(m.converge(t, next), "DELETE"); len(sent) > 0 {
		t.Errorf("held removals sent %v", sent)
	}
	if diff := cmp.Diff([]string{"a", "b"}, s.labelled(t, "confirm")); diff != "" || s.value(t, "confirm", "a", "key") != "2" {
		t.Errorf("while it waits: a is %q, and there are (-want +got):\n%s", s.value(t, "confirm", "a", "key"), diff)
	}
	if items := string(Must(s.inventory(t, "confirm").MarshalJSON())(t)); !strings.Contains(items, `\"name\":\"b\"`) {
		t.Errorf("the inventory has forgotten b: %s", items)
	}
	next.HoldRemovals = ""
	m.converge(t, next)
	if diff := cmp.Diff([]string{"a"}, s.labelled(t, "confirm")); diff != "" {
		t.Errorf("when it was confirmed (-want +got):\n%s", diff)
	}
}

// driftNamesItsAuthor: who changed which field, as the API server's bookkeeping says.
func driftNamesItsAuthor(t *testing.T, s server) {
	m := s.start(t, nil)
	target := wish(t, "author", "1", namespace("author"), configMap("author", "a", "1"))
	m.converge(t, target)
	s.patch(t, "author", "a", `{"data":{"key":"theirs"}}`)
	Eventually(t, "drift is seen", func(context.Context) error {
		if m.plan(target).Empty() {
			return errors.New("the plan is empty")
		}
		return nil
	})
	drift := m.outcomes(t, target)["ConfigMap a"].Drift
	if drift == nil || len(drift.Fields) != 1 {
		t.Fatalf("the outcome tells %+v, want one drifted field", drift)
	}
	if f := drift.Fields[0]; f.Path != ".data.key" || f.Manager != "foreigner" || f.Operation != "Update" {
		t.Errorf("the drift is %+v, want .data.key changed by foreigner with an Update", f)
	}
}
