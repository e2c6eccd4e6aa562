package mcs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// The name is part of the contract with what else reads it: it never changes.
func TestDerivedName(t *testing.T) {
	tests := map[Key]string{
		{Namespace: "kuard-demo", Name: "kuard"}: "derived-poqgogha2v",
		{Namespace: "a-b", Name: "c"}:            "derived-9q272vblnl",
		{Namespace: "a", Name: "b-c"}:            "derived-n27o7i20lf",
	}
	for key, want := range tests {
		if got := DerivedName(key); got != want {
			t.Errorf("DerivedName(%s) is %q, want %q", key, got, want)
		}
	}
}

func TestDerivedPorts(t *testing.T) {
	tests := map[string]struct {
		reason      string
		ports, want []Port
	}{
		"none":    {"nothing to name", nil, nil},
		"single":  {"a single port needs no name", []Port{{"", "TCP", "", 80}}, []Port{{"", "TCP", "", 80}}},
		"named":   {"names stay", []Port{{"a", "TCP", "", 80}, {"b", "TCP", "", 81}}, []Port{{"a", "TCP", "", 80}, {"b", "TCP", "", 81}}},
		"several": {"each of several has a name", []Port{{"", "UDP", "", 53}, {"b", "TCP", "", 81}}, []Port{{"udp-53", "UDP", "", 53}, {"b", "TCP", "", 81}}},
		"taken":   {"of its own", []Port{{"", "", "", 80}, {"tcp-80", "TCP", "", 81}, {"tcp-80-2", "TCP", "", 82}}, []Port{{"tcp-80-3", "", "", 80}, {"tcp-80", "TCP", "", 81}, {"tcp-80-2", "TCP", "", 82}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, DerivedPorts(tt.ports)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// The derived Service's cluster IP lives as long as the import: what the exporters change may change only fields that the API
// server can change.
func TestDerivedServiceIsStable(t *testing.T) {
	base := Import{Namespace: "shop", Name: "web", Ports: []Port{{"http", "TCP", "", 80}}, Traits: Traits{IPFamilies: []corev1.IPFamily{"IPv4"}}}
	tests := map[string]struct {
		reason string
		change func(*Import)
		want   string // the field of spec that changes
	}{
		"ports":     {"a port edit is one", func(i *Import) { i.Ports = []Port{{"http", "TCP", "", 81}} }, "ports"},
		"affinity":  {"an affinity is one", func(i *Import) { i.SessionAffinity = corev1.ServiceAffinityClientIP }, "sessionAffinity"},
		"timeout":   {"a configuration without affinity is none", func(i *Import) { i.SessionAffinityConfig = timeout(10) }, ""},
		"families":  {"the exporters' families are not its own", func(i *Import) { i.IPFamilies = []corev1.IPFamily{"IPv6", "IPv4"} }, ""},
		"endpoints": {"they are the slices' business", func(i *Import) { i.Endpoints = []ImportedEndpoint{{Cluster: "m1"}} }, ""},
		"labels":    {"they are the import's", func(i *Import) { i.Labels = map[string]string{"a": "b"} }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			changed := base
			tt.change(&changed)
			before, after := derivedService(base).Object, derivedService(changed).Object
			if tt.want != "" {
				a, b := before["spec"].(map[string]any), after["spec"].(map[string]any)
				if cmp.Equal(a[tt.want], b[tt.want]) {
					t.Errorf("%s: spec.%s stays", tt.reason, tt.want)
				}
				delete(a, tt.want)
				delete(b, tt.want)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s (-before +after):\n%s", tt.reason, diff)
			}
		})
	}
}
