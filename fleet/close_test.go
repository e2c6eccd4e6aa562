package fleet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// TestMembersAreIsolated: a session owns its connections, even when two lead to the same address.
func TestMembersAreIsolated(t *testing.T) {
	m := openMember(t)
	other, err := open("member-2", m.proxy.Config(), m.notify, fast)
	if err != nil {
		t.Fatal(err)
	}
	m.await("the other is ready", func() bool { return other.State().Phase == Ready })
	w := m.watchNames()
	m.awaitSynced(w)
	other.Close()
	m.configMap("a")
	m.await("the first still sees changes", func() bool { return names(w) == "a" })
	if s := m.State(); s.Phase != Ready || s.Err != nil {
		t.Errorf("closing one session disturbed the other: %+v", s)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for name, rule := range map[string]memfleet.Rule{
		"while all is well":      nil,
		"while nothing answers":  always(memfleet.Hold(nil)),
		"while it is throttled":  memfleet.When(isClass(memfleet.List), memfleet.Answer(429)),
		"while lists are broken": memfleet.When(isClass(memfleet.List), memfleet.Cut()),
		"while watches hang":     memfleet.When(isClass(memfleet.Watch), memfleet.Hold(nil)),
		"while it is refused":    always(memfleet.Refuse()),
	} {
		t.Run(name, func(t *testing.T) {
			m := startMember(t)
			m.proxy.SetRule(rule)
			m.open(m.proxy.Config())
			m.watchNames()
			m.Watch(WatchSpec{Key: "widgets", Resource: widgets})
			m.awaitRequest("anything but the first probe", func(r memfleet.Request) bool { return r.Seq > 0 && (rule != nil || r.Class == memfleet.Watch) })
			m.Close()
			m.Close() // twice does no harm
			m.Watch(WatchSpec{Key: "late", Resource: configMaps})
			if _, err := m.Dynamic().Resource(configMaps).List(context.Background(), metav1.ListOptions{}); err == nil {
				t.Error("a closed session still answers")
			}
			m.awaitNothingRuns()
		})
	}
}

// awaitNothingRuns waits until no goroutine of a session is left. The proxy and the server run on: their end must not be
// what ends the session.
func (m *member) awaitNothingRuns() {
	m.t.Helper()
	realfleet.Eventually(m.t, 10*time.Second, func() error {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		var left []string
		for stack := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(stack, "client-go/tools/cache.") || strings.Contains(stack, "gitfleet/fleet.(*") && !strings.Contains(stack, "awaitNothingRuns") {
				left = append(left, stack)
			}
		}
		if open := m.openConnections(); len(left) > 0 || open > 0 {
			return fmt.Errorf("%d connections and these goroutines are left:\n%s", open, strings.Join(left, "\n\n"))
		}
		return nil
	})
}

// openConnections counts the connections of all lines.
func (m *member) openConnections() (n int) {
	for _, l := range m.wire.lines() {
		n += l.openConnections()
	}
	return n
}

func (l *line) openConnections() int {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	return len(l.conns.open)
}

func TestOpenRefusesABrokenConfiguration(t *testing.T) {
	_, err := Open("member-1", &rest.Config{Host: "https://127.0.0.1:1", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("no certificate")}}, nil)
	if err == nil || !strings.Contains(err.Error(), "member member-1") {
		t.Errorf("got %v, want an error that names the member", err)
	}
	goleak.VerifyNone(t)
}

func TestNotificationsAreNeverConcurrent(t *testing.T) {
	m := startMember(t)
	var mu sync.Mutex
	var calls int
	s, err := open("member-1", m.proxy.Config(), func() {
		if !mu.TryLock() {
			t.Error("notified while being notified")
			return
		}
		calls++
		mu.Unlock()
		m.notify()
	}, fast)
	if err != nil {
		t.Fatal(err)
	}
	m.Session = s
	t.Cleanup(s.Close)
	w := m.watchNames()
	m.awaitSynced(w)
	for _, name := range strings.Split("abcdefghij", "") {
		m.configMap(name)
	}
	m.await("all are seen", func() bool { return len(w.Objects()) == 10 })
}

func TestCallersOwnTimeoutIsNoTrouble(t *testing.T) {
	m := openMember(t)
	m.proxy.SetRule(memfleet.When(configMapsOf(memfleet.List), memfleet.Hold(nil)))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	m.proxy.Reset()
	if _, err := m.Dynamic().Resource(configMaps).List(ctx, metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	for _, r := range m.proxy.Requests() {
		if r.Path == "/readyz" {
			t.Error("the member was probed because a caller had no patience")
		}
	}
}
