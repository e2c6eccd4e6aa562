package render

import (
	"k8s.io/apimachinery/pkg/util/validation"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// policy checks which clusters a placement asks for: the fields of its type, and none of another's.
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
		f.forbidden(at+".clusterNames", len(p.ClusterNames) > 0, "PickFixed")
		f.numberOfClusters(at+".numberOfClusters", p.NumberOfClusters)
		f.topologySpread(at+".topologySpreadConstraints", p.TopologySpreadConstraints)
	default:
		f.oneOf(at+".placementType", string(p.PlacementType), string(v1beta1.PickAll), string(v1beta1.PickN), string(v1beta1.PickFixed))
		return
	}
	f.tolerations(at+".tolerations", p.Tolerations)
	if p.Affinity != nil && p.Affinity.ClusterAffinity != nil {
		f.affinity(at+".affinity.clusterAffinity", *p.Affinity.ClusterAffinity, p.PlacementType == v1beta1.PickN)
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
		here := entry(at, i)
		if first, dup := seen[name]; dup {
			f.add(here, "%s is named by entry %d already", name, first)
			continue
		}
		seen[name] = i
		f.problems(here, name, "name of a cluster", validation.IsDNS1123Subdomain(name))
		if len(name) > validation.LabelValueMaxLength {
			f.add(here, "must be no more than 63 characters")
		}
	}
}

func (f *faults) numberOfClusters(at string, n *int32) {
	switch {
	case n == nil:
		f.add(at, "is missing; say how many clusters PickN shall pick")
	case *n < 0:
		f.add(at, "must be 0 or more, not %d", *n)
	}
}

func (f *faults) topologySpread(at string, constraints []v1beta1.TopologySpreadConstraint) {
	for i, c := range constraints {
		here := entry(at, i)
		if c.MaxSkew != nil && *c.MaxSkew < 1 {
			f.add(here+".maxSkew", "must be 1 or more, not %d", *c.MaxSkew)
		}
		if c.TopologyKey == "" {
			f.add(here+".topologyKey", "is missing")
		}
		f.oneOf(here+".whenUnsatisfiable", c.WhenUnsatisfiable, "DoNotSchedule", "ScheduleAnyway")
	}
}
