package mcs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Align returns which of i's families an importing cluster serves, given the clusterset addresses it has for i, and those
// addresses, one for each family at the same index: a single-stack cluster has only one for a dual-stack service. A headless
// service has all families and no address.
func (i Import) Align(ips []netip.Addr) ([]corev1.IPFamily, []netip.Addr) {
	if i.Headless {
		return slices.Clone(i.IPFamilies), nil
	}
	var families []corev1.IPFamily
	var aligned []netip.Addr
	if len(i.IPFamilies) == 0 { // nobody who is in sight told
		for _, ip := range ips {
			families, aligned = append(families, FamilyOf(ip)), append(aligned, ip.Unmap())
		}
	}
	for _, f := range i.IPFamilies {
		n := slices.IndexFunc(ips, func(a netip.Addr) bool { return FamilyOf(a) == f })
		if n >= 0 {
			families, aligned = append(families, f), append(aligned, ips[n].Unmap())
		}
	}
	return families, aligned
}

// Ready returns the condition Ready, in the words of KEP-1645, of i in a cluster that has ips for it.
func (i Import) Ready(ips []netip.Addr) Verdict {
	_, aligned := i.Align(ips)
	switch {
	case i.Headless:
		return Verdict{metav1.ConditionTrue, reasonReady, "a headless service needs no address"}
	case len(aligned) > 0:
		return Verdict{metav1.ConditionTrue, reasonReady, "the service has an address"}
	case len(ips) > 0:
		return Verdict{metav1.ConditionFalse, reasonFamilyUnsupported,
			fmt.Sprintf("the exporters have addresses of family %s, and this cluster has no address of it", familyNames(i.IPFamilies))}
	}
	return Verdict{metav1.ConditionFalse, reasonPending, "the service has no address yet"}
}

// FamilyOf returns the family of a as Services spell it. An IPv4-mapped IPv6 address is IPv4.
func FamilyOf(a netip.Addr) corev1.IPFamily {
	if a.Unmap().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

func familyNames(families []corev1.IPFamily) string {
	names := make([]string, len(families))
	for n, f := range families {
		names[n] = string(f)
	}
	return strings.Join(names, ", ")
}
