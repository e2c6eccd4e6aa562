package mcs

import (
	"fmt"

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

func valid(e Export) bool { return validity(e).Status == metav1.ConditionTrue }

// validity judges e by itself. What Azure's dialect cannot export, headless Services, stays refused there.
func validity(e Export) Verdict {
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
