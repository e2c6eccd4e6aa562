package report

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// settled are the kinds that are available as soon as they are applied, by KubeFleet's rules.
var settled = map[schema.GroupKind]bool{
	{Kind: "Namespace"}:      true,
	{Kind: "Secret"}:         true,
	{Kind: "ConfigMap"}:      true,
	{Kind: "ServiceAccount"}: true,
	{Kind: "LimitRange"}:     true,
	{Kind: "ResourceQuota"}:  true,

	{Group: "rbac.authorization.k8s.io", Kind: "Role"}:               true,
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:        true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: true,

	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:   true,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:    true,
	{Group: "storage.k8s.io", Kind: "StorageClass"}:       true,
	{Group: "storage.k8s.io", Kind: "CSIDriver"}:          true,
	{Group: "storage.k8s.io", Kind: "CSINode"}:            true,
	{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}: true,
	{Group: "apps", Kind: "ControllerRevision"}:           true,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:   true,
}

// trackable tells whether it shows if an object of gk is available: at once, or in a status by which apply judges the kind.
// A custom resource may have such a status, or none for ever, so that it counts as available only because nothing speaks
// against it.
func trackable(gk schema.GroupKind) bool {
	builtin := !strings.Contains(gk.Group, ".") || strings.HasSuffix(gk.Group, ".k8s.io")
	return settled[gk] || builtin && apply.NeedsStatus(gk)
}

// untracked counts the objects that are taken for available although nothing tells whether they are.
func (c PlacementOnCluster) untracked() (n int, first api.Ref) {
	for _, o := range c.Objects {
		if o.Health.Status != apply.Current || o.Checked || trackable(o.GroupKind()) {
			continue
		}
		if n == 0 {
			first = o.Ref
		}
		n++
	}
	return n, first
}
