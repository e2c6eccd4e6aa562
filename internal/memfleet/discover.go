package memfleet

import (
	"net/http"
	"strings"

	discovery "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// verbs that every kind has.
func verbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// discover answers /api, /apis and what is below them down to a version, aggregated if the client can read that.
func (x *call) discover(path string) error {
	x.store.mu.Lock()
	kinds := x.store.sortedKinds()
	x.store.mu.Unlock()
	aggregated := strings.Contains(x.r.Header.Get("Accept"), "as=APIGroupDiscoveryList")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case (path == "/api" || path == "/apis") && aggregated:
		x.w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		return x.writeJSON(http.StatusOK, groupDiscovery(kinds, path == "/api"))
	case path == "/api":
		return x.writeJSON(http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case path == "/apis":
		return x.writeJSON(http.StatusOK, groupList(kinds))
	case len(parts) == 2 && parts[0] == "api":
		return x.resources(kinds, schema.GroupVersion{Version: parts[1]})
	case len(parts) == 3 && parts[0] == "apis":
		return x.resources(kinds, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	default:
		return apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{}, "", "no such path", 0, false)
	}
}

// groupDiscovery is aggregated discovery of the core group, or of all others.
func groupDiscovery(kinds []*kind, core bool) discovery.APIGroupDiscoveryList {
	list := discovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	for _, k := range kinds {
		if (k.gvk.Group == "") != core {
			continue
		}
		if n := len(list.Items); n == 0 || list.Items[n-1].Name != k.gvk.Group {
			list.Items = append(list.Items, discovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: k.gvk.Group}})
		}
		group := &list.Items[len(list.Items)-1]
		if n := len(group.Versions); n == 0 || group.Versions[n-1].Version != k.gvk.Version {
			group.Versions = append(group.Versions, discovery.APIVersionDiscovery{Version: k.gvk.Version, Freshness: discovery.DiscoveryFreshnessCurrent})
		}
		version := &group.Versions[len(group.Versions)-1]
		version.Resources = append(version.Resources, resourceDiscovery(k))
	}
	return list
}

func resourceDiscovery(k *kind) discovery.APIResourceDiscovery {
	responseKind := metav1.GroupVersionKind(k.gvk)
	r := discovery.APIResourceDiscovery{
		Resource: k.plural, SingularResource: k.singular(), ShortNames: k.short, Verbs: verbs(),
		ResponseKind: &responseKind, Scope: discovery.ScopeCluster,
	}
	if k.namespaced {
		r.Scope = discovery.ScopeNamespace
	}
	if k.status {
		r.Subresources = []discovery.APISubresourceDiscovery{{Subresource: "status", ResponseKind: &responseKind, Verbs: []string{"get", "patch", "update"}}}
	}
	return r
}

func groupList(kinds []*kind) metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, k := range kinds {
		if k.gvk.Group == "" {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: k.gvk.GroupVersion().String(), Version: k.gvk.Version}
		if n := len(list.Groups); n == 0 || list.Groups[n-1].Name != k.gvk.Group {
			list.Groups = append(list.Groups, metav1.APIGroup{Name: k.gvk.Group, PreferredVersion: version})
		}
		group := &list.Groups[len(list.Groups)-1]
		if n := len(group.Versions); n == 0 || group.Versions[n-1] != version {
			group.Versions = append(group.Versions, version)
		}
	}
	return list
}

// resources lists the kinds of one version, the old way.
func (x *call) resources(kinds []*kind, gv schema.GroupVersion) error {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, k := range kinds {
		if k.gvk.GroupVersion() != gv {
			continue
		}
		resource := metav1.APIResource{
			Name: k.plural, SingularName: k.singular(), Namespaced: k.namespaced, Kind: k.gvk.Kind, Verbs: verbs(), ShortNames: k.short,
		}
		list.APIResources = append(list.APIResources, resource)
		if k.status {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: k.plural + "/status", Namespaced: k.namespaced, Kind: k.gvk.Kind, Verbs: []string{"get", "patch", "update"},
			})
		}
	}
	if len(list.APIResources) == 0 {
		return apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{}, "", "no such version", 0, false)
	}
	return x.writeJSON(http.StatusOK, list)
}
