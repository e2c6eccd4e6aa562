package cloud

import (
	"log/slog"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func service(name, address string) (types.NamespacedName, *corev1.Service) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	if address != "" {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	}
	return keyOf(s), s
}

// A Service keeps the address that its status has when nobody else has it and it is of the range; else it gets the next free one.
func TestAddresses(t *testing.T) {
	c := New(netip.MustParsePrefix("10.9.8.0/30"), slog.New(slog.DiscardHandler))
	for _, step := range []struct{ name, has, want string }{
		{"restarted", "10.9.8.2", "10.9.8.2"},
		{"new", "", "10.9.8.1"},
		{"restarted", "", "10.9.8.2"},
		{"thief", "10.9.8.1", "10.9.8.3"},
		{"foreign", "192.0.2.7", ""},
	} {
		key, s := service(step.name, step.has)
		b, err := c.ensure(key, s)
		switch {
		case step.want == "" && err == nil:
			t.Errorf("%s: got %s, though all are in use", step.name, b.address)
		case step.want != "" && (err != nil || b.address.String() != step.want):
			t.Errorf("%s: got %+v, %v, want %s", step.name, b, err, step.want)
		}
	}
	key, _ := service("new", "")
	c.drop(key)
	key, s := service("foreign", "192.0.2.7")
	if b, err := c.ensure(key, s); err != nil || b.address.String() != "10.9.8.1" {
		t.Errorf("an address that became free is not given: %+v, %v", b, err)
	}
}

// Connections go to endpoints that are ready, by TCP and IPv4, each once.
func TestTargets(t *testing.T) {
	no := false
	slice := discoveryv1.EndpointSlice{
		Ports: []discoveryv1.EndpointPort{{Name: new("web"), Port: new(int32(8000))}, {Name: new("dns"), Port: new(int32(53)), Protocol: new(corev1.ProtocolUDP)}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.2.16.17"}},
			{Addresses: []string{"10.2.16.16"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			{Addresses: []string{"10.2.16.15"}},
			{Addresses: []string{"fd00::1"}},
		},
	}
	got := targets([]*discoveryv1.EndpointSlice{&slice, &slice})
	want := []netip.AddrPort{netip.MustParseAddrPort("10.2.16.15:8000"), netip.MustParseAddrPort("10.2.16.17:8000")}
	if len(got) != 1 || len(got["web"]) != 2 || got["web"][0] != want[0] || got["web"][1] != want[1] {
		t.Errorf("targets are %v, want %v for web alone", got, want)
	}
}
