package mcs

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// AnnotationDerivedService on a ServiceImport names the Service that gives it its clusterset IP. Gateways that route to a
// ServiceImport look for it.
const AnnotationDerivedService = "multicluster.kubernetes.io/derived-service"

// derivedNameLength is how many characters of the digest a derived Service's name has: those of the standard's own controllers.
const derivedNameLength = 10

// DerivedName returns the name of the Service that gives the import of key its clusterset IP.
func DerivedName(key Key) string {
	return "derived-" + digest(key.Namespace+"/"+key.Name, derivedNameLength)
}

// digest returns n characters, five bits each, that may stand in a name.
func digest(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:n]
}

// DerivedPorts returns ports as one Service may have them: a Service with several ports must name each, and the union of
// several clusters' ports may hold one without a name. EndpointSlices use the same names.
func DerivedPorts(ports []Port) []Port {
	out := slices.Clone(ports)
	unnamed := slices.IndexFunc(out, func(p Port) bool { return p.Name == "" })
	if unnamed < 0 || len(out) == 1 {
		return out
	}
	base := strings.ToLower(string(protocol(out[unnamed]))) + "-" + strconv.Itoa(int(out[unnamed].Port))
	name := base
	for n := 2; slices.ContainsFunc(ports, func(p Port) bool { return p.Name == name }); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	out[unnamed].Name = name
	return out
}

func protocol(p Port) corev1.Protocol { return cmp.Or(p.Protocol, corev1.ProtocolTCP) }

// derivedService returns the selector-less Service whose cluster IP is i's clusterset IP in the cluster it is on. It asks for an
// address of every family that the cluster has and never names one: families cannot be changed, and what the exporters
// have may change.
func derivedService(i Import) render.Object {
	spec := map[string]any{
		"type":           string(corev1.ServiceTypeClusterIP),
		"ipFamilyPolicy": string(corev1.IPFamilyPolicyPreferDualStack),
		"ports":          servicePorts(DerivedPorts(i.Ports)),
	}
	i.addTraits(spec)
	if i.SessionAffinity != corev1.ServiceAffinityClientIP {
		delete(spec, fieldAffinityConfig) // the API server refuses a configuration of nothing
	}
	return object("v1", "Service", spec, metadata(i.Namespace, DerivedName(i.Key()), map[string]any{
		"labels": map[string]any{api.LabelDerived: api.DerivedClusterSetIP}}))
}

// servicePorts lists ports without any field that they do not have.
func servicePorts(ports []Port) []any {
	out := make([]any, 0, len(ports))
	for _, p := range ports {
		fields := map[string]any{"port": int64(p.Port), "protocol": string(protocol(p))}
		if p.Name != "" {
			fields["name"] = p.Name
		}
		if p.AppProtocol != "" {
			fields["appProtocol"] = p.AppProtocol
		}
		out = append(out, fields)
	}
	return out
}

// addTraits adds the fields of i that a ServiceImport and a Service spell alike.
func (i Import) addTraits(spec map[string]any) {
	if i.SessionAffinity != "" {
		spec[fieldAffinity] = string(i.SessionAffinity)
	}
	if c := i.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		spec[fieldAffinityConfig] = map[string]any{"clientIP": map[string]any{"timeoutSeconds": int64(*c.ClientIP.TimeoutSeconds)}}
	}
	if i.InternalTrafficPolicy != nil {
		spec["internalTrafficPolicy"] = string(*i.InternalTrafficPolicy)
	}
	if i.TrafficDistribution != nil {
		spec["trafficDistribution"] = *i.TrafficDistribution
	}
}
