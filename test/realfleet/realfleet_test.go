package realfleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/test/realfleet"
)

// shop has a Service with a named target port and a Deployment that declares it, and a rollout that can not work.
const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: web, image: example.test/shop:1, ports: [{name: http, containerPort: 9090}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports: [{port: 8000, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: broken}
spec:
  selector: {matchLabels: {app: broken}}
  template:
    metadata: {labels: {app: broken}}
    spec:
      containers:
      - {name: web, image: example.test/does-not-exist:1}
`

const wait = time.Minute

func TestFleet(t *testing.T) {
	var pids []int
	t.Run("while it is up", func(t *testing.T) {
		f := realfleet.Start(t, 2)
		member := f.Members[0]
		pids = processes(t, f.Dir)
		f.Apply(t, member, shop)
		f.Kubectl(t, member, "rollout", "status", "deployment/shop", "--timeout=60s")

		t.Run("the hub is a cluster too", func(t *testing.T) { f.Kubectl(t, realfleet.Hub, "get", "namespaces") })
		t.Run("pods answer", func(t *testing.T) { podsAnswer(t, f, member) })
		t.Run("a missing image stays unready", func(t *testing.T) { missingImage(t, f, member) })
		t.Run("a deleted pod finishes its requests", func(t *testing.T) { deletedPod(t, f, member) })
		for _, component := range []string{"kube-apiserver", "etcd"} {
			t.Run("kill -9 of "+component, func(t *testing.T) { killed(t, f, member, component) })
		}
		t.Run("stop and start", func(t *testing.T) { stopAndStart(t, f, member) })
		t.Run("up again is refused", func(t *testing.T) { upAgain(t, f) })
		t.Run("the API server reaches pods", func(t *testing.T) { proxied(t, f, member) })
		pids = append(pids, processes(t, f.Dir)...)
	})
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is left after the fleet went down", pid)
		}
	}
}

func podsAnswer(t *testing.T, f *realfleet.Fleet, member string) {
	for _, ip := range podIPs(t, f, member, "app=shop") {
		got, err := get(t, ip, "")
		if err != nil {
			t.Fatalf("pod %s on the port that its Service targets: %v", ip, err)
		}
		if !slices.Equal(got.Addrs, []string{ip}) || got.Cluster != member || got.Labels["app"] != "shop" {
			t.Errorf("pod %s on %s says it is %+v", ip, member, got)
		}
	}
}

func missingImage(t *testing.T, f *realfleet.Fleet, member string) {
	const waiting = "jsonpath={.items[0].status.phase} {.items[0].status.containerStatuses[0].state.waiting.reason}"
	realfleet.Eventually(t, wait, func() error {
		got := f.Kubectl(t, member, "get", "pods", "-l", "app=broken", "-o", waiting)
		if want := "Pending ImagePullBackOff"; got != want {
			return fmt.Errorf("pod with a missing image is %q, want %q", got, want)
		}
		return nil
	})
	if got := f.Kubectl(t, member, "get", "deployment", "broken", "-o", "jsonpath={.status.readyReplicas}"); got != "" {
		t.Errorf("%s pods of a missing image are ready", got)
	}
}

func deletedPod(t *testing.T, f *realfleet.Fleet, member string) {
	pod := f.Kubectl(t, member, "get", "pods", "-l", "app=shop", "-o", "jsonpath={.items[0].metadata.name}")
	ip := f.Kubectl(t, member, "get", "pod", pod, "-o", "jsonpath={.status.podIP}")
	slow := make(chan error, 1)
	go func() {
		_, err := get(t, ip, "?delay=3s")
		slow <- err
	}()
	f.Kubectl(t, member, "delete", "pod", pod) // waits until the object is gone
	if err := <-slow; err != nil {
		t.Errorf("a request that was under way when its pod was deleted: %v", err)
	}
	if page, err := get(t, ip, ""); err == nil && page.Hostname == pod {
		t.Errorf("deleted pod %s still answers", pod)
	}
	f.Kubectl(t, member, "rollout", "status", "deployment/shop", "--timeout=60s")
}

func killed(t *testing.T, f *realfleet.Fleet, member, component string) {
	before := podIPs(t, f, member, "app=shop")
	mark := "mark-" + component
	f.Kubectl(t, member, "create", "configmap", mark)
	server := f.Config(t, member).Host
	pid := f.PID(t, member, component)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", component, err)
	}
	realfleet.Eventually(t, wait, func() error {
		if now := f.PID(t, member, component); now == pid || now == 0 {
			return fmt.Errorf("%s was not started again", component)
		}
		_, err := f.KubectlErr(t, member, "get", "configmap", mark)
		return err
	})
	if now := f.Config(t, member).Host; now != server {
		t.Errorf("the API server moved from %s to %s", server, now)
	}
	if after := podIPs(t, f, member, "app=shop"); !slices.Equal(after, before) {
		t.Errorf("pods changed from %q to %q", before, after)
	}
	// Controllers and nodes work again, too.
	f.Kubectl(t, member, "rollout", "restart", "deployment/shop")
	f.Kubectl(t, member, "rollout", "status", "deployment/shop", "--timeout=60s")
}

func stopAndStart(t *testing.T, f *realfleet.Fleet, member string) {
	ips := podIPs(t, f, member, "app=shop")
	f.StopMember(t, member)
	if pid := f.PID(t, member, "kube-apiserver"); pid != 0 {
		t.Errorf("the API server of a stopped member is process %d", pid)
	}
	if _, err := f.KubectlErr(t, member, "get", "namespaces"); err == nil {
		t.Error("a stopped member answers kubectl")
	}
	f.Kubectl(t, f.Members[1], "get", "namespaces") // the other one is not concerned
	for _, ip := range ips {
		if _, err := get(t, ip, ""); err != nil {
			t.Errorf("pod of a member whose control plane is stopped: %v", err)
		}
	}
	f.StartMember(t, member)
	if after := podIPs(t, f, member, "app=shop"); !slices.Equal(after, ips) {
		t.Errorf("pods changed from %q to %q", ips, after)
	}
}

func upAgain(t *testing.T, f *realfleet.Fleet) {
	out, err := exec.Command(binary(t), "--dir", f.Dir, "up", "--members", "1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "already runs") {
		t.Errorf("up on a running fleet: %v, %q; want an error that says it runs", err, out)
	}
}

func proxied(t *testing.T, f *realfleet.Fleet, member string) {
	if out := f.Kubectl(t, member, "get", "--raw", "/api/v1/namespaces/default/services/shop:8000/proxy/"); !strings.Contains(out, `"addrs"`) {
		t.Errorf("service through the API server's proxy: %q", out)
	}
}

// TestKilledParent checks that a fleet goes down when the process that started it is killed.
func TestKilledParent(t *testing.T) {
	if os.Getenv("REALFLEET_HOLD") != "" {
		f := realfleet.Start(t, 1)
		fmt.Println(f.Dir)
		select {} // until it is killed
	}
	child := exec.Command(os.Args[0], "-test.run=^TestKilledParent$")
	child.Env = append(os.Environ(), "REALFLEET_HOLD=1")
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatalf("start the parent: %v", err)
	}
	var dir string
	if _, err := fmt.Fscanln(out, &dir); err != nil {
		t.Fatalf("the parent did not say where its fleet is: %v", err)
	}
	defer func() { _ = os.RemoveAll(filepath.Dir(dir)) }() // nobody else is left to do it
	pids := processes(t, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatalf("kill the parent: %v", err)
	}
	_ = child.Wait() // "signal: killed"
	realfleet.Eventually(t, wait, func() error {
		if i := slices.IndexFunc(pids, alive); i >= 0 {
			return fmt.Errorf("process %d of the fleet lives on after its parent was killed", pids[i])
		}
		if _, err := os.Stat(filepath.Join(dir, "kubeconfig")); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the fleet's kubeconfig is left after its parent was killed: %v", err)
		}
		return nil
	})
}

type page struct {
	Hostname string
	Addrs    []string
	Cluster  string
	Labels   map[string]string
}

// get asks the simulated pod with address ip, on the container port of shop, without reuse of connections.
func get(t *testing.T, ip, query string) (page, error) {
	var p page
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	response, err := client.Get("http://" + realfleet.Loopback(t, ip) + ":9090/" + query)
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

// podIPs returns the addresses of the pods with a label that are not being deleted, sorted. There must be two.
func podIPs(t *testing.T, f *realfleet.Fleet, member, selector string) []string {
	t.Helper()
	var pods corev1.PodList
	if err := json.Unmarshal([]byte(f.Kubectl(t, member, "get", "pods", "-l", selector, "-o", "json")), &pods); err != nil {
		t.Fatalf("pods %s: %v", selector, err)
	}
	var ips []string
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			ips = append(ips, pod.Status.PodIP)
		}
	}
	if len(ips) != 2 {
		t.Fatalf("addresses of the pods %s: %q, want two", selector, ips)
	}
	slices.Sort(ips)
	return ips
}

// processes returns the supervisor and every component of the fleet in dir.
func processes(t *testing.T, dir string) []int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatalf("state of the fleet: %v", err)
	}
	var state struct {
		PID      int
		Clusters []struct{ Components []struct{ PID int } }
	}
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatalf("state of the fleet: %v", err)
	}
	pids := []int{state.PID}
	for _, c := range state.Clusters {
		for _, part := range c.Components {
			pids = append(pids, part.PID)
		}
	}
	if len(pids) < 1+3+4 || slices.Contains(pids, 0) {
		t.Fatalf("processes %v: want a supervisor, three of the hub and four a member, all running", pids)
	}
	return pids
}

// alive tells whether pid runs; what is dead but not yet collected by its parent does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, fields, _ := strings.Cut(string(stat), ") ") // the name before it may hold spaces
	return !strings.HasPrefix(fields, "Z")
}

func binary(t *testing.T) string {
	t.Helper()
	if b := os.Getenv("GITFLEET_LOCALFLEET"); b != "" {
		return b
	}
	return "../../bin/localfleet"
}
