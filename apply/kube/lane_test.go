package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// lanesExecuteTheNewestPlan submits three plans while the first is held on the wire.
func lanesExecuteTheNewestPlan(t *testing.T, c cluster) {
	m := c.member(t, nil)
	m.converge(t, wish(t, "lane", "0", namespace("lane")))
	release := make(chan struct{})
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Name == "a1" }, memfleet.Hold(release)))
	results := make(chan apply.Result, 4)
	lane := NewLane(m.executor, func(r apply.Result) { results <- r })
	defer lane.Close()
	for i := 1; i <= 3; i++ {
		lane.Submit(m.plan(wish(t, "lane", fmt.Sprint(i), namespace("lane"), configMap("lane", fmt.Sprintf("a%d", i), "1"))))
		if i == 1 {
			eventually(t, "the first plan is being executed", func(context.Context) error {
				if len(m.proxy.Writes()) < 2 {
					return errors.New("its object is not on the wire yet")
				}
				return nil
			})
		}
	}
	close(release)
	<-results
	second := <-results
	// It was made before the first plan wrote the inventory, which is no second writer's doing.
	if !errors.Is(second.Errs["lane"], apply.ErrStale) {
		t.Errorf("the plan that waited ended with %v, want ErrStale", second.Errs["lane"])
	}
	m.proxy.SetRule(nil)
	last := wish(t, "lane", "3", namespace("lane"), configMap("lane", "a3", "1"))
	m.observed(t, []apply.Set{last})
	lane.Submit(m.plan(last))
	<-results
	if diff := cmp.Diff([]string{"a3"}, c.labelled(t, "lane")); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
	if _, err := c.configMaps("lane").Get(t.Context(), "a2", metav1.GetOptions{}); err == nil {
		t.Error("the plan that was replaced while it waited was executed")
	}
}

func closingALaneCutsItsPlan(t *testing.T, c cluster) {
	m := c.member(t, nil)
	m.converge(t, wish(t, "close", "0", namespace("close")))
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Name == "a" }, memfleet.Hold(make(chan struct{}))))
	results := make(chan apply.Result, 1)
	lane := NewLane(m.executor, func(r apply.Result) { results <- r })
	lane.Submit(m.plan(wish(t, "close", "1", namespace("close"), configMap("close", "a", "1"))))
	eventually(t, "the plan is being executed", func(context.Context) error {
		for _, r := range m.proxy.Requests() {
			if r.Name == "a" {
				return nil
			}
		}
		return errors.New("its object is not on the wire yet")
	})
	lane.Close()
	if r := <-results; !errors.Is(r.Errs["close"], context.Canceled) {
		t.Errorf("the cut plan ended with %v, want context.Canceled", r.Errs["close"])
	}
	if items := string(must(c.inventory(t, "close").MarshalJSON())(t)); !strings.Contains(items, api.AnnotationRevision) || !strings.Contains(items, `\"name\":\"a\"`) {
		t.Errorf("what may have been created is not in the inventory: %s", items)
	}
}
