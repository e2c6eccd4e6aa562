package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestTrafficFaults: while one thing after the other breaks, clients ask all the time. No question fails and no connection ends for
// as long as the endpoint at its other end lives.
func TestTrafficFaults(t *testing.T) {
	w := newWorld(t, 3)
	flags := []string{"--mcs-api", "--local-check-interval", "100ms"}
	p := w.startServices(flags...)
	c := newClusterset(t, w, p, "traffic")
	var pods []*lonePod
	for n := range 6 {
		pods = append(pods, startPod(t, n+1))
	}
	for i := range 2 {
		c.loneService(i)
		c.endpoints(i, pods[2*i], pods[2*i+1])
		c.share(i, "")
	}
	clients := gather(t, c.balanced(0))
	defer func() { clients.disperse() }()
	clients.awaitAnswers("at the beginning", pods[:4]...)
	clients.forget() // there was no endpoint yet
	clients.stay(8)

	lost := c.member(1)
	for _, component := range []string{"etcd", "kube-apiserver"} {
		if err := syscall.Kill(w.fleet.PID(t, lost, component), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	clients.awaitAnswers("right after kill -9 of a control plane", pods[:4]...)
	c.await("the control plane is back", func() error {
		_, err := w.client(lost).Resource(namespacesOfCore).Get(context.Background(), c.ns, metav1.GetOptions{})
		return err
	})
	c.endpoints(1, pods[2], pods[3], pods[4])
	clients.awaitAnswers("a pod came on the member that was killed", pods[:5]...)
	clients.check("kill -9 of a control plane", 0)

	w.fleet.StopMember(t, lost)
	p.awaitOutOfReach(lost)
	c.endpoints(0, pods[0], pods[1], pods[5])
	clients.awaitAnswers("the API of one member is cut off, a pod came on another", pods...)
	clients.check("the API alone is cut off", 0)
	w.fleet.StartMember(t, lost)
	p.awaitReached(lost)
	clients.awaitAnswers("the API is back", pods...)
	clients.check("the API is back", 0)

	pods[2].Kill() // the data path alone: the API goes on saying that it is ready
	clients.awaitAnswers("a pod was killed", pods[0], pods[1], pods[3], pods[4], pods[5])
	clients.check("kill -9 of a pod", askers, pods[2])
	clients.awaitAnswers("some time later", pods[0], pods[1], pods[3], pods[4], pods[5])
	clients.check("after that", 0)
	pods[2] = startPod(t, 3)
	clients.awaitAnswers("it listens again", pods...)
	clients.check("it listens again", 0)

	c.delete(1, standardExports, "hello")
	c.delete(1, services, "hello")
	clients.awaitAnswers("an exporter went", pods[0], pods[1], pods[5])
	c.loneService(1)
	c.share(1, "")
	clients.awaitAnswers("the exporter is made anew", pods...)
	clients.check("an exporter made anew", 0)

	churn(c)
	clients.awaitAnswers("after exports came and went", pods...)
	clients.check("exports that come and go", 0)

	datagrams(newClusterset(t, w, p, "datagrams"))

	before := byName(c.slices(2))
	p.kill()
	p = w.start(flags...)
	clients.awaitAnswers("gitfleet was killed and started", pods...)
	clients.forget() // the proxy carried them
	c.marked("after-a-kill", 2)
	wantSame(t, "gitfleet was killed and started", before, byName(c.slices(2)))
	clients.awaitAnswers("some time later", pods...)
	clients.check("after gitfleet was killed and started", 0)
	p.stop()
}

// churn exports and un-exports fifty times a second, GITFLEET_CHURN long, on all members. In the end what is exported is imported
// everywhere, and nothing else.
func churn(c *clusterset) {
	c.t.Helper()
	const rate, names = 50, 25
	lasts := 5 * time.Second
	if text := os.Getenv("GITFLEET_CHURN"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			c.t.Fatal(err)
		}
	}
	name := func(n int) string { return fmt.Sprintf("churn-%02d", n) }
	for n := range names {
		for i := range c.w.fleet.Members {
			c.apply(i, serviceWithoutSelector(c.ns, name(n), "{port: 1}"))
		}
	}
	exported := make([]map[int]bool, len(c.w.fleet.Members)) // by member, then service
	var mu sync.Mutex
	var writers errgroup.Group
	writers.SetLimit(8)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	done := 0
	for end := time.Now().Add(lasts); time.Now().Before(end); <-tick.C {
		i, n := done%len(exported), done/len(exported)%names
		done++
		writers.Go(func() error {
			mu.Lock()
			if exported[i] == nil {
				exported[i] = map[int]bool{}
			}
			was := exported[i][n]
			exported[i][n] = !was
			mu.Unlock()
			exports := c.w.client(c.member(i)).Resource(standardExports).Namespace(c.ns)
			if was {
				return exports.Delete(context.Background(), name(n), metav1.DeleteOptions{})
			}
			_, err := exports.Create(context.Background(), &unstructured.Unstructured{Object: map[string]any{"apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceExport",
				"metadata": map[string]any{"name": name(n), "namespace": c.ns}}}, metav1.CreateOptions{})
			return err
		})
	}
	if err := writers.Wait(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("%d exports and un-exports in %s", done, lasts)
	want := []string{"hello"}
	for n := range names {
		if slices.ContainsFunc(exported, func(on map[int]bool) bool { return on[n] }) {
			want = append(want, name(n))
		}
	}
	slices.Sort(want)
	for i := range c.w.fleet.Members {
		c.await("imports after exports came and went", func() error {
			list, err := c.w.client(c.member(i)).Resource(standardImports).Namespace(c.ns).List(context.Background(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			var got []string
			for _, u := range list.Items {
				got = append(got, u.GetName())
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s imports %v, exported are %v", c.member(i), got, want)
			}
			return nil
		})
	}
}

// datagrams: a service may have TCP and UDP on one port; the answer comes from where the question went.
func datagrams(c *clusterset) {
	c.t.Helper()
	pod, err := net.ListenPacket("udp4", fmt.Sprintf("127.253.0.9:%d", podPort))
	if err != nil {
		c.t.Fatal(err)
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer pod.Close()
	work.Go(func() {
		for buffer := make([]byte, 1500); ; {
			n, from, err := pod.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			_, _ = pod.WriteTo(append([]byte("answer to "), buffer[:n]...), from) // what is lost is asked again
		}
	})
	c.apply(1, serviceWithoutSelector(c.ns, "hello", "{name: tcp, port: 18490}, {name: udp, port: 18490, protocol: UDP}"))
	c.apply(1, endpointSlice(c.ns, "IPv4", "udp", corev1.ProtocolUDP, podPort, readyEndpoint("10.253.0.9")))
	c.share(1, "")
	client, err := net.Dial("udp4", c.balanced(0))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	c.await("an answer by UDP", func() error {
		if _, err := client.Write([]byte("a datagram")); err != nil {
			return err // refused, as long as nothing listens
		}
		if err := client.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		buffer := make([]byte, 1500)
		n, err := client.Read(buffer)
		if err == nil && string(buffer[:n]) != "answer to a datagram" {
			err = fmt.Errorf("got %q", buffer[:n])
		}
		return err
	})
}
