package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Path prints r as ParseRef reads it: "Deployment.apps/web/shop", "Namespace/web".
func (r Ref) Path() string {
	s := r.GroupKind().String() + "/"
	if r.Namespace != "" {
		s += r.Namespace + "/"
	}
	return s + r.Name
}

// ParseRef reads KIND[.GROUP]/NAMESPACE/NAME, or KIND[.GROUP]/NAME for what lives outside namespaces. Kinds are read as
// by ParseKind. The error names the part that is wrong and the remedy.
func ParseRef(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return Ref{}, fmt.Errorf("%q names no object; write KIND.GROUP/NAMESPACE/NAME, such as Deployment.apps/web/shop, "+
			"or Namespace/web", s)
	}
	gk, err := ParseKind(parts[0])
	if err != nil {
		return Ref{}, err
	}
	ref := Ref{Group: gk.Group, Kind: gk.Kind, Name: parts[len(parts)-1]}
	if len(parts) == 3 {
		ref.Namespace = parts[1]
	}
	clusterWide, builtin := builtinKinds.scopeOf(gk)
	switch {
	case builtin && clusterWide && ref.Namespace != "":
		return Ref{}, fmt.Errorf("%q: a %s lives outside namespaces; write %s/%s", s, gk.Kind, gk, ref.Name)
	case builtin && !clusterWide && ref.Namespace == "":
		return Ref{}, fmt.Errorf("%q: a %s lives in a namespace; write %s/NAMESPACE/%s", s, gk.Kind, gk, ref.Name)
	}
	if problems := content.IsPathSegmentName(ref.Name); len(problems) > 0 {
		return Ref{}, fmt.Errorf("%q is not a valid name: %s", ref.Name, strings.Join(problems, "; "))
	}
	if ref.Namespace != "" {
		if problems := validation.IsDNS1123Label(ref.Namespace); len(problems) > 0 {
			return Ref{}, fmt.Errorf("%q is not a valid namespace: %s", ref.Namespace, strings.Join(problems, "; "))
		}
	}
	return ref, nil
}

// ParseKind reads KIND.GROUP. Common kinds of Kubernetes may be written as kubectl takes them, in any case, in the plural
// or short, with or without the group: deploy, Deployment, deployments.apps. Other kinds are written as in a manifest.
func ParseKind(s string) (schema.GroupKind, error) {
	kind, group, _ := strings.Cut(s, ".")
	if gk, ok := builtinKinds[strings.ToLower(kind)]; ok && (group == "" || group == gk.Group) {
		return gk.GroupKind, nil
	}
	if problems := validation.IsDNS1035Label(strings.ToLower(kind)); len(problems) > 0 {
		return schema.GroupKind{}, fmt.Errorf("%q is not a valid kind; write KIND.GROUP, such as Deployment.apps", s)
	}
	if group == "" {
		remedy := "write KIND.GROUP for kinds outside the core group, such as Certificate.cert-manager.io"
		if best := Nearest(kind, slices.Sorted(maps.Keys(builtinKinds))); best != "" {
			remedy = "did you mean " + builtinKinds[best].String() + "?"
		}
		return schema.GroupKind{}, fmt.Errorf("%q is no kind of the core group; %s", kind, remedy)
	}
	if problems := validation.IsDNS1123Subdomain(group); len(problems) > 0 {
		return schema.GroupKind{}, fmt.Errorf("%q is not a valid API group: %s", group, strings.Join(problems, "; "))
	}
	return schema.GroupKind{Group: group, Kind: kind}, nil
}

// kindTable finds built-in kinds by any of their names, in lower case.
type kindTable map[string]builtinKind

type builtinKind struct {
	schema.GroupKind
	clusterWide bool
}

func (t kindTable) scopeOf(gk schema.GroupKind) (clusterWide, known bool) {
	k := t[strings.ToLower(gk.Kind)]
	return k.clusterWide, k.GroupKind == gk
}

// builtinKinds are the kinds that a repository may hold and kubectl knows without their group. The short names are those
// of `kubectl api-resources`.
var builtinKinds = tabulate(`
ConfigMap configmaps cm
Endpoints endpoints ep
LimitRange limitranges limits
PersistentVolumeClaim persistentvolumeclaims pvc
Pod pods po
PodTemplate podtemplates
ReplicationController replicationcontrollers rc
ResourceQuota resourcequotas quota
Secret secrets
Service services svc
ServiceAccount serviceaccounts sa
DaemonSet.apps daemonsets ds
Deployment.apps deployments deploy
ReplicaSet.apps replicasets rs
StatefulSet.apps statefulsets sts
HorizontalPodAutoscaler.autoscaling horizontalpodautoscalers hpa
CronJob.batch cronjobs cj
Job.batch jobs
EndpointSlice.discovery.k8s.io endpointslices
Ingress.networking.k8s.io ingresses ing
NetworkPolicy.networking.k8s.io networkpolicies netpol
PodDisruptionBudget.policy poddisruptionbudgets pdb
Role.rbac.authorization.k8s.io roles
RoleBinding.rbac.authorization.k8s.io rolebindings
MultiClusterService.networking.fleet.azure.com multiclusterservices mcs
ServiceExport.networking.fleet.azure.com serviceexports
ServiceImport.networking.fleet.azure.com serviceimports
`, `
Namespace namespaces ns
Node nodes no
PersistentVolume persistentvolumes pv
MutatingWebhookConfiguration.admissionregistration.k8s.io mutatingwebhookconfigurations
ValidatingWebhookConfiguration.admissionregistration.k8s.io validatingwebhookconfigurations
CustomResourceDefinition.apiextensions.k8s.io customresourcedefinitions crd crds
APIService.apiregistration.k8s.io apiservices
IngressClass.networking.k8s.io ingressclasses
ClusterRole.rbac.authorization.k8s.io clusterroles
ClusterRoleBinding.rbac.authorization.k8s.io clusterrolebindings
PriorityClass.scheduling.k8s.io priorityclasses pc
StorageClass.storage.k8s.io storageclasses sc
`)

func tabulate(namespaced, clusterWide string) kindTable {
	t := kindTable{}
	for i, lines := range []string{namespaced, clusterWide} {
		for line := range strings.Lines(strings.TrimSpace(lines)) {
			names := strings.Fields(line)
			k := builtinKind{GroupKind: schema.ParseGroupKind(names[0]), clusterWide: i == 1}
			t[strings.ToLower(k.Kind)] = k
			for _, n := range names[1:] {
				t[n] = k
			}
		}
	}
	return t
}
