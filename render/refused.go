package render

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// refused returns why o is never taken from a repository, or nil. The rules are KubeFleet's list of what it never
// propagates; where it leaves such objects lying silently on the hub, a repository gets an error.
func refused(o Object, services map[api.Ref]bool) *ManifestError {
	gvk := o.GroupVersionKind()
	if m := refusedText(o, gvk); m != nil {
		return m
	}
	if m := refusedFleetKind(o, gvk); m != nil {
		return m
	}
	if m := refusedKind(o, gvk.GroupKind()); m != nil {
		return m
	}
	return refusedInstance(o, gvk.GroupKind(), services)
}

// refusedText is about documents that are no plain Kubernetes object.
func refusedText(o Object, gvk schema.GroupVersionKind) *ManifestError {
	const remedy = "is missing, so this is no Kubernetes object; add it, or keep the file out of the rendered paths"
	_, encrypted := o.Object["sops"].(map[string]any)
	switch {
	case o.GetAPIVersion() == "":
		return o.mistakeAt("apiVersion", remedy)
	case gvk.Version == "":
		return o.mistakeAt("apiVersion", "%q is no group/version", o.GetAPIVersion())
	case gvk.Kind == "":
		return o.mistakeAt("kind", remedy)
	case encrypted:
		return o.mistakeAt("sops", "the document is encrypted with SOPS, which gitfleet does not decrypt, and is not "+
			"applied as it is; have it decrypted on the member, for instance by an operator for sealed secrets")
	}
	return nil
}

// fleetKinds are the kinds of the fleet API groups that are acted on, in the version that convertFleet leaves them in.
var fleetKinds = []schema.GroupVersionKind{
	placementv1beta1.ClusterResourcePlacementGVK, placementv1beta1.ResourcePlacementGVK,
	placementv1beta1.ClusterResourceEnvelopeGVK, placementv1beta1.ResourceEnvelopeGVK,
	clusterv1beta1.MemberClusterGVK,
}

// refusedFleetKind sorts out the kinds of the fleet API groups that this version does not act on.
func refusedFleetKind(o Object, gvk schema.GroupVersionKind) *ManifestError {
	switch {
	case slices.Contains(fleetKinds, gvk):
		return nil
	case !ours(gvk.Group) && gvk.Group != alpha.Group:
		return refusedNetworkingKind(o, gvk)
	}
	for _, k := range fleetKinds {
		if k.Kind == gvk.Kind {
			return o.mistakeAt("apiVersion", "%s of %s is not supported; write apiVersion: %s", gvk.Kind, gvk.GroupVersion(), k.GroupVersion())
		}
	}
	if m := Misspelled(o); m != nil {
		return m
	}
	return o.mistakeAt("kind", "%s of %s is not supported by this version of gitfleet; remove the document", gvk.Kind, gvk.Group)
}

func refusedNetworkingKind(o Object, gvk schema.GroupVersionKind) *ManifestError {
	if gvk.Group != v1alpha1.Group {
		return nil
	}
	switch {
	case gvk.Kind == v1alpha1.ServiceExportGVK.Kind && (gvk.Version == "v1alpha1" || gvk.Version == "v1beta1"),
		gvk == v1alpha1.MultiClusterServiceGVK:
		return nil
	case gvk.Kind == v1alpha1.ServiceExportGVK.Kind || gvk.Kind == v1alpha1.MultiClusterServiceGVK.Kind:
		return o.mistakeAt("apiVersion", "%s has no version %s; write it as %s", gvk.Kind, gvk.Version, v1alpha1.GroupVersion)
	case gvk.Kind == v1alpha1.ServiceImportGVK.Kind:
		return o.mistakeAt("kind", "a ServiceImport is made by gitfleet from ServiceExports; remove the document")
	default:
		return o.mistakeAt("kind", "%s of %s is not supported by this version of gitfleet; remove the document", gvk.Kind, gvk.Group)
	}
}

func refusedKind(o Object, gk schema.GroupKind) *ManifestError {
	never := []string{"events.k8s.io", "coordination.k8s.io", "metrics.k8s.io"}
	switch {
	case slices.Contains(never, gk.Group) || gk == schema.GroupKind{Kind: "Event"}:
		return o.mistakeAt("kind", "%s is written by the cluster itself and never placed; remove the document", gk.Kind)
	case gk == schema.GroupKind{Kind: "Node"}:
		return o.mistakeAt("kind", "a Node belongs to one cluster and is never placed; remove the document")
	case gk == schema.GroupKind{Kind: "Pod"}:
		return o.mistakeAt("kind", "a bare Pod is never placed; wrap it in a Deployment, Job or other workload")
	}
	return nil
}

func refusedInstance(o Object, gk schema.GroupKind, services map[api.Ref]bool) *ManifestError {
	why := ""
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}, schema.GroupKind{Group: "apps", Kind: "ControllerRevision"}:
		if len(o.GetOwnerReferences()) > 0 {
			why = "its owner makes this " + gk.Kind
		}
	case schema.GroupKind{Kind: "ConfigMap"}:
		if o.GetName() == "kube-root-ca.crt" {
			why = "every cluster writes its own ConfigMap kube-root-ca.crt"
		}
	case schema.GroupKind{Kind: "ServiceAccount"}:
		if o.GetName() == "default" {
			why = "every cluster makes its own ServiceAccount default (use another name)"
		}
	case schema.GroupKind{Kind: "Secret"}:
		if t, _, _ := unstructured.NestedString(o.Object, "type"); t == "kubernetes.io/service-account-token" {
			why = "a service account token is valid on one cluster only"
		}
	case schema.GroupKind{Kind: "Endpoints"}:
		if services[api.Ref{Kind: "Service", Namespace: o.GetNamespace(), Name: o.GetName()}] {
			why = "the Service of the same name makes these Endpoints"
		}
	case schema.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}:
		if _, managed := o.GetLabels()["endpointslice.kubernetes.io/managed-by"]; managed {
			why = "a controller manages this EndpointSlice"
		}
	}
	if why == "" {
		return nil
	}
	return o.mistakeAt("metadata.name", "%s, so it is never placed; remove the document", why)
}
