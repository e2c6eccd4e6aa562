package kubelet

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MissingImage marks images that can not be pulled: any whose name contains it. It lets a bad rollout be shown.
const MissingImage = "does-not-exist"

const (
	creating     = "ContainerCreating"
	initializing = "PodInitializing"
	backOff      = "ImagePullBackOff"
)

// view is what the simulation knows about a pod at one moment.
type view struct {
	podIP, hostIP string
	problem       string // why the pod can not be answered, empty when its listeners stand
	stopped       bool   // its program has ended because the pod is being deleted
	now           metav1.Time
}

// desiredStatus returns the status that a kubelet would have written for pod. What is already in pod.Status and still
// true (start times, other writers' conditions) is kept, so a status that is right comes back equal.
func desiredStatus(pod *corev1.Pod, v view) corev1.PodStatus {
	st := *pod.Status.DeepCopy()
	st.HostIP, st.HostIPs = v.hostIP, []corev1.HostIP{{IP: v.hostIP}}
	st.PodIP, st.PodIPs = v.podIP, []corev1.PodIP{{IP: v.podIP}}
	st.ObservedGeneration = pod.Generation
	if st.StartTime == nil {
		st.StartTime = &v.now
	}
	initialized := !slices.ContainsFunc(pod.Spec.InitContainers, missing)
	st.InitContainerStatuses, st.ContainerStatuses = nil, nil
	for _, c := range pod.Spec.InitContainers {
		prev := find(pod.Status.InitContainerStatuses, c.Name)
		st.InitContainerStatuses = append(st.InitContainerStatuses, containerStatus(c, prev, v, initState(c)))
	}
	for _, c := range pod.Spec.Containers {
		prev := find(pod.Status.ContainerStatuses, c.Name)
		st.ContainerStatuses = append(st.ContainerStatuses, containerStatus(c, prev, v, mainState(pod, initialized, v)))
	}
	st.Phase = phase(pod, st, v)
	ready := st.Phase == corev1.PodRunning && v.problem == ""
	setCondition(&st, corev1.PodReadyToStartContainers, true, "", v)
	setCondition(&st, corev1.PodInitialized, initialized, "ContainersNotInitialized", v)
	setCondition(&st, corev1.ContainersReady, ready, notReadyReason(st), v)
	setCondition(&st, corev1.PodReady, ready, notReadyReason(st), v)
	return st
}

// target is the state a container is headed for when its image is there.
type target int

const (
	running target = iota
	completed
	blocked // waits for the init containers
)

func initState(c corev1.Container) target {
	if sidecar(c) {
		return running
	}
	return completed
}

func mainState(pod *corev1.Pod, initialized bool, v view) target {
	switch {
	case !initialized:
		return blocked
	case v.stopped || runsToCompletion(pod):
		return completed
	}
	return running
}

// runsToCompletion tells pods that are meant to end (those of Jobs): the simulation ends them at once, successfully.
func runsToCompletion(pod *corev1.Pod) bool {
	return pod.Spec.RestartPolicy != corev1.RestartPolicyAlways
}

func missing(c corev1.Container) bool { return strings.Contains(c.Image, MissingImage) }

func containerStatus(c corev1.Container, prev *corev1.ContainerStatus, v view, to target) corev1.ContainerStatus {
	st := corev1.ContainerStatus{Name: c.Name, Image: c.Image}
	same := prev != nil && prev.Image == c.Image
	if prev != nil {
		st.RestartCount = prev.RestartCount
	}
	began := false
	switch {
	case missing(c):
		st.State.Waiting = waiting(c, prev)
	case to == blocked:
		st.State.Waiting = &corev1.ContainerStateWaiting{Reason: initializing}
	case to == completed:
		st.State.Terminated = terminated(prev, same, v)
	default:
		began = true
		st.Ready = v.problem == ""
		if same && prev.State.Running != nil {
			st.State.Running = prev.State.Running
			break
		}
		st.State.Running = &corev1.ContainerStateRunning{StartedAt: v.now}
		if prev != nil && prev.State.Running != nil {
			st.RestartCount++ // its image was changed in place
		}
	}
	st.Started = &began
	if st.State.Waiting == nil {
		st.ImageID = c.Image
	}
	return st
}

func waiting(c corev1.Container, prev *corev1.ContainerStatus) *corev1.ContainerStateWaiting {
	if prev == nil {
		return &corev1.ContainerStateWaiting{Reason: creating}
	}
	return &corev1.ContainerStateWaiting{Reason: backOff,
		Message: fmt.Sprintf("Back-off pulling image %q: the name contains %q, which the simulation never finds", c.Image, MissingImage)}
}

func terminated(prev *corev1.ContainerStatus, same bool, v view) *corev1.ContainerStateTerminated {
	if same && prev.State.Terminated != nil {
		return prev.State.Terminated
	}
	started := v.now
	if same && prev.State.Running != nil {
		started = prev.State.Running.StartedAt
	}
	return &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: started, FinishedAt: v.now}
}

func phase(pod *corev1.Pod, st corev1.PodStatus, v view) corev1.PodPhase {
	switch {
	case slices.ContainsFunc(slices.Concat(st.InitContainerStatuses, st.ContainerStatuses), isWaiting):
		return corev1.PodPending
	case v.stopped || runsToCompletion(pod):
		return corev1.PodSucceeded
	}
	return corev1.PodRunning
}

func isWaiting(c corev1.ContainerStatus) bool { return c.State.Waiting != nil }

func notReadyReason(st corev1.PodStatus) string {
	if st.Phase == corev1.PodSucceeded {
		return "PodCompleted"
	}
	return "ContainersNotReady"
}

// setCondition keeps the condition's transition time while its status does not change.
func setCondition(st *corev1.PodStatus, kind corev1.PodConditionType, is bool, reason string, v view) {
	want := corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: v.now}
	if !is {
		want.Status, want.Reason, want.Message = corev1.ConditionFalse, reason, v.problem
	}
	for i, c := range st.Conditions {
		if c.Type != kind {
			continue
		}
		if c.Status == want.Status {
			want.LastTransitionTime = c.LastTransitionTime
		}
		want.ObservedGeneration, want.LastProbeTime = c.ObservedGeneration, c.LastProbeTime
		st.Conditions[i] = want
		return
	}
	st.Conditions = append(st.Conditions, want)
}

func find(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}
