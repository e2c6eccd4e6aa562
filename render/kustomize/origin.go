package kustomize

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
	kres "sigs.k8s.io/kustomize/api/resource"

	"github.com/gitfleet/gitfleet/render"
)

// origin returns where r stands in the repository: the document it was read from, or the kustomization that generates
// it. The second result is true when that document gives a namespace itself.
func (b *build) origin(k *kustomization, r *kres.Resource) (render.Origin, bool, error) {
	here := render.Origin{File: k.file, Document: 1}
	o, err := r.GetOrigin()
	switch {
	case err != nil:
		return here, false, err
	case o == nil:
		return here, false, nil
	case o.Path == "":
		here.File = b.real(path.Join(k.dir, o.ConfiguredIn), k.file)
		return here, false, nil
	}
	here.File = b.real(path.Join(k.dir, o.Path), k.file)
	found, ok := match(b.checker.heads(here.File), r)
	if !ok {
		return here, false, nil
	}
	here.Document = found.document
	return here, found.namespace != "", nil
}

// real resolves symbolic links, so that an author is shown the file there is to edit.
func (b *build) real(name, fallback string) string {
	real, _, err := b.tree.lookup(name)
	if err != nil {
		return fallback
	}
	return real
}

// head is what identifies one object of a file.
type head struct {
	document                          int
	apiVersion, kind, namespace, name string
}

// heads returns the objects of a file in their order.
func (c *checker) heads(file string) []head {
	p := c.file(file)
	if p.heads != nil {
		return p.heads
	}
	for _, d := range p.docs {
		for _, n := range items(d.node) {
			p.heads = append(p.heads, head{d.number, field(n, "apiVersion"), field(n, "kind"),
				field(n, "metadata", "namespace"), field(n, "metadata", "name")})
		}
	}
	return p.heads
}

// items returns the objects of a document: itself, or what the list holds.
func items(n *yaml.Node) []*yaml.Node {
	list := child(n, "items")
	if list == nil || !strings.HasSuffix(field(n, "kind"), "List") {
		return []*yaml.Node{n}
	}
	var out []*yaml.Node
	for _, c := range list.Content {
		out = append(out, items(c)...)
	}
	return out
}

// match finds what r was read from. kustomize tells only the file, and may have changed the name; among objects of r's
// kind the one whose name is most of r's name is taken.
func match(heads []head, r *kres.Resource) (head, bool) {
	apiVersion, kind, namespace, name := r.GetApiVersion(), r.GetKind(), r.GetNamespace(), r.GetName()
	var found head
	best := 0
	for _, h := range heads {
		if h.kind != kind || h.apiVersion != apiVersion {
			continue
		}
		score := 1
		switch {
		case h.name == name:
			score += 2000
		case h.name != "" && strings.Contains(name, h.name):
			score += len(h.name)
		}
		if h.namespace == namespace {
			score += 1000
		}
		if score > best {
			found, best = h, score
		}
	}
	return found, best > 0
}
