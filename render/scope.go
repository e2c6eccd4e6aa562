package render

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// scope is whether objects of a kind live in namespaces.
type scope string

const (
	unknownScope scope = ""
	namespaced   scope = "Namespaced" // as a CustomResourceDefinition spells it
	clusterWide  scope = "Cluster"
)

// clusterKinds are the built-in kinds that live outside namespaces; every other built-in kind lives in one.
var clusterKinds = map[string][]string{
	"":                             {"ComponentStatus", "Namespace", "Node", "PersistentVolume"},
	"admissionregistration.k8s.io": {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"},
	"apiextensions.k8s.io":         {"CustomResourceDefinition"},
	"apiregistration.k8s.io":       {"APIService"},
	"authentication.k8s.io":        {"SelfSubjectReview", "TokenReview"},
	"authorization.k8s.io":         {"SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"},
	"certificates.k8s.io":          {"CertificateSigningRequest", "ClusterTrustBundle"},
	"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
	"internal.apiserver.k8s.io":    {"StorageVersion"},
	"networking.k8s.io":            {"IPAddress", "IngressClass", "ServiceCIDR"},
	"node.k8s.io":                  {"RuntimeClass"},
	"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
	"resource.k8s.io":              {"DeviceClass", "DeviceTaintRule", "ResourceSlice"},
	"scheduling.k8s.io":            {"PriorityClass"},
	"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
	"storagemigration.k8s.io":      {"StorageVersionMigration"},
	placementv1beta1.Group:         {placementv1beta1.ClusterResourcePlacementGVK.Kind, placementv1beta1.ClusterResourceEnvelopeGVK.Kind},
	clusterv1beta1.Group:           {clusterv1beta1.MemberClusterGVK.Kind},
}

// scopes tells the scope of custom kinds from the CustomResourceDefinitions of the same revision.
type scopes map[schema.GroupKind]scope

func scopesOf(objects []Object) scopes {
	s := scopes{}
	for o := range placeable(objects) {
		if o.GroupVersionKind().GroupKind() != crdGVK.GroupKind() {
			continue
		}
		group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
		value, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
		s[schema.GroupKind{Group: group, Kind: kind}] = scope(value)
	}
	return s
}

// of returns the scope of a kind, unknownScope when nothing in this revision tells.
func (s scopes) of(gk schema.GroupKind) scope {
	for _, kind := range clusterKinds[gk.Group] {
		if kind == gk.Kind {
			return clusterWide
		}
	}
	if gk == placementv1beta1.ResourcePlacementGVK.GroupKind() || gk == placementv1beta1.ResourceEnvelopeGVK.GroupKind() ||
		gk.Group == v1alpha1.Group || builtinGroup(gk.Group) {
		return namespaced
	}
	return s[gk]
}

var crdGVK = apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition")

// builtinGroup is true for the API groups whose kinds are compiled into the API server.
func builtinGroup(group string) bool {
	return scheme.Scheme.IsGroupRegistered(group) || group == crdGVK.Group
}
