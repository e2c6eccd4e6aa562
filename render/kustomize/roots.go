package kustomize

import (
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/gitfleet/gitfleet/render"
)

// root is one thing to render: a directory with a kustomization, or a plain file.
type root struct {
	path  string
	plain bool
}

// survey is what a walk through the rendered paths found.
type survey struct {
	tree    *tree
	kusts   map[string]*kustomization // by directory; nil for one that does not load
	plain   []string                  // YAML files that no kustomization is above of
	missing render.ManifestErrors
}

// findRoots returns what to render below paths, sorted: every kustomization that no other one there uses, and every YAML
// file that neither lies below a kustomization nor is named by one. Directories and files whose names begin with a dot
// are not entered, unless a path names them.
func findRoots(t *tree, paths []string) ([]root, render.ManifestErrors) {
	s := &survey{tree: t, kusts: map[string]*kustomization{}}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, p := range paths {
		real, n, err := t.lookup(p)
		switch {
		case err != nil:
			s.missing = append(s.missing, render.ManifestError{File: p, Message: reason(err) +
				" in this revision, although it is to be rendered; to stop rendering it, change the paths gitfleet is run with"})
		case !n.kind.IsDir():
			s.plain = append(s.plain, real)
		default:
			s.walk(real, false)
		}
	}
	return s.roots()
}

func (s *survey) walk(dir string, below bool) {
	if _, seen := s.kusts[dir]; seen {
		return
	}
	if file, _ := kustomizationFile(s.tree, dir); file != "" {
		below = true
		s.kusts[dir], _ = load(s.tree, dir)
	}
	for _, name := range s.tree.nodes[dir].children {
		full := path.Join(dir, name)
		n := s.tree.nodes[full]
		switch {
		case strings.HasPrefix(name, "."):
		case n.kind.IsDir():
			s.walk(full, below)
		case !below && slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)) && !s.tree.IsDir(full):
			s.plain = append(s.plain, full)
		}
	}
}

func (s *survey) roots() ([]root, render.ManifestErrors) {
	usedDirs, usedFiles := s.used()
	var roots []root
	var stack []string
	for _, dir := range slices.Sorted(maps.Keys(s.kusts)) {
		k := s.kusts[dir]
		if usedDirs[dir] || k != nil && k.Kind == types.ComponentKind {
			continue
		}
		roots = append(roots, root{path: dir})
		stack = append(stack, dir)
	}
	for _, file := range s.plain {
		if !usedFiles[file] {
			roots = append(roots, root{path: file, plain: true})
		}
	}
	slices.SortFunc(roots, func(a, b root) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(roots), append(s.missing, s.cycles(stack)...)
}

// used returns the directories and files that the kustomizations found name.
func (s *survey) used() (dirs, files map[string]bool) {
	dirs, files = map[string]bool{}, map[string]bool{}
	for dir, k := range s.kusts {
		for _, target := range s.targets(k) {
			switch {
			case target == dir:
			case s.tree.nodes[target].kind.IsDir():
				dirs[target] = true
			default:
				files[target] = true
			}
		}
	}
	return dirs, files
}

// targets returns the real paths of what k names and has.
func (s *survey) targets(k *kustomization) []string {
	if k == nil {
		return nil
	}
	var out []string
	for _, r := range k.refs {
		if real, _, err := s.tree.lookup(k.dir + "/" + r.path); err == nil && !remote(r.path) {
			out = append(out, real)
		}
	}
	return out
}

// cycles reports kustomizations that use each other and nothing else uses: without this they would vanish silently.
func (s *survey) cycles(stack []string) render.ManifestErrors {
	reached := map[string]bool{}
	for len(stack) > 0 {
		dir := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if reached[dir] {
			continue
		}
		reached[dir] = true
		stack = append(stack, s.targets(s.kusts[dir])...)
	}
	var errs render.ManifestErrors
	for _, dir := range slices.Sorted(maps.Keys(s.kusts)) {
		if k := s.kusts[dir]; k != nil && k.Kind != types.ComponentKind && !reached[dir] {
			errs = append(errs, mistakeAt{k.file, 1}.mistake("resources", "the kustomization is part of a cycle: what it uses uses it"))
		}
	}
	return errs
}
