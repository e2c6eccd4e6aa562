package mcs

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// StatusWrite is the whole of our part of one object's status, because something in it differs from what is there.
type StatusWrite struct {
	Cluster   string
	GVK       schema.GroupVersionKind
	Namespace string
	Name      string
	Status    any // a …Status of api/networking, to be marshalled as JSON
}

// Statuses returns what must be written on members so that their statuses tell of r and of the load balancers in place.
// A load balancer that is wanted but not (yet) in the provider's state keeps the address its status has. Nothing is
// written on members that have not synced, or where a rival is at work. The result is sorted by cluster, kind, namespace and name.
func (r Resolution) Statuses(in State, now time.Time) []StatusWrite {
	var out []StatusWrite
	for _, v := range r.Exports {
		if w, differs := exportStatus(v, now); differs && r.writable(v.Cluster) {
			out = append(out, w)
		}
	}
	imports := map[Key]Import{}
	for _, i := range r.Imports {
		imports[i.Key()] = i
	}
	for _, m := range r.memberImports {
		i, imported := imports[Key{Namespace: m.Namespace, Name: m.Name}]
		if m.Deleting || m.Dialect == Standard && !imported { // the standard's goes with the service
			continue
		}
		if w, differs := r.importStatus(m, i, now); differs {
			out = append(out, w)
		}
	}
	for _, v := range r.Services {
		if w, differs := r.serviceStatus(v, in, now); differs && r.writable(v.Cluster) {
			out = append(out, w)
		}
	}
	out = append(out, r.announcements(in)...)
	slices.SortFunc(out, func(a, b StatusWrite) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.GVK.Kind, b.GVK.Kind),
			cmp.Compare(a.GVK.Group, b.GVK.Group), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// announcements are the statuses of Services that stand for load balancers, where these are told by gitfleet. While nobody knows
// what is in place nothing is told.
func (r Resolution) announcements(in State) []StatusWrite {
	if !r.terms.Announces || in == nil {
		return nil
	}
	told := map[string]map[Key][]netip.Addr{} // by cluster
	undecided := map[Key]bool{}
	for _, installed := range in {
		undecided[installed.Frontend.Undecided] = true
		for _, a := range installed.Frontend.Announcements {
			if told[a.Cluster] == nil {
				told[a.Cluster] = map[Key][]netip.Addr{}
			}
			told[a.Cluster][a.Service] = a.Addresses
		}
	}
	var out []StatusWrite
	for cluster := range r.derived {
		if !r.writable(cluster) {
			continue
		}
		for _, d := range r.Balancers(cluster) {
			key := Key{Namespace: d.Namespace, Name: d.Name}
			want := told[cluster][key]
			if d.Deleting || undecided[key] || slices.EqualFunc(want, d.Ingress, func(a netip.Addr, text string) bool { return a.String() == text }) {
				continue
			}
			status := corev1.ServiceStatus{}
			for _, a := range want {
				status.LoadBalancer.Ingress = append(status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a.String(), IPMode: new(corev1.LoadBalancerIPModeVIP)})
			}
			out = append(out, StatusWrite{cluster, corev1.SchemeGroupVersion.WithKind("Service"), d.Namespace, d.Name, status})
		}
	}
	return out
}

func exportStatus(v ExportVerdict, now time.Time) (StatusWrite, bool) {
	valid, a := v.Valid.condition(networkingv1alpha1.ConditionValid, v.Generation, v.Conditions, now)
	conflict, b := v.Conflict.condition(networkingv1alpha1.ConditionConflict, v.Generation, v.Conditions, now)
	if v.Dialect == Standard {
		ready, c := v.Ready.condition(conditionReady, v.Generation, v.Conditions, now)
		status := mcsv1beta1.ServiceExportStatus{Conditions: []metav1.Condition{valid, ready, conflict}}
		return StatusWrite{v.Cluster, ServiceExportGVK, v.Namespace, v.Name, status}, a || b || c
	}
	status := networkingv1alpha1.ServiceExportStatus{Conditions: []metav1.Condition{valid, conflict}}
	return StatusWrite{v.Cluster, networkingv1alpha1.ServiceExportGVK, v.Namespace, v.Name, status}, a || b
}

// conditionReady is the type that exports and imports of the standard have in common.
const conditionReady = string(mcsv1beta1.ServiceExportConditionReady)

// importStatus is the status of m, which stands for i.
func (r Resolution) importStatus(m MemberImport, i Import, now time.Time) (StatusWrite, bool) {
	if m.Dialect == Standard {
		return r.standardImportStatus(m, i, now)
	}
	return fleetImportStatus(m, i)
}

func (r Resolution) standardImportStatus(m MemberImport, i Import, now time.Time) (StatusWrite, bool) {
	d, _ := r.Derived(m.Cluster, Key{Namespace: m.Namespace, Name: DerivedName(i.Key())})
	ready, differs := i.Ready(d.ClusterIPs).condition(conditionReady, m.Generation, m.Conditions, now)
	status := mcsv1beta1.ServiceImportStatus{EndpointSliceObjects: mcsv1beta1.EndpointSliceObjectsPresent, Conditions: []metav1.Condition{ready}}
	for _, c := range i.Clusters {
		status.Clusters = append(status.Clusters, mcsv1beta1.ClusterStatus{Cluster: c})
	}
	same := slices.Equal(clusterNames(m.Status.Clusters), i.Clusters) && m.EndpointSlices == string(status.EndpointSliceObjects)
	return StatusWrite{m.Cluster, ServiceImportGVK, m.Namespace, m.Name, status}, differs || !same
}

// clusterNames returns the names sorted: in a list map the API server need not keep an order.
func clusterNames(list []clusterStatus) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.Cluster)
	}
	slices.Sort(names)
	return names
}

// fleetImportStatus compares only the fields that are ours, or a field of somebody else would be fought for ever.
func fleetImportStatus(m MemberImport, i Import) (StatusWrite, bool) {
	// The type is told even of nothing: server-side apply turns a status whose last field goes into null, and then
	// refuses that.
	status := networkingv1alpha1.ServiceImportStatus{Type: importType(i.Headless), Ports: statusPorts(i.Ports),
		SessionAffinity: i.SessionAffinity, SessionAffinityConfig: i.SessionAffinityConfig}
	for _, c := range i.Clusters {
		status.Clusters = append(status.Clusters, networkingv1alpha1.ClusterStatus{Cluster: c})
	}
	same := status.Type == m.Status.Type && slices.Equal(clusterNames(m.Status.Clusters), i.Clusters) &&
		slices.Equal(importedPorts(m.Status.Ports), i.Ports) && m.Status.SessionAffinity == i.SessionAffinity &&
		equality.Semantic.DeepEqual(m.Status.SessionAffinityConfig, i.SessionAffinityConfig)
	return StatusWrite{m.Cluster, networkingv1alpha1.ServiceImportGVK, m.Namespace, m.Name, status}, !same
}

func importType(headless bool) networkingv1alpha1.ServiceImportType {
	if headless {
		return networkingv1alpha1.Headless
	}
	return networkingv1alpha1.ClusterSetIP
}

func (r Resolution) serviceStatus(v ServiceVerdict, in State, now time.Time) (StatusWrite, bool) {
	ingress := r.ingress(v, in)
	verdict := v.Valid
	if installed, ok := in[r.loadBalancerKey(v.Service)]; ok && !v.held && verdict.Status == metav1.ConditionTrue {
		verdict.Message = strings.Join(append([]string{verdict.Message}, installed.Frontend.Problems...), "; ")
	}
	valid, differs := verdict.condition(networkingv1alpha1.ConditionValid, v.Generation, v.Conditions, now)
	status := networkingv1alpha1.MultiClusterServiceStatus{Conditions: []metav1.Condition{valid}}
	for _, text := range ingress {
		at := corev1.LoadBalancerIngress{IP: text}
		if _, err := netip.ParseAddr(text); err != nil {
			at = corev1.LoadBalancerIngress{Hostname: text}
		}
		status.LoadBalancer.Ingress = append(status.LoadBalancer.Ingress, at)
	}
	differs = differs || !slices.Equal(ingress, v.Ingress)
	return StatusWrite{v.Cluster, networkingv1alpha1.MultiClusterServiceGVK, v.Namespace, v.Name, status}, differs
}

// ingress returns the addresses v's status shall show: those of its load balancer, none when no load balancer is wanted,
// and what is there already while nobody can tell.
func (r Resolution) ingress(v ServiceVerdict, in State) []string {
	_, wanted := r.LoadBalancer(v.Service)
	installed, ok := in[r.loadBalancerKey(v.Service)]
	switch {
	case v.held || wanted && !ok:
		return v.Ingress
	case !wanted:
		return nil
	}
	var out []string
	for _, a := range installed.Frontend.Addresses {
		out = append(out, a.String())
	}
	return append(out, installed.Frontend.Hostnames...)
}

// LoadBalancer returns the load balancer that s asks for; ok is false when there shall be none.
func (r Resolution) LoadBalancer(s Service) (lb LoadBalancer, ok bool) {
	i, ok := slices.BinarySearchFunc(r.LoadBalancers, r.loadBalancerKey(s),
		func(lb LoadBalancer, key LoadBalancerKey) int { return compareLoadBalancers(lb.Key(), key) })
	if !ok {
		return LoadBalancer{}, false
	}
	return r.LoadBalancers[i], true
}

// loadBalancerKey is the load balancer that s asks for.
func (r Resolution) loadBalancerKey(s Service) LoadBalancerKey {
	if r.terms.PerMember {
		return LoadBalancerKey{Member: s.Cluster, Key: s.Key()}
	}
	return LoadBalancerKey{Key: s.Key()}
}

// condition returns v as a condition of type t and whether it differs from the one in have. The transition time moves
// only when the status does; a new message or generation alone is a difference too.
func (v Verdict) condition(t string, generation int64, have []metav1.Condition, now time.Time) (metav1.Condition, bool) {
	c := metav1.Condition{Type: t, Status: v.Status, ObservedGeneration: generation,
		LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second)), Reason: v.Reason, Message: v.Message}
	for _, old := range have {
		if old.Type != t {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		return c, !equality.Semantic.DeepEqual(old, c)
	}
	return c, true
}
