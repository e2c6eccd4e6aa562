package kubelet

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	early = metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	later = metav1.NewTime(early.Add(time.Minute))
)

func podWith(images ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Generation: 1}}
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	for i, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: string(rune('a' + i)), Image: image})
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
	return pod
}

func TestDesiredStatus(t *testing.T) {
	initPod := podWith("ok")
	initPod.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "does-not-exist"}}
	job := podWith("ok")
	job.Spec.RestartPolicy = corev1.RestartPolicyNever
	for _, tc := range []struct {
		name    string
		pod     *corev1.Pod
		view    view
		phase   corev1.PodPhase
		ready   bool
		waiting string // of the first container, at the second look
	}{
		{"all is well", podWith("ok", "ok"), view{}, corev1.PodRunning, true, ""},
		{"a port can not be opened", podWith("ok"), view{problem: "address in use"}, corev1.PodRunning, false, ""},
		{"an image is missing", podWith("x/does-not-exist:1"), view{}, corev1.PodPending, false, backOff},
		{"one of two images is missing", podWith("does-not-exist", "ok"), view{}, corev1.PodPending, false, backOff},
		{"an init image is missing", initPod, view{}, corev1.PodPending, false, initializing},
		{"a Job's pod ends", job, view{}, corev1.PodSucceeded, false, ""},
		{"a pod was stopped", podWith("ok"), view{stopped: true}, corev1.PodSucceeded, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.view.podIP, tc.view.hostIP, tc.view.now = "10.2.16.16", "127.2.16.3", early
			tc.pod.Status = desiredStatus(tc.pod, tc.view)
			tc.pod.Status = desiredStatus(tc.pod, tc.view)
			st := tc.pod.Status
			if st.Phase != tc.phase || st.PodIP != "10.2.16.16" || st.ObservedGeneration != 1 {
				t.Errorf("phase %s, address %s, generation %d; want %s, 10.2.16.16, 1", st.Phase, st.PodIP, st.ObservedGeneration, tc.phase)
			}
			if got := condition(st, corev1.PodReady).Status == corev1.ConditionTrue; got != tc.ready {
				t.Errorf("ready is %v: %+v", got, st.Conditions)
			}
			if condition(st, corev1.PodScheduled).Status != corev1.ConditionTrue {
				t.Errorf("the scheduler's condition is lost: %+v", st.Conditions)
			}
			waiting := ""
			if w := st.ContainerStatuses[0].State.Waiting; w != nil {
				waiting = w.Reason
			}
			if waiting != tc.waiting {
				t.Errorf("first container waits for %q, want %q", waiting, tc.waiting)
			}
			tc.view.now = later
			if again := desiredStatus(tc.pod, tc.view); !equality.Semantic.DeepEqual(again, st) {
				t.Errorf("a status that is right is written again a minute later:\n%+v\n%+v", st, again)
			}
		})
	}
}

func TestMissingImageIsCreatingFirst(t *testing.T) {
	pod := podWith("does-not-exist")
	st := desiredStatus(pod, view{now: early})
	if got := st.ContainerStatuses[0].State.Waiting.Reason; got != creating {
		t.Errorf("at first the container is %q, want %q", got, creating)
	}
}

func TestImageChangedInPlace(t *testing.T) {
	pod := podWith("does-not-exist")
	for range 2 {
		pod.Status = desiredStatus(pod, view{now: early})
	}
	pod.Spec.Containers[0].Image = "v1"
	pod.Status = desiredStatus(pod, view{now: early})
	if c := pod.Status.ContainerStatuses[0]; !c.Ready || c.RestartCount != 0 {
		t.Errorf("after the image was mended: %+v; want ready, never restarted", c)
	}
	pod.Spec.Containers[0].Image = "v2"
	pod.Status = desiredStatus(pod, view{now: later})
	c := pod.Status.ContainerStatuses[0]
	if !c.Ready || c.RestartCount != 1 || !c.State.Running.StartedAt.Equal(&later) {
		t.Errorf("after another image: %+v; want ready, restarted once, started %s", c, later)
	}
	if got := condition(pod.Status, corev1.PodReady).LastTransitionTime; !got.Equal(&early) {
		t.Errorf("ready since %s, want %s: it did not change", got, early)
	}
}

func condition(st corev1.PodStatus, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range st.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}
