package kube

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// Observer keeps what one member shows of us: the inventories, and every object that carries an ApplySet label of a kind
// that is tracked. Its methods may be called from any goroutine; none but Close blocks.
type Observer struct {
	session *fleet.Session
	changed func()
	parents *fleet.Watch
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	poke    chan struct{} // holds one token while kinds must be looked up
	texts   shared

	mu       sync.Mutex
	objects  snapshot
	listed   listing
	kinds    map[schema.GroupKind]*trackedKind
	rules    *apply.HealthRules
	repairs  map[api.Ref]apply.Repair
	doubts   map[api.Ref]doubt
	relisted time.Time // when silence last had everything listed anew
}

// trackedKind is a kind whose objects are watched as soon as the member serves it.
type trackedKind struct {
	gvk   schema.GroupVersionKind
	watch *fleet.Watch                // nil until the member serves the kind
	key   string                      // of watch
	as    schema.GroupVersionResource // what watch watches
	none  bool                        // the member does not serve it: there are no objects
	err   error                       // why watch is nil; nil when none is true
	shown int                         // how often a write has shown that the member serves it
}

// parentSeen is what is kept of a ConfigMap that has the name of a parent.
type parentSeen struct {
	configMap string
	parent    apply.Parent
	damage    string // why parent could not be read
}

// NewObserver starts to observe the inventories on the member of s, and the kinds they name. changed is called without
// blocking when Live may have changed for a reason that the session does not notice; it may be nil.
func NewObserver(s *fleet.Session, changed func()) *Observer {
	ctx, cancel := context.WithCancel(context.Background())
	o := &Observer{session: s, changed: changed, ctx: ctx, cancel: cancel, done: make(chan struct{}), poke: make(chan struct{}, 1),
		kinds: map[schema.GroupKind]*trackedKind{}, repairs: map[api.Ref]apply.Repair{}, doubts: map[api.Ref]doubt{}}
	// Parents are told by their name, not by their label: one that lost its label must not look deleted.
	o.parents = s.Watch(fleet.WatchSpec{Key: "apply/parents", Resource: configMaps, Namespace: api.SystemNamespace, Reduce: reduceParent})
	go o.resolve()
	return o
}

// Close stops looking for kinds and waits for it; the watches end with the session.
func (o *Observer) Close() {
	o.cancel()
	<-o.done
}

// Track watches these kinds from now on, besides those that the inventories name. Of two versions of a kind the latest
// one tracked counts, unless the kind is watched already.
func (o *Observer) Track(kinds []schema.GroupVersionKind) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, gvk := range kinds {
		o.track(gvk, true)
	}
}

// UseHealthRules judges the health of objects by rules from now on. Kinds whose check is another one are listed anew.
func (o *Observer) UseHealthRules(rules *apply.HealthRules) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rules = rules
	for _, k := range o.kinds {
		if k.watch != nil {
			o.watch(k, k.as)
		}
	}
}

func (o *Observer) track(gvk schema.GroupVersionKind, prefer bool) *trackedKind {
	k, ok := o.kinds[gvk.GroupKind()]
	switch {
	case !ok:
		k = &trackedKind{gvk: gvk, err: errNotAsked}
		o.kinds[gvk.GroupKind()] = k
	case prefer && k.gvk != gvk && k.watch == nil:
		k.gvk, k.none, k.err = gvk, false, errNotAsked
	}
	if k.watch == nil || !k.watch.Synced() {
		select {
		case o.poke <- struct{}{}:
		default:
		}
	}
	return k
}

// Live returns what is known now.
func (o *Observer) Live() apply.Live {
	o.mu.Lock()
	defer o.mu.Unlock()
	synced := o.parents.Synced() // asked before the content is read, which can only be newer
	o.listed.take(o.parents)
	for _, gvk := range o.listed.kinds {
		o.track(gvk, false)
	}
	live := apply.Live{ParentsSynced: synced, Complete: synced, Unknown: map[schema.GroupKind]string{}}
	readings := make(map[schema.GroupKind]reading, len(o.kinds))
	for gk, k := range o.kinds {
		r, err := o.track(k.gvk, false).content(o.objects.of[gk].version)
		if err != nil {
			live.Unknown[gk], live.Complete = err.Error(), false
		}
		if r.watch != nil {
			readings[gk] = r
		}
	}
	o.objects.take(readings)
	live.Parents, live.Damaged, live.Objects = o.listed.parents, o.listed.damaged, o.objects.objects
	live.Repairs = maps.Clone(o.repairs)
	live.Doubts = make(map[api.Ref]string, len(o.doubts))
	for ref, d := range o.doubts {
		live.Doubts[ref] = d.reason
	}
	return live
}

// inventories returns the parents as last known, in no order.
func (o *Observer) inventories() []apply.Parent {
	var out []apply.Parent
	for _, kept := range o.parents.Objects() {
		if p := kept.(parentSeen); p.damage == "" {
			out = append(out, p.parent)
		}
	}
	return out
}

// content reads what is new since version of the objects of this kind as last known, and why that may not be all; then the
// absence of an object means nothing. A reading of no watch means that there are none.
func (k *trackedKind) content(version uint64) (reading, error) {
	if k.watch == nil {
		return reading{}, k.err
	}
	r, err := read(k.watch, version)
	switch {
	case err == nil:
		k.none = false // whatever was looked up before: it is served now
	case k.none:
		return reading{}, nil
	}
	return r, err
}

// resolve looks up kinds that are not watched, whenever it is poked. Asking again about a kind that is not served costs
// no request until the definitions on the member change.
func (o *Observer) resolve() {
	defer close(o.done)
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-o.poke:
		}
		news := false
		for _, asked := range o.unsynced() {
			mapping, err := anyVersion(o.ctx, o.session, asked.gvk)
			if o.ctx.Err() != nil {
				return
			}
			news = o.resolved(asked, mapping, err) || news
		}
		if news && o.changed != nil {
			o.changed()
		}
	}
}

// question is what discovery is asked about a kind, and what was known when it was asked.
type question struct {
	gvk   schema.GroupVersionKind
	shown int
}

func (o *Observer) unsynced() []question {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []question
	for _, k := range o.kinds {
		if k.watch == nil || !k.watch.Synced() {
			out = append(out, question{k.gvk, k.shown})
		}
	}
	return out
}

// served notes that an object of a kind was just written: what discovery said before, that the member does not serve it, is
// over, and until it is watched nobody knows its objects. Otherwise what was written would look deleted.
func (o *Observer) served(gvk schema.GroupVersionKind) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.track(gvk, false)
	k.shown++
	if k.none {
		k.none, k.err = false, errNotAsked
	}
}

// resolved notes what discovery says of a kind and reports whether that is news.
func (o *Observer) resolved(asked question, mapping *meta.RESTMapping, err error) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kinds[asked.gvk.GroupKind()]
	if k.gvk != asked.gvk || k.shown != asked.shown {
		return false // another version was asked for meanwhile, or more is known; the poke for that is still to come
	}
	before := *k
	k.none, k.err = meta.IsNoMatchError(err), err
	if k.none {
		k.err = nil
	}
	if err == nil {
		o.watch(k, mapping.Resource)
	}
	return k.none != before.none || k.key != before.key || (k.err == nil) != (before.err == nil)
}

// watch watches a kind as resource, instead of as one in a version that is no longer served or judged by another check.
func (o *Observer) watch(k *trackedKind, resource schema.GroupVersionResource) {
	rules, gk := o.rules, k.gvk.GroupKind()
	key := "apply/" + resource.String() + rules.DigestOf(gk)
	if k.key == key {
		return
	}
	if k.watch != nil {
		o.session.Unwatch(k.key)
	}
	k.key, k.as = key, resource
	k.watch = o.session.Watch(fleet.WatchSpec{
		Key:           key,
		Resource:      resource,
		LabelSelector: api.ApplySetPartOfLabel,
		Metadata:      !rules.NeedsStatus(gk),
		Reduce: func(u *unstructured.Unstructured) any {
			lo := o.observe(api.RefOf(u), u)
			lo.Health = rules.HealthOf(u, time.Now())
			return lo
		},
		ReduceMetadata: func(gvk schema.GroupVersionKind, m metav1.Object) any {
			return o.observe(api.Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: m.GetNamespace(), Name: m.GetName()}, m)
		},
		Minor: onlyNewer,
	})
}

// onlyNewer tells that all that has changed of an object is its resourceVersion. Whoever writes statuses all day long would
// else have everything decided anew all day long.
func onlyNewer(before, now any) bool {
	b, n := *before.(*apply.LiveObject), now.(*apply.LiveObject)
	b.ResourceVersion = n.ResourceVersion
	return b == *n
}

// newest returns what is known of the object lv as of now, if nothing that was decided on has changed since.
func (o *Observer) newest(lv apply.LiveObject) apply.LiveObject {
	if watch := o.watchOf(lv.Ref); watch != nil {
		if now, found := watch.Get(lv.Ref.Namespace, lv.Ref.Name); found && onlyNewer(&lv, now) {
			return *now.(*apply.LiveObject)
		}
	}
	return lv
}

// watchOf returns the watch of an object's kind, nil when there is none.
func (o *Observer) watchOf(ref api.Ref) *fleet.Watch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.kinds[ref.GroupKind()]; k != nil {
		return k.watch
	}
	return nil
}

func (o *Observer) observe(ref api.Ref, m metav1.Object) *apply.LiveObject {
	lo := apply.Observe(ref, m)
	o.texts.object(&lo)
	return &lo
}

func reduceParent(u *unstructured.Unstructured) any {
	if !apply.IsParentName(u.GetName()) {
		return nil
	}
	seen := parentSeen{configMap: u.GetName()}
	var cm corev1.ConfigMap
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &cm)
	if err == nil {
		seen.parent, err = apply.DecodeParent(&cm)
	}
	if err != nil {
		return parentSeen{configMap: u.GetName(), damage: err.Error()}
	}
	return seen
}
