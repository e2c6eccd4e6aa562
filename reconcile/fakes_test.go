package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

// repository is a branch whose commits are lists of YAML documents.
type repository struct {
	mu      sync.Mutex
	commits map[string][]string
	head    string
	err     error
	broken  error // what Build answers

	building func(commit string) // called by Build

	confirmed map[string][]string // plan digests by commit
	parted    string              // where every pull request began
	parents   map[string][]string // of merges that a forge made
}

func (r *repository) breakRendering(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = err
}

func (r *repository) push(commit string, documents ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commits == nil {
		r.commits = map[string][]string{}
	}
	r.commits[commit], r.head = documents, commit
}

func (r *repository) newest() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head
}

func (r *repository) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *repository) Fetch(context.Context) (source.Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return source.Revision{Commit: r.head}, r.err
}

func (r *repository) Confirmations(_ context.Context, _, commit string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.confirmed[commit], nil
}

func (r *repository) MistypedConfirmations(context.Context, string, string) ([]string, error) {
	return nil, nil
}

func (r *repository) Last() (source.Revision, bool) { return source.Revision{}, false }

func (r *repository) Snapshot(rev source.Revision) (source.Snapshot, error) {
	return source.Snapshot{Revision: rev, FS: fstest.MapFS{}}, nil
}

// Build implements Builder: every document is one object.
func (r *repository) Build(_ context.Context, snap source.Snapshot, _ []string) ([]render.Object, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.building != nil {
		r.building(snap.Commit)
	}
	if r.broken != nil {
		return nil, r.broken
	}
	var objects []render.Object
	for i, document := range r.commits[snap.Commit] {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			return nil, render.ManifestErrors{{File: "repo.yaml", Document: i + 1, Message: err.Error()}}
		}
		objects = append(objects, render.Object{Unstructured: u, Origin: render.Origin{File: "repo.yaml", Document: i + 1}})
	}
	return objects, nil
}

// cluster is a member in memory. What it holds outlives the sessions with it.
type cluster struct {
	mu       sync.Mutex
	name     string
	phase    fleet.Phase
	complete bool
	parents  map[string]apply.Parent
	objects  map[api.Ref]apply.LiveObject
	services mcs.Observed
	refuse   error                                // what Apply answers
	previews map[api.Ref]apply.Preview            // what Preview answers; of other objects, what is wished
	asked    func(context.Context, api.Ref) error // called by Preview, which fails as it does
	claim    error                                // what Claim answers
	silence  error                                // why it is unreachable; nil for "no answer"
	unknown  map[schema.GroupKind]string          // what cannot be listed there, and why
	opens    int                                  // counts its moves
	cpu      int64                                // what is available of it; 0 when that is not known
	version  string
	doubts   map[api.Ref]string
	plans    []string
	relists  int
	changed  []func()
}

func newCluster(name string) *cluster {
	return &cluster{name: name, phase: fleet.Ready, complete: true, parents: map[string]apply.Parent{},
		objects: map[api.Ref]apply.LiveObject{}, doubts: map[api.Ref]string{}, services: mcs.Observed{Synced: true}}
}

// set changes the cluster under its lock and tells the sessions.
func (c *cluster) set(change func()) {
	c.mu.Lock()
	change()
	changed := slices.Clone(c.changed)
	c.mu.Unlock()
	for _, f := range changed {
		f()
	}
}

// session implements Member.
type session struct {
	*cluster
	opened int // at which of the cluster's places
}

func (s session) State() fleet.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := fleet.State{Phase: s.phase, Version: s.version}
	if s.phase == fleet.Unreachable {
		state.Err = cmp.Or(s.silence, errors.New("no answer"))
	}
	return state
}

func (s session) Moved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened != s.opens
}

func (s session) Claim() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claim
}

func (s session) Resources() (fleet.Resources, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := fleet.Resources{Nodes: 1}
	if s.cpu > 0 {
		r.Available = &fleet.Amount{CPU: *resource.NewQuantity(s.cpu, resource.DecimalSI)}
	}
	return r, true
}

func (s session) Doubt(refs map[api.Ref]string) {
	s.set(func() { maps.Copy(s.doubts, refs) })
}

func (s session) UseHealthRules(*apply.HealthRules)                      {}
func (s session) Track([]schema.GroupVersionKind)                        {}
func (s session) Prepare(context.Context) error                          { return nil }
func (s session) WriteStatuses(context.Context, []mcs.StatusWrite) error { return nil }
func (s session) Close()                                                 {}

func (s session) Preview(ctx context.Context, set apply.Set, change apply.Change) (apply.Preview, error) {
	s.mu.Lock()
	asked := s.asked
	s.mu.Unlock()
	if asked != nil {
		if err := asked(ctx, change.Ref); err != nil {
			return apply.Preview{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer, ok := s.previews[change.Ref]; ok {
		return answer, nil
	}
	return apply.Preview{After: apply.Stamp(set.Name, change.Target).Unstructured}, nil
}

func (s session) Relist() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relists++
}

func (s session) Services(bool) mcs.Observed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services
}

func (s session) Live() apply.Live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return apply.Live{Complete: s.complete, ParentsSynced: s.complete, Parents: maps.Clone(s.parents), Objects: apply.ObjectsOf(pointers(s.objects)...),
		Doubts: maps.Clone(s.doubts), Unknown: maps.Clone(s.unknown)}
}

func pointers(objects map[api.Ref]apply.LiveObject) []*apply.LiveObject {
	out := make([]*apply.LiveObject, 0, len(objects))
	for _, lo := range objects {
		out = append(out, &lo)
	}
	return out
}

// Apply does what a plan says, all or nothing.
func (s session) Apply(_ context.Context, _ Lane, plan apply.Plan) apply.Result {
	s.mu.Lock()
	s.plans = append(s.plans, plan.String())
	result := apply.Result{Cluster: s.name, Outcomes: map[string][]apply.Outcome{}, Errs: map[string]error{}}
	for _, set := range plan.Sets {
		if err := cmp.Or(set.Err, s.refuse); err != nil {
			result.Errs[set.Set.Name] = err
			continue
		}
		s.execute(set)
		for _, c := range slices.Concat(set.Stages...) {
			out := apply.Outcome{Ref: c.Ref, Action: c.Action}
			delete(s.doubts, c.Ref)
			if c.Repair {
				out.Drift = &apply.Drift{Ref: c.Ref, Time: time.Now(), What: "fields were changed",
					Fields: []apply.DriftedField{{Path: ".data.value", Manager: "intruder", Operation: "Update"}}}
			}
			result.Outcomes[set.Set.Name] = append(result.Outcomes[set.Set.Name], out)
		}
		for _, c := range set.Prune {
			result.Outcomes[set.Set.Name] = append(result.Outcomes[set.Set.Name], apply.Outcome{Ref: c.Ref, Action: c.Action})
		}
	}
	s.mu.Unlock()
	s.set(func() {})
	return result
}

func (s session) execute(set apply.SetPlan) {
	set.After.Items = slices.Clone(set.After.Items)
	for _, stage := range set.Stages {
		for _, c := range stage {
			uid := types.UID("uid of " + c.Ref.String())
			s.objects[c.Ref] = apply.LiveObject{Ref: c.Ref, UID: uid, SetID: apply.SetID(set.Set.Name), EntryHash: "ours",
				AppliedHash: c.Target.Hash, Health: apply.Health{Status: apply.Current}}
		}
	}
	for _, c := range set.Prune {
		delete(s.objects, c.Ref)
	}
	if set.Remove {
		delete(s.parents, set.Set.Name)
		return
	}
	for i, item := range set.After.Items {
		live := s.objects[item.Ref]
		set.After.Items[i].UID, set.After.Items[i].EntryHash = live.UID, live.EntryHash
	}
	s.parents[set.Set.Name] = set.After
}

// holds returns what the cluster holds, sorted.
func (c *cluster) holds() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for ref := range c.objects {
		names = append(names, ref.String())
	}
	slices.Sort(names)
	return names
}

// fakeFleet implements Fleet.
type fakeFleet map[string]*cluster

func (f fakeFleet) Open(name, _ string, changed func()) (Member, error) {
	c, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("no context called %s", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = append(c.changed, changed)
	return session{c, c.opens}, nil
}

func testOptions(repo *repository, f fakeFleet, store *Store) Options {
	return Options{Repository: repo, Builder: repo, Fleet: f, Store: store, Interval: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// startLoop starts a loop over fakes; it ends with the test, or when the returned function is called.
func startLoop(t *testing.T, repo *repository, f fakeFleet, dir string, change ...func(*Options)) (*Loop, func()) {
	t.Helper()
	store, err := OpenStore(dir, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	opt := testOptions(repo, f, store)
	for _, c := range change {
		c(&opt)
	}
	l := New(opt)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l, stop
}

// await waits until cond holds of the report.
func await(t *testing.T, l *Loop, what string, cond func(report.Report) bool) report.Report {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r := l.Report()
		if cond(r) {
			return r
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not reached: %s\n%s%+v", what, report.Summary(r), r)
		}
	}
}

func convergedOn(commit string) func(report.Report) bool {
	return func(r report.Report) bool { return r.Converged && r.Applied.Commit == commit }
}

func memberCluster(name, location string) string {
	return fmt.Sprintf("{apiVersion: cluster.kubernetes-fleet.io/v1beta1, kind: MemberCluster, metadata: {name: %s, labels: {location: %s}}, "+
		"spec: {identity: {kind: User, name: x, apiGroup: rbac.authorization.k8s.io}}}", name, location)
}

// placeOn is a placement of the namespace of that name.
func placeOn(namespace, location string) string {
	return fmt.Sprintf("{apiVersion: placement.kubernetes-fleet.io/v1beta1, kind: ClusterResourcePlacement, metadata: {name: %[1]s}, spec: {"+
		"resourceSelectors: [{group: '', version: v1, kind: Namespace, name: %[1]s}], policy: {affinity: {clusterAffinity: "+
		"{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {location: %[2]s}}}]}}}}}}",
		namespace, location)
}

func ns(name string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", name)
}

func config(namespace, name, value string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: %s, name: %s}, data: {value: %q}}", namespace, name, value)
}

// FetchRef implements ReviewRepository: a reference is named as its commit.
func (r *repository) FetchRef(_ context.Context, ref string) (source.Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.commits[ref]; !ok {
		return source.Revision{}, fmt.Errorf("no reference %s", ref)
	}
	return source.Revision{Commit: ref}, r.err
}

// MergeBase implements ReviewRepository: all went apart where the test says.
func (r *repository) MergeBase(context.Context, string, string) (source.Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return source.Revision{Commit: r.parted}, r.err
}

// Parents implements ReviewRepository.
func (r *repository) Parents(_ context.Context, commit string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parents[commit], r.err
}
