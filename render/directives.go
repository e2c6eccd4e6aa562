package render

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/health"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

var secretKind = schema.GroupKind{Kind: "Secret"}

// checkDirectives returns what is wrong with the annotations of gitfleet's own on one document.
func checkDirectives(o Object) ManifestErrors {
	switch o.GroupVersionKind() {
	case placementv1beta1.ClusterResourceEnvelopeGVK, placementv1beta1.ResourceEnvelopeGVK:
		return checkEnvelopeAnnotations(o)
	case placementv1beta1.ClusterResourcePlacementGVK, placementv1beta1.ResourcePlacementGVK:
		d, errs := api.ParsePlacementDirectives(o.GetAnnotations())
		out := mistakes(o, errs)
		for _, r := range d.IgnoreFields {
			out = append(out, checkStringData(o, r.Kind, r.Path)...)
		}
		return append(out, checkHealthChecks(o, d.HealthChecks)...)
	case clusterv1beta1.MemberClusterGVK:
		_, errs := api.ParseMemberDirectives(o.GetAnnotations())
		return mistakes(o, errs)
	}
	d, errs := api.ParseDirectives(o.GetAnnotations())
	out := mistakes(o, errs)
	gk := o.GroupVersionKind().GroupKind()
	if d.Recreate && (isNamespace(o) || gk == crdGVK.GroupKind()) {
		out = append(out, o.mistake(api.DirectiveField(api.AnnotationRecreate),
			"deleting a %s deletes everything in it; remove this annotation", gk.Kind))
	}
	for _, p := range d.IgnoreFields {
		out = append(out, checkStringData(o, gk, p)...)
	}
	return out
}

// checkHealthChecks compiles the expressions. Checks that name a kind twice are reported where they are read.
func checkHealthChecks(o Object, checks []api.HealthCheck) ManifestErrors {
	checks = slices.CompactFunc(slices.Clone(checks), func(a, b api.HealthCheck) bool { return a.Kind == b.Kind })
	_, errs := health.Compile(checks)
	var out ManifestErrors
	for _, e := range errs {
		out = append(out, o.mistake(api.DirectiveField(api.AnnotationHealth), "%s", e.Error()))
	}
	return out
}

// checkStringData refuses to give away a field that is never applied under that name.
func checkStringData(o Object, gk schema.GroupKind, p fieldpath.Path) ManifestErrors {
	if gk != secretKind || p[0].FieldName == nil || *p[0].FieldName != "stringData" {
		return nil
	}
	return ManifestErrors{o.mistake(api.DirectiveField(api.AnnotationIgnoreFields),
		"stringData of a Secret becomes data when it is applied; write data instead")}
}

// direct reads the directives of everything that was filed. What is wrong with them is reported by checkDirectives.
func (d *Desired) direct() {
	for i := range d.Objects {
		o := &d.Objects[i]
		for j := range o.Contents {
			o.Contents[j].Directives, _ = api.ParseDirectives(o.Contents[j].GetAnnotations())
		}
		if !isEnvelope(o.GroupVersionKind()) {
			o.Directives, _ = api.ParseDirectives(o.GetAnnotations())
		}
	}
	for i := range d.Placements {
		d.Placements[i].Directives, _ = api.ParsePlacementDirectives(d.Placements[i].Annotations)
	}
	for i := range d.Members {
		d.Members[i].Directives, _ = api.ParseMemberDirectives(d.Members[i].Annotations)
	}
}

// gatherHealthChecks collects the health checks of all placements. A kind is judged in one way in the whole fleet: the
// same object may move from one placement to another.
func (d *Desired) gatherHealthChecks() ManifestErrors {
	var errs ManifestErrors
	first := map[schema.GroupKind]Placement{}
	check := map[schema.GroupKind]api.HealthCheck{}
	for _, p := range d.Placements {
		for _, c := range p.Directives.HealthChecks {
			known, ok := check[c.Kind]
			switch {
			case !ok:
				first[c.Kind], check[c.Kind] = p, c
				d.HealthChecks = append(d.HealthChecks, c)
			case known != c && first[c.Kind].Key() != p.Key():
				errs = append(errs, p.Origin.mistake(api.DirectiveField(api.AnnotationHealth), "tells the health of %s otherwise "+
					"than placement/%s (%s); write the same in both, or keep one", c.Kind, first[c.Kind].Key(), first[c.Kind].Origin))
			}
		}
	}
	slices.SortFunc(d.HealthChecks, api.HealthCheck.Compare)
	return errs
}

// idleIgnores notes fields that are given away although nothing in the repository sets them: probably misspelt.
func (d *Desired) idleIgnores() []ManifestError {
	const remedy = "so giving it away changes nothing; mend the path or remove it"
	at := api.DirectiveField(api.AnnotationIgnoreFields)
	var notices []ManifestError
	for o := range placeable(d.Objects) {
		for _, p := range o.Directives.IgnoreFields {
			if !sets(o, p) {
				notices = append(notices, o.mistake(at, "%s is not set here, %s", api.PrintFieldPath(p), remedy))
			}
		}
	}
	for _, p := range d.Placements {
		for _, r := range p.Directives.IgnoreFields {
			set := slices.ContainsFunc(p.Selected, func(o Object) bool {
				return o.GroupVersionKind().GroupKind() == r.Kind && sets(o, r.Path)
			})
			if !set {
				notices = append(notices, p.Origin.mistake(at, "no %s that is selected sets %s, %s", r.Kind, api.PrintFieldPath(r.Path), remedy))
			}
		}
	}
	return notices
}

// sets tells whether o sets the field, data of a Secret also as stringData.
func sets(o Object, p fieldpath.Path) bool {
	if holds(o.Object, p) {
		return true
	}
	if o.GroupVersionKind().GroupKind() != secretKind || p[0].FieldName == nil || *p[0].FieldName != "data" {
		return false
	}
	return holds(o.Object["stringData"], p[1:])
}

// holds tells whether there is something at p in v. An item of a list that lacks a key field matches, because the API server
// may have a default for it.
func holds(v any, p fieldpath.Path) bool {
	if len(p) == 0 {
		return v != nil
	}
	e := p[0]
	if e.FieldName != nil {
		m, ok := v.(map[string]any)
		return ok && holds(m[*e.FieldName], p[1:])
	}
	list, ok := v.([]any)
	return ok && slices.ContainsFunc(list, func(item any) bool { return isItem(item, e) && holds(item, p[1:]) })
}

func isItem(item any, e fieldpath.PathElement) bool {
	if e.Value != nil {
		return value.Equals(value.NewValueInterface(item), *e.Value)
	}
	m, ok := item.(map[string]any)
	if !ok || e.Key == nil {
		return false
	}
	for _, k := range *e.Key {
		if got, set := m[k.Name]; set && !value.Equals(value.NewValueInterface(got), k.Value) {
			return false
		}
	}
	return true
}

// fold makes one mistake of the same mistake in an annotation of many documents, as commonAnnotations of a
// kustomization cause it. errs is sorted.
func fold(errs ManifestErrors) ManifestErrors {
	const most = 3
	type same struct{ field, message string }
	where := map[same][]ManifestError{}
	for _, e := range errs {
		if strings.HasPrefix(e.Field, "metadata.annotations[") {
			key := same{e.Field, e.Message}
			where[key] = append(where[key], e)
		}
	}
	var out ManifestErrors
	for _, e := range errs {
		all := where[same{e.Field, e.Message}]
		if len(all) <= most {
			out = append(out, e)
			continue
		}
		if e == all[0] {
			var others []string
			for _, o := range all[1 : most+1] {
				others = append(others, Origin{File: o.File, Document: o.Document}.String())
			}
			if rest := len(all) - 1 - most; rest > 0 {
				others = append(others, fmt.Sprintf("%d more", rest))
			}
			e.Message += "; the same in " + strings.Join(others, ", ") + " (does a kustomization set it on everything?)"
			out = append(out, e)
		}
	}
	return out
}
