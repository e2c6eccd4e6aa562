package mcs

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
)

func TestAlign(t *testing.T) {
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	four, six := netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")
	tests := map[string]struct {
		reason   string
		i        Import
		ips      []netip.Addr
		families []corev1.IPFamily
		want     []netip.Addr
		ready    string
	}{
		"dual stack":   {"addresses in the order of families", Import{Traits: Traits{IPFamilies: []corev1.IPFamily{v6, v4}}}, []netip.Addr{four, six}, []corev1.IPFamily{v6, v4}, []netip.Addr{six, four}, "True Ready"},
		"single stack": {"an importer may have one family only", Import{Traits: Traits{IPFamilies: []corev1.IPFamily{v4, v6}}}, []netip.Addr{six}, []corev1.IPFamily{v6}, []netip.Addr{six}, "True Ready"},
		"surplus":      {"a family that no exporter has leads nowhere", Import{Traits: Traits{IPFamilies: []corev1.IPFamily{v4}}}, []netip.Addr{six, four}, []corev1.IPFamily{v4}, []netip.Addr{four}, "True Ready"},
		"mapped":       {"an IPv4-mapped address is IPv4", Import{Traits: Traits{IPFamilies: []corev1.IPFamily{v4}}}, []netip.Addr{netip.MustParseAddr("::ffff:10.96.0.1")}, []corev1.IPFamily{v4}, []netip.Addr{four}, "True Ready"},
		"unsupported":  {"the importer has the wrong one", Import{Traits: Traits{IPFamilies: []corev1.IPFamily{v4}}}, []netip.Addr{six}, nil, nil, "False IPFamilyNotSupported"},
		"pending":      {"there is no address yet", Import{Traits: Traits{IPFamilies: []corev1.IPFamily{v4}}}, nil, nil, nil, "False Pending"},
		"headless":     {"families, and no address ever", Import{Headless: true, Traits: Traits{IPFamilies: []corev1.IPFamily{v4}}}, []netip.Addr{four}, []corev1.IPFamily{v4}, nil, "True Ready"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			families, ips := tt.i.Align(tt.ips)
			if diff := cmp.Diff(tt.families, families, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: families (-want +got):\n%s", tt.reason, diff)
			}
			if diff := cmp.Diff(tt.want, ips, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("%s: addresses (-want +got):\n%s", tt.reason, diff)
			}
			if v := tt.i.Ready(tt.ips); string(v.Status)+" "+v.Reason != tt.ready {
				t.Errorf("%s: Ready is %s, want %s", tt.reason, v, tt.ready)
			}
		})
	}
}

// A dual-stack pod counts once behind a load balancer, in a family that the service has.
func TestBackendsAreOfOneFamily(t *testing.T) {
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	tests := map[string]struct {
		reason    string
		m1, m2    []corev1.IPFamily
		addresses [2][]string
		want      string
	}{
		"dual stack":  {"IPv4 reaches all", []corev1.IPFamily{v6, v4}, []corev1.IPFamily{v4, v6}, [2][]string{{"10.1.0.2", "fd01::2"}, {"10.2.0.2", "fd02::2"}}, "10.1.0.2 10.2.0.2"},
		"IPv6 only":   {"IPv4 would reach the younger one alone", []corev1.IPFamily{v6}, []corev1.IPFamily{v4, v6}, [2][]string{{"fd01::2"}, {"10.2.0.2", "fd02::2"}}, "fd01::2 fd02::2"},
		"not yet":     {"an empty family is worse than the other one", []corev1.IPFamily{v4}, []corev1.IPFamily{v6}, [2][]string{nil, {"fd02::2"}}, "fd02::2"},
		"not yet six": {"the same the other way round", []corev1.IPFamily{v6}, []corev1.IPFamily{v4}, [2][]string{nil, {"10.2.0.2"}}, "10.2.0.2"},
		"unknown":     {"IPv4 when there is any", nil, nil, [2][]string{{"fd01::2"}, {"10.2.0.2"}}, "10.2.0.2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var exports []Export
			for n, families := range [][]corev1.IPFamily{tt.m1, tt.m2} {
				exports = append(exports, export(fmt.Sprint("m", n+1), now.Add(time.Duration(n)*time.Second), func(e *Export) {
					e.Service.IPFamilies = families
					for _, a := range tt.addresses[n] {
						e.Endpoints = append(e.Endpoints, Endpoint{Address: netip.MustParseAddr(a), Ready: true, Ports: map[string]int32{"http": 1}})
					}
				}))
			}
			observed := []Observed{{Cluster: "m9", Synced: true, Services: []Service{{Cluster: "m9", Namespace: "shop", Name: "web", ImportName: "web"}}}}
			for _, e := range exports {
				observed = append(observed, Observed{Cluster: e.Cluster, Synced: true, Exports: []Export{e}})
			}
			got := ""
			for n, b := range Resolve(observed, Terms{}, now).LoadBalancers[0].Backends {
				if n > 0 {
					got += " "
				}
				got += b.Target.Addr().String()
			}
			if got != tt.want {
				t.Errorf("%s: backends %s, want %s", tt.reason, got, tt.want)
			}
		})
	}
}
