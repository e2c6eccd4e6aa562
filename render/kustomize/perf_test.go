package kustomize

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func oneRoot(n int) []txtar.File {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d, namespace: shop}\ndata: {x: %q}\n", i, strings.Repeat("x", 1000))
	}
	return []txtar.File{{Name: "kustomization.yaml", Data: []byte("resources: [all.yaml]\n")}, {Name: "all.yaml", Data: []byte(b.String())}}
}

func manyRoots(n int) []txtar.File {
	var files []txtar.File
	for i := range n {
		files = append(files, txtar.File{Name: fmt.Sprintf("r%d/kustomization.yaml", i), Data: []byte("resources: [all.yaml]\n")},
			txtar.File{Name: fmt.Sprintf("r%d/all.yaml", i), Data: []byte(strings.ReplaceAll("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aN, namespace: shop}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: bN, namespace: shop}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cN, namespace: shop}\n", "N", fmt.Sprint(i)))})
	}
	return files
}

// BenchmarkBuild measures whole builds, the start of the children included.
func BenchmarkBuild(b *testing.B) {
	for _, c := range []struct {
		name  string
		files []txtar.File
		want  int
	}{{"empty", oneRoot(1), 1}, {"one root of 1000", oneRoot(1000), 1000}, {"1000 roots of 3", manyRoots(1000), 3000}} {
		b.Run(c.name, func(b *testing.B) {
			snap := repository(c.files)
			for b.Loop() {
				if got := len(mustBuild(b, snap)); got != c.want {
					b.Fatalf("got %d objects, want %d", got, c.want)
				}
			}
		})
	}
}

// BenchmarkKustomize is the limit: kustomize itself, in this process.
func BenchmarkKustomize(b *testing.B) {
	fsys := inMemory(b, oneRoot(1000))
	for b.Loop() {
		if _, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, "/"); err != nil {
			b.Fatal(err)
		}
	}
}

func inMemory(t testing.TB, files []txtar.File) filesys.FileSystem {
	t.Helper()
	fsys := filesys.MakeFsInMemory()
	for _, f := range files {
		if err := fsys.WriteFile("/"+f.Name, f.Data); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}
