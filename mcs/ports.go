package mcs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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

// common returns the ports of a that are also in b, in a's order.
func common(a, b []Port) []Port {
	var out []Port
	for _, p := range a {
		if slices.Contains(b, p) {
			out = append(out, p)
		}
	}
	return out
}

// describeDifference says how mine differs from theirs, or "". Both are sorted; their order on the Services does not
// matter. Ports are matched by name, as KEP-1645 does; an empty name is a name.
func describeDifference(mine, theirs []Port) string {
	var out []string
	for _, p := range mine {
		switch other, ok := byName(theirs, p.Name); {
		case !ok:
			out = append(out, fmt.Sprintf("%s is only here, as %s", label(p.Name), p))
		case other != p:
			out = append(out, fmt.Sprintf("%s is %s here and %s there", label(p.Name), p, other))
		}
	}
	for _, p := range theirs {
		if _, ok := byName(mine, p.Name); !ok {
			out = append(out, fmt.Sprintf("%s is only there, as %s", label(p.Name), p))
		}
	}
	return strings.Join(out, ", ")
}

func label(name string) string {
	if name == "" {
		return "the unnamed port"
	}
	return "port " + strconv.Quote(name)
}

// byName finds a port by its name, which the API server keeps unique within a Service.
func byName(ports []Port, name string) (Port, bool) {
	i := slices.IndexFunc(ports, func(p Port) bool { return p.Name == name })
	if i < 0 {
		return Port{}, false
	}
	return ports[i], true
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
