package kustomize

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	kres "sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/render"
)

// build renders one root after the other and never two at once: kustomize keeps the OpenAPI schema in a global.
type build struct {
	tree    *tree
	checker *checker
	schema  string // the OpenAPI schema of a root that sets none
}

func newBuild(t *tree) *build {
	return &build{tree: t, checker: newChecker(t), schema: openapi.GetSchemaVersion()}
}

// root renders one root. With mistakes, the objects are those that can be searched for more of them.
func (b *build) root(r root) (objects []objectFrame, errs render.ManifestErrors) {
	file := r.path
	defer func() {
		if v := recover(); v != nil {
			objects, errs = nil, render.ManifestErrors{unusable(file, v)}
		}
		if openapi.GetSchemaVersion() != b.schema {
			openapi.ResetOpenAPI()
		}
	}()
	if r.plain {
		return b.plain(r.path)
	}
	if found, _ := kustomizationFile(b.tree, r.path); found != "" {
		file = found
	}
	if errs := b.checker.dir(r.path); len(errs) > 0 {
		return b.sources(r.path), errs
	}
	objects, err := b.kustomize(r.path)
	if err != nil {
		return nil, render.ManifestErrors{unusable(file, err)}
	}
	return objects, nil
}

// kustomize runs kustomize on dir, whose kustomization has passed the checker.
func (b *build) kustomize(dir string) ([]objectFrame, error) {
	k, errs := load(b.tree, dir)
	if k == nil {
		return nil, fmt.Errorf("load %s: %w", dir, errs)
	}
	traced, err := b.traced(k)
	if err != nil {
		return nil, err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified     // as the command does: its order, unless sortOptions say otherwise
	options.LoadRestrictions = types.LoadRestrictionsNone // the tree confines: there is nothing outside of it
	resources, err := krusty.MakeKustomizer(options).Run(traced, path.Join("/", dir))
	if err != nil {
		return nil, err
	}
	wanted := slices.Contains(k.BuildMetadata, types.OriginAnnotations)
	var out []objectFrame
	for _, r := range resources.Resources() {
		o, err := b.object(k, r, wanted)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// traced returns the tree in which k asks for origin annotations, which is how kustomize tells the file an object came
// from.
func (b *build) traced(k *kustomization) (*tree, error) {
	if slices.Contains(k.BuildMetadata, types.OriginAnnotations) {
		return b.tree, nil
	}
	real, _, err := b.tree.lookup(k.file)
	if err != nil {
		return nil, err
	}
	content, err := b.tree.ReadFile(real)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	list := child(doc.Content[0], "buildMetadata")
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: "buildMetadata"}
		doc.Content[0].Content = append(doc.Content[0].Content, key, list)
	}
	list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: types.OriginAnnotations})
	edited, err := yaml.Marshal(&doc)
	if err != nil {
		return nil, err
	}
	return &tree{nodes: b.tree.nodes, edited: map[string][]byte{real: edited}}, nil
}

// object turns one of kustomize's resources into what goes to the parent. The origin annotation stays only if wanted.
func (b *build) object(k *kustomization, r *kres.Resource, wanted bool) (objectFrame, error) {
	origin, declared, err := b.origin(k, r)
	if err != nil {
		return objectFrame{}, err
	}
	if !wanted {
		if err := r.SetOrigin(nil); err != nil {
			return objectFrame{}, err
		}
	}
	if clusterKind(r) && !declared {
		// kustomize takes every kind it does not know for a namespaced one, so `namespace:` leaks into these.
		if err := r.SetNamespace(""); err != nil {
			return objectFrame{}, err
		}
	}
	raw, err := r.MarshalJSON()
	if err != nil {
		return objectFrame{}, fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
	}
	return objectFrame{Origin: origin, Object: raw}, nil
}

// clusterKinds are the kinds of the fleet's API that live outside namespaces, those of its first version included.
var clusterKinds = map[string][]string{
	placementv1beta1.Group: {placementv1beta1.ClusterResourcePlacementGVK.Kind, placementv1beta1.ClusterResourceEnvelopeGVK.Kind},
	clusterv1beta1.Group:   {clusterv1beta1.MemberClusterGVK.Kind},
	"fleet.azure.com":      {placementv1beta1.ClusterResourcePlacementGVK.Kind, clusterv1beta1.MemberClusterGVK.Kind},
}

func clusterKind(r *kres.Resource) bool {
	return slices.Contains(clusterKinds[r.GetGvk().Group], r.GetGvk().Kind)
}

// plain renders a file that no kustomization covers: its objects as they are.
func (b *build) plain(file string) ([]objectFrame, render.ManifestErrors) {
	errs := b.checker.file(file).errs
	for _, d := range b.checker.file(file).docs {
		if d.node.Kind != yaml.MappingNode {
			errs = append(errs, mistakeAt{file, d.number}.mistake("", "is no Kubernetes object; keep the file out of the rendered paths, or mend it"))
		}
	}
	objects, more := b.documents(file)
	return objects, append(errs, more...)
}

// sources returns the documents that the kustomization of dir is made of, as they stand in their files. They show
// mistakes that kustomize would not come to.
func (b *build) sources(dir string) []objectFrame {
	var out []objectFrame
	for _, file := range b.checker.resources(dir, map[string]bool{}) {
		objects, _ := b.documents(file)
		for _, o := range objects {
			o.Source = true
			out = append(out, o)
		}
	}
	return out
}

// documents returns those objects of a file whose YAML is sound, without what is meant for tools only.
func (b *build) documents(file string) ([]objectFrame, render.ManifestErrors) {
	p := b.checker.file(file)
	broken := map[int]bool{}
	for _, e := range p.errs {
		broken[e.Document] = true
	}
	var errs render.ManifestErrors
	var out []objectFrame
	for _, d := range p.docs {
		local := field(d.node, "metadata", "annotations", "config.kubernetes.io/local-config") // kustomize's convention
		if broken[d.number] || d.node.Kind != yaml.MappingNode || local != "" && local != "false" {
			continue
		}
		raw, err := toJSON(d.node)
		if err != nil {
			errs = append(errs, mistakeAt{file, d.number}.mistake("", "%s", strings.TrimPrefix(clean(err), "yaml: ")))
			continue
		}
		out = append(out, objectFrame{Origin: render.Origin{File: file, Document: d.number}, Object: raw})
	}
	return out, errs
}
