package kubelet

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestPorts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	web := corev1.Container{Name: "web", Ports: []corev1.ContainerPort{
		{Name: "http", ContainerPort: 9090, Protocol: corev1.ProtocolTCP},
		{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}}
	service := func(selector map[string]string, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "s"},
			Spec: corev1.ServiceSpec{Selector: selector, Ports: ports}}
	}
	app := map[string]string{"app": "shop"}
	for _, tc := range []struct {
		name     string
		spec     corev1.PodSpec
		services []*corev1.Service
		want     []int32
	}{
		{"nothing declared, nobody asks", corev1.PodSpec{}, nil, nil},
		{"declared TCP ports only", corev1.PodSpec{Containers: []corev1.Container{web}}, nil, []int32{9090}},
		{"no targetPort means the Service's port", corev1.PodSpec{},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 7000})}, []int32{7000}},
		{"a numbered targetPort need not be declared", corev1.PodSpec{},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(7001)})}, []int32{7001}},
		{"a named targetPort", corev1.PodSpec{Containers: []corev1.Container{web}},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("http")})}, []int32{9090}},
		{"a named targetPort of a sidecar", corev1.PodSpec{InitContainers: []corev1.Container{
			{Name: "proxy", RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "mesh", ContainerPort: 15001}}}}},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("mesh")})}, []int32{15001}},
		{"an init container is over before the pod answers", corev1.PodSpec{InitContainers: []corev1.Container{web}}, nil, nil},
		{"a name that no container declares", corev1.PodSpec{Containers: []corev1.Container{web}},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("grpc")})}, []int32{9090}},
		{"a UDP port of a Service", corev1.PodSpec{},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolUDP})}, nil},
		{"several Services, sorted, each port once", corev1.PodSpec{Containers: []corev1.Container{web}},
			[]*corev1.Service{service(app, corev1.ServicePort{Port: 9090}), service(app, corev1.ServicePort{Port: 80})}, []int32{80, 9090}},
		{"a Service of other pods", corev1.PodSpec{},
			[]*corev1.Service{service(map[string]string{"app": "other"}, corev1.ServicePort{Port: 80})}, nil},
		{"a Service without a selector selects nobody", corev1.PodSpec{},
			[]*corev1.Service{service(nil, corev1.ServicePort{Port: 80})}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Labels: app}, Spec: tc.spec}
			if got := Ports(pod, tc.services); !slices.Equal(got, tc.want) {
				t.Errorf("ports %v, want %v", got, tc.want)
			}
		})
	}
	t.Run("a Service of another namespace", func(t *testing.T) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "p", Labels: app}}
		if got := Ports(pod, []*corev1.Service{service(app, corev1.ServicePort{Port: 80})}); len(got) > 0 {
			t.Errorf("ports %v, want none", got)
		}
	})
}
