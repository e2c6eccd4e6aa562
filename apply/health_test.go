package apply

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestHealth(t *testing.T) {
	rows := []struct{ name, object, want string }{
		{"being deleted", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, deletionTimestamp: '2026-01-01T00:00:00Z'}}", "Terminating: is being deleted"},
		{"no status to speak of", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "Current"},

		{"deployment unseen", "{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {replicas: 1}}", "InProgress: not observed by its controller yet"},
		{"deployment's old generation", "{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, status: {observedGeneration: 1}}", "InProgress: generation 2 is not observed yet"},
		{"deployment rolling", "{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 4, updatedReplicas: 2}}", "InProgress: 2 of 3 replicas are updated"},
		{"deployment with old pods", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 2, availableReplicas: 3, readyReplicas: 3}}", "InProgress: 1 old replicas are still there"},
		{"deployment unavailable", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 1}}", "InProgress: 1 of 2 replicas are available"},
		{"deployment stuck", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: timed out}]}}", "Failed: ProgressDeadlineExceeded: timed out"},
		{"deployment done", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1, conditions: [{type: Available, status: 'True'}]}}", "Current"},
		{"deployment of nothing", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 0}, status: {observedGeneration: 1, conditions: [{type: Available, status: 'True'}]}}", "Current"},
		{"deployment half ready", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2, readyReplicas: 1}}", "InProgress: 1 of 2 replicas are ready"},
		{"deployment below its minimum", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1, conditions: [{type: Available, status: 'False', message: minimum}]}}", "InProgress: not available: minimum"},

		{"stateful set unseen", "{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 0}}", "InProgress: not observed by its controller yet"},
		{"stateful set above its partition", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 1}}}, status: {observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1}}", "InProgress: 1 of 2 replicas above the partition are updated"},
		{"stateful set filling", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3}, status: {observedGeneration: 1, readyReplicas: 1}}", "InProgress: 1 of 3 replicas are ready"},
		{"stateful set shrinking", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 1}, status: {observedGeneration: 1, readyReplicas: 2, replicas: 2}}", "InProgress: 1 replicas too many are still there"},
		{"stateful set rolling", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 2}, status: {observedGeneration: 1, readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b}}", "InProgress: 1 of 2 replicas are updated"},
		{"stateful set with a partition", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}}, status: {observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}", "Current"},
		{"stateful set renewed by hand", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3, updateStrategy: {type: OnDelete}}, status: {observedGeneration: 1}}", "Current"},
		{"stateful set done", "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 1}, status: {observedGeneration: 1, readyReplicas: 1, replicas: 1, currentRevision: b, updateRevision: b}}", "Current"},

		{"daemon set rolling", "{apiVersion: apps/v1, kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 1}}", "InProgress: 1 of 3 pods are updated"},
		{"daemon set done", "{apiVersion: apps/v1, kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: 1, currentNumberScheduled: 1, updatedNumberScheduled: 1, numberAvailable: 1}}", "Current"},
		{"daemon set unseen", "{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 1}}", "InProgress: not observed by its controller yet"},
		{"daemon set renewed by hand", "{apiVersion: apps/v1, kind: DaemonSet, spec: {updateStrategy: {type: OnDelete}}, status: {observedGeneration: 1, desiredNumberScheduled: 3}}", "Current"},
		{"daemon set spreading", "{apiVersion: apps/v1, kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: 3, currentNumberScheduled: 2}}", "InProgress: 2 of 3 pods are scheduled"},
		{"daemon set unavailable", "{apiVersion: apps/v1, kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}}", "InProgress: 1 of 2 pods are available"},
		{"replica set unseen", "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {generation: 1}, spec: {replicas: 0}}", "InProgress: not observed by its controller yet"},
		{"replica set filling", "{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: 2}, status: {observedGeneration: 1, replicas: 2, availableReplicas: 1}}", "InProgress: 1 of 2 replicas are available"},
		{"replica set shrinking", "{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 3, availableReplicas: 3}}", "InProgress: 2 replicas too many are still there"},
		{"replica set done", "{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, availableReplicas: 1}}", "Current"},
		{"replica set failing", "{apiVersion: apps/v1, kind: ReplicaSet, status: {observedGeneration: 1, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: quota}]}}", "InProgress: FailedCreate: quota"},

		{"job failed", "{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: gave up}]}}", "Failed: BackoffLimitExceeded: gave up"},
		{"job running", "{apiVersion: batch/v1, kind: Job, status: {startTime: '2026-01-01T00:00:00Z', active: 1}}", "Current"},
		{"job new", "{apiVersion: batch/v1, kind: Job}", "InProgress: not started yet"},

		{"pod ready", "{apiVersion: v1, kind: Pod, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}", "Current"},
		{"pod crashing", "{apiVersion: v1, kind: Pod, status: {phase: Running, containerStatuses: [{name: c, state: {waiting: {reason: CrashLoopBackOff}}}]}}", "Failed: CrashLoopBackOff: container c"},
		{"pod just unschedulable", "{apiVersion: v1, kind: Pod, status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: no node, lastTransitionTime: '2026-01-01T11:59:50Z'}]}}", "InProgress: pending: no node"},
		{"pod long unschedulable", "{apiVersion: v1, kind: Pod, status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: no node, lastTransitionTime: '2026-01-01T11:59:45Z'}]}}", "Failed: Unschedulable: no node"},
		{"pod done", "{apiVersion: v1, kind: Pod, status: {phase: Succeeded}}", "Current"},
		{"pod starting", "{apiVersion: v1, kind: Pod, status: {phase: Running, conditions: [{type: Ready, status: 'False', message: probe}], containerStatuses: [7, {name: c, state: {running: {}}}]}}", "InProgress: not ready: probe"},
		{"nonsense for containers", "{apiVersion: v1, kind: Pod, status: {phase: Running, containerStatuses: many}}", "InProgress: not ready"},
		{"pod evicted", "{apiVersion: v1, kind: Pod, status: {phase: Failed, reason: Evicted, message: disk}}", "Failed: Evicted: disk"},

		{"claim waiting", "{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Pending}}", "InProgress: not bound: Pending"},
		{"claim bound", "{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Bound}}", "Current"},
		{"service", "{apiVersion: v1, kind: Service, spec: {type: ClusterIP}}", "Current"},
		{"load balancer waiting", "{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}, status: {loadBalancer: {}}}", "InProgress: the load balancer has no address yet"},
		{"load balancer", "{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}", "Current"},
		{"definition's name taken", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, status: {conditions: [{type: NamesAccepted, status: 'False', reason: PluralConflict, message: taken}]}}", "Failed: PluralConflict: taken"},
		{"definition new", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition}", "InProgress: not established"},
		{"definition established", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, status: {conditions: [{type: Established, status: 'True'}]}}", "Current"},

		{"API unavailable", "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, status: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints, message: no pods}]}}", "InProgress: MissingEndpoints: no pods"},
		{"API available", "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, status: {conditions: [{type: Available, status: 'True'}]}}", "Current"},

		{"job failing", "{apiVersion: batch/v1, kind: Job, status: {startTime: '2026-01-01T00:00:00Z', conditions: [{type: FailureTarget, status: 'True', reason: PodFailurePolicy}]}}", "Failed: PodFailurePolicy"},
		{"job suspended", "{apiVersion: batch/v1, kind: Job, spec: {suspend: true}, status: {conditions: [{type: Suspended, status: 'True'}]}}", "Current"},
		{"job resumed", "{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Suspended, status: 'False'}]}}", "InProgress: not started yet"},
		{"cron job", "{apiVersion: batch/v1, kind: CronJob}", "Current"},
		{"autoscaler without metrics", "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {conditions: [{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'False', reason: FailedGetResourceMetric}]}}", "Current"},
		{"autoscaler of nothing", "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {conditions: [{type: AbleToScale, status: 'False', reason: FailedGetScale, message: not found}]}}", "InProgress: FailedGetScale: not found"},
		{"budget used up", "{apiVersion: policy/v1, kind: PodDisruptionBudget, status: {conditions: [{type: DisruptionAllowed, status: 'False', reason: InsufficientPods}]}}", "Current"},
		{"budget that nobody can work out", "{apiVersion: policy/v1, kind: PodDisruptionBudget, status: {conditions: [{type: DisruptionAllowed, status: 'False', reason: SyncFailed, message: no scale}]}}", "InProgress: SyncFailed: no scale"},
		{"snapshot being made", "{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, status: {readyToUse: false, error: {message: busy}}}", "InProgress: not ready to use: busy"},
		{"snapshot", "{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, status: {readyToUse: true}}", "Current"},
		{"ingress without address", "{apiVersion: networking.k8s.io/v1, kind: Ingress, status: {loadBalancer: {}}}", "Current"},

		{"gateway class that nobody serves", "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, status: {conditions: [{type: Accepted, status: Unknown, reason: Pending, message: waiting}]}}", "InProgress: not Accepted: Pending: waiting"},
		{"gateway class", "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, status: {conditions: [{type: Accepted, status: 'True'}]}}", "Current"},
		{"gateway new", "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway}", "InProgress: Accepted is not told yet"},
		{"gateway not programmed", "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, status: {conditions: [{type: Accepted, status: 'True'}, {type: Programmed, status: 'False', reason: AddressNotAssigned}]}}", "InProgress: not Programmed: AddressNotAssigned"},
		{"gateway changed", "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {generation: 3}, status: {conditions: [{type: Accepted, status: 'True', observedGeneration: 3}, {type: Programmed, status: 'True', observedGeneration: 2}]}}", "InProgress: Programmed is told of generation 2, not yet of 3"},
		{"gateway", "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {generation: 3}, status: {conditions: [{type: Accepted, status: 'True', observedGeneration: 3}, {type: Programmed, status: 'True', observedGeneration: 3}]}}", "Current"},
		{"route unseen", "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute}", "InProgress: no parent has accepted the route yet"},
		{"route half accepted", "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, status: {parents: [{parentRef: {name: a}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}, {parentRef: {name: b}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'False', reason: BackendNotFound}]}]}}", "InProgress: parent 2 (b): not ResolvedRefs: BackendNotFound"},
		{"nonsense beside a parent of a route", "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, status: {parents: [7, {parentRef: {name: b}}]}}", "InProgress: parent 2 (b): Accepted is not told yet"},
		{"route", "{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, status: {parents: [{parentRef: {name: a}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}]}}", "Current"},
		{"nonsense for parents", "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, status: {parents: [{conditions: 7}]}}", "InProgress: parent 1 (): Accepted is not told yet"},

		{"custom resource without status", "{apiVersion: example.com/v1, kind: Widget}", "Current"},
		{"custom resource not ready", "{apiVersion: example.com/v1, kind: Widget, status: {conditions: [{type: Ready, status: 'False', reason: Waiting, message: for a disk}]}}", "InProgress: Waiting: for a disk"},
		{"custom resource stalled", "{apiVersion: example.com/v1, kind: Widget, status: {conditions: [{type: Stalled, status: 'True', reason: BadSize}, {type: Ready, status: 'False'}]}}", "Failed: BadSize"},
		{"custom resource reconciling", "{apiVersion: example.com/v1, kind: Widget, status: {conditions: [{type: Reconciling, status: 'True', message: growing}, {type: Ready, status: 'True'}]}}", "InProgress: growing"},
		{"nonsense for a status", "{apiVersion: apps/v1, kind: Deployment, status: {observedGeneration: many, conditions: none}}", "InProgress: not observed by its controller yet"},
		{"nonsense for a condition", "{apiVersion: example.com/v1, kind: Widget, status: {conditions: [7, {type: Ready, status: true}]}}", "InProgress: "},
	}
	for _, row := range rows {
		if got := HealthOf(object(t, row.object), storyTime).String(); got != row.want && got+": " != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestNeedsStatus(t *testing.T) {
	for kind, want := range map[string]bool{
		"Deployment.apps": true, "Service": true, "Pod": true, "CustomResourceDefinition.apiextensions.k8s.io": true,
		"ConfigMap": false, "Secret": false, "Namespace": false, "Role.rbac.authorization.k8s.io": false, "EndpointSlice.discovery.k8s.io": false,
		"HTTPRoute.gateway.networking.k8s.io": true, "HorizontalPodAutoscaler.autoscaling": true, "CronJob.batch": false, "Ingress.networking.k8s.io": false,
		"Widget.example.com": true, "Cluster.cluster.x-k8s.io": true,
		"ServiceExport.networking.fleet.azure.com": false, "ServiceImport.multicluster.x-k8s.io": false,
	} {
		if got := NeedsStatus(schema.ParseGroupKind(kind)); got != want {
			t.Errorf("%s is watched whole: %v, want %v", kind, got, want)
		}
	}
}

func TestBackoffGrowsAndEnds(t *testing.T) {
	var last time.Duration
	for n := range 100 {
		d := Backoff(n)
		if d < last || d > 5*time.Minute {
			t.Errorf("Backoff(%d) = %s after %s", n, d, last)
		}
		last = d
	}
	if Backoff(0) != 0 || Backoff(1) != 2*time.Second || Backoff(2) != 4*time.Second || last != 5*time.Minute {
		t.Errorf("Backoff: %s, %s, %s … %s", Backoff(0), Backoff(1), Backoff(2), last)
	}
}
