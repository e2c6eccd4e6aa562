package clustertest

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
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

func oneFailureStopsNothingElse(t *testing.T, s server) {
	m := s.start(t, nil)
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
	items := string(Must(s.inventory(t, "part").MarshalJSON())(t))
	for name, listed := range map[string]bool{"a": true, "bad": true, "old": false, "stuck": true} {
		if got := strings.Contains(items, `\"name\":\"`+name+`\"`); got != listed {
			t.Errorf("%s is in the inventory: %v, want %v", name, got, listed)
		}
	}
	m.proxy.SetRule(nil)
	m.converge(t, next)
	if diff := cmp.Diff([]string{"a", "bad"}, s.labelled(t, "part")); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
}

func anUnreachableMemberForgetsNothing(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "away", "1", namespace("away"), configMap("away", "a", "1"), configMap("away", "b", "1")))
	next := wish(t, "away", "2", namespace("away"), configMap("away", "a", "2"))
	plan := m.plan(next)
	m.proxy.SetDown(true)
	Eventually(t, "the session notices", func(context.Context) error {
		if m.State().Phase != fleet.Unreachable {
			return errors.New("it does not")
		}
		return nil
	})
	result := m.Apply(m.ctx, plan)
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
	live := m.Live()
	if _, ok := live.Objects.Get(configMapRef("away", "b")); !ok || live.Complete {
		t.Errorf("while it is away: complete %v, known objects %d", live.Complete, live.Objects.Len())
	}
	m.proxy.SetDown(false)
	m.converge(t, next)
	if diff := cmp.Diff([]string{"a"}, s.labelled(t, "away")); diff != "" {
		t.Errorf("when it is back (-want +got):\n%s", diff)
	}
}

// aTerminatingNamespaceIsWaitedFor: nobody has to act, the next attempts will succeed.
func aTerminatingNamespaceIsWaitedFor(t *testing.T, s server) {
	ns := Object(t, namespace("leaving"))
	ns.SetFinalizers([]string{"example.com/slow"})
	client := s.client.Resource(namespaces)
	Must(client.Create(t.Context(), ns, metav1.CreateOptions{}))(t)
	Must(0, client.Delete(t.Context(), "leaving", metav1.DeleteOptions{}))(t)
	m := s.start(t, nil)
	out := m.outcomes(t, wish(t, "leaving", "1", configMap("leaving", "a", "1")))["ConfigMap a"]
	refused, ok := errors.AsType[*apply.RefusedError](out.Err)
	if want := "namespace leaving is being deleted"; !ok || refused.Actor != apply.Retry || !strings.Contains(refused.Message, want) {
		t.Errorf("got %v, want a refusal to retry with %q", out.Err, want)
	}
	Must(client.Patch(t.Context(), "leaving", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	Eventually(t, "the namespace is gone", func(context.Context) error {
		if _, err := client.Get(t.Context(), "leaving", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	m.converge(t, wish(t, "leaving", "2", namespace("leaving"), configMap("leaving", "a", "1")))
}
