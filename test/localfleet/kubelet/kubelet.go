// Package kubelet simulates the nodes of one cluster: it keeps Node objects Ready and answers for the pods bound to
// them. No container runs; every pod is an HTTP listener in this process.
//
// Why not kwok: kwok writes statuses and runs nothing. Here a pod may only become Ready once somebody answers on its
// address, and must stop answering before it is gone, so the writer of the status and the owner of the listener have to
// be one thing.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// maxAddressTries bounds how many addresses a new pod tries when others on this machine listen on them already.
const maxAddressTries = 32

// Config says what is simulated.
type Config struct {
	Cluster  string       // what the pods' pages call this cluster
	Nodes    []Node       // at least one
	FirstPod netip.Addr   // the lowest address for pods
	Pods     netip.Prefix // the range of addresses for pods
	Log      *slog.Logger
}

// Node is one simulated node.
type Node struct {
	Name    string
	Addr    netip.Addr
	Labels  map[string]string
	Version string // of the kubelet it claims to run, for example v1.37.2
}

// Kubelet holds the pods. They outlive the API server: Run ends when it goes away and is called again when it is back;
// in between the pods answer as before.
type Kubelet struct {
	cfg  Config
	mu   sync.Mutex
	pods map[types.NamespacedName]*answerer
	pool *pool
}

// New returns a kubelet without pods.
func New(cfg Config) *Kubelet {
	return &Kubelet{cfg: cfg, pods: map[types.NamespacedName]*answerer{}, pool: newPool(cfg.FirstPod, cfg.Pods)}
}

// Run keeps nodes and pods in step with one API server until ctx ends.
func (k *Kubelet) Run(ctx context.Context, client kubernetes.Interface) {
	var wg sync.WaitGroup
	wg.Go(func() { k.heartbeats(ctx, client) })
	wg.Go(func() { newSession(k, client).run(ctx) })
	wg.Wait()
}

// Close ends every pod's listener. Run must have returned.
func (k *Kubelet) Close() {
	for _, key := range k.keys() {
		k.drop(key)
	}
}

// Answering returns how many pods have an address.
func (k *Kubelet) Answering() int { return len(k.keys()) }

func (k *Kubelet) keys() []types.NamespacedName {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make([]types.NamespacedName, 0, len(k.pods))
	for key := range k.pods {
		keys = append(keys, key)
	}
	return keys
}

func (k *Kubelet) get(key types.NamespacedName) *answerer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pods[key]
}

// drop ends the pod's listener at once and gives its address back.
func (k *Kubelet) drop(key types.NamespacedName) {
	k.mu.Lock()
	a := k.pods[key]
	delete(k.pods, key)
	if a != nil {
		k.pool.release(a.addr)
	}
	k.mu.Unlock()
	if a != nil {
		a.close()
	}
}

// ensure returns the pod's answerer with its ports open. An error with an answerer means: it has an address, but some
// port could not be opened.
func (k *Kubelet) ensure(pod *corev1.Pod, ports []int32) (*answerer, error) {
	key := keyOf(pod)
	if a := k.get(key); a != nil {
		a.show(pod, k.cfg.Cluster)
		err := a.listen(ports)
		if err == nil || a.published {
			return a, err
		}
		k.drop(key)
	}
	return k.place(pod, ports)
}

// place finds an address on which nobody else of this machine listens. Those that failed stay marked as used, so that
// the next pod does not try them again; unless all did: then a stranger has the port on every address, and the pod keeps
// the last one, with the error that says so.
func (k *Kubelet) place(pod *corev1.Pod, ports []int32) (*answerer, error) {
	var taken []*answerer
	for {
		a, err := k.assign(pod)
		if err != nil {
			return nil, err
		}
		err = a.listen(ports)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return a, err
		}
		if len(taken) == maxAddressTries {
			k.release(taken)
			return a, fmt.Errorf("no free address after %d tries: %w", maxAddressTries, err)
		}
		a.close()
		taken = append(taken, a)
	}
}

func (k *Kubelet) release(answerers []*answerer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range answerers {
		k.pool.release(a.addr)
	}
}

func (k *Kubelet) assign(pod *corev1.Pod) (*answerer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	addr, err := k.pool.take()
	if err != nil {
		return nil, err
	}
	a := newAnswerer(pod.UID, addr)
	a.show(pod, k.cfg.Cluster)
	k.pods[keyOf(pod)] = a
	return a, nil
}

func (k *Kubelet) node(name string) (Node, bool) {
	for _, n := range k.cfg.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

func keyOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// drainFor returns how long a pod that is being deleted still answers new connections: its preStop sleep, else a moment
// in which load balancers can learn that it is going; never longer than its grace period.
func drainFor(pod *corev1.Pod) time.Duration {
	const moment = time.Second
	d := moment
	for _, c := range pod.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
			d = max(d, time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second)
		}
	}
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		d = min(d, time.Duration(*g)*time.Second)
	}
	return d
}
