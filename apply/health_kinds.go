package apply

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// healthRule judges an object that is not being deleted and whose generation is observed, if it says so.
type healthRule func(u *unstructured.Unstructured, conditions map[string]condition, now time.Time) Health

// healthRules are those of kstatus, with a Service of type LoadBalancer waiting for its address, as KubeFleet has it, and with
// the kinds that kstatus takes for done at once although their status says otherwise. An Ingress is in place without an
// address, as for kstatus: many controllers never set one. So is a CronJob, whatever its Jobs do.
var healthRules = map[schema.GroupKind]healthRule{
	{Group: "apps", Kind: "Deployment"}:                   deploymentHealth,
	{Group: "apps", Kind: "StatefulSet"}:                  statefulSetHealth,
	{Group: "apps", Kind: "DaemonSet"}:                    daemonSetHealth,
	{Group: "apps", Kind: "ReplicaSet"}:                   replicaSetHealth,
	{Kind: "ReplicationController"}:                       replicaSetHealth,
	{Group: "batch", Kind: "Job"}:                         jobHealth,
	{Kind: "Pod"}:                                         podHealth,
	{Kind: "PersistentVolumeClaim"}:                       claimHealth,
	{Kind: "Service"}:                                     serviceHealth,
	{Group: crdGroup, Kind: crdKind}:                      crdHealth,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}: apiServiceHealth,

	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:    autoscalerHealth,
	{Group: "policy", Kind: "PodDisruptionBudget"}:             budgetHealth,
	{Group: "snapshot.storage.k8s.io", Kind: "VolumeSnapshot"}: snapshotHealth,

	gatewayKind("GatewayClass"): gatewayClassHealth,
	gatewayKind("Gateway"):      gatewayHealth,
	gatewayKind("HTTPRoute"):    routeHealth,
	gatewayKind("GRPCRoute"):    routeHealth,
	gatewayKind("TLSRoute"):     routeHealth,
	gatewayKind("TCPRoute"):     routeHealth,
	gatewayKind("UDPRoute"):     routeHealth,
}

const (
	crdGroup = "apiextensions.k8s.io"
	crdKind  = "CustomResourceDefinition"

	// unschedulableAfter is kstatus' patience with a Pod for which there is no node.
	unschedulableAfter = 15 * time.Second
)

// number reads an integer, or returns def where there is none.
func number(u *unstructured.Unstructured, def int64, path ...string) int64 {
	n, found, err := unstructured.NestedInt64(u.Object, path...)
	if !found || err != nil {
		return def
	}
	return n
}

func text(u *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, path...) // "" for what is no string
	return s
}

func status(u *unstructured.Unstructured, field string) int64 { return number(u, 0, "status", field) }

// unobserved tells that no controller has seen an object of a kind whose controller always says so.
func unobserved(u *unstructured.Unstructured) bool {
	_, found, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	return !found
}

func deploymentHealth(u *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	if unobserved(u) {
		return inProgress("not observed by its controller yet")
	}
	if c := conditions["Progressing"]; c.Reason == "ProgressDeadlineExceeded" {
		return failed(c.Reason, c.Message)
	}
	want := number(u, 1, "spec", "replicas")
	replicas, updated := status(u, "replicas"), status(u, "updatedReplicas")
	available, ready := status(u, "availableReplicas"), status(u, "readyReplicas")
	switch {
	case updated < want:
		return inProgress("%d of %d replicas are updated", updated, want)
	case replicas > updated:
		return inProgress("%d old replicas are still there", replicas-updated)
	case available < want:
		return inProgress("%d of %d replicas are available", available, want)
	case ready < want:
		return inProgress("%d of %d replicas are ready", ready, want)
	}
	if c := conditions["Available"]; c.Status != "True" {
		return inProgress("%s", joinReason("not available", c.Message))
	}
	return current()
}

func statefulSetHealth(u *unstructured.Unstructured, _ map[string]condition, _ time.Time) Health {
	if unobserved(u) {
		return inProgress("not observed by its controller yet")
	}
	if text(u, "spec", "updateStrategy", "type") == "OnDelete" {
		return current() // its pods are renewed by hand
	}
	want := number(u, 1, "spec", "replicas")
	partition := number(u, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	if ready := status(u, "readyReplicas"); ready < want {
		return inProgress("%d of %d replicas are ready", ready, want)
	}
	if replicas := status(u, "replicas"); replicas > want {
		return inProgress("%d replicas too many are still there", replicas-want)
	}
	if partition > 0 {
		if updated := status(u, "updatedReplicas"); updated < want-partition {
			return inProgress("%d of %d replicas above the partition are updated", updated, want-partition)
		}
		return current()
	}
	if text(u, "status", "currentRevision") != text(u, "status", "updateRevision") {
		return inProgress("%d of %d replicas are updated", status(u, "updatedReplicas"), want)
	}
	return current()
}

func daemonSetHealth(u *unstructured.Unstructured, _ map[string]condition, _ time.Time) Health {
	if unobserved(u) {
		return inProgress("not observed by its controller yet")
	}
	if text(u, "spec", "updateStrategy", "type") == "OnDelete" {
		return current()
	}
	want := status(u, "desiredNumberScheduled")
	switch updated, available := status(u, "updatedNumberScheduled"), status(u, "numberAvailable"); {
	case status(u, "currentNumberScheduled") < want:
		return inProgress("%d of %d pods are scheduled", status(u, "currentNumberScheduled"), want)
	case updated < want:
		return inProgress("%d of %d pods are updated", updated, want)
	case available < want:
		return inProgress("%d of %d pods are available", available, want)
	}
	return current()
}

func replicaSetHealth(u *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	if unobserved(u) {
		return inProgress("not observed by its controller yet")
	}
	if c := conditions["ReplicaFailure"]; c.Status == "True" {
		return inProgress("%s", joinReason(c.Reason, c.Message))
	}
	want := number(u, 1, "spec", "replicas")
	switch available := status(u, "availableReplicas"); {
	case available < want:
		return inProgress("%d of %d replicas are available", available, want)
	case status(u, "replicas") > want:
		return inProgress("%d replicas too many are still there", status(u, "replicas")-want)
	}
	return current()
}

// jobHealth counts a Job that has started as in place: it may run for as long as it likes. FailureTarget says that it will
// have failed once its pods are gone.
func jobHealth(u *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	for _, t := range []string{"Failed", "FailureTarget"} {
		if c := conditions[t]; c.Status == "True" {
			return failed(c.Reason, c.Message)
		}
	}
	if conditions["Complete"].Status == "True" || conditions["Suspended"].Status == "True" || text(u, "status", "startTime") != "" {
		return current()
	}
	return inProgress("not started yet")
}

func podHealth(u *unstructured.Unstructured, conditions map[string]condition, now time.Time) Health {
	switch text(u, "status", "phase") {
	case "Succeeded":
		return current()
	case "Failed":
		return failed(text(u, "status", "reason"), text(u, "status", "message"))
	case "Running":
		if conditions["Ready"].Status == "True" {
			return current()
		}
		if container := crashing(u); container != "" {
			return failed("CrashLoopBackOff", "container "+container)
		}
		return inProgress("%s", joinReason("not ready", conditions["Ready"].Message))
	}
	c := conditions["PodScheduled"]
	if c.Status == "False" && c.Reason == "Unschedulable" && now.Sub(c.Since) >= unschedulableAfter {
		return failed(c.Reason, c.Message)
	}
	return inProgress("%s", joinReason("pending", c.Message))
}

// crashing returns the name of a container that the kubelet no longer restarts at once, or "".
func crashing(u *unstructured.Unstructured) string {
	containers, _, err := unstructured.NestedSlice(u.Object, "status", "containerStatuses")
	if err != nil {
		return ""
	}
	for _, e := range containers {
		c, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if reason, _, _ := unstructured.NestedString(c, "state", "waiting", "reason"); reason == "CrashLoopBackOff" {
			name, _, _ := unstructured.NestedString(c, "name")
			return name
		}
	}
	return ""
}

func claimHealth(u *unstructured.Unstructured, _ map[string]condition, _ time.Time) Health {
	if phase := text(u, "status", "phase"); phase != "Bound" {
		return inProgress("%s", joinReason("not bound", phase))
	}
	return current()
}

func serviceHealth(u *unstructured.Unstructured, _ map[string]condition, _ time.Time) Health {
	if text(u, "spec", "type") != "LoadBalancer" {
		return current()
	}
	ingress, _, err := unstructured.NestedSlice(u.Object, "status", "loadBalancer", "ingress")
	if err != nil || len(ingress) == 0 {
		return inProgress("the load balancer has no address yet")
	}
	return current()
}

func crdHealth(_ *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	if c := conditions["NamesAccepted"]; c.Status == "False" {
		return failed(c.Reason, c.Message)
	}
	if c := conditions["Established"]; c.Status != "True" {
		return inProgress("%s", joinReason("not established", c.Message))
	}
	return current()
}

func apiServiceHealth(_ *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	if c := conditions["Available"]; c.Status != "True" {
		return inProgress("%s", joinReason(c.Reason, c.Message))
	}
	return current()
}

// autoscalerHealth wants what is scaled to be found. Metrics come and go with the load, so ScalingActive tells nothing
// about being in place.
func autoscalerHealth(_ *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	if c := conditions["AbleToScale"]; c.Status == "False" {
		return inProgress("%s", joinReason(c.Reason, c.Message))
	}
	return current()
}

// budgetHealth counts a budget that allows no disruption as in place; one that cannot be worked out is not.
func budgetHealth(_ *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	if c := conditions["DisruptionAllowed"]; c.Status == "False" && c.Reason == "SyncFailed" {
		return inProgress("%s", joinReason(c.Reason, c.Message))
	}
	return current()
}

// snapshotHealth follows readyToUse. An error may pass: the snapshot controller tries again.
func snapshotHealth(u *unstructured.Unstructured, _ map[string]condition, _ time.Time) Health {
	if ready, _, _ := unstructured.NestedBool(u.Object, "status", "readyToUse"); !ready {
		return inProgress("%s", joinReason("not ready to use", text(u, "status", "error", "message")))
	}
	return current()
}
