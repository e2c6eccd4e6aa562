package mcs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
)

// exported returns those exported labels or annotations that an object may have, and for each of the others why it may not, sorted.
// Nothing checks them on the exporter, and one that the API server refuses would keep the service from every member.
func exported(entries map[string]string, problem func(key, value string) string) (out map[string]any, refused []string) {
	out = map[string]any{}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		value := entries[key]
		if why := problem(key, value); why != "" {
			refused = append(refused, fmt.Sprintf("%s: %s", strconv.Quote(key), why))
			continue
		}
		out[key] = value
		size += len(key) + len(value)
	}
	if limit := apivalidation.TotalAnnotationSizeLimitB / 2; size > limit { // the other half is for what is not exported
		return map[string]any{}, append(refused, fmt.Sprintf("all of them: they have %d bytes, more than %d", size, limit))
	}
	return out, refused
}

func labelProblem(key, value string) string {
	if why := annotationProblem(key, value); why != "" {
		return why
	}
	return strings.Join(validation.IsValidLabelValue(value), "; ")
}

// annotationProblem also keeps names that this program or an ApplySet gives a meaning: they are not for exporters to write.
func annotationProblem(key, _ string) string {
	if domain, _, _ := strings.Cut(key, "/"); domain == "gitfleet.dev" || domain == "applyset.kubernetes.io" {
		return "names of " + domain + " are gitfleet's own"
	}
	return strings.Join(validation.IsQualifiedName(strings.ToLower(key)), "; ")
}

// unexported tells what of e's exported metadata is left out, and why; nothing when nothing is.
func (e Export) unexported() string {
	const most = 3
	var parts []string
	for _, field := range []struct {
		name    string
		entries map[string]string
		problem func(key, value string) string
	}{{"exportedLabels", e.ExportedLabels, labelProblem}, {"exportedAnnotations", e.ExportedAnnotations, annotationProblem}} {
		_, refused := exported(field.entries, field.problem)
		if more := len(refused) - most; more > 0 {
			refused = append(refused[:most], fmt.Sprintf("and %d more", more))
		}
		if len(refused) > 0 {
			parts = append(parts, fmt.Sprintf("spec.%s: left out is %s", field.name, strings.Join(refused, ", ")))
		}
	}
	return strings.Join(parts, "; ")
}
