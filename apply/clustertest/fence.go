package clustertest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/apply"
)

// aSecondWriterIsFenced has two processes manage one cluster: the one with the older view writes nothing.
func aSecondWriterIsFenced(t *testing.T, s server) {
	a, b := s.start(t, nil), s.start(t, nil)
	first := wish(t, "fence", "1", namespace("fence"), configMap("fence", "a", "1"))
	a.converge(t, first)
	b.converge(t, first)
	stale := b.plan(wish(t, "fence", "2", namespace("fence"), configMap("fence", "b", "1")))
	a.converge(t, wish(t, "fence", "3", namespace("fence"), configMap("fence", "a", "1"), configMap("fence", "c", "1")))
	b.sent()
	result := b.Apply(b.ctx, stale)
	if _, ok := errors.AsType[*apply.FencedError](result.Errs["fence"]); !ok {
		t.Errorf("the stale plan ended with %v, want a FencedError", result.Errs["fence"])
	}
	if diff := cmp.Diff([]string{"PUT /api/v1/namespaces/gitfleet-system/configmaps/applyset-fence"}, b.sent()); diff != "" {
		t.Errorf("the stale plan (-want +sent):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "c"}, s.labelled(t, "fence")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
