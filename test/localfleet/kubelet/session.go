package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	workers   = 4
	pullDelay = time.Second            // ContainerCreating lasts this long before an image is found missing
	stopPoll  = 100 * time.Millisecond // how often a pod that finishes its last requests is looked at
)

// session is the work against one API server for as long as it lives.
type session struct {
	k        *Kubelet
	client   kubernetes.Interface
	pods     cache.SharedIndexInformer
	services cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

func newSession(k *Kubelet, client kubernetes.Interface) *session {
	bound := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(slim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
		}))
	all := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(slim))
	return &session{
		k:        k,
		client:   client,
		pods:     bound.Core().V1().Pods().Informer(),
		services: all.Core().V1().Services().Informer(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](
			20*time.Millisecond, 5*time.Second)),
	}
}

// slim drops what the simulation never reads.
func slim(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

// run works until ctx ends and returns when every goroutine of the session has ended.
func (s *session) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.queue.ShutDown()
	if err := s.watch(); err != nil {
		s.k.cfg.Log.Error("watch pods and services", "err", err)
		return
	}
	wg.Go(func() { s.pods.RunWithContext(ctx) })
	wg.Go(func() { s.services.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), s.pods.HasSynced, s.services.HasSynced) {
		return
	}
	for _, key := range s.k.keys() { // pods that were deleted while the API server was away
		s.queue.Add(key)
	}
	for range workers {
		wg.Go(func() {
			for s.next(ctx) {
			}
		})
	}
	<-ctx.Done()
}

func (s *session) watch() error {
	_, err := s.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    s.enqueue,
		UpdateFunc: func(_, obj any) { s.enqueue(obj) },
		DeleteFunc: s.enqueue,
	})
	if err != nil {
		return fmt.Errorf("pod handler: %w", err)
	}
	_, err = s.services.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    s.enqueueSelected,
		UpdateFunc: func(_, obj any) { s.enqueueSelected(obj) },
	})
	if err != nil {
		return fmt.Errorf("service handler: %w", err)
	}
	return nil
}

func (s *session) enqueue(obj any) {
	name, err := cache.DeletionHandlingObjectToName(obj)
	if err != nil {
		s.k.cfg.Log.Error("event without an object", "err", err)
		return
	}
	s.queue.Add(types.NamespacedName{Namespace: name.Namespace, Name: name.Name})
}

// enqueueSelected has the pods of a Service looked at: it may send to a port on which they do not listen yet.
func (s *session) enqueueSelected(obj any) {
	service, ok := obj.(*corev1.Service)
	if !ok || len(service.Spec.Selector) == 0 {
		return
	}
	selector := labels.SelectorFromSet(service.Spec.Selector)
	for _, obj := range s.pods.GetStore().List() {
		if pod, ok := obj.(*corev1.Pod); ok && pod.Namespace == service.Namespace && selector.Matches(labels.Set(pod.Labels)) {
			s.enqueue(pod)
		}
	}
}

func (s *session) next(ctx context.Context) bool {
	key, shutdown := s.queue.Get()
	if shutdown {
		return false
	}
	defer s.queue.Done(key)
	err := s.sync(ctx, key)
	if err == nil || ctx.Err() != nil {
		s.queue.Forget(key)
		return true
	}
	if !apierrors.IsConflict(err) { // a conflict only says that a newer pod is on its way here
		s.k.cfg.Log.Info("pod not in step, will be repeated", "pod", key.String(), "err", err)
	}
	s.queue.AddRateLimited(key)
	return true
}

// sync brings the listener and the status of one pod to where its object wants them.
func (s *session) sync(ctx context.Context, key types.NamespacedName) error {
	obj, exists, err := s.pods.GetStore().GetByKey(key.String())
	if err != nil {
		return fmt.Errorf("look up pod %s: %w", key, err)
	}
	pod, _ := obj.(*corev1.Pod)
	if !exists || pod == nil {
		s.k.drop(key)
		return nil
	}
	if a := s.k.get(key); a != nil && a.uid != pod.UID {
		s.k.drop(key) // deleted and made again under the same name
	}
	node, ours := s.k.node(pod.Spec.NodeName)
	switch {
	case !ours:
		return nil
	case pod.DeletionTimestamp != nil:
		return s.terminate(ctx, pod, node)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		s.k.drop(key)
		return nil
	}
	return s.start(ctx, pod, node)
}

// start opens the pod's listeners and only then writes that it is ready.
func (s *session) start(ctx context.Context, pod *corev1.Pod, node Node) error {
	var ports []int32
	if canRun(pod) && !runsToCompletion(pod) {
		ports = Ports(pod, s.servicesOf(pod.Namespace))
	} else if a := s.k.get(keyOf(pod)); a != nil && len(a.listeners) > 0 {
		s.k.drop(keyOf(pod)) // its image was changed to one that is missing
	}
	a, listenErr := s.k.ensure(pod, ports)
	if a == nil {
		return listenErr
	}
	v := view{podIP: a.addr.String(), hostIP: node.Addr.String(), now: metav1.Now()}
	if listenErr != nil {
		v.problem = listenErr.Error()
	}
	if err := s.write(ctx, pod, desiredStatus(pod, v)); err != nil {
		return err
	}
	a.published = true
	if len(pod.Status.ContainerStatuses) == 0 && !canRun(pod) {
		s.queue.AddAfter(keyOf(pod), pullDelay)
	}
	return listenErr
}

// terminate lets a pod that is being deleted answer for a while, then finish its requests, then removes its object.
// Every step is a call of its own, so that no worker waits.
func (s *session) terminate(ctx context.Context, pod *corev1.Pod, node Node) error {
	key := keyOf(pod)
	if g := pod.DeletionGracePeriodSeconds; g != nil && *g == 0 {
		s.k.drop(key) // only a finalizer still holds the object
		return nil
	}
	if a := s.k.get(key); a != nil {
		switch now := time.Now(); {
		case a.drainUntil.IsZero():
			a.drainUntil = now.Add(drainFor(pod))
			s.queue.AddAfter(key, drainFor(pod))
			return nil
		case a.stopped == nil && now.Before(a.drainUntil):
			s.queue.AddAfter(key, a.drainUntil.Sub(now))
			return nil
		case a.stopped == nil:
			a.drain(pod.DeletionTimestamp.Time) // which is when the grace period ends
			s.queue.AddAfter(key, stopPoll)
			return nil
		}
		select {
		case <-a.stopped:
		default:
			s.queue.AddAfter(key, stopPoll)
			return nil
		}
	}
	return s.remove(ctx, pod, node)
}

// remove writes the last status, which controllers with finalizers on the pod wait for, and deletes the object.
func (s *session) remove(ctx context.Context, pod *corev1.Pod, node Node) error {
	if pod.Status.Phase == corev1.PodRunning {
		st := desiredStatus(pod, view{podIP: pod.Status.PodIP, hostIP: node.Addr.String(), stopped: true, now: metav1.Now()})
		if err := s.write(ctx, pod, st); err != nil {
			return err
		}
	}
	now := int64(0)
	err := s.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", keyOf(pod), err)
	}
	return nil
}

func (s *session) write(ctx context.Context, pod *corev1.Pod, st corev1.PodStatus) error {
	if equality.Semantic.DeepEqual(pod.Status, st) {
		return nil
	}
	changed := pod.DeepCopy()
	changed.Status = st
	if _, err := s.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("status of pod %s: %w", keyOf(pod), err)
	}
	return nil
}

func (s *session) servicesOf(namespace string) []*corev1.Service {
	objs, err := s.services.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil { // the index is one of the informer's own
		s.k.cfg.Log.Error("services of a namespace", "namespace", namespace, "err", err)
		return nil
	}
	var services []*corev1.Service
	for _, obj := range objs {
		if service, ok := obj.(*corev1.Service); ok {
			services = append(services, service)
		}
	}
	return services
}

func canRun(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if missing(c) {
				return false
			}
		}
	}
	return true
}
