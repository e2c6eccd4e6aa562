package azure

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
)

// LoadBalancerClass is that of the Services that take in traffic on members. No controller there serves it: the load balancer is gitfleet's.
const LoadBalancerClass = "azure.gitfleet.dev/fleet"

// Name is the name of the Service that takes in the traffic of the MultiClusterService of key on members.
func Name(key mcs.Key) string {
	tail := "-azure-" + digest(digestLength, "azure", key.Namespace, key.Name)
	return strings.TrimRight(key.Name[:min(len(key.Name), validation.DNS1035LabelMaxLength-len(tail))], "-") + tail
}

func serviceKey(key mcs.Key) mcs.Key { return mcs.Key{Namespace: key.Namespace, Name: Name(key)} }

// Objects implements mcs.Provider: on every exporter a Service without a selector, whose endpoints are those of its own cluster. A node
// that a packet comes to knows its destination by the Service's status, and hands it to a pod of its cluster.
//
// A Service that shows an address still takes in traffic, whoever asks for it: it stays until the address was taken from
// its status, which happens after the last of its cluster's nodes has left the pools.
func (p *Provider) Objects(r mcs.Resolution) map[string][]render.Object {
	out := map[string][]render.Object{}
	wanted := map[string]map[mcs.Key]bool{} // by cluster
	taken := takenPorts(r)
	for _, lb := range r.LoadBalancers {
		s, _, _ := readSettings(lb.Annotations)
		mode := p.designer.mode(s)
		if mode == ModePod {
			continue
		}
		key := serviceKey(lb.Key().Key)
		w := wish{key: key, ports: mcs.DerivedPorts(lb.Ports), affinity: int64(lb.ClientAffinity.Seconds())}
		if lb.LocalTraffic {
			w.healthCheckPort = taken.choose(r, key, "health", func(d mcs.DerivedService) int32 { return d.HealthCheckNodePort })
		}
		if mode == ModeNodePort {
			for _, port := range w.ports {
				w.nodePorts = append(w.nodePorts, taken.choose(r, key, ruleName(port), func(d mcs.DerivedService) int32 { return nodePortOf(&d, port) }))
			}
		}
		for _, cluster := range exporters(r, lb) {
			if wanted[cluster] == nil {
				wanted[cluster] = map[mcs.Key]bool{}
			}
			wanted[cluster][key] = true
			out[cluster] = append(out[cluster], w.service())
			if d, ok := r.Derived(cluster, key); ok && !d.Deleting {
				out[cluster] = append(out[cluster], r.EndpointSlices(lb.Import, mcs.SliceTarget{Service: key.Name, From: cluster,
					Owner: mcs.Owner{APIVersion: "v1", Kind: "Service", Name: key.Name, UID: string(d.UID)}})...)
			}
		}
	}
	for cluster := range r.Members {
		for _, d := range r.Balancers(cluster) {
			key := mcs.Key{Namespace: d.Namespace, Name: d.Name}
			if !wanted[cluster][key] && len(d.Ingress) > 0 && len(d.Ports) > 0 && isOurs(d.Name) {
				out[cluster] = append(out[cluster], wishOf(d).service())
			}
		}
	}
	return out
}

// isOurs tells whether Name may have given a Service its name; another provider's are its own affair.
func isOurs(name string) bool {
	i := strings.LastIndex(name, "-azure-")
	return i >= 0 && len(name) == i+len("-azure-")+digestLength
}

// exporters are the clusters whose endpoints are behind lb.
func exporters(r mcs.Resolution, lb mcs.LoadBalancer) []string {
	i, ok := slices.BinarySearchFunc(r.Imports, lb.Import, func(i mcs.Import, key mcs.Key) int {
		return cmp.Or(cmp.Compare(i.Namespace, key.Namespace), cmp.Compare(i.Name, key.Name))
	})
	if !ok {
		return nil
	}
	return r.Imports[i].Clusters
}

// wish is a Service that takes in traffic.
type wish struct {
	key             mcs.Key
	ports           []mcs.Port
	nodePorts       []int32 // by the index of ports; nil for none
	healthCheckPort int32   // 0 for external traffic policy Cluster
	affinity        int64   // seconds
}

// wishOf is one that stands.
func wishOf(d mcs.DerivedService) wish {
	w := wish{key: mcs.Key{Namespace: d.Namespace, Name: d.Name}, ports: d.Ports, healthCheckPort: d.HealthCheckNodePort}
	if slices.ContainsFunc(d.NodePorts, func(n int32) bool { return n > 0 }) {
		w.nodePorts = d.NodePorts
	}
	return w
}

func (w wish) service() render.Object {
	ports := make([]any, len(w.ports))
	for i, port := range w.ports {
		fields := map[string]any{"port": int64(port.Port), "protocol": string(cmp.Or(port.Protocol, corev1.ProtocolTCP))}
		if port.Name != "" {
			fields["name"] = port.Name
		}
		if port.AppProtocol != "" {
			fields["appProtocol"] = port.AppProtocol
		}
		if w.nodePorts != nil && w.nodePorts[i] > 0 {
			fields["nodePort"] = int64(w.nodePorts[i])
		}
		ports[i] = fields
	}
	spec := map[string]any{"type": string(corev1.ServiceTypeLoadBalancer), "loadBalancerClass": LoadBalancerClass, "ports": ports,
		"allocateLoadBalancerNodePorts": w.nodePorts != nil, "externalTrafficPolicy": string(corev1.ServiceExternalTrafficPolicyCluster)}
	if w.healthCheckPort > 0 {
		spec["externalTrafficPolicy"] = string(corev1.ServiceExternalTrafficPolicyLocal)
		spec["healthCheckNodePort"] = int64(w.healthCheckPort)
	}
	if w.affinity > 0 {
		spec["sessionAffinity"] = string(corev1.ServiceAffinityClientIP)
		spec["sessionAffinityConfig"] = map[string]any{"clientIP": map[string]any{"timeoutSeconds": w.affinity}}
	}
	metadata := map[string]any{"namespace": w.key.Namespace, "name": w.key.Name, "labels": map[string]any{api.LabelDerived: api.DerivedLoadBalancer}}
	return render.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}}}
}
