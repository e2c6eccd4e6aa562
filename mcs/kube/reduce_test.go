package kube

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

var created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestReduce(t *testing.T) {
	a, six := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd00::2")
	web := map[string]int32{"web": 8000}
	tests := map[string]struct {
		reason string
		reduce func(*unstructured.Unstructured) any
		object string
		want   any
	}{
		"export": {"identity, age and conditions", reduceExport, `
kind: ServiceExport
apiVersion: networking.fleet.azure.com/v1alpha1
metadata: {namespace: shop, name: web, generation: 3, creationTimestamp: 2026-01-01T00:00:00Z}
status: {conditions: [{type: Valid, status: "True", reason: R, message: M, lastTransitionTime: 2026-01-01T00:00:00Z}]}`,
			mcs.Export{Namespace: "shop", Name: "web", Generation: 3, Created: created,
				Conditions: []metav1.Condition{{Type: "Valid", Status: "True", Reason: "R", Message: "M", LastTransitionTime: metav1.NewTime(created.Local())}}}},
		"foreign status": {"a status that cannot be read is as good as none", reduceExport, `
kind: ServiceExport
apiVersion: networking.fleet.azure.com/v1alpha1
metadata: {namespace: shop, name: web, creationTimestamp: 2026-01-01T00:00:00Z, deletionTimestamp: 2026-01-01T00:00:00Z}
status: {conditions: yes}`,
			mcs.Export{Namespace: "shop", Name: "web", Created: created, Deleting: true}},
		"exported metadata": {"what the export says, and nothing of its own metadata", reduceExport, `
kind: ServiceExport
apiVersion: multicluster.x-k8s.io/v1beta1
metadata: {namespace: shop, name: web, creationTimestamp: 2026-01-01T00:00:00Z, labels: {mine: x}, annotations: {mine: x, networking.fleet.azure.com/weight: "3"}}
spec: {exportedLabels: {team: a}, exportedAnnotations: {note: b}}`,
			mcs.Export{Namespace: "shop", Name: "web", Dialect: mcs.Standard, Created: created, Weight: "3",
				ExportedLabels: map[string]string{"team": "a"}, ExportedAnnotations: map[string]string{"note": "b"}}},
		"service of services": {"annotations that are about the object are left out; a name is as good as an address", reduceMultiClusterService, `
kind: MultiClusterService
apiVersion: networking.fleet.azure.com/v1alpha1
metadata: {namespace: shop, name: web, creationTimestamp: 2026-01-01T00:00:00Z, annotations: {other: x, gitfleet.dev/applied-hash: x, gitfleet.dev/load-balancer-class: x, kubectl.kubernetes.io/last-applied-configuration: x}}
spec: {serviceImport: {name: api}}
status: {loadBalancer: {ingress: [{ip: 127.255.0.1}, {hostname: lb.example.org}]}}`,
			mcs.Service{Namespace: "shop", Name: "web", Created: created, ImportName: "api", Ingress: []string{"127.255.0.1", "lb.example.org"},
				Annotations: map[string]string{"other": "x", "gitfleet.dev/load-balancer-class": "x"}}},
		"standard import": {"what the spec tells, with the clusters of the status", reduceStandardImport, `
kind: ServiceImport
apiVersion: multicluster.x-k8s.io/v1beta1
metadata: {namespace: shop, name: web, uid: u1, generation: 2}
spec: {type: ClusterSetIP, ips: [10.96.0.7], ports: [{name: web, port: 80, protocol: TCP}], sessionAffinity: ClientIP}
status: {clusters: [{cluster: m1}], endpointSliceObjects: Present, conditions: [{type: Ready, status: "True"}]}`,
			mcs.MemberImport{Namespace: "shop", Name: "web", Dialect: mcs.Standard, UID: "u1", Generation: 2, EndpointSlices: "Present",
				Status: networkingv1alpha1.ServiceImportStatus{Type: "ClusterSetIP", IPs: []string{"10.96.0.7"}, SessionAffinity: "ClientIP",
					Ports: []networkingv1alpha1.ServicePort{{Name: "web", Protocol: "TCP", Port: 80}}, Clusters: []networkingv1alpha1.ClusterStatus{{Cluster: "m1"}}},
				Conditions: []metav1.Condition{{Type: "Ready", Status: "True"}}}},
		"derived service": {"its addresses, and where its load balancer is", reduceDerived, `
kind: Service
apiVersion: v1
metadata: {namespace: shop, name: derived-x, uid: u1}
spec: {clusterIPs: [10.96.0.7, "fd00::7", None]}
status: {loadBalancer: {ingress: [{hostname: lb.example.org}]}}`,
			mcs.DerivedService{Namespace: "shop", Name: "derived-x", UID: "u1", Ingress: []string{"lb.example.org"},
				ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.7"), netip.MustParseAddr("fd00::7")}}},
		"load balancer's service": {"which ports it has", reduceDerived, `
kind: Service
apiVersion: v1
metadata: {namespace: shop, name: web-lb, labels: {gitfleet.dev/derived: load-balancer}}
spec: {healthCheckNodePort: 30007, ports: [{name: web, port: 80, protocol: TCP, nodePort: 30001, appProtocol: h2c}, {port: 53, protocol: UDP}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}`,
			mcs.DerivedService{Namespace: "shop", Name: "web-lb", Ingress: []string{"192.0.2.1"}, Balancer: true, HealthCheckNodePort: 30007,
				Ports: []mcs.Port{{Name: "web", Protocol: "TCP", AppProtocol: "h2c", Port: 80}, {Protocol: "UDP", Port: 53}}, NodePorts: []int32{30001, 0}}},
		"service": {"ports without their target ports", reduceService, `
kind: Service
apiVersion: v1
metadata: {namespace: shop, name: web}
spec: {type: NodePort, clusterIP: 10.96.0.1, ports: [{name: web, port: 80, protocol: TCP, targetPort: http, nodePort: 30000, appProtocol: h2c}]}`,
			&mcs.ExportedService{Type: "NodePort", Ports: []mcs.Port{{Name: "web", Protocol: "TCP", AppProtocol: "h2c", Port: 80}}}},
		"service with everything": {"traits as they are, three protocols, metadata left out", reduceService, `
kind: Service
apiVersion: v1
metadata: {namespace: shop, name: web, labels: {mine: x}, annotations: {mine: x}}
spec:
  type: LoadBalancer
  clusterIP: fd00::1
  clusterIPs: ["fd00::1", 10.96.0.1]
  ipFamilies: [IPv6, IPv4]
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}
  internalTrafficPolicy: Local
  externalTrafficPolicy: Cluster
  trafficDistribution: PreferClose
  ports: [{name: t, port: 42, protocol: TCP}, {name: u, port: 42, protocol: UDP}, {name: s, port: 42, protocol: SCTP}]`,
			&mcs.ExportedService{Type: "LoadBalancer", Ports: []mcs.Port{{Name: "t", Protocol: "TCP", Port: 42}, {Name: "u", Protocol: "UDP", Port: 42}, {Name: "s", Protocol: "SCTP", Port: 42}},
				Traits: mcs.Traits{IPFamilies: []corev1.IPFamily{"IPv6", "IPv4"}, SessionAffinity: "ClientIP",
					SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(10))}},
					InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyLocal), ExternalTrafficPolicy: "Cluster", TrafficDistribution: new("PreferClose")}}},
		"headless service": {"cluster IP None", reduceService, `
kind: Service
apiVersion: v1
metadata: {namespace: shop, name: web}
spec: {type: ClusterIP, clusterIP: None}`, &mcs.ExportedService{Type: "ClusterIP", Headless: true}},
		"service that is being deleted": {"it counts as gone", reduceService, `
kind: Service
apiVersion: v1
metadata: {namespace: shop, name: web, deletionTimestamp: 2026-01-01T00:00:00Z}
spec: {type: ClusterIP}`, nil},
		"slice": {"nil ready is ready, nil serving is as ready, nil terminating is false", reduceSlice, `
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: web, port: 8000, protocol: TCP}, {name: all, protocol: TCP}]
endpoints:
- {addresses: [10.1.0.2]}
- {addresses: [10.1.0.2], conditions: {ready: false}}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}`,
			slice{service: "web", endpoints: []mcs.Endpoint{{Address: a, Ports: web, Slice: "web-1", Ready: true, Serving: true}, {Address: a, Ports: web, Slice: "web-1"},
				{Address: a, Ports: web, Slice: "web-1", Serving: true, Terminating: true}}}},
		"IPv6 slice": {"addresses of both families are kept; a port without a name has the empty one", reduceSlice, `
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{port: 8000}]
endpoints: [{addresses: ["fd00::2"], conditions: {ready: true}}]`,
			slice{service: "web", endpoints: []mcs.Endpoint{{Address: six, Slice: "web-1", Ports: map[string]int32{"": 8000}, Ready: true, Serving: true}}}},
		"placed endpoint": {"name, node and zone are kept", reduceSlice, `
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.2], hostname: web-0, nodeName: n1, zone: east-1}]`,
			slice{service: "web", endpoints: []mcs.Endpoint{{Address: a, Slice: "web-1", Ports: map[string]int32{}, Ready: true, Serving: true,
				Hostname: "web-0", NodeName: "n1", Zone: "east-1"}}}},
		"FQDN slice": {"names are no addresses", reduceSlice, `
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: FQDN
endpoints: [{addresses: [example.org]}]`, slice{service: "web"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := object(t, tt.object)
			before := u.DeepCopy()
			got := tt.reduce(u)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(slice{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
			if diff := cmp.Diff(before, u); diff != "" {
				t.Errorf("the object itself was changed (-before +after):\n%s", diff)
			}
		})
	}
}
