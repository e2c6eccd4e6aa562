package kubelet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
)

const (
	nodeName = "node-1"
	podPort  = 9191
)

// newKubelet returns a kubelet on an address range that no other test or fleet uses.
func newKubelet(t *testing.T) *Kubelet {
	t.Helper()
	plan, release, err := netplan.Claim()
	if err != nil {
		t.Fatal(err)
	}
	k := New(Config{Cluster: "c1", Nodes: []Node{{Name: nodeName, Addr: plan.Node(1, 0), Version: "v1"}},
		FirstPod: plan.FirstPod(1), Pods: plan.Pods(1), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(func() {
		k.Close()
		_ = release()
	})
	return k
}

// session runs k against client until the function it returns is called.
func runSession(k *Kubelet, client *fake.Clientset) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { k.Run(ctx, client) })
	return func() {
		cancel()
		wg.Wait()
	}
}

func boundPod(name string) *corev1.Pod {
	pod := podWith("shop:1")
	pod.Name, pod.UID, pod.Labels = name, types.UID(name), map[string]string{"app": "shop"}
	pod.Spec.NodeName = nodeName
	return pod
}

func shopService(port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("s", port)},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "shop"}, Ports: []corev1.ServicePort{{Port: port}}}}
}

func TestReadyMeansAnswering(t *testing.T) {
	client := fake.NewClientset(boundPod("p1"), shopService(podPort))
	dialled := make(chan error, 1)
	client.PrependReactor("update", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		pod := action.(clienttesting.UpdateAction).GetObject().(*corev1.Pod)
		if condition(pod.Status, corev1.PodReady).Status == corev1.ConditionTrue {
			_, err := fetch(pod.Status.PodIP, podPort)
			select {
			case dialled <- err:
			default:
			}
		}
		return false, nil, nil
	})
	k := newKubelet(t)
	defer runSession(k, client)()
	if err := <-dialled; err != nil {
		t.Fatalf("at the moment in which the pod is said to be ready: %v", err)
	}
	pod := eventually(t, client, "p1", func(pod *corev1.Pod) error { return wantReady(pod) })
	got, err := fetch(pod.Status.PodIP, podPort)
	if err != nil {
		t.Fatal(err)
	}
	want := page{Hostname: "p1", Addrs: []string{pod.Status.PodIP}, Cluster: "c1", Namespace: "shop", Node: nodeName,
		Images: []string{"shop:1"}, Labels: map[string]string{"app": "shop"}, Port: podPort}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the page of %s says %+v, want %+v", pod.Status.PodIP, got, want)
	}
	// A Service that comes later opens its port on the running pod.
	if _, err := client.CoreV1().Services("shop").Create(t.Context(), shopService(podPort+1), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		_, err := fetch(pod.Status.PodIP, podPort+1)
		return err
	})
}

func TestPodsOutliveTheSession(t *testing.T) {
	client := fake.NewClientset(boundPod("stays"), boundPod("goes"), shopService(podPort))
	k := newKubelet(t)
	end := runSession(k, client)
	stays := eventually(t, client, "stays", wantReady)
	goes := eventually(t, client, "goes", wantReady)
	end()
	for _, pod := range []*corev1.Pod{stays, goes} {
		if _, err := fetch(pod.Status.PodIP, podPort); err != nil {
			t.Errorf("without an API server pod %s does not answer: %v", pod.Name, err)
		}
	}
	if err := client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "shop", "goes"); err != nil {
		t.Fatal(err)
	}
	defer runSession(k, client)()
	until(t, func() error {
		if _, err := fetch(goes.Status.PodIP, podPort); err == nil {
			return errors.New("a pod that was removed while the API server was away still answers")
		}
		return nil
	})
	if again := eventually(t, client, "stays", wantReady); again.Status.PodIP != stays.Status.PodIP {
		t.Errorf("the pod's address changed from %s to %s", stays.Status.PodIP, again.Status.PodIP)
	}
	if _, err := fetch(stays.Status.PodIP, podPort); err != nil {
		t.Error(err)
	}
}

func TestDeletion(t *testing.T) {
	client := fake.NewClientset(boundPod("p1"), shopService(podPort))
	k := newKubelet(t)
	defer runSession(k, client)()
	pod := eventually(t, client, "p1", wantReady)
	slow := make(chan error, 1)
	started := startRequest(t, pod.Status.PodIP, "/?delay=1500ms", slow)
	<-started
	grace := int64(30)
	due := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &due, &grace
	if _, err := client.CoreV1().Pods("shop").Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		if _, err := client.CoreV1().Pods("shop").Get(t.Context(), "p1", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the pod is still there: %v", err)
		}
		return nil
	})
	if err := <-slow; err != nil {
		t.Errorf("a request that was under way when the pod was deleted: %v", err)
	}
	if _, err := fetch(pod.Status.PodIP, podPort); err == nil {
		t.Error("the pod is gone and still answers")
	}
	until(t, func() error { // the address is given back after the API server has forgotten the pod
		if n := k.Answering(); n != 0 {
			return fmt.Errorf("%d addresses are in use after the only pod is gone", n)
		}
		return nil
	})
}

// startRequest sends a request; started closes when the pod must have read it, err receives how it ended.
func startRequest(t *testing.T, ip, path string, result chan<- error) (started <-chan struct{}) {
	t.Helper()
	conn, err := net.Dial("tcp", where(ip, podPort))
	if err != nil {
		t.Fatal(err)
	}
	// The first answer on the connection shows that the server works on it; the second request is the slow one.
	reader := bufio.NewReader(conn)
	request := func(path string) error {
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			return err
		}
		return nil
	}
	answer := func() error {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return errors.Join(err, response.Body.Close())
	}
	if err := errors.Join(request("/"), answer()); err != nil {
		t.Fatalf("first request on a connection: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer func() { _ = conn.Close() }()
		err := request(path)
		close(done)
		result <- errors.Join(err, answer())
	}()
	return done
}

func TestAddressInUse(t *testing.T) {
	k := newKubelet(t)
	stranger, err := net.Listen("tcp", where(k.cfg.FirstPod.String(), podPort))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	a, err := k.ensure(boundPod("p1"), []int32{podPort})
	if err != nil {
		t.Fatalf("a pod whose first address is taken: %v", err)
	}
	if a.addr == k.cfg.FirstPod {
		t.Errorf("the pod got %s, on which somebody else listens", a.addr)
	}
	if _, err := fetch(a.addr.String(), podPort); err != nil {
		t.Error(err)
	}
}

// TestPortInUseEverywhere has a server of this machine listen on all addresses, as an unrelated program may.
func TestPortInUseEverywhere(t *testing.T) {
	everywhere, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = everywhere.Close() }()
	port := int32(everywhere.Addr().(*net.TCPAddr).Port)
	client := fake.NewClientset(boundPod("p1"), shopService(port))
	k := newKubelet(t)
	defer runSession(k, client)()
	eventually(t, client, "p1", func(pod *corev1.Pod) error {
		ready := condition(pod.Status, corev1.PodReady)
		if ready.Status != corev1.ConditionFalse || !strings.Contains(ready.Message, "address already in use") {
			return fmt.Errorf("the condition of a pod that can not be answered is %+v; want it to say why", ready)
		}
		return nil
	})
	if err := everywhere.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, client, "p1", wantReady)
}

func TestNodeIsKept(t *testing.T) {
	client := fake.NewClientset()
	k := newKubelet(t)
	end := runSession(k, client)
	until(t, func() error { return nodeReady(t, client) })
	end()
	node, err := client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range node.Status.Conditions { // what the node controller does after a silence
		node.Status.Conditions[i].Status = corev1.ConditionUnknown
	}
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer runSession(k, client)()
	until(t, func() error { return nodeReady(t, client) })
}

func nodeReady(t *testing.T, client *fake.Clientset) error {
	node, err := client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !isReady(node) {
		return fmt.Errorf("the node is not ready: %+v", node.Status.Conditions)
	}
	_, err = client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), nodeName, metav1.GetOptions{})
	return err
}

func wantReady(pod *corev1.Pod) error {
	if condition(pod.Status, corev1.PodReady).Status != corev1.ConditionTrue {
		return fmt.Errorf("pod %s is not ready: %+v", pod.Name, pod.Status)
	}
	return nil
}

func eventually(t *testing.T, client *fake.Clientset, name string, cond func(*corev1.Pod) error) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	until(t, func() (err error) {
		if pod, err = client.CoreV1().Pods("shop").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		return cond(pod)
	})
	return pod
}

func until(t *testing.T, cond func() error) {
	t.Helper()
	const within, pause = 20 * time.Second, 10 * time.Millisecond
	deadline := time.Now().Add(within)
	for err := cond(); err != nil; err = cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(pause)
	}
}

func where(ip string, port int) string {
	return netip.AddrPortFrom(netplan.Loopback(netip.MustParseAddr(ip)), uint16(port)).String()
}

func fetch(ip string, port int) (page, error) {
	var p page
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get("http://" + where(ip, port))
	if err != nil {
		return p, err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return p, err
	}
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, "addrs") {
			return p, json.Unmarshal([]byte(line), &p)
		}
	}
	return p, fmt.Errorf("no line with addrs in %q", body)
}
