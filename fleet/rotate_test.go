package fleet

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/test/realfleet"
)

// watched opens the session and fails t if it is ever unreachable from then on.
func (m *member) watched(cfg *rest.Config) {
	m.t.Helper()
	var err error
	var session atomic.Pointer[Session]
	m.Session, err = open("member-1", cfg, func() {
		if s := session.Load(); s != nil && s.State().Phase == Unreachable {
			m.t.Errorf("the member became unreachable: %v", s.State().Err)
		}
		m.notify()
	}, fast)
	if err != nil {
		m.t.Fatal(err)
	}
	session.Store(m.Session)
	m.t.Cleanup(m.Close)
	m.await("the session is ready", func() bool { return m.State().Phase == Ready })
}

// load writes config maps until the returned function is called, which tells how many; every one must succeed.
func (m *member) load() (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var written int
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			u := parse(m.t, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: load-%05d, labels: {app: a}}", written))
			if _, err := m.Dynamic().Resource(configMaps).Namespace("default").Create(context.Background(), u, metav1.CreateOptions{}); err != nil {
				m.t.Errorf("a write was lost: %v", err)
				return
			}
			written++
		}
	})
	return func() int { cancel(); wg.Wait(); return written }
}

// TestRotation: under load, nothing is lost, the member is never unreachable, and the old credentials are let go.
func TestRotation(t *testing.T) {
	for _, tc := range []struct {
		name, before, after string
		lists               int // a token needs no new connection, so nothing is listed anew
	}{
		{"client certificate", "cert-1", "cert-2", 2},
		{"token", "token-1", "token-2", 1},
		{"from certificate to token", "cert-1", "token-1", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startMember(t)
			d := newDoor(t, m, "", tc.before, tc.after)
			m.watched(d.config(t, tc.before))
			w := m.watchNames()
			m.awaitSynced(w)
			stop := m.load()
			m.await("some writes", func() bool { return len(w.Objects()) > 20 })
			if err := m.SetConfig(d.config(t, tc.after)); err != nil {
				t.Fatal(err)
			}
			realfleet.Eventually(t, 10*time.Second, func() error {
				if open := len(m.wire.lines()); open != 1 || d.requests(tc.after) < 20 {
					return fmt.Errorf("%d lines are open, %d requests came with the new credentials", open, d.requests(tc.after))
				}
				return nil
			})
			d.allow(tc.after)
			before := d.requests(tc.before)
			at := len(w.Objects())
			m.await("more writes", func() bool { return len(w.Objects()) > at+20 })
			written := stop()
			m.await("everything is seen", func() bool { return w.Synced() && len(w.Objects()) == written })
			if now := d.requests(tc.before); now > before+1 { // one may have been on its way
				t.Errorf("%d requests still came with the old credentials", now-before)
			}
			if d.lists != tc.lists {
				t.Errorf("config maps were listed %d times, want %d", d.lists, tc.lists)
			}
		})
	}
}

// TestRejectedCredentials: they were put there on purpose, so the old ones are not tried again, and the next are at once.
func TestRejectedCredentials(t *testing.T) {
	m := startMember(t)
	d := newDoor(t, m, "", "cert-1", "token-3")
	patient := fast
	patient.retryMin, patient.retryMax = time.Hour, time.Hour // nobody waits for that
	var err error
	if m.Session, err = open("member-1", d.config(t, "cert-1"), m.notify, patient); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	m.configMap("a")
	w := m.watchNames()
	m.await("a is seen", func() bool { return names(w) == "a" })
	if err := m.SetConfig(d.config(t, "cert-2")); err != nil {
		t.Fatal(err)
	}
	m.await("the rejection shows", func() bool { return unreachableCause(m.State().Err) == CauseCredentials })
	if names(w) != "a" || w.Synced() {
		t.Errorf("content %q, synced %t; want what was known, in doubt", names(w), w.Synced())
	}
	if err := m.SetConfig(d.config(t, "token-3")); err != nil {
		t.Fatal(err)
	}
	m.await("the next are tried", func() bool { return m.State().Phase == Ready && w.Synced() })
}

// TestRequestUnderWay finishes on the connection that it began on, which is closed then.
func TestRequestUnderWay(t *testing.T) {
	m := startMember(t)
	d := newDoor(t, m, "", "cert-1", "cert-2")
	m.watched(d.config(t, "cert-1"))
	slow := make(chan error, 1)
	go func() {
		_, err := m.Dynamic().Resource(configMaps).List(context.Background(), metav1.ListOptions{LabelSelector: "slow"})
		slow <- err
	}()
	realfleet.Eventually(t, 5*time.Second, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.lists == 0 {
			return fmt.Errorf("the slow request has not arrived")
		}
		return nil
	})
	if err := m.SetConfig(d.config(t, "cert-2")); err != nil {
		t.Fatal(err)
	}
	w := m.watchNames()
	m.awaitSynced(w)
	lines := m.wire.lines()
	if len(lines) != 2 {
		t.Fatalf("%d lines are open, want the old one, with a request under way, and the new one", len(lines))
	}
	close(d.hold)
	if err := <-slow; err != nil {
		t.Errorf("a request that was under way: %v", err)
	}
	realfleet.Eventually(t, 5*time.Second, func() error {
		if len(m.wire.lines()) != 1 || lines[1].openConnections() != 0 {
			return fmt.Errorf("the old line is kept although nothing is under way on it")
		}
		return nil
	})
}

// TestProbeOfTheOldCredentials: what it finds says nothing about the new ones.
func TestProbeOfTheOldCredentials(t *testing.T) {
	m := startMember(t)
	d := newDoor(t, m, "", "cert-1", "cert-2")
	m.watched(d.config(t, "cert-1"))
	asked := make(chan struct{})
	var once sync.Once
	d.onProbe(func(who string) bool {
		if who != "cert-1" {
			return true
		}
		once.Do(func() { close(asked) })
		<-d.hold
		return false
	})
	m.link.suspicion()
	<-asked
	if err := m.SetConfig(d.config(t, "cert-2")); err != nil {
		t.Fatal(err)
	}
	close(d.hold) // now the old ones are rejected
	w := m.watchNames()
	m.awaitSynced(w)
	if s := m.State(); s.Phase != Ready || d.requests("cert-2") == 0 {
		t.Errorf("state %+v", s)
	}
}

// TestMemberMoves to another address, below a path as management servers have it.
func TestMemberMoves(t *testing.T) {
	m := startMember(t)
	first, second := newDoor(t, m, "", "cert-1"), newDoor(t, m, "/k8s/clusters/c-1", "token-1")
	m.watched(first.config(t, "cert-1"))
	w := m.watchNames()
	m.awaitSynced(w)
	if err := m.SetConfig(second.config(t, "token-1")); err != nil {
		t.Fatal(err)
	}
	m.configMap("a")
	m.await("it is followed", func() bool { return w.Synced() && names(w) == "a" && second.requests("token-1") > 0 })
	first.CloseClientConnections()
	first.allow()
	m.configMap("b")
	m.await("the first place means nothing any more", func() bool { return w.Synced() && names(w) == "a b" })
}

func TestSetConfigRefusesABrokenOne(t *testing.T) {
	m := openMember(t)
	if err := m.SetConfig(&rest.Config{Host: "https://127.0.0.1:1", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("no certificate")}}); err == nil || !strings.Contains(err.Error(), "member-1") {
		t.Errorf("got %v, want an error that names the member", err)
	}
	m.KeepConfig(fmt.Errorf("the file is broken"))
	m.await("that shows", func() bool { return m.State().Outdated != nil })
	if err := m.SetConfig(m.proxy.Config()); err != nil {
		t.Fatal(err)
	}
	if s := m.State(); s.Outdated != nil || s.Phase != Ready {
		t.Errorf("state %+v", s)
	}
	w := m.watchNames()
	m.awaitSynced(w)
}

// TestRotatedFiles is the whole way from a file to the session: what cmd does with the two.
func TestRotatedFiles(t *testing.T) {
	m := startMember(t)
	d := newDoor(t, m, "", "cert-1", "cert-2", "token-1", "token-2")
	dir := t.TempDir()
	put := func(name string, text []byte) { replaceFile(t, filepath.Join(dir, name), text) }
	cert, key := clientCertificate(t, "cert-1")
	put("ca.crt", d.authority())
	put("tls.crt", cert)
	put("tls.key", key)
	put("kubeconfig", []byte(kubeconfigOf("member-1", d.URL, "client-certificate: tls.crt, client-key: tls.key")))
	c := openFiles(t, filepath.Join(dir, "kubeconfig"))
	current, err := c.Get("member-1")
	if err != nil {
		t.Fatal(err)
	}
	m.watched(current.Config)
	w := m.watchNames()
	m.awaitSynced(w)
	follow := func() {
		t.Helper()
		next := awaitCredential(t, c, "member-1", func(n Credential) bool { return n.Outdated == nil && !n.Same(current) })
		if err := m.SetConfig(next.Config); err != nil {
			t.Fatal(err)
		}
		current = next
	}
	stop := m.load()
	cert, key = clientCertificate(t, "cert-2")
	put("tls.crt", cert) // and for a moment it does not fit the key
	awaitCredential(t, c, "member-1", func(n Credential) bool { return n.Outdated != nil && n.Same(current) })
	put("tls.key", key)
	follow()
	put("token", []byte("token-1\n"))
	put("kubeconfig", []byte(kubeconfigOf("member-1", d.URL, "tokenFile: token")))
	follow()
	put("token", []byte("token-2\n"))
	follow()
	realfleet.Eventually(t, 10*time.Second, func() error {
		if d.requests("token-2") == 0 {
			return fmt.Errorf("nothing came with the last token")
		}
		return nil
	})
	written := stop()
	m.await("everything is seen", func() bool { return w.Synced() && len(w.Objects()) == written })
}
