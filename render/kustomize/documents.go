package kustomize

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"github.com/gitfleet/gitfleet/render"
)

// Documents returns the objects in data, the content of one YAML or JSON file, as they are written, and everything that is
// wrong with the text. No kustomization is built. Of YAML, origins and mistakes are what building the file would give.
func Documents(file string, data []byte) ([]render.Object, render.ManifestErrors) {
	// YAML readers refuse some JSON: tabs, and characters written as surrogate pairs.
	if json.Valid(data) {
		return jsonDocument(file, data)
	}
	b := &build{checker: newChecker(nil)}
	p := &parsed{}
	p.docs, p.errs = parse(file, data)
	b.checker.files[file] = p
	frames, errs := b.documents(file)
	errs = append(errs, p.errs...)
	for _, d := range p.docs {
		if d.node.Kind != yaml.MappingNode {
			errs = append(errs, render.NoObject(render.Origin{File: file, Document: d.number}))
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

// jsonDocument returns the one object that valid JSON is.
func jsonDocument(file string, data []byte) ([]render.Object, render.ManifestErrors) {
	o := render.Object{Unstructured: &unstructured.Unstructured{}, Origin: render.Origin{File: file, Document: 1}}
	duplicates, err := kjson.UnmarshalStrict(data, &o.Object)
	if err != nil || o.Object == nil {
		return nil, render.ManifestErrors{render.NoObject(o.Origin)}
	}
	var errs render.ManifestErrors
	for _, d := range duplicates {
		errs = append(errs, mistakeAt{file, 1}.mistake("", "%v; keep one", d))
	}
	return []render.Object{o}, errs
}
