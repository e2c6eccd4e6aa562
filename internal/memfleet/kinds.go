package memfleet

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is one served version of a kind.
type kind struct {
	gvk        schema.GroupVersionKind
	plural     string
	short      []string
	namespaced bool
	status     bool                // has the status subresource
	generation bool                // the server counts changes of what is neither metadata nor status
	storage    schema.GroupVersion // the version that all versions of it are kept in
	definition string              // name of the CustomResourceDefinition it comes from; empty for built-in kinds
}

func (k *kind) gvr() schema.GroupVersionResource { return k.gvk.GroupVersion().WithResource(k.plural) }
func (k *kind) singular() string                 { return strings.ToLower(k.gvk.Kind) }

var definitionKind = kind{
	gvk:    schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	plural: "customresourcedefinitions", short: []string{"crd", "crds"}, status: true, generation: true,
}

var namespaceKind = kind{gvk: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, plural: "namespaces", short: []string{"ns"}, status: true}

// builtinKinds returns the kinds that are there from the start.
func builtinKinds() []*kind {
	core := func(name, plural string, short ...string) *kind {
		return &kind{gvk: schema.GroupVersionKind{Version: "v1", Kind: name}, plural: plural, short: short, namespaced: true}
	}
	workload := func(group, name, plural string, short ...string) *kind {
		gvk := schema.GroupVersionKind{Group: group, Version: "v1", Kind: name}
		return &kind{gvk: gvk, plural: plural, short: short, namespaced: true, status: true, generation: true}
	}
	rbac := func(name, plural string, namespaced bool) *kind {
		gvk := schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: name}
		return &kind{gvk: gvk, plural: plural, namespaced: namespaced}
	}
	service, pod, node := core("Service", "services", "svc"), core("Pod", "pods", "po"), core("Node", "nodes", "no")
	service.status, pod.status, pod.generation, node.status, node.namespaced = true, true, true, true, false
	slices, lease := workload("discovery.k8s.io", "EndpointSlice", "endpointslices"), workload("coordination.k8s.io", "Lease", "leases")
	slices.status, lease.status, lease.generation = false, false, false
	definition, namespace := definitionKind, namespaceKind
	kinds := []*kind{
		&namespace, &definition, service, pod, node, slices, lease,
		core("ConfigMap", "configmaps", "cm"), core("Secret", "secrets"), core("ServiceAccount", "serviceaccounts", "sa"),
		workload("apps", "Deployment", "deployments", "deploy"), workload("apps", "StatefulSet", "statefulsets", "sts"),
		workload("apps", "DaemonSet", "daemonsets", "ds"), workload("batch", "Job", "jobs"),
		rbac("Role", "roles", true), rbac("RoleBinding", "rolebindings", true),
		rbac("ClusterRole", "clusterroles", false), rbac("ClusterRoleBinding", "clusterrolebindings", false),
	}
	for _, k := range kinds {
		k.storage = k.gvk.GroupVersion()
	}
	return kinds
}

// definedKinds returns the kinds that a CustomResourceDefinition serves, one a version.
func definedKinds(crd *unstructured.Unstructured) []*kind {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	scope, _, _ := unstructured.NestedString(crd.Object, "spec", "scope")
	name, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	short, _, _ := unstructured.NestedStringSlice(crd.Object, "spec", "names", "shortNames")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	storage := schema.GroupVersion{Group: group}
	var kinds []*kind
	for _, v := range versions {
		version, ok := v.(map[string]any)
		if !ok {
			continue
		}
		v, _, _ := unstructured.NestedString(version, "name")
		if version["storage"] == true {
			storage.Version = v
		}
		if version["served"] != true {
			continue
		}
		_, status, _ := unstructured.NestedMap(version, "subresources", "status")
		kinds = append(kinds, &kind{
			gvk:    schema.GroupVersionKind{Group: group, Version: v, Kind: name},
			plural: plural, short: short, namespaced: scope != "Cluster", status: status, generation: true, definition: crd.GetName(),
		})
	}
	for _, k := range kinds {
		k.storage = storage
	}
	return kinds
}

// compareKinds orders kinds by group, version and plural.
func compareKinds(a, b *kind) int {
	return cmp.Or(cmp.Compare(a.gvk.Group, b.gvk.Group), cmp.Compare(a.gvk.Version, b.gvk.Version), cmp.Compare(a.plural, b.plural))
}
