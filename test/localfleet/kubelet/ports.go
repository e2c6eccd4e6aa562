package kubelet

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Ports returns the TCP ports on which pod must answer, sorted: those its containers declare and those that the given
// Services (of the pod's namespace) send to it. Declaring a port is optional in Kubernetes, so the Services count: a
// real program would listen there. A named targetPort counts when a container of the pod declares that name.
func Ports(pod *corev1.Pod, services []*corev1.Service) []int32 {
	var ports []int32
	for _, p := range declared(pod) {
		ports = append(ports, p.ContainerPort)
	}
	for _, service := range services {
		if len(service.Spec.Selector) == 0 || service.Namespace != pod.Namespace ||
			!labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, p := range service.Spec.Ports {
			if target, ok := targetPort(pod, p); ok {
				ports = append(ports, target)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// targetPort resolves p's targetPort on pod by the rule of the EndpointSlice controller: a number is itself, a name is
// the first container port of that name and protocol, absent means the Service's own port.
func targetPort(pod *corev1.Pod, p corev1.ServicePort) (int32, bool) {
	if !tcp(p.Protocol) {
		return 0, false
	}
	if p.TargetPort.Type == intstr.String {
		for _, c := range declared(pod) {
			if c.Name == p.TargetPort.StrVal {
				return c.ContainerPort, true
			}
		}
		return 0, false
	}
	if p.TargetPort.IntVal == 0 {
		return p.Port, true
	}
	return p.TargetPort.IntVal, true
}

// declared returns the TCP ports of everything that runs beside each other in pod: its containers and its sidecars.
func declared(pod *corev1.Pod) []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	for _, c := range pod.Spec.Containers {
		ports = append(ports, c.Ports...)
	}
	for _, c := range pod.Spec.InitContainers {
		if sidecar(c) {
			ports = append(ports, c.Ports...)
		}
	}
	return slices.DeleteFunc(ports, func(p corev1.ContainerPort) bool { return !tcp(p.Protocol) })
}

func sidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// The API server fills in TCP; an object that never passed one may have nothing there.
func tcp(p corev1.Protocol) bool { return p == corev1.ProtocolTCP || p == "" }
