package fleet

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gitfleet/gitfleet/internal/memfleet"
)

func TestReadyMemberTellsItsVersionAndNodes(t *testing.T) {
	m := openMember(t)
	if s := m.State(); s.Version == "" || s.LastSeen.IsZero() || s.Err != nil || m.Name() != "member-1" {
		t.Errorf("state %+v", s)
	}
	m.await("the nodes are counted", func() bool { r, known := m.Resources(); return known && r.Nodes == 0 })
	m.create(nodes, "", "apiVersion: v1\nkind: Node\nmetadata: {name: n1}")
	m.await("the new node is counted", func() bool { r, _ := m.Resources(); return r.Nodes == 1 })
	m.proxy.SetDown(true)
	m.await("the member is missed", func() bool { return m.State().Phase == Unreachable })
	if r, known := m.Resources(); r.Nodes != 1 || !known {
		t.Errorf("%d nodes (%t) while unreachable, want the last count", r.Nodes, known)
	}
}

// TestQuietMemberIsLeftAlone is the promise of the package: each thing is asked once, and then nothing is.
func TestQuietMemberIsLeftAlone(t *testing.T) {
	m := openMember(t)
	m.configMap("a")
	w := m.watchNames()
	m.awaitSynced(w)
	for _, resource := range []string{"configmaps", "nodes", "customresourcedefinitions"} {
		m.awaitRequest("watch of "+resource, func(r memfleet.Request) bool { return r.Class == memfleet.Watch && r.Resource == resource })
	}
	if _, err := m.Mapping(context.Background(), configMaps.GroupVersion().WithKind("ConfigMap")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // for what should not come: several times the probes' and the pings' pause
	count := map[string]int{}
	for _, r := range m.proxy.Requests() {
		count[string(r.Class)+" "+r.Path]++
	}
	want := []string{
		"other /readyz", "other /version", "other /api", "other /apis",
		"list /api/v1/configmaps", "watch /api/v1/configmaps", "list /api/v1/nodes", "watch /api/v1/nodes",
		"list /apis/apiextensions.k8s.io/v1/customresourcedefinitions", "watch /apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	}
	for _, w := range want {
		if count[w] != 1 {
			t.Errorf("%s was asked %d times, want once", w, count[w])
		}
		delete(count, w)
	}
	if len(count) > 0 {
		t.Errorf("also asked: %v", count)
	}
}

// TestLostMember shows the whole way: gone, probed by one, back.
func TestLostMember(t *testing.T) {
	m := openMember(t)
	m.configMap("a")
	w := m.watchNames()
	m.await("a is seen", func() bool { return names(w) == "a" })
	seen := m.State().LastSeen

	m.proxy.SetRule(func(memfleet.Request) memfleet.Fault { return memfleet.Answer(503) })
	m.proxy.SetDown(true)
	m.proxy.SetDown(false)
	m.await("the member is missed", func() bool { return m.State().Phase == Unreachable })
	if s := m.State(); unreachableCause(s.Err) != CauseNotReady || s.Version == "" || s.LastSeen.Before(seen) {
		t.Errorf("state %+v", s)
	}
	if w.Synced() || unreachableCause(w.Err()) == "" || names(w) != "a" {
		t.Errorf("the watch: synced %t, %v, content %q; want the last content, in doubt", w.Synced(), w.Err(), names(w))
	}
	m.proxy.Reset()
	if _, err := m.Dynamic().Resource(configMaps).List(context.Background(), metav1.ListOptions{}); unreachableCause(err) == "" {
		t.Errorf("a request to a lost member: %v, want an UnreachableError", err)
	}
	m.awaitRequest("a probe", func(r memfleet.Request) bool { return r.Path == "/readyz" })
	for _, r := range m.proxy.Requests() {
		if r.Path != "/readyz" {
			t.Errorf("a lost member was asked %s", r)
		}
	}

	m.configMap("b")
	m.remove(configMaps, "default", "a")
	m.proxy.SetRule(nil)
	m.await("what happened meanwhile is seen", func() bool { return w.Synced() && names(w) == "b" })
}

func TestCauses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(m *member, cfg *rest.Config)
		cause  Cause
		text   string
	}{
		{"nothing listens", func(m *member, _ *rest.Config) { m.proxy.SetDown(true) }, CauseNetwork, "check that its API server runs"},
		{"401", func(m *member, _ *rest.Config) { m.proxy.SetRule(always(memfleet.Answer(401))) }, CauseCredentials, "renew the credentials"},
		{"500", func(m *member, _ *rest.Config) { m.proxy.SetRule(always(memfleet.Answer(500))) }, CauseNotReady, "500"},
		{"no answer", func(m *member, _ *rest.Config) { m.proxy.SetRule(always(memfleet.Hold(nil))) }, CauseNetwork, "no answer within 1s"},
		{"wrong authority", func(_ *member, cfg *rest.Config) { cfg.CAData = otherAuthority(t) }, CauseCertificate, "certificate-authority-data"},
		{"plugin missing", func(_ *member, cfg *rest.Config) {
			cfg.ExecProvider = &clientcmdapi.ExecConfig{
				Command: "gitfleet-no-such-plugin", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.IfAvailableExecInteractiveMode,
			}
		}, CauseCredentials, "gitfleet-no-such-plugin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startMember(t)
			cfg := m.proxy.Config()
			cfg.BearerToken = "s3cr3t-token"
			tc.change(m, cfg)
			if cfg.ExecProvider != nil {
				cfg.BearerToken = ""
			}
			m.open(cfg)
			m.await("the member is unreachable", func() bool { return m.State().Phase == Unreachable })
			err := m.State().Err
			if unreachableCause(err) != tc.cause || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), "member-1") {
				t.Errorf("cause %q: %v; want %q with %q", unreachableCause(err), err, tc.cause, tc.text)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func always(f memfleet.Fault) memfleet.Rule {
	return func(memfleet.Request) memfleet.Fault { return f }
}

// TestForbiddenProbeIsAnAnswer: who may not read /readyz may still read the rest.
func TestForbiddenProbeIsAnAnswer(t *testing.T) {
	m := startMember(t)
	m.proxy.SetRule(memfleet.When(isClass(memfleet.Other), memfleet.Forbidden()))
	m.open(m.proxy.Config())
	m.await("ready", func() bool { return m.State().Phase == Ready })
}

// TestSingleBrokenStreamIsNotALostMember: the probe decides, and it answers.
func TestSingleBrokenStreamIsNotALostMember(t *testing.T) {
	m := startMember(t)
	m.configMap("a")
	m.proxy.SetRule(memfleet.Nth(1, configMapsOf(memfleet.Watch), memfleet.Cut()))
	m.open(m.proxy.Config())
	w := m.watchNames()
	m.awaitSynced(w)
	m.awaitRequest("watch", configMapsOf(memfleet.Watch))
	since := m.State().Since
	m.configMap("b") // this event is the one that is cut
	m.await("b is seen all the same", func() bool { return names(w) == "a b" && w.Synced() })
	if s := m.State(); s.Phase != Ready || s.Since != since {
		t.Errorf("the member was given up: %+v", s)
	}
}

// TestHungMember: the connection stays open, and nothing comes any more.
func TestHungMember(t *testing.T) {
	m := startMember(t)
	relay := newRelayListener(t, m.proxy.Config().Host)
	cfg := m.proxy.Config()
	cfg.Host = "https://" + relay.Addr().String()
	m.open(cfg)
	w := m.watchNames()
	m.awaitSynced(w)
	relay.freeze()
	m.await("the silence is noticed", func() bool { return m.State().Phase == Unreachable && !w.Synced() })
	if unreachableCause(m.State().Err) != CauseNetwork {
		t.Errorf("state %+v", m.State())
	}
}

// relayListener passes bytes on until it is frozen.
type relayListener struct {
	net.Listener
	target string
	frozen chan struct{}
	wg     sync.WaitGroup
}

func newRelayListener(t *testing.T, target string) *relayListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relayListener{Listener: l, target: strings.TrimPrefix(target, "https://"), frozen: make(chan struct{})}
	stop := make(chan struct{})
	r.wg.Go(func() { r.run(stop) })
	t.Cleanup(func() { close(stop); _ = l.Close(); r.wg.Wait() })
	return r
}

func (r *relayListener) freeze() { close(r.frozen) }

func (r *relayListener) run(stop chan struct{}) {
	for {
		client, err := r.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.wg.Go(func() { r.copy(client, server) })
		r.wg.Go(func() { r.copy(server, client) })
		r.wg.Go(func() { <-stop; _ = client.Close(); _ = server.Close() })
	}
}

// copy swallows what comes once it is frozen.
func (r *relayListener) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-r.frozen:
		default:
			_, _ = to.Write(buf[:n])
		}
	}
}
