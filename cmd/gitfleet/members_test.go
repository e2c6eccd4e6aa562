package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// TestCollisions: who may move to another API server, when several do at once. A row reads "member at server".
func TestCollisions(t *testing.T) {
	for _, tc := range []struct{ name, open, wanted, refused string }{
		{"nothing moves", "a@1 b@2", "a@1 b@2", ""},
		{"to a free one", "a@1 b@2", "a@3", ""},
		{"to one that is taken", "a@1 b@2", "a@2", "a:b"},
		{"to one that is left", "a@1 b@2", "a@2 b@3", ""},
		{"in a circle", "a@1 b@2 c@3", "a@2 b@3 c@1", ""},
		{"two to the same", "a@1 b@2", "a@3 b@3", "b:a"},
		{"one that stays stops the next", "a@1 b@2 c@3", "a@2 b@3", "a:b b:c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &members{open: map[string]*memberConn{}}
			for name, credential := range at(tc.open) {
				m.open[name] = &memberConn{credential: credential}
			}
			refused := m.collisions(at(tc.wanted))
			var got []string
			for _, name := range slices.Sorted(maps.Keys(refused)) {
				got = append(got, name+":"+refused[name])
			}
			if text := strings.Join(got, " "); text != tc.refused {
				t.Errorf("refused %q, want %q", text, tc.refused)
			}
		})
	}
}

func at(text string) map[string]fleet.Credential {
	out := map[string]fleet.Credential{}
	for _, word := range strings.Fields(text) {
		name, server, _ := strings.Cut(word, "@")
		out[name] = fleet.Credential{Config: &rest.Config{Host: server}}
	}
	return out
}

// TestMembersFollowTheirFiles: a member moves without being opened anew, which frees its place; a context that is gone
// leaves the session open and says so; and in the end nothing is left.
func TestMembersFollowTheirFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	first, second := memberServer(t), memberServer(t)
	dir := t.TempDir()
	file := contextFile(t, first, dir, "east")
	m := &members{kubeconfigs: []string{dir}, servers: map[string]string{}, timing: apply.DefaultClaimTiming()}
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
	second.Reset()
	contextFile(t, second, dir, "east")
	realfleet.Eventually(t, 10*time.Second, func() error {
		if len(second.Requests()) == 0 {
			return fmt.Errorf("nothing is asked at the new place")
		}
		return inPhase(east, fleet.Ready)
	})
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
	if m.follow != nil || len(m.servers) != 0 {
		t.Errorf("after the last member: %+v", m)
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
