package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

func TestPodRequests(t *testing.T) {
	for _, tc := range []struct{ name, spec, want string }{
		{"nothing is requested", "containers: [{name: a}]", "0 0"},
		{"containers add up", "containers: [{resources: {requests: {cpu: 250m, memory: 1Ki}}}, {resources: {requests: {cpu: '1'}}}]", "1250 1024"},
		{"a start that needs more", "initContainers: [{resources: {requests: {memory: 4Ki}}}]\ncontainers: [{resources: {requests: {memory: 1Ki}}}]", "0 4096"},
		{"a sidecar runs beside them", "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 100m}}}]\ncontainers: [{resources: {requests: {cpu: 200m}}}]", "300 0"},
		{"a start beside a sidecar", "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 100m}}}, {resources: {requests: {cpu: 500m}}}]\ncontainers: [{resources: {requests: {cpu: 200m}}}]", "600 0"},
		{"the pod's own word goes first", "resources: {requests: {cpu: '2'}}\ncontainers: [{resources: {requests: {cpu: 200m, memory: 1Ki}}}]", "2000 1024"},
		{"overhead", "overhead: {cpu: 10m, memory: '1'}\ncontainers: [{resources: {requests: {cpu: 200m}}}]", "210 1"},
		{"more than can be counted", "containers: [{resources: {requests: {memory: 7E}}}, {resources: {requests: {memory: 7E, cpu: '-1'}}}]", "0 9223372036854775807"},
		{"what is no quantity", "containers: [{resources: {requests: {cpu: much}}}]", "0 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := parse(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {phase: Running}\nspec:\n  nodeName: n1\n  "+strings.ReplaceAll(tc.spec, "\n", "\n  "))
			got := reducePod(pod).(share)
			if text := fmt.Sprint(got.cpu, got.memory); text != tc.want {
				t.Errorf("requests %s, want %s", text, tc.want)
			}
		})
	}
	for _, pod := range []string{"spec: {}\nstatus: {phase: Pending}", "spec: {nodeName: n1}\nstatus: {phase: Succeeded}", "spec: {nodeName: n1}\nstatus: {phase: Failed}"} {
		if kept := reducePod(parse(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"+pod)); kept != nil {
			t.Errorf("kept %v of a pod that takes nothing: %s", kept, pod)
		}
	}
}

// FuzzReducePod: whatever a pod says of itself, it takes nothing or something, and less than nothing never.
func FuzzReducePod(f *testing.F) {
	f.Add([]byte(`{"spec":{"nodeName":"n1","overhead":{"cpu":"1m"},"resources":{"requests":{"cpu":1}},"containers":[{"resources":{"requests":{"memory":"1Ki"}}}],"initContainers":[{"restartPolicy":"Always"},7]},"status":{"phase":"Running"}}`))
	f.Add([]byte(`{"spec":{"nodeName":"n1","containers":{}},"status":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		if json.Unmarshal(data, &u.Object) != nil {
			t.Skip()
		}
		if kept, ok := reducePod(u).(share); ok && (kept.cpu < 0 || kept.memory < 0) {
			t.Errorf("takes %+v", kept)
		}
	})
}

const bigNode = `
apiVersion: v1
kind: Node
metadata: {name: %s}
status: {capacity: {cpu: "4", memory: 8Gi}, allocatable: {cpu: 3900m, memory: 7Gi}}
`

// TestResources: nodes add up, and what may not be read is unknown.
func TestResources(t *testing.T) {
	m := startMember(t)
	isPods := func(r memfleet.Request) bool { return r.Resource == "pods" }
	m.proxy.SetRule(memfleet.When(isPods, memfleet.Answer(500)))
	m.open(m.proxy.Config())
	for _, name := range []string{"n1", "n2"} {
		m.node(name)
	}
	m.await("the nodes are summed", func() bool { r, _ := m.Resources(); return r.Nodes == 2 && r.Allocatable.CPU.String() == "7800m" })
	r, known := m.Resources()
	if !known || r.Capacity.CPU.String() != "8" || r.Capacity.Memory.String() != "16Gi" || r.Allocatable.Memory.String() != "14Gi" {
		t.Errorf("known %t, %+v", known, r)
	}
	if r.Available != nil {
		t.Errorf("%+v is available although nobody could count the pods", r.Available)
	}
	m.node("n3")
	m.await("the third node is summed", func() bool { r, _ := m.Resources(); return r.Nodes == 3 })
	m.proxy.SetDown(true)
	m.await("the member is missed", func() bool { return m.State().Phase == Unreachable })
	if r, known := m.Resources(); !known || r.Nodes != 3 || r.Problem != nil {
		t.Errorf("while unreachable: known %t, %+v; want what was known", known, r)
	}
}

// TestHeartbeats: what is kept of a node that only tells that it lives is what was kept before, so it is no change.
func TestHeartbeats(t *testing.T) {
	reduce := (&Session{ctx: t.Context()}).watchNodes().spec.Reduce
	node := parse(t, fmt.Sprintf(bigNode, "n1"))
	beat := node.DeepCopy()
	beat.SetResourceVersion("2")
	status := beat.Object["status"].(map[string]any)
	status["conditions"] = []any{map[string]any{"type": "Ready", "lastHeartbeatTime": "2026-01-02T03:04:05Z"}}
	if !reflect.DeepEqual(reduce(node), reduce(beat)) {
		t.Errorf("kept %v, then %v", reduce(node), reduce(beat))
	}
	status["allocatable"] = map[string]any{"cpu": "1"}
	if reflect.DeepEqual(reduce(node), reduce(beat)) {
		t.Error("a node that shrinks is no change")
	}
}

// node creates a node with its status, which a create alone may not set.
func (m *member) node(name string) {
	m.t.Helper()
	node := parse(m.t, fmt.Sprintf(bigNode, name))
	created, err := m.direct.Resource(nodes).Create(context.Background(), node, metav1.CreateOptions{})
	if err == nil {
		created.Object["status"] = node.Object["status"]
		_, err = m.direct.Resource(nodes).UpdateStatus(context.Background(), created, metav1.UpdateOptions{})
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func TestAvailable(t *testing.T) {
	s := &Session{name: "east", link: newLink("east", fast, func() {}), watches: map[string]*Watch{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.cancel() // nothing runs: the content is put in by hand
	s.nodes = s.newWatch(WatchSpec{})
	pods := s.watchPods()
	if r, known := s.Resources(); known || r.Available != nil {
		t.Errorf("before anything was listed: %t, %+v", known, r)
	}
	size := share{1000, 1 << 30}
	s.nodes.replace(map[objectKey]any{{name: "n1"}: node{nodeSize: nodeSize{size, size}}}, 1)
	if r, known := s.Resources(); !known || r.Available != nil {
		t.Errorf("before the pods were listed: %t, %+v", known, r)
	}
	pods.replace(map[objectKey]any{{name: "p1"}: share{300, 1 << 20}, {name: "p2"}: share{100, 0}}, 1)
	if r, _ := s.Resources(); r.Available == nil || r.Available.CPU.String() != "600m" || r.Available.Memory.String() != "1023Mi" {
		t.Errorf("available %+v", r.Available)
	}
	pods.set(objectKey{name: "p3"}, share{9000, 0})
	if r, _ := s.Resources(); r.Available.CPU.Sign() != 0 {
		t.Errorf("more is requested than there is: available %+v, want none", r.Available)
	}
}

func TestThrottle(t *testing.T) {
	calls := make(chan struct{}, 10)
	th := &throttle{pause: 20 * time.Millisecond}
	for range 5 {
		th.call(func() { calls <- struct{}{} })
	}
	<-calls
	th.call(func() { calls <- struct{}{} })
	<-calls
	if len(calls) > 0 {
		t.Error("every change was notified, want one notification for many")
	}
}

func TestDenied(t *testing.T) {
	spec := WatchSpec{Resource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}}
	refused := func(verb string) error {
		return apierrors.NewForbidden(spec.Resource.GroupResource(), "", fmt.Errorf(`User "gitfleet" cannot %s resource "deployments" in API group "apps" at the cluster scope`, verb))
	}
	for _, tc := range []struct {
		name, namespace string
		err             error
		want            string // of the words; empty when they stay the server's own
	}{
		{"cluster-wide", "", refused("list"), "not allowed: grant gitfleet's user list on deployments.apps cluster-wide: "},
		{"in a namespace", "web", refused("list"), "not allowed: grant gitfleet's user list on deployments.apps in namespace web: "},
		{"another 403", "", apierrors.NewForbidden(spec.Resource.GroupResource(), "", errors.New("quota")), ""},
		{"no 403", "", errors.New("cannot list resource x"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec.Namespace = tc.namespace
			got := denied("list", spec, tc.err)
			if tc.want == "" {
				if got != tc.err {
					t.Errorf("got %v", got)
				}
			} else if !strings.HasPrefix(got.Error(), tc.want) || !apierrors.IsForbidden(got) {
				t.Errorf("got %v, want %q first", got, tc.want)
			}
		})
	}
	for verb, want := range map[string]bool{
		"impersonate": true, "impersonate:serviceaccount": true, "impersonate-on:serviceaccount:list": true, "patch": false,
	} {
		if got := ImpersonationDenied(refused(verb)); got != want {
			t.Errorf("a denied %s is taken for a missing right to impersonate: %t, want %t", verb, got, want)
		}
	}
	if ImpersonationDenied(nil) {
		t.Error("no error is a refused impersonation")
	}
}

// TestOneDeniedKind: the others go on.
func TestOneDeniedKind(t *testing.T) {
	m := startMember(t)
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Resource == "secrets" || r.Resource == "nodes" }, memfleet.Forbidden()))
	m.open(m.proxy.Config())
	hidden := m.Watch(WatchSpec{Key: "secrets", Resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}})
	w := m.watchNames()
	m.awaitSynced(w)
	m.await("the denial shows", func() bool { return apierrors.IsForbidden(hidden.Err()) })
	m.configMap("a")
	m.await("the other goes on", func() bool { return names(w) == "a" && w.Synced() })
	if s := m.State(); s.Phase != Ready {
		t.Errorf("state %+v", s)
	}
}

// TestActingForAnAccount: who asks is in the request, and one session serves many.
func TestActingForAnAccount(t *testing.T) {
	m := startMember(t)
	d := newDoor(t, m, "", "cert-1", "cert-2")
	m.watched(d.config(t, "cert-1"))
	team := m.As("web/deployer")
	if m.As("web/deployer") != team || m.As("web/other") == team {
		t.Error("clients are not kept by account")
	}
	get := func() error {
		_, err := team.Dynamic.Resource(configMaps).Namespace("default").List(context.Background(), metav1.ListOptions{})
		return err
	}
	if err := get(); err != nil || d.actedFor() != "system:serviceaccount:web:deployer" {
		t.Errorf("acted for %q, %v", d.actedFor(), err)
	}
	if err := m.SetConfig(d.config(t, "cert-2")); err != nil {
		t.Fatal(err)
	}
	if err := get(); err != nil || d.requests("cert-2") == 0 {
		t.Errorf("after the credentials were replaced: %v", err)
	}
	w := m.watchNames()
	m.awaitSynced(w)
	for _, account := range []string{"", "deployer", "/deployer", "web/", "web/a/b"} {
		_, err := m.As(account).Dynamic.Resource(configMaps).Namespace("default").List(context.Background(), metav1.ListOptions{})
		if err == nil || !strings.Contains(err.Error(), "names no service account") {
			t.Errorf("account %q: %v; want a refusal, never gitfleet's own rights", account, err)
		}
	}
}

// TestAPIService: an aggregated API is news when its server can be asked or no longer can.
func TestAPIService(t *testing.T) {
	for _, tc := range []struct {
		name, spec string
		want       any
	}{
		{"served by the API server itself", "spec: {group: apps}", nil},
		{"not yet asked", "spec: {service: {name: s}}", false},
		{"can be asked", "spec: {service: {name: s}}\nstatus: {conditions: [{type: Available, status: 'True'}]}", true},
		{"cannot", "spec: {service: {name: s}}\nstatus: {conditions: [{type: Available, status: 'False'}]}", false},
	} {
		if got := reduceAPIService(parse(t, "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1.x.test}\n"+tc.spec)); got != tc.want {
			t.Errorf("%s: kept %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestVersionsComeAndGo: a version that a definition no longer serves is no longer mapped, and its watch says so.
func TestVersionsComeAndGo(t *testing.T) {
	m := openMember(t)
	m.create(definitions, "", widgetDefinition)
	w := m.Watch(WatchSpec{Key: "widgets", Resource: widgets})
	m.awaitSynced(w)
	serve := func(version string) {
		patch := fmt.Sprintf(`{"spec":{"versions":[{"name":%q,"served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`, version)
		if _, err := m.direct.Resource(definitions).Patch(context.Background(), "widgets.test.gitfleet.io", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	mapped := func(version string) error {
		_, err := m.Mapping(context.Background(), schema.GroupVersionKind{Group: "test.gitfleet.io", Version: version, Kind: "Widget"})
		return err
	}
	serve("v2")
	realfleet.Eventually(t, 10*time.Second, func() error { return errors.Join(mapped("v2"), mapped("")) })
	realfleet.Eventually(t, 10*time.Second, func() error {
		if mapped("v1") == nil {
			return errors.New("a version that is gone is still mapped")
		}
		return nil
	})
	serve("v1")
	realfleet.Eventually(t, 10*time.Second, func() error { return mapped("v1") })
	m.create(widgets, "default", "apiVersion: test.gitfleet.io/v1\nkind: Widget\nmetadata: {name: a}")
	m.await("the watch has survived that", func() bool { return w.Synced() && len(w.Objects()) == 1 })
}

// TestNodes is what load balancers need of nodes.
func TestNodes(t *testing.T) {
	reduce := (&Session{ctx: t.Context()}).watchNodes().spec.Reduce
	of := func(text string) Node { return reduce(parse(t, text)).(node).Node }
	a := netip.MustParseAddr("10.0.0.4")
	for name, c := range map[string]struct {
		text string
		want Node
	}{
		"plain":    {`{kind: Node, apiVersion: v1, metadata: {name: node-1}, status: {addresses: [{type: Hostname, address: node-1}, {type: InternalIP, address: 10.0.0.4}, {type: ExternalIP, address: 192.0.2.1}, {type: InternalIP, address: what}]}}`, Node{Name: "node-1", Addresses: []netip.Addr{a}}},
		"excluded": {`{kind: Node, apiVersion: v1, metadata: {name: node-1, labels: {node.kubernetes.io/exclude-from-external-load-balancers: ""}}}`, Node{Name: "node-1", Excluded: true}},
		"leaving":  {`{kind: Node, apiVersion: v1, metadata: {name: node-1}, spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}}`, Node{Name: "node-1", Excluded: true}},
		"tainted":  {`{kind: Node, apiVersion: v1, metadata: {name: node-1}, spec: {taints: [{key: other, effect: NoSchedule}]}}`, Node{Name: "node-1"}},
	} {
		if got := of(c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
