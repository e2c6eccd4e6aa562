package render

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/scheme"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// selectors checks which objects a placement asks for.
func (f *faults) selectors(p Placement, scopes scopes) {
	const at = "spec.resourceSelectors"
	all := p.Spec.ResourceSelectors
	switch n := len(all); {
	case all == nil:
		f.add(at, "is missing")
	case n < 1 || n > 100:
		f.add(at, "must have 1 to 100 entries, not %d", n)
	}
	leader := slices.IndexFunc(all, func(s v1beta1.ResourceSelector) bool {
		return selectsNamespaces(s) && s.SelectionScope == v1beta1.NamespaceWithResourceSelectors
	})
	reach := outsideNamespaces
	switch {
	case p.confined():
		reach = insideNamespace
	case leader >= 0:
		reach = everywhere
		f.leader(at, all, leader)
	}
	for i, s := range all {
		f.selector(entry(at, i), s, reach, scopes)
	}
}

// reach is which kinds a placement may select, by their scope.
type reach int

const (
	outsideNamespaces reach = iota // a ClusterResourcePlacement
	everywhere                     // one with NamespaceWithResourceSelectors
	insideNamespace                // a ResourcePlacement
)

// confined is true for a ResourcePlacement. Where the kind is not known, only that has a namespace.
func (p Placement) confined() bool {
	return p.Kind == v1beta1.ResourcePlacementGVK.Kind || p.Kind == "" && p.Namespace != ""
}

func selectsNamespaces(s v1beta1.ResourceSelector) bool {
	return s.Group == "" && s.Kind == "Namespace"
}

// leader checks the one Namespace selector that says in which namespace the others select.
func (f *faults) leader(at string, all []v1beta1.ResourceSelector, leader int) {
	const mode = v1beta1.NamespaceWithResourceSelectors
	if all[leader].Name == "" {
		f.add(entry(at, leader)+".name", "is missing; with selectionScope %s a Namespace is selected by its name", mode)
	}
	for i, s := range all {
		if i != leader && selectsNamespaces(s) {
			f.add(entry(at, i), "selects Namespaces beside resourceSelectors[%d], whose selectionScope %s allows no other such selector; "+
				"remove one of them, or write a placement for each", leader, mode)
		}
	}
}

func (f *faults) selector(at string, s v1beta1.ResourceSelector, reach reach, scopes scopes) {
	gvk := schema.GroupVersionKind{Group: s.Group, Version: s.Version, Kind: s.Kind}
	if s.Version == "" {
		f.add(at+".version", "is missing")
	}
	if s.Kind == "" {
		f.add(at+".kind", "is missing")
	}
	if s.Version != "" && s.Kind != "" {
		f.selectorKind(at, gvk, reach, scopes)
	}
	if s.Name != "" && s.LabelSelector != nil {
		f.add(at+".labelSelector", "excludes name; use one of them")
	}
	f.labelSelector(at+".labelSelector", s.LabelSelector)
	f.oneOf(at+".selectionScope", string(s.SelectionScope), string(v1beta1.NamespaceWithResources), string(v1beta1.NamespaceOnly),
		string(v1beta1.NamespaceWithResourceSelectors))
	if selectsNamespaces(s) && Reserved(s.Name) {
		f.add(at+".name", "namespace %s is reserved and never placed; %s", s.Name, reservedRule)
	}
}

// selectorKind refuses kinds that do not exist and kinds that are out of the placement's reach.
func (f *faults) selectorKind(at string, gvk schema.GroupVersionKind, reach reach, scopes scopes) {
	lives := scopes.of(gvk.GroupKind())
	envelope := isEnvelope(v1beta1.GroupVersion.WithKind(gvk.Kind)) && gvk.Group == v1beta1.Group
	switch {
	case envelope && !isEnvelope(gvk),
		scheme.Scheme.IsGroupRegistered(gvk.Group) && !scheme.Scheme.IsVersionRegistered(gvk.GroupVersion()):
		f.add(at+".version", "group %q has no version %s", gvk.Group, gvk.Version)
	case ours(gvk.Group) && !envelope:
		f.add(at+".kind", "%s is about the fleet itself and never placed", gvk.Kind)
	case scheme.Scheme.IsVersionRegistered(gvk.GroupVersion()) && !scheme.Scheme.Recognizes(gvk):
		f.add(at+".kind", "%s has no kind %s%s", gvk.GroupVersion(), gvk.Kind, didYouMean(gvk))
	case lives == namespaced && reach == outsideNamespaces:
		f.add(at+".kind", "%s lives in namespaces, and a ClusterResourcePlacement selects what lives outside them; select the Namespace, which "+
			"brings everything in it along, or with its selectionScope %s only what other selectors name, or use a ResourcePlacement",
			gvk.Kind, v1beta1.NamespaceWithResourceSelectors)
	case lives == clusterWide && reach == insideNamespace:
		f.add(at+".kind", "%s lives outside namespaces, and a ResourcePlacement selects what lives in its own; "+
			"use a ClusterResourcePlacement", gvk.Kind)
	}
}

func (f *faults) labelSelector(at string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		for _, p := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(s.MatchLabels[key])...) {
			f.add(at+".matchLabels", "%s: %s", key, p)
		}
	}
	for i, e := range s.MatchExpressions {
		one := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{e}}
		if _, err := metav1.LabelSelectorAsSelector(one); err != nil {
			f.add(fmt.Sprintf("%s.matchExpressions[%d]", at, i), "%v", err)
		}
	}
}
