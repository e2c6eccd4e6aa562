package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
)

// cluster is an API server under test, real or in memory. client reaches it directly, as a foreigner does.
type cluster struct {
	config *rest.Config
	client dynamic.Interface
}

func newCluster(config *rest.Config) cluster {
	config = rest.CopyConfig(config)
	config.QPS = -1
	return cluster{config, dynamic.NewForConfigOrDie(config)}
}

// member is one process of ours: session, observer and executor behind a proxy that records and breaks requests.
type member struct {
	proxy    *memfleet.Proxy
	session  *fleet.Session
	observer *Observer
	executor *Executor
	ctx      context.Context // ends when the process is killed
	kill     context.CancelCauseFunc
	killed   atomic.Bool // by killAt
}

var errKilled = errors.New("the process was killed")

func (c cluster) member(t *testing.T, rule memfleet.Rule) *member {
	t.Helper()
	m := &member{}
	m.ctx, m.kill = context.WithCancelCause(t.Context())
	var err error
	if m.proxy, err = memfleet.NewProxy(c.config); err != nil {
		t.Fatal(err)
	}
	m.proxy.SetRule(rule)
	if m.session, err = fleet.Open("aks-1", m.proxy.Config(), nil); err != nil {
		t.Fatal(err)
	}
	m.observer = NewObserver(m.session, nil)
	m.executor = NewExecutor(m.session, m.observer)
	t.Cleanup(m.close)
	return m
}

func (m *member) close() {
	m.kill(errKilled)
	m.observer.Close()
	m.session.Close()
	m.proxy.Close()
}

// killAt makes the k-th write the process' last: the API server gets it, nobody gets the answer, nothing follows.
func (m *member) killAt(k int) {
	var writes atomic.Int64
	m.proxy.SetRule(func(r memfleet.Request) memfleet.Fault {
		if !r.Writes() {
			return memfleet.Pass()
		}
		switch n := writes.Add(1); {
		case n < int64(k):
			return memfleet.Pass()
		case n == int64(k):
			m.killed.Store(true)
			return memfleet.LoseAnswer()
		}
		return memfleet.Refuse()
	})
}

// sent returns the writes and dry runs since the last call, in order: "PATCH /api/v1/namespaces/web".
func (m *member) sent() []string {
	var out []string
	for _, r := range m.proxy.Requests() {
		switch {
		case r.Writes():
			out = append(out, r.Method+" "+r.Path)
		case r.Class == memfleet.DryRun:
			out = append(out, r.Method+" "+r.Path+" (dry run)")
		}
	}
	m.proxy.Reset()
	return out
}

func (m *member) plan(targets ...apply.Set) apply.Plan {
	return apply.Diff("aks-1", targets, m.observer.Live(), time.Now())
}

// observed waits until the view is complete, of the kinds of targets too.
func (m *member) observed(t *testing.T, targets []apply.Set) {
	t.Helper()
	var kinds []schema.GroupVersionKind
	for _, s := range targets {
		for _, o := range s.Objects {
			kinds = append(kinds, o.GroupVersionKind())
		}
	}
	m.observer.Track(kinds)
	eventually(t, "the view is complete", func(context.Context) error {
		live := m.observer.Live()
		if !live.Complete || len(live.Unknown) > 0 {
			return fmt.Errorf("parents synced: %v, unknown kinds: %v, %w", live.ParentsSynced, live.Unknown, m.session.State().Err)
		}
		return nil
	})
}

// converge plans and executes until nothing is left to do or the process is killed, and returns what was sent.
func (m *member) converge(t *testing.T, targets ...apply.Set) []string {
	t.Helper()
	m.sent()
	var errs map[string]error
	for range 8 {
		m.observed(t, targets)
		plan := m.plan(targets...)
		if plan.Empty() {
			return m.sent()
		}
		errs = m.executor.Execute(m.ctx, plan).Errs
		if m.killed.Load() {
			return m.sent()
		}
	}
	t.Fatalf("does not converge (%v): still\n%s", errs, m.plan(targets...))
	return nil
}

// outcomes executes one plan for one Set and returns what became of each object.
func (m *member) outcomes(t *testing.T, target apply.Set) map[string]apply.Outcome {
	t.Helper()
	m.observed(t, []apply.Set{target})
	result := m.executor.Execute(m.ctx, m.plan(target))
	if err := result.Errs[target.Name]; err != nil {
		t.Fatal(err)
	}
	out := map[string]apply.Outcome{}
	for _, o := range result.Outcomes[target.Name] {
		out[o.Ref.Kind+" "+o.Ref.Name] = o
	}
	return out
}

// wish returns a Set of the objects in YAML documents.
func wish(t *testing.T, name, revision string, documents ...string) apply.Set {
	t.Helper()
	set := apply.Set{Name: name, Revision: revision, PolicyDigest: "policy"}
	for i, d := range documents {
		set.Objects = append(set.Objects, render.Object{Unstructured: object(t, d), Origin: render.Origin{File: "a.yaml", Document: i + 1}})
	}
	return set
}

func configMap(namespace, name, value string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: %s, name: %s}, data: {key: %q}}", namespace, name, value)
}

func namespace(name string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", name)
}

func (c cluster) configMaps(namespace string) dynamic.ResourceInterface {
	return c.client.Resource(configMaps).Namespace(namespace)
}

// inventory reads the parent of a Set, or returns nil when there is none.
func (c cluster) inventory(t *testing.T, set string) *unstructured.Unstructured {
	t.Helper()
	u, err := c.configMaps(api.SystemNamespace).Get(t.Context(), apply.ParentName(set), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return must(u, err)(t)
}

// labelled returns the names of the ConfigMaps in a namespace that carry any ApplySet label, sorted.
func (c cluster) labelled(t *testing.T, namespace string) []string {
	t.Helper()
	list := must(c.configMaps(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: api.ApplySetPartOfLabel}))(t)
	var out []string
	for _, u := range list.Items {
		out = append(out, u.GetName())
	}
	slices.Sort(out)
	return out
}

// patch changes an object as a foreigner, by a merge patch.
func (c cluster) patch(t *testing.T, namespace, name, body string) {
	t.Helper()
	must(c.configMaps(namespace).Patch(t.Context(), name, "application/merge-patch+json", []byte(body), metav1.PatchOptions{FieldManager: "foreigner"}))(t)
}

func withMethod(sent []string, method string) []string {
	return slices.DeleteFunc(slices.Clone(sent), func(s string) bool { return !strings.HasPrefix(s, method+" ") })
}

func deletes(m *member) []string { return withMethod(m.sent(), http.MethodDelete) }

func object(t *testing.T, y string) *unstructured.Unstructured {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(y))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}
	return u
}

// must returns a function that fails the test unless the call that it wraps succeeded.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// eventually waits until done returns nil.
func eventually(t *testing.T, what string, done func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var err error
	if !until(ctx, func() bool { err = done(ctx); return err == nil }) {
		t.Fatalf("waited in vain until %s: %v", what, err)
	}
}
