package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gitfleet/gitfleet/test/localfleet/cloud"
	"github.com/gitfleet/gitfleet/test/localfleet/kubelet"
	"github.com/gitfleet/gitfleet/test/localfleet/netplan"
)

const readyPoll = 50 * time.Millisecond

// cluster is one control plane: etcd, API server, and while that is ready the controllers and the simulated nodes.
type cluster struct {
	name     string
	hub      bool
	location string
	layout   Layout
	listen   netip.AddrPort
	adverts  netip.Addr
	access   access
	client   kubernetes.Interface
	kubelet  *kubelet.Kubelet // nil for the hub
	cloud    *cloud.Cloud     // the same
	egress   *egress
	nodes    int
	changed  func()
	say      func(cluster, message string)
	log      *slog.Logger

	etcd, api, manager, scheduler *component // scheduler is nil for the hub

	mu    sync.Mutex
	phase Phase
	ready chan struct{}      // closed when phase becomes Ready
	stop  context.CancelFunc // non-nil while it runs
	done  chan struct{}      // closed when run has ended
}

// spec says what to build a cluster from.
type spec struct {
	name     string
	index    int // 0 is the hub
	nodes    int
	location string
	version  string
	audit    bool

	dualStack bool
}

func newCluster(s spec, plan netplan.Plan, layout Layout, log *slog.Logger) (*cluster, error) {
	c := &cluster{name: s.name, hub: s.index == 0, location: s.location, layout: layout, nodes: s.nodes,
		listen: plan.API(s.index), adverts: plan.Advertised(s.index), log: log.With("cluster", s.name),
		phase: Stopped, changed: func() {}, say: func(string, string) {}}
	admin, err := c.writeFiles(time.Now())
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", s.name, err)
	}
	if c.client, err = kubernetes.NewForConfig(admin); err != nil {
		return nil, fmt.Errorf("cluster %s: client: %w", s.name, err)
	}
	if c.egress, err = newEgress(layout.cluster(s.name), plan, c.log); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", s.name, err)
	}
	c.etcd = c.component(Etcd, etcdArgs())
	c.api = c.component(APIServer, apiServerArgs(c.listen, c.adverts, s.dualStack))
	if s.audit {
		c.api.args = append(c.api.args, auditArgs(layout.AuditLog(s.name))...)
	}
	c.api.while = c.serve
	c.manager = c.component(ControllerManager, managerArgs(c.name, c.hub))
	if !c.hub {
		c.scheduler = c.component(Scheduler, schedulerArgs())
		c.kubelet = kubelet.New(kubeletConfig(s, plan, c.log))
		c.cloud = cloud.New(plan.LoadBalancers(s.index), c.log)
	}
	return c, nil
}

func kubeletConfig(s spec, plan netplan.Plan, log *slog.Logger) kubelet.Config {
	config := kubelet.Config{Cluster: s.name, FirstPod: plan.FirstPod(s.index), Pods: plan.Pods(s.index), Log: log}
	for n := range s.nodes {
		config.Nodes = append(config.Nodes, kubelet.Node{
			Name: fmt.Sprintf("%s-node-%d", s.name, n+1),
			Addr: plan.Node(s.index, n),
			Labels: map[string]string{
				corev1.LabelTopologyRegion: s.location,
				corev1.LabelTopologyZone:   fmt.Sprintf("%s-%d", s.location, n+1),
			},
			Version: s.version,
		})
	}
	return config
}

func (c *cluster) component(name string, args []string) *component {
	return &component{name: name, args: args, dir: c.layout.cluster(c.name), log: c.layout.Log(c.name, name),
		changed: func() { c.changed() }, logger: c.log}
}

// start begins to run the control plane; it is no error when it runs already.
func (c *cluster) start(parent context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(parent)
	c.stop, c.done, c.phase, c.ready = cancel, make(chan struct{}), Starting, make(chan struct{})
	go func() {
		defer close(c.done)
		var wg sync.WaitGroup
		wg.Go(func() { c.etcd.run(ctx) })
		wg.Go(func() { c.api.run(ctx) })
		wg.Wait()
	}()
}

// halt ends the control plane and returns when its processes are gone. Its data and its pods stay.
func (c *cluster) halt() {
	c.mu.Lock()
	stop, done := c.stop, c.done
	c.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	<-done
	c.mu.Lock()
	c.stop, c.phase = nil, Stopped
	c.mu.Unlock()
	c.changed()
}

// serve runs what needs the API server, from when it is ready until it ends. The controllers are started anew with
// every API server: left alone they would wait up to half a minute before they try to reach it again.
func (c *cluster) serve(ctx context.Context) {
	if !poll(ctx, func() bool { return c.answers(ctx) }) {
		return
	}
	c.say(c.name, "API server answers")
	var wg sync.WaitGroup
	wg.Go(func() { c.manager.run(ctx) })
	if !c.hub {
		wg.Go(func() { c.scheduler.run(ctx) })
		wg.Go(func() { c.kubelet.Run(ctx, c.client) })
		wg.Go(func() { c.cloud.Run(ctx, c.client) })
	}
	if poll(ctx, func() bool { return c.usable(ctx) }) {
		c.setReady()
		<-ctx.Done()
	}
	wg.Wait()
	c.unready()
}

func (c *cluster) setReady() {
	c.mu.Lock()
	c.phase = Ready
	c.mu.Unlock()
	c.changed()
	c.say(c.name, "ready")
	close(c.ready) // last, so that who waits for it finds all of the above done
}

// unready follows the end of an API server that nobody asked for.
func (c *cluster) unready() {
	c.mu.Lock()
	if c.phase == Ready {
		c.phase, c.ready = Starting, make(chan struct{})
	}
	c.mu.Unlock()
	c.changed()
}

// waitReady returns nil when the cluster is ready, or why it is not: it failed to within the time ctx gives.
func (c *cluster) waitReady(ctx context.Context) error {
	c.mu.Lock()
	ready := c.ready
	c.mu.Unlock()
	if ready == nil {
		return fmt.Errorf("cluster %s is stopped", c.name)
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cluster %s is not ready: %w; see %s and the logs beside it", c.name, context.Cause(ctx), c.blame())
	}
}

// blame names the log that most likely tells why the cluster is not ready: that of the first component that died, else
// of the last one that was started, for the next one waits for it.
func (c *cluster) blame() string {
	last := c.etcd
	for _, part := range c.components() {
		s := part.state()
		if s.Restarts > 0 {
			return part.log
		}
		if s.PID == 0 {
			break
		}
		last = part
	}
	return last.log
}

func (c *cluster) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err == nil
}

// usable tells whether a user can deploy: pods would be admitted (they need the default account) and scheduled.
func (c *cluster) usable(ctx context.Context) bool {
	if _, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return false
	}
	if c.hub {
		return true
	}
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false
	}
	schedulable := 0
	for _, node := range nodes.Items {
		if len(node.Spec.Taints) == 0 {
			schedulable++
		}
	}
	return schedulable >= c.nodes
}

func poll(ctx context.Context, done func() bool) bool {
	for !done() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(readyPoll):
		}
	}
	return true
}

func (c *cluster) components() []*component {
	all := []*component{c.etcd, c.api, c.manager}
	if !c.hub {
		all = append(all, c.scheduler)
	}
	return all
}

func (c *cluster) state() ClusterState {
	c.mu.Lock()
	phase := c.phase
	c.mu.Unlock()
	s := ClusterState{Name: c.name, Phase: phase, Location: c.location,
		Server: "https://" + c.listen.String()}
	if c.kubelet != nil {
		s.Pods = c.kubelet.Answering()
	}
	for _, part := range c.components() {
		s.Components = append(s.Components, part.state())
	}
	return s
}

func (c *cluster) remove() {
	if c.kubelet != nil {
		c.kubelet.Close()
		c.cloud.Close()
	}
	c.egress.close()
	if err := os.RemoveAll(c.layout.cluster(c.name)); err != nil {
		c.log.Error("remove the cluster's files", "err", err)
	}
}
