// Package cloud stands for a cloud's load balancer controller in one cluster: every Service of type LoadBalancer gets an
// address and is answered there, by this process, which passes connections on to the ready endpoints of its EndpointSlices. Those
// may be pods of other clusters of the same fleet. TCP only.
package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Cloud holds the load balancers of one cluster. They outlive the API server, as a cloud's do: Run ends when it goes away and is
// called again when it is back.
type Cloud struct {
	addresses netip.Prefix
	log       *slog.Logger

	mu        sync.Mutex
	balancers map[types.NamespacedName]*balancer
	next      netip.Addr
}

// New returns a cloud that gives addresses of a range, as objects show them (see package netplan).
func New(addresses netip.Prefix, log *slog.Logger) *Cloud {
	return &Cloud{addresses: addresses, log: log, balancers: map[types.NamespacedName]*balancer{}, next: addresses.Addr().Next()}
}

// Close ends every load balancer. Run must have returned.
func (c *Cloud) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.balancers {
		b.close()
	}
	clear(c.balancers)
}

// run is the work against one API server for as long as it lives.
type run struct {
	cloud    *Cloud
	client   kubernetes.Interface
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	queue    workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

// Run keeps load balancers and statuses in step with one API server until ctx ends.
func (c *Cloud) Run(ctx context.Context, client kubernetes.Interface) {
	factory := informers.NewSharedInformerFactory(client, 0)
	services, endpoints := factory.Core().V1().Services(), factory.Discovery().V1().EndpointSlices()
	r := &run{cloud: c, client: client, services: services.Lister(), slices: endpoints.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](20*time.Millisecond, 5*time.Second))}
	defer r.queue.ShutDown()
	if err := errors.Join(r.follow(services.Informer(), keyOf), r.follow(endpoints.Informer(), serviceOf)); err != nil {
		c.log.Error("watch services", "err", err)
		return
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), services.Informer().HasSynced, endpoints.Informer().HasSynced) {
		return
	}
	for _, key := range c.keys() { // of Services that were deleted while the API server was away
		r.queue.Add(key)
	}
	stop := context.AfterFunc(ctx, r.queue.ShutDown)
	defer stop()
	for r.one(ctx) {
	}
}

func (c *Cloud) keys() []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []types.NamespacedName
	for key := range c.balancers {
		keys = append(keys, key)
	}
	return keys
}

// follow has the Service that an object is about looked at, whenever the object changes.
func (r *run) follow(informer cache.SharedIndexInformer, about func(metav1.Object) types.NamespacedName) error {
	notice := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if o, ok := obj.(metav1.Object); ok {
			r.queue.Add(about(o))
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: notice, UpdateFunc: func(_, obj any) { notice(obj) }, DeleteFunc: notice})
	return err
}

func keyOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func serviceOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetLabels()[discoveryv1.LabelServiceName]}
}

func (r *run) one(ctx context.Context) bool {
	key, ended := r.queue.Get()
	if ended {
		return false
	}
	defer r.queue.Done(key)
	if err := r.sync(ctx, key); err != nil && ctx.Err() == nil {
		r.cloud.log.Info("load balancer not in step, will be repeated", "service", key.String(), "err", err)
		r.queue.AddRateLimited(key)
	} else {
		r.queue.Forget(key)
	}
	return true
}

// sync brings the load balancer of one Service to where its objects want it. A class means that another controller is asked.
func (r *run) sync(ctx context.Context, key types.NamespacedName) error {
	service, err := r.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) || err == nil && (service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.Spec.LoadBalancerClass != nil) {
		r.cloud.drop(key)
		return nil
	}
	if err != nil {
		return err
	}
	b, err := r.cloud.ensure(key, service)
	if err != nil {
		return err
	}
	endpoints, err := r.slices.EndpointSlices(key.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: key.Name}))
	if err != nil {
		return err
	}
	problem := b.serve(service.Spec.Ports, targets(endpoints))
	return errors.Join(problem, r.tell(ctx, service, b.address))
}

// tell writes the address into the status, where it is not there yet.
func (r *run) tell(ctx context.Context, service *corev1.Service, address netip.Addr) error {
	want := []corev1.LoadBalancerIngress{{IP: address.String(), IPMode: new(corev1.LoadBalancerIPModeVIP)}}
	if have := service.Status.LoadBalancer.Ingress; len(have) == 1 && have[0].IP == want[0].IP {
		return nil
	}
	service = service.DeepCopy()
	service.Status.LoadBalancer.Ingress = want
	_, err := r.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{FieldManager: "localfleet-cloud"})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (c *Cloud) drop(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.balancers[key]; b != nil {
		b.close()
		delete(c.balancers, key)
	}
}

// ensure returns the load balancer of a Service. It keeps the address that the status has, also after a restart.
func (c *Cloud) ensure(key types.NamespacedName, service *corev1.Service) (*balancer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.balancers[key]; b != nil {
		return b, nil
	}
	used := map[netip.Addr]bool{}
	for _, b := range c.balancers {
		used[b.address] = true
	}
	var address netip.Addr
	for _, at := range service.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(at.IP); err == nil && c.addresses.Contains(a) && !used[a] {
			address = a
		}
	}
	for range 1 << (32 - c.addresses.Bits()) {
		if address.IsValid() {
			break
		}
		if !used[c.next] {
			address = c.next
		}
		if c.next = c.next.Next(); !c.addresses.Contains(c.next) {
			c.next = c.addresses.Addr().Next()
		}
	}
	if !address.IsValid() {
		return nil, fmt.Errorf("all addresses of %s are in use", c.addresses)
	}
	b := &balancer{address: address, fronts: map[int32]*front{}}
	c.balancers[key] = b
	return b, nil
}

// targets returns, by name of the port, where ready endpoints listen, in one order.
func targets(endpoints []*discoveryv1.EndpointSlice) map[string][]netip.AddrPort {
	out := map[string][]netip.AddrPort{}
	for _, s := range endpoints {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
				continue
			}
			address, err := netip.ParseAddr(e.Addresses[0])
			if err != nil || !address.Is4() {
				continue
			}
			for _, p := range s.Ports {
				if p.Port != nil && p.Name != nil && (p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP) {
					out[*p.Name] = append(out[*p.Name], netip.AddrPortFrom(address, uint16(*p.Port)))
				}
			}
		}
	}
	for name, list := range out {
		slices.SortFunc(list, func(a, b netip.AddrPort) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
		})
		out[name] = slices.Compact(list)
	}
	return out
}
