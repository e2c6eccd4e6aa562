package kustomize

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/render"
)

// FuzzParse: whatever an author writes, parse neither panics nor hangs, it counts documents upwards, and what it lets
// pass converts to JSON or is a plain error.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a: 1\n---\nb: [x, {y: z}]\n", "a: &a [*a]", "a: &a x\nb: {<<: {c: *a}}\n", "? [a]\n: b\n", "a: 1\na: 2\n",
		"- null\n", "a: [", "\t", "%YAML 1.1\n---\n...\n---\n", "a: !!binary x\nb: !!float 1e400\nc: 2001-01-01\n", "\xff\xfe", "kind: List\nitems: [{kind: x}]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, errs := parse("f.yaml", data)
		last := 0
		for _, d := range docs {
			if d.number <= last {
				t.Fatalf("document %d follows document %d", d.number, last)
			}
			last = d.number
			raw, err := toJSON(d.node)
			if err == nil && !json.Valid(raw) {
				t.Fatalf("document %d became %q, which is no JSON", d.number, raw)
			}
			items(d.node)
		}
		for _, e := range errs {
			if e.File != "f.yaml" || e.Document < 1 || e.Message == "" {
				t.Fatalf("the mistake %+v cannot be found", e)
			}
		}
	})
}

// FuzzAnswer: no bytes of a child make the parent panic, and cutting a complete answer never leaves a complete one.
func FuzzAnswer(f *testing.F) {
	var b bytes.Buffer
	w := &frameWriter{w: &b}
	for _, err := range []error{
		w.write(frameUnit, unitFrame{Index: 3, Name: "a"}),
		w.write(frameObject, objectFrame{Object: []byte(`{"kind":"X"}`)}),
		w.mistakes(render.ManifestErrors{{File: "a", Message: "b"}}),
		w.write(frameEnd, endFrame{Frames: w.n}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	if _, err := readAnswer(bytes.NewReader(b.Bytes()), 1<<20); err != nil {
		f.Fatalf("the seed is no answer: %v", err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("e\xff\xff\xff\xff"))
	f.Add([]byte("o\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := readAnswer(bytes.NewReader(data), 1<<20); err != nil {
			return
		}
		for n := range len(data) {
			if _, err := readAnswer(bytes.NewReader(data[:n]), 1<<20); err == nil {
				t.Fatalf("the first %d of %d bytes pass for an answer", n, len(data))
			}
		}
	})
}

// FuzzLookup: no path and no link leads out of the tree.
func FuzzLookup(f *testing.F) {
	f.Add("a/b", "../c", "a/b/../d")
	f.Add("a", "/etc", "a/passwd")
	f.Add("a", "a", "a")
	f.Add("a/b", "../..", "a/b/x")
	f.Fuzz(func(t *testing.T, link, target, name string) {
		tr := &tree{nodes: map[string]*node{".": {kind: fs.ModeDir}}}
		tr.add("c/file", &node{data: []byte("x")})
		if p := path.Clean(link); fs.ValidPath(p) && p != "." && tr.nodes[p] == nil {
			tr.add(p, &node{kind: fs.ModeSymlink, target: target})
		}
		real, n, err := tr.lookup(name)
		if err != nil {
			var p *fs.PathError
			if !errors.As(err, &p) {
				t.Fatalf("lookup(%q): %T is no path error", name, err)
			}
			return
		}
		if n == nil || n != tr.nodes[real] || !fs.ValidPath(real) || strings.HasPrefix(real, "..") {
			t.Fatalf("lookup(%q) = %q, %v", name, real, n)
		}
	})
}
