package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// Publisher keeps the hub's copies of placements and members as the last report has them.
type Publisher struct {
	session    *fleet.Session
	namespaces dynamic.ResourceInterface
	prepare    func(context.Context) error
	kinds      map[schema.GroupVersionKind]*kind

	mu sync.Mutex // of every kind's ahead, as the writes of one Publish are concurrent
}

// kind is one of the kinds that are published.
type kind struct {
	gvk    schema.GroupVersionKind
	client dynamic.NamespaceableResourceInterface
	watch  *fleet.Watch
	ahead  map[key]ahead
}

// at returns the client for the objects of k beside the one that is named.
func (k *kind) at(name key) dynamic.ResourceInterface {
	if name.namespace == "" {
		return k.client
	}
	return k.client.Namespace(name.namespace)
}

// ahead is what an own write came to, for as long as the watch still shows an older state.
type ahead struct {
	older  []string // resource versions that the watch may still show; "" stands for no object
	object *live    // nil when deleted
}

// NewPublisher starts to watch the hub behind session. prepare installs the definitions of the published kinds
// (crd.Hub) and makes no request when they are in place; Publish calls it first. The caller closes the session.
func NewPublisher(session *fleet.Session, prepare func(context.Context) error) *Publisher {
	p := &Publisher{session: session, prepare: prepare, kinds: map[schema.GroupVersionKind]*kind{},
		namespaces: session.Dynamic().Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))}
	for gvk, plural := range map[schema.GroupVersionKind]string{
		placementv1beta1.ClusterResourcePlacementGVK:       "clusterresourceplacements",
		placementv1beta1.ResourcePlacementGVK:              "resourceplacements",
		placementv1beta1.ClusterResourcePlacementStatusGVK: "clusterresourceplacementstatuses",
		clusterv1beta1.MemberClusterGVK:                    "memberclusters",
	} {
		gvr := gvk.GroupVersion().WithResource(plural)
		p.kinds[gvk] = &kind{
			gvk:    gvk,
			client: session.Dynamic().Resource(gvr),
			watch: session.Watch(fleet.WatchSpec{
				Key: "hub/" + plural, Resource: gvr,
				Reduce: func(u *unstructured.Unstructured) any { return observe(u) },
			}),
			ahead: map[key]ahead{},
		}
	}
	return p
}

// Publish brings the hub to what desired and r say, and removes what it published before and is gone from desired. It
// makes no request when nothing differs. It must not be called concurrently. Errors are the operator's: the hub cannot
// be reached, permissions are missing, somebody else's object has a name of ours, or KubeFleet's hub agent runs there.
// Whatever could be written is written all the same.
func (p *Publisher) Publish(ctx context.Context, desired *render.Desired, r report.Report) error {
	if err := p.prepare(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if err := p.waitSynced(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	writes, err := p.plan(Objects(desired, r))
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return p.execute(ctx, writes)
}

const (
	// syncPatience bounds how long Publish waits for watches that have just begun, as after installing a definition.
	syncPatience = 10 * time.Second
	syncPause    = 50 * time.Millisecond
)

// waitSynced returns when all watches show the present state.
func (p *Publisher) waitSynced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	ticker := time.NewTicker(syncPause)
	defer ticker.Stop()
	for {
		err := p.unsynced()
		if err == nil || p.session.State().Phase == fleet.Unreachable {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
}

// unsynced returns why what the watches show is not the present state, nil when it is.
func (p *Publisher) unsynced() error {
	var errs []error
	for _, k := range p.sorted() {
		errs = append(errs, k.watch.Err())
	}
	return errors.Join(errs...)
}

func (p *Publisher) sorted() []*kind {
	var list []*kind
	for _, k := range p.kinds {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *kind) int { return cmp.Compare(a.gvk.Kind, b.gvk.Kind) })
	return list
}

// write is what one object needs.
type write struct {
	kind   *kind
	name   key
	object *Object // nil: remove it
	live   *live   // nil: there is none
	body   bool    // apply metadata and spec
	copy   *write  // of the copy of object's status; nil when there shall be none
	events []corev1.Event
}

// plan compares the wish with what the watches show. It fails as a whole where KubeFleet's hub agent is at work: a
// placement published there would make that agent place objects too.
func (p *Publisher) plan(objects []Object) ([]write, error) {
	there := map[*kind]map[key]live{}
	for _, k := range p.sorted() {
		there[k] = p.objects(k)
		for _, name := range names(there[k]) {
			if sign := there[k][name].controller(); sign != "" {
				return nil, fmt.Errorf("%s %s carries the finalizer %s: KubeFleet's own hub agent runs there; give gitfleet another cluster as its hub", k.gvk.Kind, name, sign)
			}
		}
	}
	var writes []write
	for _, o := range objects {
		k, name := p.kinds[o.Body.GroupVersionKind()], keyOf(o.Body)
		w := write{kind: k, name: name, object: &o}
		if l, ok := there[k][name]; ok {
			w.live = &l
			delete(there[k], name)
		}
		if o.Copy != nil && o.Copy.Problem == "" {
			w.copy = p.copyOn(there, o.Copy.key(name.name))
		}
		w.body = w.live == nil || !w.live.shows(o.Body)
		if w.body || w.live.deleting || !w.live.published() || w.statusChanged() {
			writes = append(writes, w)
		}
	}
	for _, k := range p.sorted() {
		for _, name := range names(there[k]) {
			if l := there[k][name]; l.published() && !l.deleting {
				writes = append(writes, write{kind: k, name: name, live: &l})
			}
		}
	}
	return writes, nil
}

func names(objects map[key]live) []key {
	return slices.SortedFunc(maps.Keys(objects), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
}

// statusChanged tells whether the status on the hub, or the copy of it, differs.
func (w write) statusChanged() bool {
	want := w.object.StatusOn(w.live.status, w.live.generation)
	switch {
	case want == nil:
		return false
	case w.copy != nil && !w.copy.live.copies(want, w.live.uid):
		return true
	case w.object.Copy != nil:
		want = w.object.withSynced(want, w.live.status, w.live.generation, nil)
	}
	return !reflect.DeepEqual(want, w.live.status)
}

// copyOn returns the write of a copied status, over what there is, which is then not left over.
func (p *Publisher) copyOn(there map[*kind]map[key]live, name key) *write {
	w := &write{kind: p.kinds[placementv1beta1.ClusterResourcePlacementStatusGVK], name: name}
	if l, ok := there[w.kind][name]; ok {
		w.live = &l
		delete(there[w.kind], name)
	}
	return w
}

// objects returns what there is of a kind: what the watch shows, or what came of our own writes where it lags.
func (p *Publisher) objects(k *kind) map[key]live {
	found := map[key]live{}
	for _, o := range k.watch.Objects() {
		if l, ok := o.(live); ok {
			found[l.key] = l
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, a := range k.ahead {
		switch l, ok := found[name]; {
		case !slices.Contains(a.older, l.resourceVersion): // the zero live where there is none
			delete(k.ahead, name)
		case a.object != nil:
			found[name] = *a.object
		case ok:
			delete(found, name)
		}
	}
	return found
}

// concurrent is the number of writes under way at once.
const concurrent = 8

func (p *Publisher) execute(ctx context.Context, writes []write) error {
	errs, events := make([]error, len(writes)), make([][]corev1.Event, len(writes))
	var group errgroup.Group
	group.SetLimit(concurrent)
	for i, w := range writes {
		group.Go(func() error {
			if err := p.do(ctx, &w); err != nil {
				errs[i] = fmt.Errorf("hub: %s %s: %w", w.kind.gvk.Kind, w.name, err)
			}
			events[i] = w.events
			return nil
		})
	}
	_ = group.Wait() // every error is in errs
	p.sendEvents(ctx, events)
	return errors.Join(errs...)
}

var (
	errForeign  = errors.New("an object of this name is there that gitfleet did not publish; delete it there or rename the one in the repository")
	errDeleting = errors.New("is being deleted there; it is published again when it is gone")
)

func (p *Publisher) do(ctx context.Context, w *write) error {
	switch {
	case w.object == nil:
		return p.remove(ctx, *w)
	case w.live != nil && !w.live.published():
		return errForeign
	case w.live != nil && w.live.deleting:
		return errDeleting
	}
	if w.body {
		if err := p.apply(ctx, w, w.object.Body.DeepCopy()); err != nil {
			return err
		}
	}
	status := w.object.StatusOn(w.live.status, w.live.generation)
	if status == nil {
		return nil
	}
	var err error
	if w.copy != nil {
		if err = p.applyCopy(ctx, w.copy, w.live, status, w.object.Time); err != nil {
			err = fmt.Errorf("%s %s: %w", w.copy.kind.gvk.Kind, w.copy.name, err)
		}
	}
	if w.object.Copy != nil {
		status = w.object.withSynced(status, w.live.status, w.live.generation, err)
	}
	return errors.Join(err, p.applyStatus(ctx, w, status))
}

// apply applies body, which is all of an object but its status, and puts the answer into w.live. A new object is not forced:
// one that appeared meanwhile under the same name is somebody else's.
func (p *Publisher) apply(ctx context.Context, w *write, body *unstructured.Unstructured) error {
	if w.live != nil {
		body.SetUID(w.live.uid) // of this incarnation, not of one that came after it
	}
	return p.send(ctx, w, func() (*unstructured.Unstructured, error) {
		return w.kind.at(w.name).Apply(ctx, w.name.name, body, metav1.ApplyOptions{FieldManager: api.FieldManager, Force: w.live != nil})
	})
}

// send makes a request, after creating the namespace where that is missing, and puts the answer into w.live.
func (p *Publisher) send(ctx context.Context, w *write, request func() (*unstructured.Unstructured, error)) error {
	answer, err := request()
	if fleet.LacksNamespace(err) {
		if err = p.createNamespace(ctx, w.name.namespace); err == nil {
			answer, err = request()
		}
	}
	if err != nil {
		p.forget(*w)
		return err
	}
	p.wrote(w, answer)
	return nil
}

// createNamespace makes room for a ResourcePlacement or a copied status. The namespace is never removed again: others may use it.
func (p *Publisher) createNamespace(ctx context.Context, name string) error {
	namespace := &unstructured.Unstructured{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	namespace.SetName(name)
	_, err := p.namespaces.Create(ctx, namespace, metav1.CreateOptions{FieldManager: api.FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// applyStatus applies a status that differs, and notes what Events shall tell of it.
func (p *Publisher) applyStatus(ctx context.Context, w *write, status map[string]any) error {
	if reflect.DeepEqual(status, w.live.status) {
		return nil
	}
	events := w.newsOf(status)
	u := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	u.SetGroupVersionKind(w.kind.gvk)
	u.SetName(w.name.name)
	u.SetNamespace(w.name.namespace)
	u.SetUID(w.live.uid)
	answer, err := w.kind.at(w.name).ApplyStatus(ctx, w.name.name, u, metav1.ApplyOptions{FieldManager: api.FieldManager, Force: true})
	if err != nil {
		p.forget(*w)
		return fmt.Errorf("status: %w", err)
	}
	p.wrote(w, answer)
	w.events = events
	return nil
}

// remove deletes the object that was seen, and no other.
func (p *Publisher) remove(ctx context.Context, w write) error {
	err := w.kind.at(w.name).Delete(ctx, w.name.name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &w.live.uid, ResourceVersion: &w.live.resourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		p.forget(w)
		return err
	}
	p.wrote(&w, nil)
	return nil
}

// wrote notes the answer to a write, nil after a deletion, until the watch shows it.
func (p *Publisher) wrote(w *write, answer *unstructured.Unstructured) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := w.kind.ahead[w.name]
	before := ""
	if w.live != nil {
		before = w.live.resourceVersion
	}
	a.older, a.object = append(a.older, before), nil
	if answer != nil {
		l := observe(answer)
		a.object, w.live = &l, &l
	}
	if a.object == nil || a.object.resourceVersion != before { // a write that changes nothing has nothing to wait for
		w.kind.ahead[w.name] = a
	}
}

// forget makes the watch the only truth about an object again, after a write that failed.
func (p *Publisher) forget(w write) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(w.kind.ahead, w.name)
}
