package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Phase is whether a member can be used.
type Phase string

// The phases.
const (
	Connecting  Phase = "Connecting"  // not yet reached for the first time, nor failed to
	Ready       Phase = "Ready"       // it answers
	Unreachable Phase = "Unreachable" // it does not; it is probed until it does
)

// State is what a session knows of its member's API server.
type State struct {
	Phase    Phase
	Since    time.Time // when Phase began
	LastSeen time.Time // when the member last sent anything; zero when never. In a quiet fleet that is minutes ago while all is well
	Err      error     // *UnreachableError while Unreachable, otherwise nil
	Version  string    // the API server's, such as "v1.37.2"; empty until known
	// Outdated tells why the session goes on with credentials that are not what the operator's files hold now: a file
	// cannot be read, or has no such context any more. It is nil when they are.
	Outdated error
}

// Session is one member's connection, shared by everyone who reads or writes there. All methods may be called from any
// goroutine.
type Session struct {
	name    string
	link    *link
	catalog *catalog
	own     Clients
	guard   *guard
	wire    wire

	definitions *Watch // CustomResourceDefinitions
	aggregated  *Watch // APIServices
	nodes       *Watch

	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	changed chan struct{} // holds one token while a notification is due

	configuring sync.Mutex
	config      *rest.Config // as given

	mu       sync.Mutex
	watches  map[string]*Watch
	accounts map[string]Clients // by service account
}

// Open starts a session with the member called name; it never blocks and makes its requests in the background. notify
// is called after any change of state or of a watched object: coalesced, never concurrently with itself, and it must
// not block. The error is about cfg alone; that a member cannot be reached is a State.
func Open(name string, cfg *rest.Config, notify func()) (*Session, error) {
	return open(name, cfg, notify, defaultTiming)
}

// timing is every duration a session waits for; tests shorten it.
type timing struct {
	request   time.Duration // a request that is not a watch, until its last byte
	header    time.Duration // a watch, until it is accepted
	probe     time.Duration // one probe
	retryMin  time.Duration // the first pause between probes of a member that does not answer
	retryMax  time.Duration // the longest one
	pingAfter time.Duration // silence after which an HTTP/2 connection is pinged
	ping      time.Duration // how long the answer to that may take
	relist    time.Duration // the first pause before a list or watch that failed is tried again
	unwatched time.Duration // how often a missing kind is looked for where definitions of kinds may not be watched
	settle    time.Duration // how long after a CustomResourceDefinition changed discovery may still show what was before
	recheck   time.Duration // the pause between two looks at discovery within that time
	// The shortest time between two notifications of what is available. Pods come and go all the time in a busy member,
	// and a schedule is no better for following each of them.
	available time.Duration
}

// A hung member shows after pingAfter + ping + probe: 30 seconds.
var defaultTiming = timing{
	request: 60 * time.Second, header: 30 * time.Second, probe: 5 * time.Second,
	retryMin: time.Second, retryMax: 20 * time.Second,
	pingAfter: 15 * time.Second, ping: 10 * time.Second,
	relist: 200 * time.Millisecond, unwatched: time.Minute, settle: 5 * time.Second, recheck: 250 * time.Millisecond,
	available: 15 * time.Second,
}

func open(name string, cfg *rest.Config, notify func(), t timing) (*Session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Session{
		name: name, ctx: ctx, cancel: cancel, changed: make(chan struct{}, 1),
		watches: map[string]*Watch{}, accounts: map[string]Clients{}, wire: wire{retired: map[*line]struct{}{}},
	}
	s.link = newLink(name, t, s.touch)
	if err := s.connect(cfg, t); err != nil {
		cancel()
		return nil, fmt.Errorf("member %s: %w", name, err)
	}
	s.wg.Go(func() { s.link.run(ctx) })
	s.wg.Go(func() { s.notifyLoop(notify) })
	s.watchOwn()
	return s, nil
}

// watchOwn starts the two watches that every session has.
func (s *Session) watchOwn() {
	// Definitions of kinds are watched because they are what makes cached discovery wrong.
	s.definitions = s.newWatch(WatchSpec{
		Key:      "fleet/crds",
		Resource: schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		Metadata: true,
		ReduceMetadata: func(_ schema.GroupVersionKind, m metav1.Object) any {
			return Definition{m.GetResourceVersion(), m.GetLabels()}
		},
	})
	s.definitions.onChange = s.catalog.definitionChanged
	s.definitions.builtin = true
	// Aggregated API servers come and go without one. Where there is no such kind there are none.
	s.aggregated = s.newWatch(WatchSpec{
		Key:      "fleet/apiservices",
		Resource: schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
		Reduce:   reduceAPIService,
	})
	s.aggregated.onChange = s.catalog.definitionChanged
	s.nodes = s.watchNodes()
	for _, w := range []*Watch{s.definitions, s.aggregated, s.nodes} {
		s.wg.Go(w.run)
	}
}

// reduceAPIService keeps of an aggregated API whether its server can be asked, and nothing of those that the API server
// serves itself: these change with CustomResourceDefinitions only.
func reduceAPIService(u *unstructured.Unstructured) any {
	if service, _, _ := unstructured.NestedMap(u.Object, "spec", "service"); service == nil {
		return nil
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok && condition["type"] == "Available" {
			return condition["status"] == "True"
		}
	}
	return false
}

// Close stops everything and waits for it. Requests still running are cut off.
func (s *Session) Close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.link.close()
	s.wire.close()
	s.wg.Wait()
}

// Relist makes every watch list anew; until it has, it is not Synced. It is for who learned from the answer to a write
// that the member holds what a synced watch does not show: an API server, or something before it, once answered a list
// wrongly, and no stream of changes will ever mend that. Requests other than lists and watches go on undisturbed.
func (s *Session) Relist() { s.link.renew() }

// SetConfig replaces the credentials, the address, or both, without losing what the session knows. Requests under way
// finish on the old connection; new ones use the new one at once. When the member answers there, every watch is renewed
// and not Synced for that moment, while State stays Ready; when it does not, State says why, and the old ones are not
// tried again: they were replaced on purpose. A bearer token alone is replaced without a new connection, and watches run
// on. The error is about cfg alone, and then the old credentials stay in use. It ends State.Outdated.
func (s *Session) SetConfig(cfg *rest.Config) error {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	same := sameButToken(s.config, cfg)
	switch {
	case same && s.config.BearerToken == cfg.BearerToken:
	case same && cfg.BearerTokenFile == "":
		s.wire.current.setToken(cfg.BearerToken)
		s.config = rest.CopyConfig(cfg)
		s.link.reconfigured(false)
	default:
		if err := s.setLine(cfg, s.link.timing); err != nil {
			return fmt.Errorf("member %s: %w", s.name, err)
		}
		s.link.reconfigured(true)
	}
	s.link.setOutdated(nil)
	return nil
}

// KeepConfig tells the session why there are no new credentials although its own may no longer be what the operator
// wants. It goes on with its own, and State.Outdated is err.
func (s *Session) KeepConfig(err error) { s.link.setOutdated(err) }

// Name returns the member's name.
func (s *Session) Name() string { return s.name }

// State returns whether the member can be used, and otherwise why not.
func (s *Session) State() State { return s.link.snapshot() }

// Dynamic returns a client without a rate limit of its own. A request takes a minute at most, unless it is a watch, and
// fails at once with an *UnreachableError while the member is unreachable.
func (s *Session) Dynamic() dynamic.Interface { return s.own.Dynamic }

// Metadata returns a client for objects' metadata alone, under the same terms as Dynamic.
func (s *Session) Metadata() metadata.Interface { return s.own.Metadata }

// Mapping returns the resource and scope of a kind, from cached discovery. With an empty version that is the preferred
// one of the versions that serve the kind: for objects that were written in a version that is no longer served. A kind
// that discovery does not hold is looked for again only when a CustomResourceDefinition or an aggregated API of its group
// has changed since, or the member was unreachable; when that change is a few seconds old Mapping waits for the API
// server to catch up with it. The error is a meta.NoKindMatchError (meta.IsNoMatchError) when the member does not serve
// the kind, and something else when that is not known.
func (s *Session) Mapping(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	return s.catalog.mapping(ctx, gvk)
}

// NamespacedResources returns what kubectl api-resources --namespaced prints for verbs: each resource that knows all of
// them in one version, sorted by group and name. It asks the member. An API group that discovery could not ask is an
// error, because what it serves is then unknown.
func (s *Session) NamespacedResources(ctx context.Context, verbs ...string) ([]*meta.RESTMapping, error) {
	return s.catalog.namespaced(ctx, verbs)
}

// Definition is what is kept of a CustomResourceDefinition.
type Definition struct {
	ResourceVersion string
	Labels          map[string]string // not to be modified
}

// Definition returns a CustomResourceDefinition by its name, as last seen. The error tells why what is seen may not be all
// there is: then found means nothing when it is false.
func (s *Session) Definition(name string) (d Definition, found bool, err error) {
	err = s.definitions.Err() // asked before the content is read, which can only be newer
	kept, found := s.definitions.Get("", name)
	d, _ = kept.(Definition)
	return d, found, err
}

// Watch starts watching what spec describes, or returns the watch that already has spec's key (whatever else spec
// says). It keeps its last content while the member is unreachable and continues by itself when it is back, or when the
// kind is served at last.
//
// With a label selector, the disappearance of an object means only that it no longer matches: it may have been deleted,
// or have lost the label. Whoever acts on the difference confirms it with a GET.
func (s *Session) Watch(spec WatchSpec) *Watch {
	return s.watch(spec, func(*Watch) {})
}

// watch starts a watch that it has prepared, or returns the one that has spec's key.
func (s *Session) watch(spec WatchSpec, prepare func(*Watch)) *Watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.watches[spec.Key]; ok {
		return w
	}
	w := s.newWatch(spec)
	prepare(w)
	s.watches[spec.Key] = w
	if s.ctx.Err() == nil {
		s.wg.Go(w.run)
	}
	return w
}

// Unwatch stops the watch with that key and forgets its content. It does nothing when there is none.
func (s *Session) Unwatch(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.watches[key]; ok {
		w.cancel()
		delete(s.watches, key)
	}
}

// touch makes one notification due.
func (s *Session) touch() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Session) notifyLoop(notify func()) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.changed:
			if notify != nil {
				notify()
			}
		}
	}
}
