package mcs

import (
	"fmt"
	"slices"
	"strconv"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// String prints p as "80/TCP", with its application protocol when it has one: "443/TCP (https)".
func (p Port) String() string {
	s := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
	if p.AppProtocol != "" {
		s += " (" + p.AppProtocol + ")"
	}
	return s
}

func sortedPorts(ports []Port) []Port {
	out := slices.Clone(ports)
	slices.SortFunc(out, comparePorts)
	return out
}

// describeDifference says how mine contradicts theirs: by its name, where an empty one is a name, or by its number.
func describeDifference(mine, theirs Port) string {
	if mine.Name == theirs.Name {
		return fmt.Sprintf("%s is %s here and %s there", label(mine.Name), mine, theirs)
	}
	return fmt.Sprintf("%s is %s here, which is %s there", label(mine.Name), mine, label(theirs.Name))
}

func label(name string) string {
	if name == "" {
		return "the unnamed port"
	}
	return "port " + strconv.Quote(name)
}

// importedPorts reads the ports of a ServiceImport's status.
func importedPorts(ports []networkingv1alpha1.ServicePort) []Port {
	out := make([]Port, len(ports))
	for i, p := range ports {
		out[i] = Port{Name: p.Name, Protocol: p.Protocol, Port: p.Port}
		if p.AppProtocol != nil {
			out[i].AppProtocol = *p.AppProtocol
		}
	}
	return sortedPorts(out)
}

// statusPorts is the inverse of importedPorts. Target ports are left out: each exporter has its own.
func statusPorts(ports []Port) []networkingv1alpha1.ServicePort {
	var out []networkingv1alpha1.ServicePort
	for _, p := range ports {
		s := networkingv1alpha1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port}
		if p.AppProtocol != "" {
			s.AppProtocol = &p.AppProtocol
		}
		out = append(out, s)
	}
	return out
}
