package render

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
)

// checkMember applies the rules of the cluster API to one member.
func checkMember(m Member) ManifestErrors {
	f := &faults{at: m.Origin}
	if h := m.Spec.HeartbeatPeriodSeconds; h != nil && (*h < 1 || *h > 600) {
		f.add("spec.heartbeatPeriodSeconds", "must be 1 to 600, not %d", *h)
	}
	f.taints("spec.taints", m.Spec.Taints)
	if d := m.Spec.DeleteOptions; d != nil {
		f.oneOf("spec.deleteOptions.validationMode", d.ValidationMode, "Strict", "Skip")
	}
	return f.errs
}

func (f *faults) taints(at string, all []clusterv1beta1.Taint) {
	f.limit(at, len(all), 100)
	seen := map[clusterv1beta1.Taint]int{}
	for i, t := range all {
		here := entry(at, i)
		if first, dup := seen[t]; dup {
			f.add(here, "is the same as entry %d; remove one of them", first)
			continue
		}
		seen[t] = i
		if t.Key == "" {
			f.add(here+".key", "is missing")
		} else {
			f.problems(here+".key", t.Key, "key of a taint", validation.IsQualifiedName(t.Key))
		}
		f.problems(here+".value", t.Value, "value of a taint", validation.IsValidLabelValue(t.Value))
		if t.Effect == "" {
			f.add(here+".effect", "is missing")
		}
		f.oneOf(here+".effect", string(t.Effect), string(corev1.TaintEffectNoSchedule))
	}
}
