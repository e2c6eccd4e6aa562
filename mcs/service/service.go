// Package service is the provider that leaves load balancing to the members: it derives a Service of type LoadBalancer in each
// member that asks for one, with imported EndpointSlices behind it, so that whatever gives Services addresses there (a
// cloud's controller, MetalLB, kube-vip) does its usual work.
package service

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/api"
	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
)

// Labels that Azure's controllers put on such Services, by which people find them.
const (
	labelServiceName      = "networking.fleet.azure.com/multi-cluster-service-name"
	labelServiceNamespace = "networking.fleet.azure.com/multi-cluster-service-namespace"
)

// Provider is an mcs.Provider. It makes no request: what it needs on members is applied with everything else there, and what
// became of it is in what members show.
type Provider struct {
	mu    sync.Mutex
	state mcs.State
}

var _ mcs.Provider = (*Provider)(nil)

// New returns a provider.
func New() *Provider { return &Provider{state: mcs.State{}} }

// Properties implements mcs.Provider.
func (p *Provider) Properties() mcs.Properties { return mcs.Properties{PerMember: true} }

// List implements mcs.Provider: what was told so far. After a start that is nothing, and statuses keep what they say until
// members have shown theirs.
func (p *Provider) List(context.Context) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.state), nil
}

// Plan implements mcs.Provider. A load balancer changes with what is asked for, and when its member shows another address.
func (p *Provider) Plan(r mcs.Resolution, in mcs.State) mcs.Plan {
	given := func(lb *mcs.LoadBalancer) {
		d, _ := r.Derived(lb.Member, mcs.Key{Namespace: lb.Namespace, Name: Name(lb.Key().Key)})
		lb.Given = slices.Clone(d.Ingress)
	}
	r.LoadBalancers = slices.Clone(r.LoadBalancers)
	for i := range r.LoadBalancers {
		given(&r.LoadBalancers[i])
	}
	return mcs.Difference(r, in)
}

// Apply implements mcs.Provider: it takes note.
func (p *Provider) Apply(_ context.Context, plan mcs.Plan) (mcs.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range plan.Changes {
		if c.Action == mcs.Delete {
			delete(p.state, c.LoadBalancer.Key())
		} else {
			p.state[c.LoadBalancer.Key()] = mcs.Installed{LoadBalancer: c.LoadBalancer, Frontend: frontend(c.LoadBalancer)}
		}
	}
	return maps.Clone(p.state), nil
}

// frontend tells where lb is reached, by what its Service shows.
func frontend(lb mcs.LoadBalancer) mcs.Frontend {
	var f mcs.Frontend
	for _, text := range lb.Given {
		if a, err := netip.ParseAddr(text); err == nil {
			f.Addresses = append(f.Addresses, a)
		} else {
			f.Hostnames = append(f.Hostnames, text)
		}
	}
	if len(lb.Given) == 0 {
		f.Problems = append(f.Problems, fmt.Sprintf("nothing in this cluster has given Service %s/%s an address yet: that takes a controller for Services of type LoadBalancer",
			lb.Namespace, Name(lb.Key().Key)))
	}
	if weighed(lb.Weights) {
		f.Problems = append(f.Problems, "weights other than 0 have no effect: Services have none")
	}
	slices.Sort(f.Problems)
	return f
}

// weighed tells whether weights ask for more than leaving clusters out.
func weighed(weights map[string]int) bool {
	shares := map[int]bool{}
	for _, w := range weights {
		if w > 0 {
			shares[w] = true
		}
	}
	return len(shares) > 1 || len(shares) == 1 && !shares[1]
}

// Name is the name of the Service that stands for the MultiClusterService of key, in its namespace.
func Name(key mcs.Key) string {
	sum := sha256.Sum256([]byte("load-balancer/" + key.Namespace + "/" + key.Name))
	digest := strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:10]
	head := key.Name[:min(len(key.Name), validation.DNS1035LabelMaxLength-len("-lb-")-len(digest))]
	return strings.TrimRight(head, "-") + "-lb-" + digest
}

// Objects implements mcs.Provider.
func (p *Provider) Objects(r mcs.Resolution) map[string][]render.Object {
	out := map[string][]render.Object{}
	for _, lb := range r.LoadBalancers {
		out[lb.Member] = append(out[lb.Member], derive(lb))
		out[lb.Member] = append(out[lb.Member], behind(r, lb)...)
	}
	return out
}

// derive makes the Service. It routes in the whole cluster whatever the exporters ask for (externalTrafficPolicy Cluster): no node
// has an endpoint of its own, so that Local would leave it without any.
func derive(lb mcs.LoadBalancer) render.Object {
	named := mcs.DerivedPorts(lb.Ports)
	ports := make([]any, len(named))
	for i, port := range named {
		fields := map[string]any{"port": int64(port.Port), "protocol": string(port.Protocol)}
		if port.Name != "" {
			fields["name"] = port.Name
		}
		if port.AppProtocol != "" {
			fields["appProtocol"] = port.AppProtocol
		}
		ports[i] = fields
	}
	spec := map[string]any{"type": string(corev1.ServiceTypeLoadBalancer), "ports": ports,
		"ipFamilyPolicy": string(corev1.IPFamilyPolicyPreferDualStack), "externalTrafficPolicy": string(corev1.ServiceExternalTrafficPolicyCluster)}
	if lb.ClientAffinity > 0 {
		spec["sessionAffinity"] = string(corev1.ServiceAffinityClientIP)
		spec["sessionAffinityConfig"] = map[string]any{"clientIP": map[string]any{"timeoutSeconds": int64(lb.ClientAffinity.Seconds())}}
	}
	if class := lb.Annotations[api.AnnotationLoadBalancerClass]; class != "" {
		spec["loadBalancerClass"] = class
	}
	metadata := map[string]any{"namespace": lb.Namespace, "name": Name(lb.Key().Key), "labels": map[string]any{
		api.LabelDerived: api.DerivedLoadBalancer, labelServiceName: lb.Name, labelServiceNamespace: lb.Namespace}}
	if passed := annotations(lb); len(passed) > 0 {
		metadata["annotations"] = passed
	}
	return render.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}}}
}

// annotations are those of the MultiClusterService, for whoever gives the address. What is taken away there goes here, too.
func annotations(lb mcs.LoadBalancer) map[string]any {
	out := map[string]any{}
	for key, value := range lb.Annotations {
		if key != api.AnnotationLoadBalancerClass && key != networkingv1alpha1.AnnotationFleetInternal {
			out[key] = value
		}
	}
	delete(out, networkingv1alpha1.AnnotationAzureInternal)
	if lb.Internal {
		out[networkingv1alpha1.AnnotationAzureInternal] = "true"
	}
	return out
}

// behind makes the EndpointSlices of lb's Service. They go with it.
func behind(r mcs.Resolution, lb mcs.LoadBalancer) []render.Object {
	key := mcs.Key{Namespace: lb.Namespace, Name: Name(lb.Key().Key)}
	d, ok := r.Derived(lb.Member, key)
	if !ok || d.Deleting {
		return nil // its slices follow when it is there
	}
	return r.EndpointSlices(lb.Import, mcs.SliceTarget{Service: key.Name, Owner: mcs.Owner{APIVersion: "v1", Kind: "Service", Name: key.Name, UID: string(d.UID)}})
}
