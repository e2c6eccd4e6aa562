package fleet

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// TestRealMember walks through a member's life with a real API server: what only that can show.
func TestRealMember(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real API servers")
	}
	const name = "aks-member-1"
	real := realfleet.Start(t, 1)
	cfg := real.Config(t, name)
	proxy, err := memfleet.NewProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	m := &member{t: t, proxy: proxy, direct: dynamic.NewForConfigOrDie(cfg), changed: make(chan struct{}, 1)}
	m.open(proxy.Config())
	w := m.watchNames()
	later := m.Watch(WatchSpec{Key: "widgets", Resource: widgets})
	m.awaitSynced(w)
	m.await("the nodes and pods are counted", func() bool { r, known := m.Resources(); return known && r.Nodes > 0 && r.Available != nil })
	if v := m.State().Version; !strings.HasPrefix(v, "v1.") {
		t.Errorf("version %q", v)
	}

	t.Run("quiet", func(t *testing.T) {
		m.await("the definitions are watched", m.definitions.Synced)
		m.await("the absence of a kind shows", func() bool { return later.Err() != nil && strings.Contains(later.Err().Error(), "not served") })
		proxy.Reset()
		time.Sleep(3 * time.Second) // for what should not come
		for _, r := range proxy.Requests() {
			if r.Class != memfleet.Watch {
				t.Errorf("asked of a quiet member: %s", r)
			}
		}
	})
	t.Run("a kind that comes later", func(t *testing.T) {
		m.create(definitions, "", widgetDefinition)
		m.awaitSynced(later)
		if _, err := m.Mapping(context.Background(), widgets.GroupVersion().WithKind("Widget")); err != nil {
			t.Error(err)
		}
	})
	t.Run("access denied", func(t *testing.T) {
		cfg := proxy.Config()
		cfg.Impersonate.UserName = "nobody-in-particular"
		denied := &member{t: t, proxy: proxy, direct: m.direct, changed: make(chan struct{}, 1)}
		denied.open(cfg)
		w := denied.watchNames()
		denied.await("the denial shows", func() bool { return apierrors.IsForbidden(w.Err()) })
		for _, want := range []string{"member-1", "grant gitfleet's user list on configmaps cluster-wide", "nobody-in-particular"} {
			if !strings.Contains(w.Err().Error(), want) {
				t.Errorf("%v does not say %q", w.Err(), want)
			}
		}
		denied.await("so do the nodes", func() bool {
			r, known := denied.Resources()
			return !known && r.Problem != nil && strings.Contains(r.Problem.Error(), "list on nodes cluster-wide")
		})
		if _, err := denied.As("default/deployer").Dynamic.Resource(configMaps).List(context.Background(), metav1.ListOptions{}); err == nil || !strings.Contains(err.Error(), "impersonates a user itself") {
			t.Errorf("acting for an account in another's name: %v", err)
		}
	})
	t.Run("impersonation", func(t *testing.T) {
		real.Apply(t, name, accounts)
		realImpersonation(t, real, name, m, cfg)
	})
	t.Run("rotated", func(t *testing.T) { realRotation(t, real, name, cfg) })
	t.Run("resources", func(t *testing.T) { realResources(t, real, name, m) })
	t.Run("aggregated", func(t *testing.T) { realAggregated(t, real, name, m) })
	t.Run("hung", func(t *testing.T) {
		// Straight to the API server: the proxy would answer the pings of HTTP/2 for it.
		straight := &member{t: t, proxy: proxy, direct: m.direct, changed: make(chan struct{}, 1)}
		straight.open(cfg)
		w := straight.watchNames()
		straight.awaitSynced(w)
		pid := real.PID(t, name, "kube-apiserver")
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		straight.await("the member is missed", func() bool { return straight.State().Phase == Unreachable })
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		straight.await("the member is back", func() bool { return straight.State().Phase == Ready && w.Synced() })
	})
	t.Run("stopped and started", func(t *testing.T) {
		m.configMap("a")
		m.await("a is seen", func() bool { return names(w) == "a" })
		real.StopMember(t, name)
		m.await("the member is missed", func() bool { return m.State().Phase == Unreachable && !w.Synced() })
		if names(w) != "a" {
			t.Errorf("content became %q", names(w))
		}
		real.StartMember(t, name)
		m.await("the member is back", func() bool { return m.State().Phase == Ready && w.Synced() && later.Synced() })
		if err := m.direct.Resource(configMaps).Namespace("default").Delete(context.Background(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		m.await("changes are seen again", func() bool { return names(w) == "" })
	})
}
