package render

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

func (f *faults) tolerations(at string, all []v1beta1.Toleration) {
	f.limit(at, len(all), 100)
	seen := map[v1beta1.Toleration]int{}
	for i, t := range all {
		here := entry(at, i)
		if first, dup := seen[withOperator(t)]; dup {
			f.add(here, "is the same as entry %d; remove one of them", first)
			continue
		}
		seen[withOperator(t)] = i
		f.toleration(here, t)
	}
}

func (f *faults) toleration(at string, t v1beta1.Toleration) {
	if !f.oneOf(at+".operator", string(t.Operator), string(corev1.TolerationOpEqual), string(corev1.TolerationOpExists)) {
		return
	}
	exists := t.Operator == corev1.TolerationOpExists
	switch {
	case t.Key != "":
		f.problems(at+".key", t.Key, "key of a taint", validation.IsQualifiedName(t.Key))
	case !exists:
		f.add(at+".key", "is missing; name the key of a taint, or tolerate all with operator Exists")
	}
	switch {
	case !exists:
		f.problems(at+".value", t.Value, "value of a taint", validation.IsValidLabelValue(t.Value))
	case t.Value != "":
		f.add(at+".value", "is for operator Equal only, as Exists tolerates every value; remove one of them")
	}
	f.oneOf(at+".effect", string(t.Effect), string(corev1.TaintEffectNoSchedule))
}

// withOperator returns t with the default filled in, so that two which mean the same compare equal. An empty effect is kept
// apart from NoSchedule, as upstream does.
func withOperator(t v1beta1.Toleration) v1beta1.Toleration {
	if t.Operator == "" {
		t.Operator = corev1.TolerationOpEqual
	}
	return t
}

// describeToleration prints t as it would be written.
func describeToleration(t v1beta1.Toleration) string {
	t = withOperator(t)
	parts := []string{fmt.Sprintf("operator: %s", t.Operator)}
	if t.Key != "" {
		parts = append([]string{"key: " + t.Key}, parts...)
	}
	if t.Value != "" {
		parts = append(parts, fmt.Sprintf("value: %q", t.Value))
	}
	if t.Effect != "" {
		parts = append(parts, "effect: "+string(t.Effect))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
