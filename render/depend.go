package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
)

// dependencies answers what waits for what in one revision.
type dependencies struct {
	desired     *Desired
	objects     map[api.Ref]bool  // that exist, placed or not
	placed      map[placed]Object // what placements bring
	placements  map[string]Placement
	selectedBy  map[api.Ref][]string // keys of placements, sorted
	definitions map[schema.GroupKind]api.Ref
}

// placed is an object as one placement brings it: envelopes may carry another one of the same name for another placement.
type placed struct {
	placement string
	ref       api.Ref
}

// checkDependencies returns the dependencies that can never be fulfilled: on what does not exist or is placed nowhere, on
// a later wave, and in a circle. Whether the placements of two objects meet on a cluster is only known when they are
// scheduled.
func (d *Desired) checkDependencies() ManifestErrors {
	deps := newDependencies(d)
	var errs ManifestErrors
	declared := false
	for o := range placeable(d.Objects) {
		for _, dep := range o.Directives.DependsOn {
			declared = true
			if why := deps.missing(dep); why != "" {
				errs = append(errs, o.mistake(api.DirectiveField(api.AnnotationDependsOn), "%s %s", dep, why))
			}
		}
	}
	for _, p := range d.Placements {
		for _, name := range p.Directives.DependsOn {
			declared = true
			dep := api.Dependency{Placement: name}
			if why := deps.missing(dep); why != "" {
				errs = append(errs, p.Origin.mistake(api.DirectiveField(api.AnnotationDependsOn), "%s %s", dep, why))
			}
		}
		errs = append(errs, deps.checkWaves(p)...)
	}
	if declared {
		errs = append(errs, deps.cycles()...)
	}
	return errs
}

func newDependencies(d *Desired) dependencies {
	deps := dependencies{desired: d, objects: map[api.Ref]bool{}, placed: map[placed]Object{}, placements: map[string]Placement{},
		selectedBy: map[api.Ref][]string{}, definitions: map[schema.GroupKind]api.Ref{}}
	for o := range placeable(d.Objects) {
		ref := api.RefOf(o.Unstructured)
		deps.objects[ref] = true
		if ref.GroupKind() == crdGVK.GroupKind() {
			group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
			deps.definitions[schema.GroupKind{Group: group, Kind: kind}] = ref
		}
	}
	for _, p := range d.Placements {
		key := p.Key()
		deps.placements[key] = p
		for _, o := range p.Selected {
			ref := api.RefOf(o.Unstructured)
			deps.selectedBy[ref] = append(deps.selectedBy[ref], key)
			deps.placed[placed{key, ref}] = o
		}
	}
	return deps
}

// missing returns why dep can never be in place, or "".
func (d dependencies) missing(dep api.Dependency) string {
	if dep.Placement != "" {
		if _, ok := d.placements[dep.Placement]; ok {
			return ""
		}
		var names []string
		for _, p := range d.desired.Placements {
			names = append(names, p.Key())
		}
		return "is not in the repository" + meant("placement/", api.Nearest(dep.Placement, names))
	}
	ref := dep.Object
	if !d.objects[ref] {
		var paths []string
		for o := range placeable(d.desired.Objects) {
			other := api.RefOf(o.Unstructured)
			if other.GroupKind() == ref.GroupKind() || other.Namespace == ref.Namespace && other.Name == ref.Name {
				paths = append(paths, other.Path())
			}
		}
		return "is not in the repository" + meant("", api.Nearest(ref.Path(), paths))
	}
	if len(d.selectedBy[ref]) == 0 {
		return "is selected by no placement and runs nowhere; place it, or remove the dependency"
	}
	return ""
}

func meant(prefix, best string) string {
	if best == "" {
		return "; add it, or remove the dependency"
	}
	return "; did you mean " + prefix + best + "?"
}

// implied returns what o needs besides what it declares: its Namespace and the definition of its kind.
func (d dependencies) implied(ref api.Ref) []api.Ref {
	var out []api.Ref
	if ref.Namespace != "" {
		out = append(out, api.Ref{Kind: "Namespace", Name: ref.Namespace})
	}
	if definition, ok := d.definitions[ref.GroupKind()]; ok {
		out = append(out, definition)
	}
	return out
}

// checkWaves returns objects that wait for an object of a later wave of the same placement, while that waits for theirs.
func (d dependencies) checkWaves(p Placement) ManifestErrors {
	var errs ManifestErrors
	key := p.Key()
	for _, o := range p.Selected {
		ref := api.RefOf(o.Unstructured)
		for _, dep := range o.Directives.DependsOn {
			if other, late := d.laterWave(key, o, dep.Object); late {
				errs = append(errs, o.mistake(api.DirectiveField(api.AnnotationDependsOn), "%s is of wave %d, which waits for "+
					"wave %d of this object; change one of the waves", dep, other.Directives.Wave, o.Directives.Wave))
			}
		}
		for _, need := range d.implied(ref) {
			other, late := d.laterWave(key, o, need)
			switch {
			case !late:
			case o.Directives.Wave != 0:
				errs = append(errs, o.mistake(api.DirectiveField(api.AnnotationWave), "is lower than wave %d of %s, which has to "+
					"be there first; give that the same wave or a lower one", other.Directives.Wave, need))
			default:
				errs = append(errs, other.mistake(api.DirectiveField(api.AnnotationWave), "is higher than wave %d of %s, which "+
					"needs this object; give this one the same wave or a lower one", o.Directives.Wave, ref))
			}
		}
	}
	return errs
}

// laterWave tells whether the placement brings another object in a later wave than o.
func (d dependencies) laterWave(placement string, o Object, other api.Ref) (Object, bool) {
	dep, ok := d.placed[placed{placement, other}]
	return dep, ok && dep.Directives.Wave > o.Directives.Wave
}
