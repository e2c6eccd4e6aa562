package fleet

import (
	"errors"
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Amount is an amount of the resources that scheduling looks at.
type Amount struct{ CPU, Memory resource.Quantity }

// Resources is what a member has to offer: upstream's resourceUsage of a MemberCluster.
type Resources struct {
	Nodes       int
	Capacity    Amount // of all nodes
	Allocatable Amount // of all nodes
	// Available is Allocatable without what the pods request that are on a node and not finished; never negative. It is
	// nil when the pods are not known.
	Available *Amount
	// Problem tells what cannot be known and why, such as a missing permission; nil when all is known, or will be soon.
	Problem error
}

// Resources returns what the member has to offer, as last seen; known is false until its nodes were listed for the first
// time, and when they may not be listed. The first call begins to watch the pods, of which 16 bytes and the name are
// kept; that what is available changes is notified at most every 15 seconds. What nodes and pods say about their life
// changes nothing here.
func (s *Session) Resources() (r Resources, known bool) {
	pods := s.watchPods()
	if err := deniedErr(s.nodes); err != nil {
		return Resources{Problem: err}, false
	}
	n, known := s.nodes.count()
	if !known {
		return Resources{}, false
	}
	total := s.nodes.fold(sumNodes).(nodeSize)
	r = Resources{Nodes: n, Capacity: total.capacity.amount(), Allocatable: total.allocatable.amount()}
	if r.Problem = deniedErr(pods); r.Problem != nil {
		return r, true
	}
	if _, counted := pods.count(); counted {
		left := total.allocatable.without(pods.fold(sumPods).(share)).amount()
		r.Available = &left
	}
	return r, true
}

// deniedErr returns why a watch may not read, or nil when it may or something else is the matter.
func deniedErr(w *Watch) error {
	err := w.Err()
	if _, ok := errors.AsType[*DeniedError](err); ok {
		return err
	}
	return nil
}

// watchPods starts watching the pods, unless they are watched already.
func (s *Session) watchPods() *Watch {
	return s.watch(WatchSpec{
		Key: "fleet/pods", Resource: schema.GroupVersionResource{Version: "v1", Resource: "pods"},
		FieldSelector: "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
		Reduce:        reducePod,
	}, func(w *Watch) { w.builtin, w.throttle = true, &throttle{pause: s.link.timing.available} })
}

// throttle passes a call on, later, once for many.
type throttle struct {
	pause time.Duration
	mu    sync.Mutex
	due   bool
}

func (t *throttle) call(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.due {
		return
	}
	t.due = true
	time.AfterFunc(t.pause, func() {
		t.mu.Lock()
		t.due = false
		t.mu.Unlock()
		f()
	})
}

// nodeSize is what is kept of a node.
type nodeSize struct{ capacity, allocatable share }

// share is an Amount in small: thousandths of a CPU, and bytes.
type share struct{ cpu, memory int64 }

func (s share) plus(o share) share { return share{sum(s.cpu, o.cpu), sum(s.memory, o.memory)} }

// sum adds amounts that anybody may have written: more than can be counted is as much as can be.
func sum(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// without returns s less o, and nothing where that is negative.
func (s share) without(o share) share { return share{max(0, s.cpu-o.cpu), max(0, s.memory-o.memory)} }

func (s share) atLeast(o share) share { return share{max(s.cpu, o.cpu), max(s.memory, o.memory)} }

func (s share) amount() Amount {
	return Amount{CPU: *resource.NewMilliQuantity(s.cpu, resource.DecimalSI), Memory: *resource.NewQuantity(s.memory, resource.BinarySI)}
}

func sumNodes(nodes map[objectKey]any) any {
	var total nodeSize
	for _, kept := range nodes {
		size := kept.(node).nodeSize
		total.capacity, total.allocatable = total.capacity.plus(size.capacity), total.allocatable.plus(size.allocatable)
	}
	return total
}

func sumPods(pods map[objectKey]any) any {
	var total share
	for _, requested := range pods {
		total = total.plus(requested.(share))
	}
	return total
}

// reducePod keeps what a pod takes from its node, and nothing of one that has none or has finished.
func reducePod(u *unstructured.Unstructured) any {
	node, _, _ := unstructured.NestedString(u.Object, "spec", "nodeName")
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	if node == "" || phase == "Succeeded" || phase == "Failed" {
		return nil
	}
	return podRequests(u.Object)
}

// podRequests returns what the scheduler reserves for a pod: the sum of its containers, or what its start needs when that
// is more, and the overhead; requests of the pod itself go first. Upstream counts the containers alone. The rules are
// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
func podRequests(pod map[string]any) share {
	var sidecars, start, running share
	for _, c := range containers(pod, "initContainers") {
		requested := shareOf(c, "resources", "requests")
		if c["restartPolicy"] == "Always" {
			sidecars = sidecars.plus(requested)
			start = start.atLeast(sidecars)
			continue
		}
		start = start.atLeast(sidecars.plus(requested))
	}
	for _, c := range containers(pod, "containers") {
		running = running.plus(shareOf(c, "resources", "requests"))
	}
	need := running.plus(sidecars).atLeast(start)
	field, _, _ := unstructured.NestedFieldNoCopy(pod, "spec", "resources", "requests")
	whole, _ := field.(map[string]any)
	own := shareOf(pod, "spec", "resources", "requests")
	if _, set := whole["cpu"]; set {
		need.cpu = own.cpu
	}
	if _, set := whole["memory"]; set {
		need.memory = own.memory
	}
	return need.plus(shareOf(pod, "spec", "overhead"))
}

func containers(pod map[string]any, field string) []map[string]any {
	list, _, _ := unstructured.NestedFieldNoCopy(pod, "spec", field)
	items, _ := list.([]any)
	var out []map[string]any
	for _, item := range items {
		if c, ok := item.(map[string]any); ok {
			out = append(out, c)
		}
	}
	return out
}

// shareOf reads the cpu and memory of a resource list; what is not there, or is no amount, is none.
func shareOf(object map[string]any, path ...string) share {
	field, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	list, _ := field.(map[string]any)
	quantity := func(name string) resource.Quantity {
		text, _ := list[name].(string)
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return resource.Quantity{}
		}
		return q
	}
	cpu, memory := quantity("cpu"), quantity("memory")
	return share{max(0, cpu.MilliValue()), max(0, memory.Value())}
}
