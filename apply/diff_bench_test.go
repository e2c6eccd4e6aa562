package apply

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// BenchmarkDiff decides about one Set of 1,000 objects, as after any event of a member.
func BenchmarkDiff(b *testing.B) {
	change := func(s *story, i int, change func(*LiveObject)) {
		lo, _ := s.live.Objects.Get(s.targets[0].Objects[i].Ref)
		change(&lo)
		s.live.Objects = s.live.Objects.With(&lo)
	}
	for _, row := range []struct {
		name                  string
		waves, steps, waiting int
		happened              func(*story)
	}{
		{"unchanged", 1, 0, 0, func(*story) {}},
		{"one drifted", 1, 1, 0, func(s *story) { change(s, 500, func(lo *LiveObject) { lo.EntryHash = "fewer fields" }) }},
		{"unchanged in 5 waves", 5, 0, 0, func(*story) {}},
		{"all but the first of 5 waves wait", 5, 0, 800, func(s *story) {
			for i := range 1000 {
				change(s, i, func(lo *LiveObject) {
					lo.Health = Health{Status: InProgress}
					if i%5 > 0 {
						lo.AppliedHash = "an older one"
					}
				})
			}
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			s := thousand(row.waves)
			row.happened(&s)
			b.ReportAllocs()
			for b.Loop() {
				p := Diff("aks-1", s.targets, s.live, storyTime)
				if p.Size() != row.steps || len(p.Waits("web")) != row.waiting {
					b.Fatalf("%d changes and %d waits, want %d and %d:\n%s", p.Size(), len(p.Waits("web")), row.steps, row.waiting, p)
				}
			}
		})
	}
}

// thousand returns a Set of 1,000 objects in waves, on a cluster that has them.
func thousand(waves int) story {
	s := newStory()
	set := Set{Name: "web", Revision: "aaaaaaa1", PolicyDigest: "policy"}
	kinds := []string{"ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"}
	for i := range 1000 {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kinds[i/200], "data": map[string]any{"key": "value"},
			"metadata": map[string]any{"namespace": "team-one", "name": fmt.Sprintf("an-object-%04d", i)}}}
		set.Objects = append(set.Objects, NewTarget(render.Object{Unstructured: u, Directives: api.Directives{Wave: i % waves}}, nil))
	}
	slices.SortFunc(set.Objects, func(a, b *Target) int { return a.Ref.Compare(b.Ref) })
	s.applied(set)
	s.targets = []Set{set}
	return s
}
