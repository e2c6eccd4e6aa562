package kube

import (
	"fmt"
	"runtime"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// BenchmarkLive is what the view of a member with 1,000 objects costs after each notification, and how much memory every
// object takes. The server is another process.
func BenchmarkLive(b *testing.B) {
	const objects = 1000
	config := serverProcess(b)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	maps := client.Resource(configMaps).Namespace("default")
	for i := range objects {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default","name":"c-%d","labels":{%q:%q}}}`,
			i, api.ApplySetPartOfLabel, apply.SetID("bench"))); err != nil {
			b.Fatal(err)
		}
		if _, err := maps.Apply(b.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: api.FieldManager, Force: true}); err != nil {
			b.Fatal(err)
		}
	}
	before := heap()
	m, err := open(config)
	if err != nil {
		b.Fatal(err)
	}
	p := m.(process)
	defer p.Close()
	p.Track([]schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}})
	waitFor(func() bool { live := p.Live(); return live.Complete && live.Objects.Len() == objects })
	live := p.Live()
	perObject := float64(heap()-before) / objects
	b.Run("nothing changed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			live = p.Live()
		}
		b.ReportMetric(perObject, "B/object")
	})
	b.Run("one changed", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			b.StopTimer()
			change := fmt.Appendf(nil, `{"data":{"k":"%d-%d"}}`, b.N, i)
			u, err := maps.Patch(b.Context(), fmt.Sprint("c-", i%objects), "application/merge-patch+json", change, metav1.PatchOptions{})
			if err != nil {
				b.Fatal(err)
			}
			waitFor(func() bool {
				return p.shows(written{api.RefOf(u), u.GetUID(), u.GetResourceVersion()})
			})
			b.StartTimer()
			live = p.Live()
		}
	})
	runtime.KeepAlive(live)
}

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func waitFor(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}
