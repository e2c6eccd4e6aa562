package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// checkTolerations refuses operators that mean nothing.
func checkTolerations(tolerations []v1beta1.Toleration) error {
	for i, t := range tolerations {
		if t.Operator != "" && t.Operator != corev1.TolerationOpEqual && t.Operator != corev1.TolerationOpExists {
			return fmt.Errorf("spec.policy.tolerations[%d].operator is %q: use Equal or Exists", i, t.Operator)
		}
	}
	return nil
}

// untolerated returns what is to be said of each taint that none of tolerations covers.
func untolerated(taints []clusterv1beta1.Taint, tolerations []v1beta1.Toleration) []string {
	var reasons []string
	for _, taint := range taints {
		if !slices.ContainsFunc(tolerations, func(t v1beta1.Toleration) bool { return tolerates(t, taint) }) {
			reasons = append(reasons, "taint "+describeTaint(taint)+" is not tolerated, "+
				"tolerate it in spec.policy.tolerations or take it off the cluster")
		}
	}
	slices.Sort(reasons)
	return reasons
}

// tolerates tells whether t covers taint. An empty operator is Equal; Exists without a key covers every taint; no effect
// covers every effect.
func tolerates(t v1beta1.Toleration, taint clusterv1beta1.Taint) bool {
	if t.Effect != "" && t.Effect != effectOf(taint) {
		return false
	}
	if t.Operator == corev1.TolerationOpExists {
		return t.Key == "" || t.Key == taint.Key
	}
	return t.Key == taint.Key && t.Value == taint.Value
}

// effectOf returns the effect of taint, which is NoSchedule when absent.
func effectOf(taint clusterv1beta1.Taint) corev1.TaintEffect {
	return cmp.Or(taint.Effect, corev1.TaintEffectNoSchedule)
}

// describeTaint writes taint as kubectl does.
func describeTaint(taint clusterv1beta1.Taint) string {
	text := taint.Key
	if taint.Value != "" {
		text += "=" + taint.Value
	}
	return text + ":" + string(effectOf(taint))
}

// keyOf is the same for the same taints in any order, and for no others.
func keyOf(taints []clusterv1beta1.Taint) string {
	keys := make([]string, len(taints))
	for i, taint := range taints {
		keys[i] = strings.Join([]string{taint.Key, taint.Value, string(effectOf(taint))}, "\x00")
	}
	slices.Sort(keys)
	return strings.Join(keys, "\x01")
}
