package armsim

import (
	"encoding/json"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// ClusterOf reads what packets care about from the nodes, Services and EndpointSlices of a cluster, each as `kubectl get --all-namespaces
// --output json` prints them.
func ClusterOf(name, network string, nodes, services, slices []byte) (Cluster, error) {
	c := Cluster{Name: name, Network: network}
	var nodeList corev1.NodeList
	var serviceList corev1.ServiceList
	var sliceList discoveryv1.EndpointSliceList
	for _, x := range []struct {
		what string
		data []byte
		into any
	}{{"nodes", nodes, &nodeList}, {"services", services, &serviceList}, {"endpointslices", slices, &sliceList}} {
		if err := json.Unmarshal(x.data, x.into); err != nil {
			return c, fmt.Errorf("%s of %s: %w", x.what, name, err)
		}
	}
	for _, n := range nodeList.Items {
		for _, a := range n.Status.Addresses {
			if address, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
				c.Nodes = append(c.Nodes, Node{Name: n.Name, Address: address})
			}
		}
	}
	ready := map[string]int{}
	for _, s := range sliceList.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready[s.Namespace+"/"+s.Labels[discoveryv1.LabelServiceName]]++
			}
		}
	}
	for _, s := range serviceList.Items {
		out := Service{Name: s.Name, Endpoints: ready[s.Namespace+"/"+s.Name]}
		for _, at := range s.Status.LoadBalancer.Ingress {
			if address, err := netip.ParseAddr(at.IP); err == nil {
				out.Addresses = append(out.Addresses, address)
			}
		}
		for _, p := range s.Spec.Ports {
			out.Ports = append(out.Ports, ServicePort{Protocol: string(p.Protocol), Port: int(p.Port), NodePort: int(p.NodePort)})
		}
		c.Services = append(c.Services, out)
	}
	return c, nil
}
