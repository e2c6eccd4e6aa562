package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	nodes       = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	widgets     = schema.GroupVersionResource{Group: "test.gitfleet.io", Version: "v1", Resource: "widgets"}
)

// fast is a timing for tests.
var fast = timing{
	request: 5 * time.Second, header: 2 * time.Second, probe: time.Second,
	retryMin: 20 * time.Millisecond, retryMax: 50 * time.Millisecond,
	pingAfter: 200 * time.Millisecond, ping: 200 * time.Millisecond,
	relist: 20 * time.Millisecond, unwatched: 50 * time.Millisecond, settle: 200 * time.Millisecond, recheck: 20 * time.Millisecond,
	available: 100 * time.Millisecond,
}

// member is an API server behind a proxy, and a session with it.
type member struct {
	t       *testing.T
	server  *memfleet.Server
	proxy   *memfleet.Proxy
	direct  dynamic.Interface // past the proxy, so that what the test does is not counted
	changed chan struct{}
	*Session
}

func startMember(t *testing.T) *member {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	m := &member{t: t, server: memfleet.NewServer(), changed: make(chan struct{}, 1)}
	t.Cleanup(m.server.Close)
	var err error
	if m.proxy, err = memfleet.NewProxy(m.server.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.proxy.Close)
	m.direct = dynamic.NewForConfigOrDie(m.server.Config())
	return m
}

// open starts the session.
func (m *member) open(cfg *rest.Config) *member {
	m.t.Helper()
	var err error
	if m.Session, err = open("member-1", cfg, m.notify, fast); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.Close)
	return m
}

// openMember starts a member and a session that is ready.
func openMember(t *testing.T) *member {
	t.Helper()
	m := startMember(t)
	m.open(m.proxy.Config())
	m.await("the session is ready", func() bool { return m.State().Phase == Ready })
	return m
}

func (m *member) notify() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// await looks at cond after every notification, and only then: what is not notified is not seen.
func (m *member) await(what string, cond func() bool) {
	m.t.Helper()
	timeout := time.After(15 * time.Second)
	for !cond() {
		select {
		case <-m.changed:
		case <-timeout:
			m.t.Fatalf("never happened: %s; state %+v; the last requests were %v", what, m.State(), m.lastRequests())
		}
	}
}

func (m *member) lastRequests() string {
	var lines []string
	for _, r := range m.proxy.Requests() {
		lines = append(lines, fmt.Sprintf("\n%d: %s: %d", r.Seq, r, r.Code))
	}
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

func (m *member) awaitSynced(w *Watch) {
	m.t.Helper()
	m.await("synced", w.Synced)
}

// awaitRequest waits until the proxy has seen a request that matches.
func (m *member) awaitRequest(what string, match func(memfleet.Request) bool) {
	m.t.Helper()
	realfleet.Eventually(m.t, 15*time.Second, func() error {
		if !slices.ContainsFunc(m.proxy.Requests(), match) {
			return fmt.Errorf("never asked: %s", what)
		}
		return nil
	})
}

func (m *member) create(gvr schema.GroupVersionResource, ns, manifest string) {
	m.t.Helper()
	if _, err := m.direct.Resource(gvr).Namespace(ns).Create(context.Background(), parse(m.t, manifest), metav1.CreateOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) remove(gvr schema.GroupVersionResource, ns, name string) {
	m.t.Helper()
	if err := m.direct.Resource(gvr).Namespace(ns).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) configMap(name string) {
	m.t.Helper()
	m.create(configMaps, "default", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+name+", labels: {app: a}}")
}

// watchNames watches config maps and keeps their names.
func (m *member) watchNames() *Watch {
	return m.Watch(WatchSpec{
		Key: "names", Resource: configMaps, LabelSelector: "app", Metadata: true,
		Reduce: func(u *unstructured.Unstructured) any { return u.GetName() },
	})
}

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	return u
}

// names returns what watchNames keeps.
func names(w *Watch) string {
	var s []string
	for _, name := range w.Objects() {
		s = append(s, name.(string))
	}
	return strings.Join(s, " ")
}

func isClass(class memfleet.Class) func(memfleet.Request) bool {
	return func(r memfleet.Request) bool { return r.Class == class }
}

// configMapsOf tells requests of one class for config maps.
func configMapsOf(class memfleet.Class) func(memfleet.Request) bool {
	return func(r memfleet.Request) bool { return r.Class == class && r.Resource == "configmaps" }
}

func unreachableCause(err error) Cause {
	if e, ok := errors.AsType[*UnreachableError](err); ok {
		return e.Cause
	}
	return ""
}
