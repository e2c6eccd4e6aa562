package kustomize

import (
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/render"
)

// Documents returns the objects in data, the content of one YAML file, as they are written, and everything that is wrong
// with the YAML. No kustomization is built. Origins and mistakes are what building the file would give.
func Documents(file string, data []byte) ([]render.Object, render.ManifestErrors) {
	b := &build{checker: newChecker(nil)}
	p := &parsed{}
	p.docs, p.errs = parse(file, data)
	b.checker.files[file] = p
	frames, errs := b.documents(file)
	errs = append(errs, p.errs...)
	for _, d := range p.docs {
		if d.node.Kind != yaml.MappingNode {
			errs = append(errs, mistakeAt{file, d.number}.mistake("", "is no Kubernetes object, which is a mapping with apiVersion and kind; mend or remove it"))
		}
	}
	var objects []render.Object
	for _, f := range frames {
		o := render.Object{Unstructured: &unstructured.Unstructured{}, Origin: f.Origin}
		if err := decodeObject(f.Object, &o.Object); err != nil {
			errs = append(errs, mistakeAt{file, f.Origin.Document}.mistake("", "%v", err))
			continue
		}
		objects = append(objects, o)
	}
	return objects, render.MergeErrors(errs)
}
