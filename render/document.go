package render

import (
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/api/networking/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// checkDocument returns what is wrong with one document on its own.
func checkDocument(o Object, scopes scopes) ManifestErrors {
	errs := checkFields(o)
	errs = append(errs, checkRequired(o)...)
	errs = append(errs, checkName(o)...)
	if o.Envelope != nil {
		errs = append(errs, checkCarried(o, scopes)...)
	} else {
		errs = append(errs, checkNamespace(o, scopes)...)
	}
	errs = append(errs, checkImportName(o)...)
	errs = append(errs, checkLabels(o)...)
	return append(errs, checkDirectives(o)...)
}

// checkFields compares the document with the Go type of its kind: unknown fields, wrong types.
func checkFields(o Object) ManifestErrors {
	gvk := o.GroupVersionKind()
	var like any
	switch gvk {
	case placementv1beta1.ClusterResourcePlacementGVK:
		like = placementv1beta1.ClusterResourcePlacement{}
	case placementv1beta1.ResourcePlacementGVK:
		like = placementv1beta1.ResourcePlacement{}
	case placementv1beta1.ClusterResourceEnvelopeGVK:
		like = placementv1beta1.ClusterResourceEnvelope{}
	case placementv1beta1.ResourceEnvelopeGVK:
		like = placementv1beta1.ResourceEnvelope{}
	case clusterv1beta1.MemberClusterGVK:
		like = clusterv1beta1.MemberCluster{}
	case v1alpha1.ServiceExportGVK:
		like = v1alpha1.ServiceExport{}
	case v1beta1.GroupVersion.WithKind("ServiceExport"):
		like = v1beta1.ServiceExport{}
	case v1alpha1.MultiClusterServiceGVK:
		like = v1alpha1.MultiClusterService{}
	case crdGVK:
		like = apiextensionsv1.CustomResourceDefinition{}
	default:
		typed, err := scheme.Scheme.New(gvk)
		switch {
		case err == nil:
			like = typed
		case scheme.Scheme.IsVersionRegistered(gvk.GroupVersion()):
			return ManifestErrors{o.mistake("kind", "%s has no kind %s%s", o.GetAPIVersion(), gvk.Kind, didYouMean(gvk))}
		default:
			return checkMetadata(o)
		}
	}
	return mistakes(o, api.CheckFields(o.Object, like))
}

// checkRequired reports what the fleet's own kinds must have and o lacks. It is kept apart from checkFields, as a kustomization may
// still add it.
func checkRequired(o Object) ManifestErrors {
	var like any
	switch o.GroupVersionKind() {
	case placementv1beta1.ClusterResourcePlacementGVK, placementv1beta1.ResourcePlacementGVK:
		like = placementv1beta1.ClusterResourcePlacement{}
	case clusterv1beta1.MemberClusterGVK:
		like = clusterv1beta1.MemberCluster{}
	default:
		return nil
	}
	return mistakes(o, api.CheckRequired(o.Object, like))
}

// checkMetadata is all that can be said of the fields of a kind that is not compiled in.
func checkMetadata(o Object) ManifestErrors {
	head := map[string]any{"metadata": o.Object["metadata"]}
	return mistakes(o, api.CheckFields(head, struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}{}))
}

func mistakes(o Object, fields api.FieldErrors) ManifestErrors {
	var errs ManifestErrors
	for _, f := range fields {
		errs = append(errs, o.mistake(f.Field, "%s", f.Message))
	}
	return errs
}

func didYouMean(gvk schema.GroupVersionKind) string {
	kinds := slices.Sorted(maps.Keys(scheme.Scheme.KnownTypes(gvk.GroupVersion())))
	if best := api.Nearest(gvk.Kind, kinds); best != "" {
		return "; did you mean " + best + "?"
	}
	return "; mend the kind or the apiVersion"
}

func checkName(o Object) ManifestErrors {
	name := o.GetName()
	if o.GetGenerateName() != "" {
		return ManifestErrors{o.mistake("metadata.generateName", "objects from a repository need a fixed name, so that the next commit finds them; use metadata.name")}
	}
	if name == "" {
		return ManifestErrors{o.mistake("metadata.name", "is missing")}
	}
	var problems []string
	switch {
	case isNamespace(o):
		problems = apivalidation.ValidateNamespaceName(name, false)
	case ours(o.GroupVersionKind().Group):
		problems = validation.IsDNS1123Subdomain(name)
		if len(name) > validation.LabelValueMaxLength && !isEnvelope(o.GroupVersionKind()) {
			problems = append(problems, "must be no more than 63 characters")
		}
	default:
		problems = content.IsPathSegmentName(name)
	}
	var errs ManifestErrors
	for _, p := range problems {
		errs = append(errs, o.mistake("metadata.name", "%q is not a valid name: %s", name, p))
	}
	return errs
}

func checkNamespace(o Object, scopes scopes) ManifestErrors {
	gk := o.GroupVersionKind().GroupKind()
	ns := o.GetNamespace()
	if isNamespace(o) && ns == "" && Reserved(o.GetName()) {
		return ManifestErrors{o.mistake("metadata.name", "namespace %s is reserved and never placed; %s", o.GetName(), reservedRule)}
	}
	switch scopes.of(gk) {
	case clusterWide:
		if ns != "" {
			return ManifestErrors{o.mistake("metadata.namespace", "%s lives outside namespaces; remove this field%s", gk.Kind, leak(gk))}
		}
		return nil
	case namespaced:
		if ns == "" {
			return ManifestErrors{o.mistake("metadata.namespace", "is missing; a %s lives in a namespace", gk.Kind)}
		}
	}
	if ns == "" {
		return nil
	}
	if problems := apivalidation.ValidateNamespaceName(ns, false); len(problems) > 0 {
		return ManifestErrors{o.mistake("metadata.namespace", "%q is not a valid namespace: %s", ns, strings.Join(problems, "; "))}
	}
	if Reserved(ns) {
		return ManifestErrors{o.mistake("metadata.namespace", "namespace %s is reserved, nothing in it is placed; %s", ns, reservedRule)}
	}
	return nil
}

// checkImportName checks what a MultiClusterService refers to: exporters have a Service of that name.
func checkImportName(o Object) ManifestErrors {
	if o.GroupVersionKind() != v1alpha1.MultiClusterServiceGVK {
		return nil
	}
	const at = "spec.serviceImport.name"
	name, found, err := unstructured.NestedString(o.Object, "spec", "serviceImport", "name")
	switch {
	case err != nil:
		return nil // of the wrong type, which checkFields reports
	case !found:
		return ManifestErrors{o.mistake(at, "is missing; name the exported Service")}
	}
	if problems := validation.IsDNS1035Label(name); len(problems) > 0 {
		return ManifestErrors{o.mistake(at, "%q is no name of a Service: %s", name, strings.Join(problems, "; "))}
	}
	return nil
}

// leak is a hint for custom kinds: kustomize takes them for namespaced ones.
func leak(gk schema.GroupKind) string {
	if _, builtin := clusterKinds[gk.Group]; builtin {
		return ""
	}
	return ", and keep the object out of kustomizations that set a namespace"
}

const reservedRule = "use one other than default, gitfleet-system, kube-* and fleet-*"

// Reserved is true for namespaces that are never placed: those of Kubernetes, of fleet agents and our own.
func Reserved(namespace string) bool {
	return namespace == "default" || namespace == api.SystemNamespace ||
		strings.HasPrefix(namespace, "kube-") || strings.HasPrefix(namespace, "fleet-")
}

// checkLabels applies the API server's rules, and keeps authors off the labels that our bookkeeping lives on.
func checkLabels(o Object) ManifestErrors {
	var errs ManifestErrors
	found := metavalidation.ValidateLabels(o.GetLabels(), field.NewPath("metadata", "labels"))
	found = append(found, apivalidation.ValidateAnnotations(o.GetAnnotations(), field.NewPath("metadata", "annotations"))...)
	for _, e := range found {
		errs = append(errs, o.mistake(e.Field, "%q: %s", e.BadValue, e.Detail))
	}
	for _, key := range slices.Sorted(maps.Keys(o.GetLabels())) {
		if prefix, _, _ := strings.Cut(key, "/"); api.OwnPrefix(prefix) {
			errs = append(errs, o.mistake("metadata.labels", "%s is reserved for gitfleet's inventory; remove it", key))
		}
	}
	return errs
}

func isNamespace(o Object) bool {
	return o.GroupVersionKind().GroupKind() == schema.GroupKind{Kind: "Namespace"}
}

func ours(group string) bool {
	return group == placementv1beta1.Group || group == clusterv1beta1.Group
}
