package mcs

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// Reasons of KEP-1645 that Azure's dialect does not have.
const (
	reasonValid              = "Valid"
	reasonNoService          = "NoService"
	reasonInvalidServiceType = "InvalidServiceType"
	reasonExported           = "Exported"
	reasonReady              = "Ready"
	reasonPending            = "Pending"
	reasonFailed             = "Failed"
	reasonFamilyUnsupported  = "IPFamilyNotSupported"
	reasonNoConflicts        = "NoConflicts"
	reasonPortConflict       = "PortConflict"
)

// words are the reasons in which dialects differ.
type words struct {
	valid, notFound, ineligible, noConflict string
}

func (d Dialect) words() words {
	if d == Standard {
		return words{reasonValid, reasonNoService, reasonInvalidServiceType, reasonNoConflicts}
	}
	return words{networkingv1alpha1.ReasonServiceIsValid, networkingv1alpha1.ReasonServiceNotFound,
		networkingv1alpha1.ReasonServiceIneligible, networkingv1alpha1.ReasonNoConflictFound}
}

// valid tells whether e counts. A weight that cannot be read is told, and takes nobody's traffic away.
func valid(e Export) bool { return eligible(e).Status == metav1.ConditionTrue }

// validity is the condition Valid of e.
func validity(e Export) Verdict {
	v := eligible(e)
	if _, problem := parseWeight(e.Weight); problem != "" && v.Status == metav1.ConditionTrue {
		v.Message += "; " + problem
		if e.Dialect == Azure { // in the standard's words, what is not Valid is not exported
			v.Status, v.Reason = metav1.ConditionFalse, networkingv1alpha1.ReasonInvalidWeight
		}
	}
	if left := e.unexported(); left != "" && v.Status == metav1.ConditionTrue {
		v.Message += "; " + left
	}
	return v
}

// defaultWeight is the weight of an export that has none, where another has one.
const defaultWeight = 1

// weight returns the weight that e asks for; ok is false when it asks for none.
func (e Export) weight() (weight int, ok bool) {
	if e.Weight == "" {
		return defaultWeight, false
	}
	weight, problem := parseWeight(e.Weight)
	return weight, problem == ""
}

// parseWeight reads a weight as Azure's controllers do: a whole number from 0 to 1000.
func parseWeight(text string) (weight int, problem string) {
	if text == "" {
		return defaultWeight, ""
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1000 {
		return defaultWeight, fmt.Sprintf("annotation %s: %s is no whole number from 0 to 1000, so the weight is %d",
			networkingv1alpha1.AnnotationWeight, strconv.Quote(text), defaultWeight)
	}
	return n, ""
}

// eligible judges the Service that e exports. What Azure's dialect cannot export, headless Services, stays refused there.
func eligible(e Export) Verdict {
	invalid := func(reason, format string, args ...any) Verdict {
		return Verdict{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
	}
	w := e.Dialect.words()
	switch {
	case e.Service == nil:
		return invalid(w.notFound, "there is no Service %s in this cluster; create it or delete the ServiceExport", e.Key())
	case e.Service.Type == corev1.ServiceTypeExternalName:
		return invalid(w.ineligible,
			"Service %s is of type ExternalName, which has no endpoints to export; export a Service with a selector", e.Key())
	case e.Service.Headless && e.Dialect == Azure:
		return invalid(w.ineligible,
			"Service %s is headless (clusterIP: None), which cannot be load-balanced; export a Service with a cluster IP", e.Key())
	}
	return Verdict{metav1.ConditionTrue, w.valid, fmt.Sprintf("Service %s is exported", e.Key())}
}

// unjudged is the condition Conflict of an export that is not valid. The standard's word for that is the one for none: an
// export that does not count is in nobody's way.
func unjudged(d Dialect) Verdict {
	v := Verdict{metav1.ConditionUnknown, networkingv1alpha1.ReasonPendingConflictResolution,
		"conflicts are looked for once the export is valid"}
	if d == Standard {
		v.Status, v.Reason = metav1.ConditionFalse, reasonNoConflicts
	}
	return v
}
