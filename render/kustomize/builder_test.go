package kustomize

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// TestMain makes the test binary its own rendering child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "render-child" {
		if err := childMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// childMain is the child, or one that misbehaves as its argument says.
func childMain(args []string) error {
	if len(args) == 0 {
		return Main(context.Background(), os.Stdin, os.Stdout)
	}
	return misbehave(args[0])
}

func testBuilder(t testing.TB, args ...string) *Builder {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Command: append([]string{self, "render-child"}, args...)})
}

// repository makes a snapshot of a txtar archive. A file whose content is "-> target" is a symbolic link.
func repository(files []txtar.File) source.Snapshot {
	m := fstest.MapFS{}
	for _, f := range files {
		if target, ok := strings.CutPrefix(string(f.Data), "-> "); ok {
			m[f.Name] = &fstest.MapFile{Data: []byte(strings.TrimSpace(target)), Mode: fs.ModeSymlink}
			continue
		}
		m[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return source.Snapshot{FS: m}
}

func snapshot(archive string) source.Snapshot {
	return repository(txtar.Parse([]byte(archive)).Files)
}

func mustBuild(t testing.TB, snap source.Snapshot, paths ...string) []render.Object {
	t.Helper()
	objects, err := testBuilder(t).Build(t.Context(), snap, paths)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return objects
}

func newObject(gvk schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}
