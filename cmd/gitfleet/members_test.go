package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// TestMembersFollowTheirFiles: a member whose API server is another one asks to be opened anew, which frees its place; a
// context that is gone leaves the session open and says so; and in the end nothing is left.
func TestMembersFollowTheirFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	first, second := memberServer(t), memberServer(t)
	dir := t.TempDir()
	file := contextFile(t, first, dir, "east")
	m, err := openMembers([]string{dir}, &apply.Instance{ID: "test"}, apply.DefaultClaimTiming())
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	opened, err := m.Open("east", "test", func() {})
	if err != nil {
		t.Fatal(err)
	}
	east := opened.(*memberConn)
	realfleet.Eventually(t, 10*time.Second, func() error { return inPhase(east, fleet.Ready) })

	west := contextFile(t, first, dir, "west")
	realfleet.Eventually(t, 10*time.Second, func() error {
		_, err := m.Open("west", "test", func() {})
		if err == nil || !strings.Contains(err.Error(), "members east and west have the same API server") {
			return fmt.Errorf("a second member at the same place: %v", err)
		}
		return nil
	})
	contextFile(t, second, dir, "east")
	realfleet.Eventually(t, 10*time.Second, func() error {
		if !east.Moved() {
			return fmt.Errorf("it is not seen that east is elsewhere now")
		}
		return nil
	})
	if requests := second.Requests(); len(requests) > 0 {
		t.Errorf("the session with the old place asked the new one: %v", requests)
	}
	opened.Close()
	if opened, err = m.Open("east", "test", func() {}); err != nil {
		t.Fatal(err)
	}
	east = opened.(*memberConn)
	realfleet.Eventually(t, 10*time.Second, func() error { return inPhase(east, fleet.Ready) })
	moved, err := m.Open("west", "test", func() {})
	if err != nil {
		t.Fatalf("the place that was left: %v", err)
	}
	moved.Close()

	for _, gone := range []string{file, west} {
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
	}
	realfleet.Eventually(t, 10*time.Second, func() error {
		if outdated := east.State().Outdated; outdated == nil || !strings.Contains(outdated.Error(), "no context of that name") {
			return fmt.Errorf("outdated: %v", outdated)
		}
		return inPhase(east, fleet.Ready)
	})
	opened.Close()
	if len(m.open)+len(m.servers) != 0 {
		t.Errorf("after the last member: %v, %v", m.open, m.servers)
	}
}

func inPhase(m *memberConn, want fleet.Phase) error {
	if s := m.State(); s.Phase != want {
		return fmt.Errorf("phase %s, want %s: %v", s.Phase, want, s.Err)
	}
	return nil
}

func memberServer(t *testing.T) *memfleet.Proxy {
	t.Helper()
	server := memfleet.NewServer()
	t.Cleanup(server.Close)
	proxy, err := memfleet.NewProxy(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

// contextFile makes name a context that leads to a server, at once, and returns its file.
func contextFile(t *testing.T, server *memfleet.Proxy, dir, name string) string {
	t.Helper()
	written, err := server.WriteKubeconfig(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.Rename(written, file); err != nil {
		t.Fatal(err)
	}
	return file
}
