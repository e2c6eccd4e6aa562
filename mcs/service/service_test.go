package service

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gitfleet/gitfleet/mcs"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// observed is m1, which exports shop/web and asks for a load balancer with these annotations, after the derived Service shows ingress.
func observed(annotations map[string]string, ingress ...string) []mcs.Observed {
	key := mcs.Key{Namespace: "shop", Name: "web"}
	o := mcs.Observed{Cluster: "m1", Synced: true,
		Exports: []mcs.Export{{Cluster: "m1", Namespace: "shop", Name: "web", Created: now,
			Service: &mcs.ExportedService{Type: corev1.ServiceTypeClusterIP, Ports: []mcs.Port{{Protocol: "TCP", Port: 80}},
				Traits: mcs.Traits{SessionAffinity: corev1.ServiceAffinityClientIP, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal}},
			Endpoints: []mcs.Endpoint{{Address: netip.MustParseAddr("10.1.0.2"), Ports: map[string]int32{"": 8000}, Ready: true, Serving: true, Slice: "web-1"}}}},
		Services: []mcs.Service{{Cluster: "m1", Namespace: "shop", Name: "web", ImportName: "web", Created: now, Annotations: annotations}},
		Derived:  []mcs.DerivedService{{Cluster: "m1", Namespace: "shop", Name: Name(key), UID: "u1", Ingress: ingress}}}
	return []mcs.Observed{o}
}

func resolve(o []mcs.Observed) mcs.Resolution {
	return mcs.Resolve(o, mcs.Terms{Properties: New().Properties()}, now)
}

func TestObjects(t *testing.T) {
	annotations := map[string]string{"example.org/tier": "gold", "gitfleet.dev/load-balancer-class": "example.org/inner",
		"networking.fleet.azure.com/azure-load-balancer-internal": "true"}
	list := New().Objects(resolve(observed(annotations)))["m1"]
	if len(list) != 2 {
		t.Fatalf("%d objects, want a Service and an EndpointSlice", len(list))
	}
	var s corev1.Service
	var behind discoveryv1.EndpointSlice
	for n, into := range []any{&s, &behind} {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(list[n].Object, into, true); err != nil {
			t.Fatal(err)
		}
	}
	class, seconds := "example.org/inner", corev1.DefaultClientIPServiceAffinitySeconds
	policy := corev1.IPFamilyPolicyPreferDualStack
	want := corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Protocol: "TCP", Port: 80}}, LoadBalancerClass: &class,
		IPFamilyPolicy: &policy, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyCluster, SessionAffinity: corev1.ServiceAffinityClientIP,
		SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}}
	if diff := cmp.Diff(want, s.Spec); diff != "" {
		t.Errorf("the Service (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"example.org/tier": "gold", "service.beta.kubernetes.io/azure-load-balancer-internal": "true"}, s.Annotations); diff != "" {
		t.Errorf("its annotations (-want +got):\n%s", diff)
	}
	if behind.Labels[discoveryv1.LabelServiceName] != s.Name || behind.Endpoints[0].Addresses[0] != "10.1.0.2" || behind.OwnerReferences[0].UID != "u1" {
		t.Errorf("behind it: %+v", behind)
	}
	if imported, ok := behind.Labels["multicluster.kubernetes.io/service-name"]; ok {
		t.Errorf("a name server would find the slice twice: %s", imported)
	}
	without := observed(nil)
	without[0].Derived = nil
	if list = New().Objects(resolve(without))["m1"]; len(list) != 1 {
		t.Errorf("slices need the Service that they go with; objects: %v", list)
	}
	if list[0].GetAnnotations() != nil {
		t.Errorf("annotations that are gone stay: %v", list[0].GetAnnotations())
	}
}

func TestCycle(t *testing.T) {
	p := New()
	state, err := p.List(t.Context())
	if err != nil || len(state) > 0 {
		t.Fatalf("a new provider has %v in place (%v)", state, err)
	}
	step := func(o []mcs.Observed, reasons ...string) mcs.Frontend {
		t.Helper()
		r := resolve(o)
		plan := p.Plan(r, state)
		var got []string
		for _, c := range plan.Changes {
			got = append(got, string(c.Action)+": "+c.Reason)
		}
		if diff := cmp.Diff(reasons, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("plan (-want +got):\n%s", diff)
		}
		if state, err = p.Apply(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		if again := p.Plan(r, state); len(again.Changes) > 0 {
			t.Errorf("planned again: %+v", again)
		}
		return state[mcs.LoadBalancerKey{Member: "m1", Key: mcs.Key{Namespace: "shop", Name: "web"}}].Frontend
	}
	if f := step(observed(nil), "create: new"); len(f.Addresses) > 0 || len(f.Problems) != 1 || !strings.Contains(f.Problems[0], Name(mcs.Key{Namespace: "shop", Name: "web"})) {
		t.Errorf("without an address: %+v", f)
	}
	f := step(observed(nil, "192.0.2.7", "lb.example.org"), "update: its address changes")
	if diff := cmp.Diff(mcs.Frontend{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")}, Hostnames: []string{"lb.example.org"}}, f, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("with an address (-want +got):\n%s", diff)
	}
	cutOff := []mcs.Observed{{Cluster: "m1"}}
	step(cutOff) // losing sight is not losing life
	step([]mcs.Observed{{Cluster: "m1", Synced: true}}, "delete: no MultiClusterService asks for it")
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	seen := map[string]mcs.Key{}
	for _, key := range []mcs.Key{{Namespace: "a-b", Name: "c"}, {Namespace: "a", Name: "b-c"}, {Namespace: "a", Name: long}, {Namespace: "b", Name: long}, {Namespace: "a", Name: long[:62] + "b"}, {Namespace: "a", Name: strings.Repeat("b-", 31)}} {
		name := Name(key)
		if problems := validation.IsDNS1035Label(name); len(problems) > 0 {
			t.Errorf("%s is called %q: %v", key, name, problems)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%s and %s are both called %q", key, other, name)
		}
		seen[name] = key
	}
}

func TestWeightsAreTold(t *testing.T) {
	for name, tt := range map[string]struct {
		weights map[string]int
		told    bool
	}{"none": {nil, false}, "only out": {map[string]int{"a": 0}, false}, "all alike": {map[string]int{"a": 1, "b": 1}, false}, "shares": {map[string]int{"a": 1, "b": 3}, true}} {
		f := frontend(mcs.LoadBalancer{Given: []string{"192.0.2.7"}, Weights: tt.weights})
		if told := len(f.Problems) > 0; told != tt.told {
			t.Errorf("%s: problems %v", name, f.Problems)
		}
	}
}
