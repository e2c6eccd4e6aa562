package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/gitfleet/gitfleet/render"
)

// document is one YAML document of a file that holds something.
type document struct {
	number int // counted from 1, empty documents included
	node   *yaml.Node
}

// parse splits file into documents and returns what is wrong with their YAML, as far as any kind of document is
// concerned: syntax, keys that occur twice, aliases that multiply. Syntax ends the reading, so later documents of the
// file are not looked at then.
func parse(file string, data []byte) ([]document, render.ManifestErrors) {
	var docs []document
	var errs render.ManifestErrors
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for number := 1; ; number++ {
		node := &yaml.Node{}
		err := dec.Decode(node)
		if errors.Is(err, io.EOF) {
			return docs, errs
		}
		at := mistakeAt{file: file, document: number}
		if err != nil {
			return docs, append(errs, at.mistake("", "is not valid YAML: %s", located(data, err)))
		}
		if len(node.Content) == 0 || node.Content[0].Tag == "!!null" {
			continue
		}
		w := walker{at: at}
		if size, ok := w.expanded(node, map[*yaml.Node]int{}); !ok || size > aliasLimit(w.nodes) {
			errs = append(errs, at.mistake("", "its aliases (*name) expand to too much, or to themselves; write the values out"))
			continue
		}
		w.walk("", node.Content[0], map[*yaml.Node]bool{})
		errs = append(errs, w.errs...)
		docs = append(docs, document{number: number, node: node.Content[0]})
	}
}

// yamlLine is how the YAML library begins its messages. The line is that of the block the error is in, and one too low.
var yamlLine = regexp.MustCompile(`^yaml: (line \d+: )?`)

// located returns err with the line that makes data invalid: the first after which reading on changes nothing.
func located(data []byte, err error) string {
	message := yamlLine.ReplaceAllString(err.Error(), "")
	lines := bytes.SplitAfter(data, []byte("\n"))
	if len(data) > 1<<20 { // parsing it again and again would take too long
		return message
	}
	line := sort.Search(len(lines), func(i int) bool {
		again := syntaxError(bytes.Join(lines[:i+1], nil))
		return again != nil && again.Error() == err.Error()
	})
	return fmt.Sprintf("line %d: %s", min(line+1, len(lines)), message)
}

// syntaxError reads data to its end or its first mistake.
func syntaxError(data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		err := dec.Decode(&yaml.Node{})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// mistakeAt is where a mistake is.
type mistakeAt struct {
	file     string
	document int
}

func (m mistakeAt) mistake(field, format string, args ...any) render.ManifestError {
	return render.ManifestError{File: m.file, Document: m.document, Field: field, Message: fmt.Sprintf(format, args...)}
}

// aliasLimit bounds what aliases may expand to. It leaves room for the usual reuse of a few blocks.
func aliasLimit(nodes int) int { return 10*nodes + 100_000 }

// walker visits the nodes of one document.
type walker struct {
	at    mistakeAt
	nodes int
	errs  render.ManifestErrors
}

// expanded counts the nodes below n as if every alias were written out. It is false for an alias inside its own anchor.
func (w *walker) expanded(n *yaml.Node, sizes map[*yaml.Node]int) (int, bool) {
	const open = -1
	if size, seen := sizes[n]; seen {
		return size, size != open
	}
	w.nodes++
	sizes[n] = open
	total := 1
	children := n.Content
	if n.Alias != nil {
		children = []*yaml.Node{n.Alias}
	}
	for _, c := range children {
		size, ok := w.expanded(c, sizes)
		if !ok {
			return 0, false
		}
		if total += size; total > 1<<40 { // no overflow, whatever the nesting
			total = 1 << 40
		}
	}
	sizes[n] = total
	return total, true
}

// walk reports keys that are no strings or occur twice, and empty list items, which kustomize refuses.
func (w *walker) walk(path string, n *yaml.Node, seen map[*yaml.Node]bool) {
	if n.Alias != nil {
		n = n.Alias
	}
	if seen[n] {
		return
	}
	seen[n] = n.Kind != yaml.ScalarNode
	switch n.Kind {
	case yaml.MappingNode:
		w.mapping(path, n, seen)
	case yaml.SequenceNode:
		for i, c := range n.Content {
			here := fmt.Sprintf("%s[%d]", path, i)
			if c.Tag == "!!null" {
				w.errs = append(w.errs, w.at.mistake(here, "line %d: the list item is empty; fill or remove it", c.Line))
			}
			w.walk(here, c, seen)
		}
	}
}

func (w *walker) mapping(path string, n *yaml.Node, seen map[*yaml.Node]bool) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := strings.TrimPrefix(path+"."+key.Value, ".")
		first, dup := lines[key.Value]
		switch {
		case key.Tag == "!!merge":
			continue
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			w.errs = append(w.errs, w.at.mistake(path, "line %d: the key %s must be a string; quote it", key.Line, key.Value))
		case dup:
			w.errs = append(w.errs, w.at.mistake(here, "line %d: the key is there already, in line %d; keep one", key.Line, first))
		}
		lines[key.Value] = key.Line
		w.walk(here, value, seen)
	}
}

// field returns the scalar at path, or "" where there is none.
func field(n *yaml.Node, path ...string) string {
	for _, key := range path {
		if n = child(n, key); n == nil {
			return ""
		}
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// child returns the value of key in the mapping n, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Alias != nil {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			continue
		}
		if v := n.Content[i+1]; v.Alias != nil {
			return v.Alias
		}
		return n.Content[i+1]
	}
	return nil
}

// toJSON converts a document the way kustomize does, so that a plain file means the same with a kustomization and
// without one.
func toJSON(n *yaml.Node) ([]byte, error) {
	return kyaml.NewRNode(n).MarshalJSON()
}

// decodeObject decodes JSON with whole numbers as int64, which unstructured objects require.
func decodeObject(data []byte, into *map[string]any) error {
	return kjson.UnmarshalCaseSensitivePreserveInts(data, into)
}
