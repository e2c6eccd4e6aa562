package kube

import (
	"cmp"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/gitfleet/gitfleet/api"
	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs"
)

// The reductions below decode leniently: a custom resource whose definition is not ours may hold what ours does not
// know, and what cannot be read of a status is written anew.

// reduceExport keeps a ServiceExport as mcs.Export, without cluster, Service and endpoints.
func reduceExport(u *unstructured.Unstructured) any {
	var status networkingv1alpha1.ServiceExportStatus
	decodeField(u, "status", &status)
	var spec exportSpec
	decodeField(u, "spec", &spec)
	return mcs.Export{Namespace: u.GetNamespace(), Name: u.GetName(), Dialect: dialectOf(u), Weight: u.GetAnnotations()[networkingv1alpha1.AnnotationWeight], Created: u.GetCreationTimestamp().UTC(),
		Generation: u.GetGeneration(), Deleting: deleting(u), Conditions: status.Conditions, Rival: rivalOf(u),
		ExportedLabels: spec.ExportedLabels, ExportedAnnotations: spec.ExportedAnnotations}
}

// dialectOf tells which of the two APIs u is of.
func dialectOf(u *unstructured.Unstructured) mcs.Dialect {
	if u.GroupVersionKind().Group == mcs.ServiceExportGVK.Group {
		return mcs.Standard
	}
	return mcs.Azure
}

// exportSpec is what KEP-1645 gives a ServiceExport; Azure's definition has none of it, and its API servers drop it.
type exportSpec struct {
	ExportedLabels      map[string]string `json:"exportedLabels"`
	ExportedAnnotations map[string]string `json:"exportedAnnotations"`
}

// reduceImport keeps a ServiceImport as mcs.MemberImport, without cluster.
func reduceImport(u *unstructured.Unstructured) any {
	i := importOf(u, mcs.Azure)
	decodeField(u, "status", &i.Status)
	return i
}

func importOf(u *unstructured.Unstructured, d mcs.Dialect) mcs.MemberImport {
	return mcs.MemberImport{Namespace: u.GetNamespace(), Name: u.GetName(), Dialect: d, UID: u.GetUID(), Generation: u.GetGeneration(), Deleting: deleting(u)}
}

// reduceStandardImport does the same for the standard's ServiceImport, which tells most in its spec.
func reduceStandardImport(u *unstructured.Unstructured) any {
	i := importOf(u, mcs.Standard)
	decodeField(u, "spec", &i.Status)
	i.Status.Clusters = nil
	var status mcsv1beta1.ServiceImportStatus
	decodeField(u, "status", &status)
	for _, c := range status.Clusters {
		i.Status.Clusters = append(i.Status.Clusters, networkingv1alpha1.ClusterStatus{Cluster: c.Cluster})
	}
	i.Conditions, i.EndpointSlices = status.Conditions, string(status.EndpointSliceObjects)
	return i
}

// reduceNamespace keeps the name of a namespace that one can write in.
func reduceNamespace(_ schema.GroupVersionKind, m metav1.Object) any {
	if m.GetDeletionTimestamp() != nil {
		return nil
	}
	return m.GetName()
}

// reduceDerived keeps a Service that gitfleet wrote as mcs.DerivedService, without cluster.
func reduceDerived(u *unstructured.Unstructured) any {
	var spec corev1.ServiceSpec
	decodeField(u, "spec", &spec)
	var status corev1.ServiceStatus
	decodeField(u, "status", &status)
	d := mcs.DerivedService{Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), Deleting: deleting(u), Ingress: ingressOf(status.LoadBalancer.Ingress)}
	for _, text := range spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			d.ClusterIPs = append(d.ClusterIPs, ip)
		}
	}
	if d.Balancer = u.GetLabels()[api.LabelDerived] == api.DerivedLoadBalancer; d.Balancer {
		d.HealthCheckNodePort = spec.HealthCheckNodePort
		for _, p := range spec.Ports {
			d.Ports, d.NodePorts = append(d.Ports, portOf(p)), append(d.NodePorts, p.NodePort)
		}
	}
	return d
}

// ingressOf returns where a load balancer is reached: addresses, or names where it has no address.
func ingressOf(list []corev1.LoadBalancerIngress) []string {
	var out []string
	for _, at := range list {
		if where := cmp.Or(at.IP, at.Hostname); where != "" {
			out = append(out, where)
		}
	}
	return out
}

// reduceMultiClusterService keeps a MultiClusterService as mcs.Service, without cluster.
func reduceMultiClusterService(u *unstructured.Unstructured) any {
	var status networkingv1alpha1.MultiClusterServiceStatus
	decodeField(u, "status", &status)
	var spec networkingv1alpha1.MultiClusterServiceSpec
	decodeField(u, "spec", &spec)
	s := mcs.Service{Namespace: u.GetNamespace(), Name: u.GetName(), Created: u.GetCreationTimestamp().UTC(),
		Generation: u.GetGeneration(), Deleting: deleting(u), ImportName: spec.ServiceImport.Name, Conditions: status.Conditions, Rival: rivalOf(u)}
	for key, value := range u.GetAnnotations() {
		if domain, _, _ := strings.Cut(key, "/"); domain == "gitfleet.dev" && key != api.AnnotationLoadBalancerClass || domain == "applyset.kubernetes.io" ||
			key == corev1.LastAppliedConfigAnnotation {
			continue // about the object, not about the load balancer
		}
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[key] = value
	}
	s.Ingress = ingressOf(status.LoadBalancer.Ingress)
	return s
}

// reduceService keeps a Service as *mcs.ExportedService. One that is being deleted counts as gone.
func reduceService(u *unstructured.Unstructured) any {
	if deleting(u) {
		return nil
	}
	var spec corev1.ServiceSpec
	decodeField(u, "spec", &spec)
	s := &mcs.ExportedService{Type: spec.Type, Headless: spec.ClusterIP == corev1.ClusterIPNone, Traits: mcs.Traits{
		IPFamilies: spec.IPFamilies, SessionAffinity: spec.SessionAffinity, SessionAffinityConfig: spec.SessionAffinityConfig,
		InternalTrafficPolicy: spec.InternalTrafficPolicy, ExternalTrafficPolicy: spec.ExternalTrafficPolicy,
		TrafficDistribution: spec.TrafficDistribution}}
	for _, p := range spec.Ports {
		s.Ports = append(s.Ports, portOf(p))
	}
	return s
}

func portOf(p corev1.ServicePort) mcs.Port {
	port := mcs.Port{Name: p.Name, Protocol: p.Protocol, Port: p.Port}
	if p.AppProtocol != nil {
		port.AppProtocol = *p.AppProtocol
	}
	return port
}

// slice is what is kept of an EndpointSlice.
type slice struct {
	service   string
	endpoints []mcs.Endpoint
}

// reduceSlice keeps an EndpointSlice's endpoints. Slices of type FQDN hold no addresses and come to none.
func reduceSlice(u *unstructured.Unstructured) any {
	out := slice{service: u.GetLabels()[discoveryv1.LabelServiceName]}
	var typed discoveryv1.EndpointSlice
	if deleting(u) || !decode(u.Object, &typed) {
		return nil
	}
	ports := map[string]int32{}
	for _, p := range typed.Ports {
		if p.Port == nil { // "all ports", which no Service asks for
			continue
		}
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		ports[name] = *p.Port
	}
	for _, e := range typed.Endpoints {
		ready := isTrue(e.Conditions.Ready, true)
		for _, text := range e.Addresses {
			address, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			out.endpoints = append(out.endpoints, mcs.Endpoint{Address: address, Ports: ports, Ready: ready,
				Serving: isTrue(e.Conditions.Serving, ready), Terminating: isTrue(e.Conditions.Terminating, false),
				Slice: u.GetName(), Hostname: deref(e.Hostname), NodeName: deref(e.NodeName), Zone: deref(e.Zone)})
		}
	}
	return out
}

// reduceImported keeps an EndpointSlice that gitfleet wrote as mcs.ImportedSlice. One that does not say what it is of is no memory.
func reduceImported(u *unstructured.Unstructured) any {
	source, name, ok := strings.Cut(u.GetAnnotations()[mcs.AnnotationOrigin], "/")
	kept, read := reduceSlice(u).(slice)
	if !ok || !read {
		return nil
	}
	out := mcs.ImportedSlice{Namespace: u.GetNamespace(), Import: u.GetAnnotations()[mcs.AnnotationImport], Source: source}
	for _, e := range kept.endpoints {
		e.Slice = name
		out.Endpoints = append(out.Endpoints, e)
	}
	return out
}

// isTrue reads an endpoint condition; what nil means is said at each field of discovery/v1 EndpointConditions.
func isTrue(b *bool, unset bool) bool {
	if b == nil {
		return unset
	}
	return *b
}

// deref reads an optional text; one that is not set is empty.
func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func deleting(u *unstructured.Unstructured) bool { return u.GetDeletionTimestamp() != nil }

// decodeField copies the object at one top-level field of u into out. What does not fit leaves out as it is.
func decodeField(u *unstructured.Unstructured, field string, out any) {
	if content, ok := u.Object[field].(map[string]any); ok {
		decode(content, out)
	}
}

func decode(content map[string]any, out any) bool {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(content, out) == nil
}
