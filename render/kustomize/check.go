package kustomize

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/gitfleet/gitfleet/render"
)

// checker looks through kustomizations and what they name before kustomize sees them, because kustomize stops at the
// first mistake, tries to fetch what it does not find, and prints objects in its errors. Answers are kept: bases are
// shared.
type checker struct {
	tree  *tree
	dirs  map[string]render.ManifestErrors // what is wrong with a kustomization and all it uses
	files map[string]*parsed
	open  map[string]bool // kustomizations whose check has begun and not ended
}

// parsed is one YAML file.
type parsed struct {
	docs  []document
	errs  render.ManifestErrors
	heads []head // once asked for
}

func newChecker(t *tree) *checker {
	return &checker{tree: t, dirs: map[string]render.ManifestErrors{}, files: map[string]*parsed{}, open: map[string]bool{}}
}

// file parses one YAML file.
func (c *checker) file(name string) *parsed {
	if p, ok := c.files[name]; ok {
		return p
	}
	p := &parsed{}
	if content, err := c.tree.ReadFile(name); err != nil {
		p.errs = render.ManifestErrors{{File: name, Message: reason(err)}}
	} else {
		p.docs, p.errs = parse(name, content)
	}
	c.files[name] = p
	return p
}

// dir returns what is wrong with the kustomization in dir and everything it uses.
func (c *checker) dir(dir string) render.ManifestErrors {
	if errs, ok := c.dirs[dir]; ok {
		return errs
	}
	c.open[dir] = true
	defer delete(c.open, dir)
	k, errs := load(c.tree, dir)
	if k != nil {
		errs = append(errs, unsupported(k)...)
		errs = append(errs, inline(k)...)
		for _, r := range k.refs {
			errs = append(errs, c.reference(k, r)...)
		}
	}
	c.dirs[dir] = errs
	return errs
}

// unsupported reports the fields that would need another program or the network.
func unsupported(k *kustomization) render.ManifestErrors {
	at := mistakeAt{file: k.file, document: 1}
	if len(k.HelmCharts) > 0 || len(k.HelmChartInflationGenerator) > 0 {
		return render.ManifestErrors{at.mistake("helmCharts", "charts are not rendered, since that runs helm; commit the "+
			"output of `helm template` instead")}
	}
	return nil
}

// inline checks what is written into the kustomization itself and kustomize would print in its errors.
func inline(k *kustomization) render.ManifestErrors {
	at := mistakeAt{file: k.file, document: 1}
	var errs render.ManifestErrors
	for i, p := range k.Patches {
		if _, found := parse(k.file, []byte(p.Patch)); len(found) > 0 {
			errs = append(errs, at.mistake(fmt.Sprintf("patches[%d].patch", i), "%s", found[0].Message))
		}
	}
	for i, g := range k.SecretGenerator {
		for j, l := range g.LiteralSources {
			if !strings.Contains(l, "=") {
				errs = append(errs, at.mistake(fmt.Sprintf("secretGenerator[%d].literals[%d]", i, j), "must be key=value"))
			}
		}
	}
	return errs
}

// reference checks one path that k names, and what is there.
func (c *checker) reference(k *kustomization, r reference) render.ManifestErrors {
	at := mistakeAt{file: k.file, document: 1}
	one := func(format string, args ...any) render.ManifestErrors {
		return render.ManifestErrors{at.mistake(r.field, format, args...)}
	}
	switch {
	case r.path == "":
		return one("is empty")
	case remote(r.path):
		return one("%s is not in the repository, and nothing is fetched while rendering; commit a copy and name that", r.path)
	case path.IsAbs(r.path):
		return one("%s must be relative to the kustomization", r.path)
	}
	target := path.Join(k.dir, r.path)
	real, n, err := c.tree.lookup(k.dir + "/" + r.path)
	if err != nil {
		return one("%s: %s %s; mend the path, or add what is missing", r.path, target, reason(err))
	}
	if !n.kind.IsDir() {
		return c.referencedFile(one, r, real)
	}
	if r.role == data || r.role == patch {
		return one("%s is a directory, and a file is needed", r.path)
	}
	return c.referencedDir(one, r, real)
}

func (c *checker) referencedDir(one func(string, ...any) render.ManifestErrors, r reference, dir string) render.ManifestErrors {
	file, err := kustomizationFile(c.tree, dir)
	if err == nil && file == "" {
		return one("%s is a directory without a kustomization.yaml; add one, or name its files", r.path)
	}
	base, errs := load(c.tree, dir)
	if base == nil {
		return errs
	}
	if c.open[dir] {
		return one("%s leads back to this kustomization; break the cycle", r.path)
	}
	isComponent := base.Kind == types.ComponentKind
	switch {
	case r.role == component && !isComponent:
		return one("%s is no component; its kustomization needs kind: Component, or name it under resources", r.path)
	case r.role != component && isComponent:
		return one("%s is a component; name it under components", r.path)
	}
	return c.dir(dir)
}

func (c *checker) referencedFile(one func(string, ...any) render.ManifestErrors, r reference, file string) render.ManifestErrors {
	switch r.role {
	case component:
		return one("%s is a file, and a directory is needed", r.path)
	case data:
		if _, err := c.tree.ReadFile(file); err != nil {
			return one("%s: %s", r.path, reason(err))
		}
		return nil
	}
	p := c.file(file)
	errs := p.errs
	if r.role == resource && len(errs) == 0 {
		for _, d := range p.docs {
			errs = append(errs, objectHead(file, d)...)
		}
	}
	return errs
}

// resources returns the files of objects that the kustomization of dir is made of.
func (c *checker) resources(dir string, seen map[string]bool) []string {
	k, _ := load(c.tree, dir)
	if k == nil || seen[dir] {
		return nil
	}
	seen[dir] = true
	var out []string
	for _, r := range k.refs {
		real, n, err := c.tree.lookup(k.dir + "/" + r.path)
		switch {
		case err != nil || remote(r.path) || seen[real]:
		case n.kind.IsDir():
			out = append(out, c.resources(real, seen)...)
		case r.role == resource:
			seen[real] = true
			out = append(out, real)
		}
	}
	return out
}

// objectHead reports what kustomize needs of every object and does not find.
func objectHead(file string, d document) render.ManifestErrors {
	at := mistakeAt{file: file, document: d.number}
	var errs render.ManifestErrors
	for _, f := range []struct{ field, value string }{
		{"apiVersion", field(d.node, "apiVersion")},
		{"kind", field(d.node, "kind")},
		{"metadata.name", field(d.node, "metadata", "name")},
	} {
		list := strings.HasSuffix(field(d.node, "kind"), "List")
		if f.value == "" && !(list && f.field == "metadata.name") {
			errs = append(errs, at.mistake(f.field, "is missing"))
		}
	}
	return errs
}

// unusable says that dir cannot be rendered for a reason that only building it showed.
func unusable(file string, err any) render.ManifestError {
	if e, ok := err.(error); ok {
		return render.ManifestError{File: file, Document: 1, Message: clean(e)}
	}
	return render.ManifestError{File: file, Document: 1, Message: clean(fmt.Errorf("kustomize crashed on it: %v", err))}
}
