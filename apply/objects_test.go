package apply

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/gitfleet/gitfleet/api"
)

// TestObjects: after any changes they hold what a map holds, and what they were made of stays as it was.
func TestObjects(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type version struct {
		objects Objects
		want    map[api.Ref]LiveObject
	}
	var all []version
	now := version{want: map[api.Ref]LiveObject{}}
	for n := range 2000 {
		want, objects := maps.Clone(now.want), now.objects
		for range random.IntN(4) {
			lo := LiveObject{Ref: api.Ref{Kind: "ConfigMap", Name: fmt.Sprint(random.IntN(400))}, ResourceVersion: fmt.Sprint(n)}
			if random.IntN(4) == 0 {
				delete(want, lo.Ref)
				objects = objects.Without(lo.Ref)
				continue
			}
			want[lo.Ref] = lo
			objects = objects.With(&lo)
		}
		now = version{objects, want}
		all = append(all, now)
	}
	for n, v := range all {
		if got := allOf(v.objects); !maps.Equal(got, v.want) || v.objects.Len() != len(v.want) {
			t.Fatalf("after step %d: %d objects, want %d, or they differ:\n%v\n%v", n, v.objects.Len(), len(v.want), got, v.want)
		}
		for ref, want := range v.want {
			if got, ok := v.objects.Get(ref); !ok || got != want {
				t.Fatalf("after step %d: %s is %v, %v; want %v", n, ref, got, ok, want)
			}
		}
		if _, ok := v.objects.Get(api.Ref{Kind: "Secret", Name: "1"}); ok {
			t.Fatal("what was never there is found")
		}
	}
}

// TestObjectsInOnePiece: the last one of a ref counts, and who iterates may stop at any object, changed lately or not.
func TestObjectsInOnePiece(t *testing.T) {
	lo := func(name, version string) *LiveObject {
		return &LiveObject{Ref: api.Ref{Kind: "ConfigMap", Name: name}, ResourceVersion: version}
	}
	objects := ObjectsOf(lo("a", "1"), lo("b", "1"), lo("a", "2"))
	if a, _ := objects.Get(lo("a", "").Ref); objects.Len() != 2 || a.ResourceVersion != "2" {
		t.Errorf("%d objects, a has version %q", objects.Len(), a.ResourceVersion)
	}
	for what, same := range map[string]Objects{"with nothing": objects.With(), "without nothing": objects.Without(), "without what is not there": objects.Without(lo("x", "").Ref)} {
		if !maps.Equal(allOf(same), allOf(objects)) || same.Len() != 2 {
			t.Errorf("%s they are %v", what, allOf(same))
		}
	}
	for most, o := range map[int]Objects{2: objects, 3: objects.With(lo("c", "1"))} {
		for stop := 1; stop <= most; stop++ {
			n := 0
			for range o.All() {
				if n++; n == stop {
					break
				}
			}
			if n != stop {
				t.Errorf("of %d objects %d came before the end, want %d", most, n, stop)
			}
		}
	}
}

func allOf(o Objects) map[api.Ref]LiveObject {
	all := map[api.Ref]LiveObject{}
	for lo := range o.All() {
		all[lo.Ref] = lo
	}
	return all
}

// BenchmarkObjects changes one object of a thousand.
func BenchmarkObjects(b *testing.B) {
	var list []*LiveObject
	for i := range 1000 {
		list = append(list, &LiveObject{Ref: api.Ref{Kind: "ConfigMap", Namespace: "default", Name: fmt.Sprint(i)}})
	}
	objects := ObjectsOf(list...)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		objects = objects.With(list[i%len(list)])
	}
}
