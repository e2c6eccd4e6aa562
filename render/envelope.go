package render

import (
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// maxCarried is how many manifests an envelope may carry, from its CRD.
const maxCarried = 50

func isEnvelope(gvk schema.GroupVersionKind) bool {
	return gvk == placementv1beta1.ClusterResourceEnvelopeGVK || gvk == placementv1beta1.ResourceEnvelopeGVK
}

// sameEnvelope is true for objects that the same envelope carries, and for two that stand by themselves.
func sameEnvelope(a, b Object) bool {
	if a.Envelope == nil || b.Envelope == nil {
		return a.Envelope == b.Envelope
	}
	return *a.Envelope == *b.Envelope
}

// placeable returns what of objects can come to a cluster: the objects themselves, and of envelopes what they carry.
func placeable(objects []Object) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for _, o := range objects {
			if !isEnvelope(o.GroupVersionKind()) {
				if !yield(o) {
					return
				}
				continue
			}
			for _, c := range o.Contents {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// open takes the manifests out of an envelope, sorted. They share memory with o. What is no manifest that an envelope may
// carry is left out, and reported.
func open(o Object) ([]Object, ManifestErrors) {
	if !isEnvelope(o.GroupVersionKind()) {
		return nil, nil
	}
	data, ok := o.Object["data"].(map[string]any)
	switch {
	case o.Object["data"] != nil && !ok:
		return nil, nil // which checkFields reports
	case len(data) == 0 || len(data) > maxCarried:
		return nil, ManifestErrors{o.mistake("data", "must carry 1 to %d manifests, not %d", maxCarried, len(data))}
	}
	envelope := &placementv1beta1.EnvelopeIdentifier{Name: o.GetName(), Namespace: o.GetNamespace(), Type: o.GetKind()}
	var out []Object
	var errs ManifestErrors
	for _, key := range slices.Sorted(maps.Keys(data)) {
		c := Object{Origin: o.Origin, Envelope: envelope}
		c.Origin.Field = carriedAt(key)
		content, ok := data[key].(map[string]any)
		if !ok {
			errs = append(errs, c.mistake("", "must be a manifest, written as a mapping below the key (not as text, as in a ConfigMap)"))
			continue
		}
		c.Unstructured = &unstructured.Unstructured{Object: content}
		if err := uncarried(c); err != nil {
			errs = append(errs, *err)
			continue
		}
		out = append(out, c)
	}
	slices.SortFunc(out, compareObjects)
	return out, errs
}

// carriedAt is where the manifest under a key stands in its envelope, spelt as field errors spell keys of mappings.
func carriedAt(key string) string {
	if key == "" || strings.ContainsAny(key, "./[]") {
		return "data[" + strconv.Quote(key) + "]"
	}
	return "data." + key
}

// uncarried returns why no envelope carries c, or nil.
func uncarried(c Object) *ManifestError {
	gvk := c.GroupVersionKind()
	switch {
	case c.IsList():
		return c.mistakeAt("kind", "a list is no single manifest; give each of its items a key of its own")
	case isEnvelope(gvk):
		return c.mistakeAt("kind", "an envelope cannot carry another one; let a placement select both")
	case ours(gvk.Group) || gvk.Group == alpha.Group:
		return c.mistakeAt("kind", "%s is about the fleet itself and never placed; write it as a document of its own", gvk.Kind)
	}
	return nil
}

// checkContents returns what is wrong with what an envelope carries, each manifest on its own and two that are the same.
func checkContents(envelope Object, scopes scopes) ManifestErrors {
	var errs ManifestErrors
	seen := map[api.Ref]Object{}
	for _, c := range envelope.Contents {
		errs = append(errs, checkDocument(c, scopes)...)
		ref := api.RefOf(c.Unstructured)
		if first, dup := seen[ref]; dup && ref.Name != "" {
			errs = append(errs, c.mistake("metadata.name", "%s is carried as %s already; keep one of them", ref, first.Origin.Field))
			continue
		}
		seen[ref] = c
	}
	return errs
}

// checkCarried checks the scope of a manifest in an envelope: what lives outside namespaces is carried by a
// ClusterResourceEnvelope, and what lives in the namespace of a ResourceEnvelope by that. As upstream, where nothing
// defaults a namespace there.
func checkCarried(c Object, scopes scopes) ManifestErrors {
	gk, ns := c.GroupVersionKind().GroupKind(), c.GetNamespace()
	scope := scopes.of(gk)
	if c.Envelope.Type == placementv1beta1.ClusterResourceEnvelopeGVK.Kind {
		if scope == namespaced || scope == unknownScope && ns != "" {
			return ManifestErrors{c.mistake("", "%s lives in a namespace, and a ClusterResourceEnvelope carries what lives outside "+
				"namespaces; move it to a ResourceEnvelope in its namespace", gk.Kind)}
		}
		return checkNamespace(c, scopes)
	}
	const at = "metadata.namespace"
	switch home := c.Envelope.Namespace; {
	case scope == clusterWide:
		return ManifestErrors{c.mistake("", "%s lives outside namespaces, and a ResourceEnvelope carries what lives in its "+
			"namespace; move it to a ClusterResourceEnvelope", gk.Kind)}
	case home == "":
		return nil // the envelope lacks its namespace, which is reported
	case ns == "":
		return ManifestErrors{c.mistake(at, "is missing; write %s, the namespace of the envelope (a kustomization sets none inside of one)", home)}
	case ns != home:
		return ManifestErrors{c.mistake(at, "is %q, and the ResourceEnvelope is in namespace %q; write the same in both, or move it to "+
			"an envelope there", ns, home)}
	}
	return nil
}

// checkEnvelopeAnnotations refuses annotations of gitfleet's own: an envelope never comes to a cluster.
func checkEnvelopeAnnotations(o Object) ManifestErrors {
	var errs ManifestErrors
	for _, key := range slices.Sorted(maps.Keys(o.GetAnnotations())) {
		if prefix, _, _ := strings.Cut(key, "/"); api.OwnPrefix(prefix) {
			errs = append(errs, o.mistake(api.DirectiveField(key), "stands on an envelope, which is never placed itself; write it on "+
				"the manifests that it carries"))
		}
	}
	return errs
}
