package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// retryFailed is how long an API group that discovery could not ask (an aggregated server that is down) is left alone.
const retryFailed = 30 * time.Second

// errNotServed tells that the member serves no such kind.
var errNotServed = errors.New("not served by this member")

// catalog is what kinds a member serves: cached discovery, and since when that may be wrong.
type catalog struct {
	member   string
	client   *discovery.DiscoveryClient
	link     *link
	fetching chan struct{} // held by who asks the API server

	mu      sync.Mutex
	latest  *inventory
	epoch   int                  // connection that latest was read on
	touched map[string]time.Time // by API group: since when latest may be wrong
	changed chan struct{}        // closed and replaced when touched changes
}

// inventory is one answer of discovery. It is immutable.
type inventory struct {
	asked    time.Time
	mappings map[schema.GroupVersionKind]*meta.RESTMapping // also without a version: the preferred one of those that serve the kind
	kinds    map[schema.GroupVersionResource]string
	served   []servedResource // each resource once, in its preferred version
	failed   map[string]error // by API group
}

// servedResource is a resource with what may be done with it.
type servedResource struct {
	mapping *meta.RESTMapping
	verbs   []string
}

func newCatalog(member string, client *discovery.DiscoveryClient, l *link) *catalog {
	return &catalog{
		member: member, client: client, link: l, fetching: make(chan struct{}, 1),
		touched: map[string]time.Time{}, changed: make(chan struct{}),
	}
}

func (c *catalog) mapping(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	var found *meta.RESTMapping
	err := c.resolve(ctx, gvk.Group, func(i *inventory) bool {
		found = i.mappings[gvk]
		return found != nil
	})
	if errors.Is(err, errNotServed) {
		searched := []string{gvk.Version}
		if gvk.Version == "" {
			searched = nil // all
		}
		return nil, fmt.Errorf("member %s: %w", c.member, &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: searched})
	}
	if err != nil {
		return nil, fmt.Errorf("member %s: discovery of %s: %w", c.member, gvk, err)
	}
	return found, nil
}

// kind returns the kind of a resource, or errNotServed.
func (c *catalog) kind(ctx context.Context, gvr schema.GroupVersionResource) (kind string, err error) {
	err = c.resolve(ctx, gvr.Group, func(i *inventory) bool {
		kind = i.kinds[gvr]
		return kind != ""
	})
	return kind, err
}

// resolve looks something up in discovery that is not older than the last change of its group.
func (c *catalog) resolve(ctx context.Context, group string, find func(*inventory) bool) error {
	for {
		inv, touched := c.current(group)
		if inv != nil && !inv.asked.Before(touched) {
			if find(inv) {
				return nil
			}
			failed := inv.failed[group]
			if failed != nil && time.Since(inv.asked) < retryFailed {
				return failed
			}
			if failed == nil && !inv.asked.Before(touched.Add(c.link.timing.settle)) {
				return errNotServed
			}
			if wait := time.Until(inv.asked.Add(c.link.timing.recheck)); wait > 0 {
				pause(ctx, wait)
			}
		}
		if err := c.refresh(ctx, inv); err != nil {
			return err
		}
	}
}

// current returns the latest inventory and since when it may be wrong about group. After an interruption it is wrong
// about everything: the member may have been upgraded meanwhile.
func (c *catalog) current(group string) (*inventory, time.Time) {
	epoch, _ := c.link.current()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest != nil && c.epoch != epoch {
		return nil, time.Time{}
	}
	return c.latest, c.touched[group]
}

// refresh asks discovery, unless somebody did since old was current.
func (c *catalog) refresh(ctx context.Context, old *inventory) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case c.fetching <- struct{}{}:
	}
	defer func() { <-c.fetching }()
	if inv, _ := c.current(""); inv != nil && inv != old {
		return nil
	}
	epoch, _ := c.link.current()
	inv, err := fetchInventory(ctx, c.client)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest, c.epoch = inv, epoch
	return nil
}

func fetchInventory(ctx context.Context, client *discovery.DiscoveryClient) (*inventory, error) {
	inv := &inventory{
		asked: time.Now(), failed: map[string]error{},
		mappings: map[schema.GroupVersionKind]*meta.RESTMapping{}, kinds: map[schema.GroupVersionResource]string{},
	}
	groups, lists, err := client.ServerGroupsAndResourcesWithContext(ctx)
	if failed, ok := discovery.GroupDiscoveryFailedErrorGroups(err); ok {
		for gv, err := range failed {
			inv.failed[gv.Group] = err
		}
	} else if err != nil {
		return nil, err
	}
	resources := make(map[string][]metav1.APIResource, len(lists))
	for _, list := range lists {
		resources[list.GroupVersion] = list.APIResources
	}
	for _, group := range groups { // the lists have no order, a group's versions begin with the preferred one
		for _, version := range group.Versions {
			for _, resource := range resources[version.GroupVersion] {
				inv.add(schema.GroupVersion{Group: group.Name, Version: version.Version}, resource)
			}
		}
	}
	return inv, nil
}

func (i *inventory) add(gv schema.GroupVersion, resource metav1.APIResource) {
	if strings.Contains(resource.Name, "/") {
		return // a subresource
	}
	gvk, gvr := gv.WithKind(resource.Kind), gv.WithResource(resource.Name)
	i.kinds[gvr] = resource.Kind
	scope := meta.RESTScopeRoot
	if resource.Namespaced {
		scope = meta.RESTScopeNamespace
	}
	mapping := &meta.RESTMapping{Resource: gvr, GroupVersionKind: gvk, Scope: scope}
	if !slices.ContainsFunc(i.served, func(r servedResource) bool { return r.mapping.Resource.GroupResource() == gvr.GroupResource() }) {
		i.served = append(i.served, servedResource{mapping, resource.Verbs})
	}
	for _, key := range []schema.GroupVersionKind{gvk, gvk.GroupKind().WithVersion("")} {
		if i.mappings[key] == nil { // two resources may have one kind; the first is the one that holds objects of it
			i.mappings[key] = mapping
		}
	}
}

// namespaced returns the resources whose objects live in namespaces and that know all of verbs, in one version each, as
// discovery shows them now. What it could not ask is an error: nobody knows what that group serves.
func (c *catalog) namespaced(ctx context.Context, verbs []string) ([]*meta.RESTMapping, error) {
	old, _ := c.current("")
	if err := c.refresh(ctx, old); err != nil {
		return nil, fmt.Errorf("member %s: discovery: %w", c.member, err)
	}
	inv, _ := c.current("")
	if inv == nil {
		return nil, fmt.Errorf("member %s: discovery: the connection was lost meanwhile", c.member)
	}
	if len(inv.failed) > 0 {
		group := slices.Sorted(maps.Keys(inv.failed))[0]
		return nil, fmt.Errorf("member %s: discovery of API group %s: %w", c.member, group, inv.failed[group])
	}
	var out []*meta.RESTMapping
	for _, r := range inv.served {
		missing := func(verb string) bool { return !slices.Contains(r.verbs, verb) }
		if r.mapping.Scope.Name() == meta.RESTScopeNameNamespace && !slices.ContainsFunc(verbs, missing) {
			out = append(out, r.mapping)
		}
	}
	slices.SortFunc(out, func(a, b *meta.RESTMapping) int {
		return cmp.Or(cmp.Compare(a.Resource.Group, b.Resource.Group), cmp.Compare(a.Resource.Resource, b.Resource.Resource))
	})
	return out, nil
}

// definitionChanged notes that a CustomResourceDefinition (named "plural.group") or an APIService ("version.group") came,
// changed or went. The ones of the
// first list only make an older inventory doubtful: they are not news to the API server.
func (c *catalog) definitionChanged(name string, initial bool) {
	_, group, _ := strings.Cut(name, ".")
	since := time.Now()
	if initial {
		since = since.Add(-c.link.timing.settle)
	}
	c.invalidate(group, since)
}

// invalidate makes what is known of group doubtful since then.
func (c *catalog) invalidate(group string, since time.Time) {
	c.mu.Lock()
	if c.touched[group].Before(since) {
		c.touched[group] = since
	}
	c.mu.Unlock()
	c.announce()
}

// announce wakes whoever waits for news.
func (c *catalog) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// news returns a channel that is closed at the next change.
func (c *catalog) news() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}
