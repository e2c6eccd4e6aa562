package render

import (
	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// affinity checks the terms that clusters must or should meet. Only PickN ranks clusters.
func (f *faults) affinity(at string, a v1beta1.ClusterAffinity, ranks bool) {
	const preferred = ".preferredDuringSchedulingIgnoredDuringExecution"
	if a.Required != nil {
		f.requiredTerms(at+".requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerms", a.Required.ClusterSelectorTerms)
	}
	if !ranks {
		f.forbidden(at+preferred, len(a.Preferred) > 0, "PickN")
		return
	}
	f.preferredTerms(at+preferred, a.Preferred)
}

func (f *faults) requiredTerms(at string, terms []v1beta1.ClusterSelectorTerm) {
	f.limit(at, len(terms), 10)
	for i, t := range terms {
		here := entry(at, i)
		f.labelSelector(here+".labelSelector", t.LabelSelector)
		if t.PropertySelector != nil {
			f.propertySelector(here+".propertySelector.matchExpressions", t.PropertySelector.MatchExpressions)
		}
		if t.PropertySorter != nil {
			f.add(here+".propertySorter", "is for preferred terms only; remove it")
		}
	}
}

func (f *faults) preferredTerms(at string, terms []v1beta1.PreferredClusterSelector) {
	for i, t := range terms {
		here := entry(at, i)
		if t.Weight < -100 || t.Weight > 100 {
			f.add(here+".weight", "must be -100 to 100, not %d", t.Weight)
		}
		here += ".preference"
		f.labelSelector(here+".labelSelector", t.Preference.LabelSelector)
		if t.Preference.PropertySelector != nil {
			f.add(here+".propertySelector", "is for required terms only; remove it, or rank by the property with propertySorter")
		}
		if t.Preference.PropertySorter != nil {
			f.propertySorter(here+".propertySorter", *t.Preference.PropertySorter)
		}
	}
}
