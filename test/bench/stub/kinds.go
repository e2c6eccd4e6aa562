package stub

import (
	"net/http"
	"strings"

	discovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is one served version of a kind.
type kind struct {
	schema.GroupVersionKind
	plural     string
	namespaced bool
}

// key names the collection of a kind, whatever the version.
func (k kind) key() string { return k.Group + "/" + k.plural }

const definitions = "customresourcedefinitions"

// builtin returns the kinds that are there from the start.
func builtin() []kind {
	of := func(group, version, name, plural string, namespaced bool) kind {
		return kind{schema.GroupVersionKind{Group: group, Version: version, Kind: name}, plural, namespaced}
	}
	return []kind{
		of("", "v1", "Namespace", "namespaces", false),
		of("", "v1", "Node", "nodes", false),
		of("", "v1", "Pod", "pods", true),
		of("", "v1", "ConfigMap", "configmaps", true),
		of("", "v1", "Service", "services", true),
		of("", "v1", "Event", "events", true),
		of("apps", "v1", "Deployment", "deployments", true),
		of("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true),
		of("apiregistration.k8s.io", "v1", "APIService", "apiservices", false),
		of("coordination.k8s.io", "v1", "Lease", "leases", true),
		of("apiextensions.k8s.io", "v1", "CustomResourceDefinition", definitions, false),
	}
}

// define makes the kinds of a CustomResourceDefinition available. m.mu is held.
func (m *Member) define(crd map[string]any) {
	spec, _ := crd["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(map[string]any)
		k := kind{schema.GroupVersionKind{Group: text(spec, "group"), Version: text(version, "name"), Kind: text(names, "kind")},
			text(names, "plural"), text(spec, "scope") != "Cluster"}
		known := false
		for _, other := range m.kinds {
			known = known || other == k
		}
		if version["served"] == true && !known {
			m.kinds = append(m.kinds, k)
		}
	}
}

func text(object map[string]any, field string) string {
	s, _ := object[field].(string)
	return s
}

// discover answers aggregated discovery of the core group, or of all others.
func (m *Member) discover(w http.ResponseWriter, core bool) {
	list := discovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	at := map[string]int{}
	m.mu.Lock()
	for _, k := range m.kinds {
		if (k.Group == "") != core {
			continue
		}
		if _, known := at[k.Group]; !known {
			at[k.Group] = len(list.Items)
			list.Items = append(list.Items, discovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: k.Group}})
		}
		addVersion(&list.Items[at[k.Group]], k)
	}
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	_, _ = w.Write(encode(list))
}

func addVersion(group *discovery.APIGroupDiscovery, k kind) {
	i := 0
	for i < len(group.Versions) && group.Versions[i].Version != k.Version {
		i++
	}
	if i == len(group.Versions) {
		group.Versions = append(group.Versions, discovery.APIVersionDiscovery{Version: k.Version, Freshness: discovery.DiscoveryFreshnessCurrent})
	}
	responseKind := metav1.GroupVersionKind(k.GroupVersionKind)
	r := discovery.APIResourceDiscovery{Resource: k.plural, SingularResource: strings.ToLower(k.Kind), ResponseKind: &responseKind,
		Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}, Scope: discovery.ScopeCluster}
	if k.namespaced {
		r.Scope = discovery.ScopeNamespace
	}
	group.Versions[i].Resources = append(group.Versions[i].Resources, r)
}
