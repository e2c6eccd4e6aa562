package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// healthEntry is one entry of the annotation gitfleet.dev/health as it is written.
type healthEntry struct {
	Kind       string `json:"kind"`
	Current    string `json:"current"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
}

// healthChecks reads the annotation's YAML strictly. Whether the expressions compile is checked by package health below.
func (r *directiveReader) healthChecks() []HealthCheck {
	const key = AnnotationHealth
	v, ok := r.value(key)
	if !ok {
		return nil
	}
	var entries any
	if err := yaml.UnmarshalStrict([]byte(v), &entries); err != nil {
		r.fail(key, "is no YAML: %s", firstLine(err))
		return nil
	}
	list, ok := entries.([]any)
	if !ok {
		r.fail(key, "must be a YAML list of {kind, current, inProgress, failed}, not %s", kindOf(entries))
		return nil
	}
	var checks []HealthCheck
	for i, e := range list {
		content, _ := e.(map[string]any) // one that is no mapping lacks everything
		if c, ok := r.healthCheck(fmt.Sprintf("entry %d", i+1), content); ok {
			checks = append(checks, c)
		}
	}
	slices.SortStableFunc(checks, func(a, b HealthCheck) int { return compareKinds(a.Kind, b.Kind) })
	for i := 1; i < len(checks); i++ {
		if checks[i].Kind == checks[i-1].Kind {
			r.fail(key, "tells the health of %s twice; keep one of the entries", checks[i].Kind)
		}
	}
	return checks
}

func (r *directiveReader) healthCheck(at string, content map[string]any) (HealthCheck, bool) {
	const key = AnnotationHealth
	before := len(r.errs)
	for _, e := range CheckFields(content, healthEntry{}) {
		r.fail(key, "%s: %s", at, e)
	}
	if len(r.errs) > before {
		return HealthCheck{}, false
	}
	var e healthEntry
	if raw, err := json.Marshal(content); err != nil || json.Unmarshal(raw, &e) != nil {
		r.fail(key, "%s: cannot be read", at) // every value came out of YAML and fits, so this does not happen
	}
	gk, err := ParseKind(e.Kind)
	switch {
	case err != nil:
		r.fail(key, "%s: kind: %v", at, err)
	case gk == schema.GroupKind{Kind: "Secret"}:
		r.fail(key, "%s: kind: a Secret has no health, and its values are not looked at; remove the entry", at)
	}
	if strings.TrimSpace(e.Current) == "" {
		r.fail(key, "%s: current: is missing; write the expression that is true when all is well", at)
	}
	check := HealthCheck{Kind: gk, Current: strings.TrimSpace(e.Current),
		InProgress: strings.TrimSpace(e.InProgress), Failed: strings.TrimSpace(e.Failed)}
	return check, len(r.errs) == before
}

// Compare orders checks by kind, then by their expressions.
func (c HealthCheck) Compare(o HealthCheck) int {
	return cmp.Or(compareKinds(c.Kind, o.Kind), cmp.Compare(c.Current, o.Current),
		cmp.Compare(c.InProgress, o.InProgress), cmp.Compare(c.Failed, o.Failed))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
