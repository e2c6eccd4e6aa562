package mcs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Names of fields that something is remembered or told of.
const (
	fieldPorts          = "ports"
	fieldType           = "type"
	fieldAffinity       = "sessionAffinity"
	fieldAffinityConfig = "sessionAffinityConfig"
)

// field is one thing besides ports that all exports of a service should agree on. The import has the oldest one's value as
// a whole (KEP-1645).
type field struct {
	name        string
	reason      string
	differ      string                           // how a message begins
	notHeadless bool                             // a headless service has no use for it
	known       func(Export) bool                // whether this export can decide
	differs     func(mine, theirs Export) string // how, for a person, or ""
	take        func(to *Import, from Export)    // nil when it is no field of the import alone
}

// canNameMetadata tells whether an export can name metadata for imports: those of the standard can, and Azure's have no field for it.
func canNameMetadata(e Export) bool { return e.Dialect == Standard }

func always(Export) bool { return true }

func fieldNamed(name string) (field, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return fields[i], true
}

// fields are in the order in which KEP-1645 lists their reasons.
var fields = []field{
	{name: fieldType, reason: "TypeConflict", differ: "the import's type differs from that", known: always,
		differs: text(func(e Export) string { return string(importType(e.Service.Headless)) })},
	{name: fieldAffinity, reason: "SessionAffinityConflict", differ: "sessionAffinity differs from that", notHeadless: true, known: always,
		differs: text(func(e Export) string { return affinity(e) }),
		take:    func(i *Import, e Export) { i.SessionAffinity = e.Service.SessionAffinity }},
	{name: fieldAffinityConfig, reason: "SessionAffinityConfigConflict", differ: "sessionAffinityConfig differs from that", notHeadless: true,
		known: always, differs: affinityTimeouts,
		take: func(i *Import, e Export) { i.SessionAffinityConfig = e.Service.SessionAffinityConfig }},
	{name: "exportedAnnotations", reason: "AnnotationsConflict", differ: "exportedAnnotations differ from those", known: canNameMetadata,
		differs: func(mine, theirs Export) string { return keys(mine.ExportedAnnotations, theirs.ExportedAnnotations) },
		take:    func(i *Import, e Export) { i.Annotations = maps.Clone(e.ExportedAnnotations) }},
	{name: "exportedLabels", reason: "LabelsConflict", differ: "exportedLabels differ from those", known: canNameMetadata,
		differs: func(mine, theirs Export) string { return keys(mine.ExportedLabels, theirs.ExportedLabels) },
		take:    func(i *Import, e Export) { i.Labels = maps.Clone(e.ExportedLabels) }},
	{name: "internalTrafficPolicy", reason: "InternalTrafficPolicyConflict", differ: "internalTrafficPolicy differs from that", known: always,
		differs: text(func(e Export) string {
			return string(deref(e.Service.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster))
		}),
		take: func(i *Import, e Export) { i.InternalTrafficPolicy = e.Service.InternalTrafficPolicy }},
	{name: "externalTrafficPolicy", differ: "externalTrafficPolicy differs from that",
		known:   func(e Export) bool { return e.Service.ExternalTrafficPolicy != "" },
		differs: func(Export, Export) string { return "" },
		take:    func(i *Import, e Export) { i.ExternalTrafficPolicy = e.Service.ExternalTrafficPolicy }},
	{name: "trafficDistribution", reason: "TrafficDistributionConflict", differ: "trafficDistribution differs from that", known: always,
		differs: text(func(e Export) string { return deref(e.Service.TrafficDistribution, "unset") }),
		take:    func(i *Import, e Export) { i.TrafficDistribution = e.Service.TrafficDistribution }},
	{name: "ipFamilies", reason: "IPFamilyConflict", differ: "ipFamilies lack some of those",
		known:   func(e Export) bool { return len(e.Service.IPFamilies) > 0 },
		differs: lackingFamilies,
		take:    func(i *Import, e Export) { i.IPFamilies = distinct(e.Service.IPFamilies) }},
}

// text compares a field by what is printed of it.
func text(read func(Export) string) func(mine, theirs Export) string {
	return func(mine, theirs Export) string {
		if a, b := read(mine), read(theirs); a != b {
			return fmt.Sprintf("%s here and %s there", a, b)
		}
		return ""
	}
}

// keys names the entries that two maps do not share. Values are not told: an annotation may hold anything.
func keys(mine, theirs map[string]string) string {
	var out []string
	for k, v := range mine {
		if other, ok := theirs[k]; !ok || other != v {
			out = append(out, k)
		}
	}
	for k := range theirs {
		if _, ok := mine[k]; !ok {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	return "in " + listed(out)
}

func affinity(e Export) string {
	return string(cmp.Or(e.Service.SessionAffinity, corev1.ServiceAffinityNone))
}

// affinityTimeouts compares the one field that the configuration has. Where only one of two has affinity at all, that is
// what is told.
func affinityTimeouts(mine, theirs Export) string {
	if affinity(mine) != affinity(theirs) || affinity(mine) == string(corev1.ServiceAffinityNone) {
		return ""
	}
	return text(func(e Export) string {
		return fmt.Sprintf("%d s", affinitySeconds(e.Service.SessionAffinityConfig))
	})(mine, theirs)
}

func affinitySeconds(c *corev1.SessionAffinityConfig) int32 {
	if c == nil || c.ClientIP == nil {
		return corev1.DefaultClientIPServiceAffinitySeconds
	}
	return deref(c.ClientIP.TimeoutSeconds, corev1.DefaultClientIPServiceAffinitySeconds)
}

// lackingFamilies tells which families of the import would not reach this export's endpoints. Their order, and a family
// that the import does without, matter to nobody.
func lackingFamilies(mine, theirs Export) string {
	lacking := slices.DeleteFunc(distinct(theirs.Service.IPFamilies), func(f corev1.IPFamily) bool {
		return slices.Contains(mine.Service.IPFamilies, f)
	})
	if len(lacking) == 0 {
		return ""
	}
	return familyNames(lacking) + " is not among those here"
}

func distinct[T comparable](list []T) []T {
	var out []T
	for _, x := range list {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

func deref[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}
