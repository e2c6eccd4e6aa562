package render

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// selection is what one placement's selectors choose.
type selection struct {
	objects []Object
	errs    ManifestErrors
	notices []ManifestError
	by      map[api.Ref]int // the selector that chose an object
}

// selectFor applies the selectors of p to objects, which are sorted. As upstream: a Namespace brings along everything in
// it, a selector that matches nothing is no error, an object that two selectors match is one.
func selectFor(p Placement, objects []Object) selection {
	s := selection{by: map[api.Ref]int{}}
	for i, sel := range p.Spec.ResourceSelectors {
		match, ok := matcher(sel)
		if !ok {
			continue // checkPlacement says what is wrong with it
		}
		chosen := choose(match, objects)
		if len(chosen) == 0 {
			s.notices = append(s.notices, nothingSelected(p, i, sel, objects))
		}
		s.take(p, i, chosen)
	}
	for _, o := range objects {
		if _, ok := s.by[api.RefOf(o.Unstructured)]; ok {
			s.objects = append(s.objects, o)
		}
	}
	return s
}

// matcher returns what decides whether one object is named by sel itself.
func matcher(sel v1beta1.ResourceSelector) (func(Object) bool, bool) {
	selector := labels.Everything()
	if sel.LabelSelector != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(sel.LabelSelector); err != nil {
			return nil, false
		}
	}
	kind := schema.GroupKind{Group: sel.Group, Kind: sel.Kind}
	return func(o Object) bool {
		return o.GetNamespace() == "" && o.GroupVersionKind().GroupKind() == kind &&
			(sel.Name == "" || sel.Name == o.GetName()) && selector.Matches(labelsOf(o))
	}, true
}

// labelsOf returns the labels that o has on a cluster: its own, and on a Namespace the one that every API server sets
// (https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name).
func labelsOf(o Object) labels.Set {
	set := labels.Set(o.GetLabels())
	if isNamespace(o) {
		set = labels.Merge(set, labels.Set{corev1.LabelMetadataName: o.GetName()})
	}
	return set
}

// choose returns the objects that match, and what lives in those of them that are Namespaces.
func choose(match func(Object) bool, objects []Object) []Object {
	var out []Object
	inside := map[string]bool{}
	for _, o := range objects {
		if match(o) {
			out = append(out, o)
			if isNamespace(o) {
				inside[o.GetName()] = true
			}
		}
	}
	for _, o := range objects {
		if o.GetNamespace() != "" && inside[o.GetNamespace()] {
			out = append(out, o)
		}
	}
	return out
}

// take notes what selector i chose. Of the objects that another selector has chosen before, the first is reported.
func (s *selection) take(p Placement, i int, chosen []Object) {
	clashes := map[int]bool{}
	for _, o := range chosen {
		ref := api.RefOf(o.Unstructured)
		first, taken := s.by[ref]
		switch {
		case !taken:
			s.by[ref] = i
		case first != i && !clashes[first]:
			clashes[first] = true
			s.errs = append(s.errs, p.Origin.mistake(fmt.Sprintf("spec.resourceSelectors[%d]", i),
				"selects %s, which resourceSelectors[%d] selects too; let only one of them select it", ref, first))
		}
	}
}

func nothingSelected(p Placement, i int, sel v1beta1.ResourceSelector, objects []Object) ManifestError {
	at := fmt.Sprintf("spec.resourceSelectors[%d]", i)
	homeless := 0
	for _, o := range objects {
		if sel.Group == "" && sel.Kind == "Namespace" && sel.Name != "" && o.GetNamespace() == sel.Name {
			homeless++
		}
	}
	if homeless > 0 {
		return p.Origin.mistake(at, "selects nothing, although there are %d objects in namespace %s: the repository has "+
			"no Namespace %s; add one", homeless, sel.Name, sel.Name)
	}
	return p.Origin.mistake(at, "selects nothing: the repository has no such %s", sel.Kind)
}
