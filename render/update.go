package render

import (
	"cmp"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// CheckUpdate returns what after changes in placements of before, by key, although the API allows no such change. Of
// before only name, namespace and spec are read. The mistakes are those of documents in after.
func CheckUpdate(before, after []Placement) ManifestErrors {
	old := map[string]Placement{}
	for _, p := range before {
		old[p.Key()] = p
	}
	var errs ManifestErrors
	for _, p := range after {
		if o, ok := old[p.Key()]; ok {
			f := &faults{at: p.Origin}
			f.update(o.Spec, p.Spec)
			errs = append(errs, f.errs...)
		}
	}
	return MergeErrors(errs)
}

// rename is the way out of every immutable field.
const rename = "or give the placement another name: its objects are then handed over, and nothing is deleted in between"

func (f *faults) update(before, after v1beta1.PlacementSpec) {
	was, is := typeOf(before.Policy), typeOf(after.Policy)
	switch {
	case was != is:
		f.add("spec.policy.placementType", "cannot be changed from %s to %s; change it back, %s", was, is, rename)
	case before.Policy != nil && after.Policy == nil:
		f.add("spec.policy", "cannot be removed once it is there; write policy: {placementType: %s}, which means the same, %s", is, rename)
	}
	f.keptTolerations(tolerationsOf(before.Policy), tolerationsOf(after.Policy))
	if s, t := reportingOf(before), reportingOf(after); s != t {
		f.add("spec.statusReportingScope", "cannot be changed from %s to %s; change it back, %s", s, t, rename)
	}
	if s, t := strategyOf(before), strategyOf(after); s == v1beta1.External && t != s {
		f.add("spec.strategy.type", "cannot be changed from %s to %s; change it back, %s", s, t, rename)
	}
}

// keptTolerations wants every toleration of before to be there still: they can only be added.
func (f *faults) keptTolerations(before, after []v1beta1.Toleration) {
	kept := map[v1beta1.Toleration]bool{}
	for _, t := range after {
		kept[withOperator(t)] = true
	}
	for _, t := range before {
		if !kept[withOperator(t)] {
			f.add("spec.policy.tolerations", "%s cannot be changed or removed, only others added; put it back, %s", describeToleration(t), rename)
		}
	}
}

func typeOf(p *v1beta1.PlacementPolicy) v1beta1.PlacementType {
	if p == nil {
		return v1beta1.PickAll
	}
	return cmp.Or(p.PlacementType, v1beta1.PickAll)
}

func tolerationsOf(p *v1beta1.PlacementPolicy) []v1beta1.Toleration {
	if p == nil {
		return nil
	}
	return p.Tolerations
}

func reportingOf(s v1beta1.PlacementSpec) v1beta1.StatusReportingScope {
	return cmp.Or(s.StatusReportingScope, v1beta1.ClusterScopeOnly)
}

func strategyOf(s v1beta1.PlacementSpec) v1beta1.RolloutStrategyType {
	if s.Strategy == nil {
		return v1beta1.RollingUpdate
	}
	return cmp.Or(s.Strategy.Type, v1beta1.RollingUpdate)
}
