package render

import (
	"fmt"
	"slices"
	"strings"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// faults gathers the mistakes of one document.
type faults struct {
	at   Origin
	errs ManifestErrors
}

func (f *faults) add(field, format string, args ...any) {
	f.errs = append(f.errs, f.at.mistake(field, format, args...))
}

// unsupported is for fields that upstream has and this version does not act on: ignoring them would place something
// else than what was asked for.
func (f *faults) unsupported(field, what string) {
	f.add(field, "%s is not supported by this version of gitfleet; remove this field", what)
}

// oneOf reports a value that is not among the allowed ones, and tells whether it is. Empty stands for the default.
func (f *faults) oneOf(field, value string, allowed ...string) bool {
	if value == "" || slices.Contains(allowed, value) {
		return true
	}
	last := len(allowed) - 1
	list := allowed[last]
	if last > 0 {
		list = strings.Join(allowed[:last], ", ") + " or " + list
	}
	f.add(field, "must be %s, not %q", list, value)
	return false
}

// problems reports what a validator of Kubernetes finds wrong with a value.
func (f *faults) problems(field, value, what string, found []string) {
	if len(found) > 0 {
		f.add(field, "%q is no %s: %s", value, what, strings.Join(found, "; "))
	}
}

// checkPlacement applies the rules of the placement API, as its CRDs and webhooks do, and refuses the fields that this
// version does not act on. Fields that spell out upstream's default are accepted.
func checkPlacement(p Placement, scopes scopes) ManifestErrors {
	f := &faults{at: p.Origin}
	f.selectors(p, scopes)
	if p.Spec.Policy != nil {
		f.policy(*p.Spec.Policy)
	}
	if p.Spec.Strategy != nil {
		f.strategy(*p.Spec.Strategy)
	}
	if l := p.Spec.RevisionHistoryLimit; l != nil && (*l < 1 || *l > 1000) {
		f.add("spec.revisionHistoryLimit", "must be 1 to 1000, not %d", *l)
	}
	f.reporting(p)
	return f.errs
}

func (f *faults) reporting(p Placement) {
	const at = "spec.statusReportingScope"
	scope := p.Spec.StatusReportingScope
	switch {
	case !f.oneOf(at, string(scope), string(v1beta1.ClusterScopeOnly), string(v1beta1.NamespaceAccessible)):
	case scope != v1beta1.NamespaceAccessible:
	case p.confined():
		f.add(at, "NamespaceAccessible is for a ClusterResourcePlacement only, as the status of a ResourcePlacement stands in its "+
			"namespace; remove this field")
	default:
		f.accessible(at, p.Spec.ResourceSelectors)
	}
}

// accessible wants one namespace for the status to be shown in.
func (f *faults) accessible(at string, selectors []v1beta1.ResourceSelector) {
	n := 0
	for _, s := range selectors {
		if selectsNamespaces(s) {
			n++
		}
	}
	if n != 1 {
		f.add(at, "NamespaceAccessible shows the status in the Namespace that is selected, and needs exactly one selector of kind Namespace, "+
			"not %d; select one, or remove this field", n)
	}
}

// limit reports a list that is longer than the API allows.
func (f *faults) limit(field string, n, most int) {
	if n > most {
		f.add(field, "must have at most %d entries, not %d", most, n)
	}
}

// entry is the path of one entry of a list.
func entry(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
