package render

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/scheme"

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

// checkPlacement applies the rules of the placement API (section by section as its CRD and webhook do) and refuses the
// fields that this version does not act on. Fields that spell out upstream's default are accepted.
func checkPlacement(p Placement, scopes scopes) ManifestErrors {
	f := &faults{at: p.Origin}
	n := len(p.Spec.ResourceSelectors)
	if n < 1 || n > 100 {
		f.add("spec.resourceSelectors", "must have 1 to 100 entries, not %d", n)
	}
	for i, s := range p.Spec.ResourceSelectors {
		f.selector(fmt.Sprintf("spec.resourceSelectors[%d]", i), s, scopes)
	}
	if p.Spec.Policy != nil {
		f.policy(*p.Spec.Policy)
	}
	if p.Spec.Strategy != nil {
		f.strategy(*p.Spec.Strategy)
	}
	if l := p.Spec.RevisionHistoryLimit; l != nil && (*l < 1 || *l > 1000) {
		f.add("spec.revisionHistoryLimit", "must be 1 to 1000, not %d", *l)
	}
	switch p.Spec.StatusReportingScope {
	case "", v1beta1.ClusterScopeOnly:
	case v1beta1.NamespaceAccessible:
		f.unsupported("spec.statusReportingScope", "NamespaceAccessible")
	default:
		f.add("spec.statusReportingScope", "must be ClusterScopeOnly or NamespaceAccessible, not %q", p.Spec.StatusReportingScope)
	}
	return f.errs
}

func (f *faults) selector(at string, s v1beta1.ResourceSelector, scopes scopes) {
	gvk := schema.GroupVersionKind{Group: s.Group, Version: s.Version, Kind: s.Kind}
	if s.Version == "" {
		f.add(at+".version", "is missing")
	}
	if s.Kind == "" {
		f.add(at+".kind", "is missing")
	}
	if s.Version != "" && s.Kind != "" {
		f.selectorKind(at, gvk, scopes)
	}
	if s.Name != "" && s.LabelSelector != nil {
		f.add(at+".labelSelector", "excludes name; use one of them")
	}
	f.labelSelector(at+".labelSelector", s.LabelSelector)
	switch s.SelectionScope {
	case "", v1beta1.NamespaceWithResources:
	case v1beta1.NamespaceOnly, v1beta1.NamespaceWithResourceSelectors:
		f.unsupported(at+".selectionScope", string(s.SelectionScope))
	default:
		f.add(at+".selectionScope", "must be NamespaceWithResources, not %q", s.SelectionScope)
	}
	if gvk.GroupKind() == (schema.GroupKind{Kind: "Namespace"}) && Reserved(s.Name) {
		f.add(at+".name", "namespace %s is reserved and never placed; %s", s.Name, reservedRule)
	}
}

// selectorKind refuses kinds that do not exist and kinds that a cluster-wide placement cannot select.
func (f *faults) selectorKind(at string, gvk schema.GroupVersionKind, scopes scopes) {
	switch {
	case ours(gvk.Group):
		f.add(at+".kind", "%s is about the fleet itself and never placed", gvk.Kind)
	case scheme.Scheme.IsVersionRegistered(gvk.GroupVersion()) && !scheme.Scheme.Recognizes(gvk):
		f.add(at+".kind", "%s has no kind %s%s", gvk.GroupVersion(), gvk.Kind, didYouMean(gvk))
	case scheme.Scheme.IsGroupRegistered(gvk.Group) && !scheme.Scheme.IsVersionRegistered(gvk.GroupVersion()):
		f.add(at+".version", "group %q has no version %s", gvk.Group, gvk.Version)
	case scopes.of(gvk.GroupKind()) == namespaced:
		f.add(at+".kind", "%s lives in namespaces, and a ClusterResourcePlacement selects what lives outside them; "+
			"select the Namespace instead, which brings everything in it along", gvk.Kind)
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

func (f *faults) policy(p v1beta1.PlacementPolicy) {
	const at = "spec.policy"
	switch p.PlacementType {
	case "", v1beta1.PickAll:
		f.forbidden(at+".clusterNames", len(p.ClusterNames) > 0, "PickFixed")
		f.forbidden(at+".numberOfClusters", p.NumberOfClusters != nil, "PickN")
		f.forbidden(at+".topologySpreadConstraints", len(p.TopologySpreadConstraints) > 0, "PickN")
	case v1beta1.PickFixed:
		f.clusterNames(at+".clusterNames", p.ClusterNames)
		f.forbidden(at+".affinity", p.Affinity != nil, "PickAll or PickN")
		f.forbidden(at+".numberOfClusters", p.NumberOfClusters != nil, "PickN")
		f.forbidden(at+".topologySpreadConstraints", len(p.TopologySpreadConstraints) > 0, "PickN")
		f.forbidden(at+".tolerations", len(p.Tolerations) > 0, "PickAll or PickN")
		return
	case v1beta1.PickN:
		f.add(at+".placementType", "PickN is not supported by this version of gitfleet; use PickAll or PickFixed")
		return
	default:
		f.add(at+".placementType", "must be PickAll, PickN or PickFixed, not %q", p.PlacementType)
		return
	}
	if len(p.Tolerations) > 0 {
		f.unsupported(at+".tolerations", "tolerating taints")
	}
	if p.Affinity != nil && p.Affinity.ClusterAffinity != nil {
		f.affinity(at+".affinity.clusterAffinity", *p.Affinity.ClusterAffinity)
	}
}

func (f *faults) forbidden(at string, set bool, types string) {
	if set {
		f.add(at, "is for placements of type %s only; set spec.policy.placementType, or remove this field", types)
	}
}

func (f *faults) clusterNames(at string, names []string) {
	if n := len(names); n < 1 || n > 100 {
		f.add(at, "must name 1 to 100 clusters for PickFixed, not %d", n)
	}
	seen := map[string]int{}
	for i, name := range names {
		here := fmt.Sprintf("%s[%d]", at, i)
		if first, dup := seen[name]; dup {
			f.add(here, "%s is named by entry %d already", name, first)
			continue
		}
		seen[name] = i
		for _, p := range validation.IsDNS1123Subdomain(name) {
			f.add(here, "%q is no name of a cluster: %s", name, p)
		}
		if len(name) > validation.LabelValueMaxLength {
			f.add(here, "must be no more than 63 characters")
		}
	}
}

func (f *faults) affinity(at string, a v1beta1.ClusterAffinity) {
	if len(a.Preferred) > 0 {
		f.add(at+".preferredDuringSchedulingIgnoredDuringExecution", "is for placements of type PickN, which this version of gitfleet does not support; remove this field")
	}
	if a.Required == nil {
		return
	}
	at += ".requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerms"
	if n := len(a.Required.ClusterSelectorTerms); n > 10 {
		f.add(at, "must have at most 10 entries, not %d", n)
	}
	for i, t := range a.Required.ClusterSelectorTerms {
		here := fmt.Sprintf("%s[%d]", at, i)
		f.labelSelector(here+".labelSelector", t.LabelSelector)
		if t.PropertySelector != nil {
			f.unsupported(here+".propertySelector", "selecting clusters by their properties")
		}
		if t.PropertySorter != nil {
			f.add(here+".propertySorter", "is for preferred terms only; remove it")
		}
	}
}

func (f *faults) strategy(s v1beta1.RolloutStrategy) {
	const at = "spec.strategy"
	switch s.Type {
	case "", v1beta1.RollingUpdate:
	case v1beta1.External:
		f.unsupported(at+".type", "External")
	default:
		f.add(at+".type", "must be RollingUpdate, not %q", s.Type)
	}
	if r := s.RollingUpdate; r != nil {
		quarter := intstr.FromString("25%")
		f.onlyDefault(at+".rollingUpdate.maxUnavailable", r.MaxUnavailable == nil || *r.MaxUnavailable == quarter, "pacing a rollout")
		f.onlyDefault(at+".rollingUpdate.maxSurge", r.MaxSurge == nil || *r.MaxSurge == quarter, "pacing a rollout")
		f.onlyDefault(at+".rollingUpdate.unavailablePeriodSeconds", r.UnavailablePeriodSeconds == nil || *r.UnavailablePeriodSeconds == 60, "pacing a rollout")
	}
	if s.ApplyStrategy != nil {
		f.applyStrategy(at+".applyStrategy", *s.ApplyStrategy)
	}
	if d := s.DeleteStrategy; d != nil {
		f.onlyDefault(at+".deleteStrategy.propagationPolicy", slices.Contains([]string{"", "Delete"}, d.PropagationPolicy), "keeping objects of a deleted placement")
	}
	if r := s.ReportBackStrategy; r != nil {
		f.onlyDefault(at+".reportBackStrategy.type", slices.Contains([]string{"", "Disabled"}, r.Type), "copying statuses back")
		f.onlyDefault(at+".reportBackStrategy.destination", r.Destination == nil, "copying statuses back")
	}
}

// applyStrategy accepts ServerSideApply beside upstream's default, because that is how gitfleet applies.
func (f *faults) applyStrategy(at string, a v1beta1.ApplyStrategy) {
	f.onlyDefault(at+".type", slices.Contains([]string{"", "ClientSideApply", "ServerSideApply"}, a.Type), a.Type)
	f.onlyDefault(at+".comparisonOption", slices.Contains([]string{"", "PartialComparison"}, a.ComparisonOption), a.ComparisonOption)
	f.onlyDefault(at+".whenToApply", slices.Contains([]string{"", "Always"}, a.WhenToApply), a.WhenToApply)
	f.onlyDefault(at+".whenToTakeOver", slices.Contains([]string{"", "Always"}, a.WhenToTakeOver), a.WhenToTakeOver)
	f.onlyDefault(at+".allowCoOwnership", !a.AllowCoOwnership, "co-ownership")
	f.onlyDefault(at+".serverSideApplyConfig", a.ServerSideApplyConfig == nil || a.ServerSideApplyConfig.Force, "applying without force")
}

func (f *faults) onlyDefault(at string, isDefault bool, what string) {
	if !isDefault {
		f.unsupported(at, what)
	}
}

// checkMember applies the rules of the cluster API to one member.
func checkMember(m Member) ManifestErrors {
	f := &faults{at: m.Origin}
	if h := m.Spec.HeartbeatPeriodSeconds; h != nil && (*h < 1 || *h > 600) {
		f.add("spec.heartbeatPeriodSeconds", "must be 1 to 600, not %d", *h)
	}
	if len(m.Spec.Taints) > 0 {
		f.unsupported("spec.taints", "tainting members")
	}
	return f.errs
}
