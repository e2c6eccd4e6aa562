package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// TestFields is what one object, its fields and their owners go through, on a real API server.
func TestFields(t *testing.T) {
	f := realfleet.Start(t, 1)
	r := newRig(t, f.Config(t, f.Members[0]))
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"opt-out", fieldsAreGivenAway},
		{"opt-out-crash", aCrashWhileGivingAwayIsSettled},
		{"opt-out-race", aRaceForOwnershipIsNoticed},
		{"opt-out-indivisible", whatIsOneValueIsNotGivenAway},
		{"co-owners", whatKubectlHadGoesWithGit},
		{"who", driftNamesWhoDidIt},
		{"no-events", deniedEventsAreNotedOnce},
		{"recreate-kinds", immutableFieldsAreRecognised},
		{"recreate", immutableFieldsAreRecreated},
		{"recreate-crash", aCrashWhileRecreatingIsSettled},
		{"recreate-not", whatIsNotDeletedToRecreate},
		{"recreate-proof", whatWouldBeRefusedIsNotDeleted},
		{"impersonate", aPlacementActsAsItsAccount},
		{"confirmed", aConfirmedRemovalIsNotHeld},
		{"doubt", aDoubtIsClearedByLooking},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, r) })
	}
}

// TestFieldsInMemory is what of it an API server in memory decides alike.
func TestFieldsInMemory(t *testing.T) {
	s := memfleet.NewServer()
	t.Cleanup(s.Close)
	r := newRig(t, s.Config())
	t.Run("co-owners", func(t *testing.T) { whatKubectlHadGoesWithGit(t, r) })
	t.Run("opt-out-race", func(t *testing.T) { aRaceForOwnershipIsNoticed(t, r) })
	t.Run("confirmed", func(t *testing.T) { aConfirmedRemovalIsNotHeld(t, r) })
	t.Run("doubt", func(t *testing.T) { aDoubtIsClearedByLooking(t, r) })
}

// rig is one API server. client reaches it directly, as a foreigner does.
type rig struct {
	config *rest.Config
	client dynamic.Interface
}

func newRig(t *testing.T, config *rest.Config) *rig {
	t.Helper()
	return &rig{config, clustertest.Must(dynamic.NewForConfig(config))(t)}
}

// as returns the same API server for processes and foreigners that it takes for user.
func (r *rig) as(t *testing.T, user string) *rig {
	t.Helper()
	config := rest.CopyConfig(r.config)
	config.Impersonate.UserName = user
	return newRig(t, config)
}

// run is one process of ours.
type run struct {
	process
	proxy  *memfleet.Proxy
	ctx    context.Context
	kill   context.CancelFunc
	killed atomic.Bool
}

func (r *rig) start(t *testing.T) *run {
	t.Helper()
	p := &run{}
	p.ctx, p.kill = context.WithCancel(t.Context())
	p.proxy = clustertest.Must(memfleet.NewProxy(r.config))(t)
	t.Cleanup(p.proxy.Close)
	p.process = clustertest.Must(open(p.proxy.Config()))(t).(process)
	t.Cleanup(func() { p.kill(); p.Close() })
	return p
}

// killAt makes the k-th write the process' last: the API server gets it, nobody gets the answer, nothing follows.
func (p *run) killAt(k int64) {
	var writes atomic.Int64
	p.proxy.SetRule(func(r memfleet.Request) memfleet.Fault {
		if !r.Writes() {
			return memfleet.Pass()
		}
		switch n := writes.Add(1); {
		case n < k:
			return memfleet.Pass()
		case n == k:
			p.killed.Store(true)
			return memfleet.LoseAnswer()
		}
		return memfleet.Refuse()
	})
}

// sees waits until the process knows of a foreigner's change.
func (p *run) sees(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	clustertest.Eventually(t, "the watch shows "+u.GetName(), func(context.Context) error {
		lo, ok := p.Live().Objects.Get(api.RefOf(u))
		if ours := u.GetLabels()[api.ApplySetPartOfLabel] != ""; ours != ok || ok && !reached(lo.ResourceVersion, u.GetResourceVersion()) {
			return errors.New("not yet")
		}
		return nil
	})
}

// withoutRetries drops what is sent again because a controller wrote in between: a read and the same patch once more.
func withoutRetries(sent []string) []string {
	var out []string
	for i := 0; i < len(sent); i++ {
		if n := len(out); n > 0 && i+1 < len(sent) && strings.HasPrefix(sent[i], "GET ") && sent[i+1] == out[n-1] {
			i++
			continue
		}
		out = append(out, sent[i])
	}
	return out
}

// sent returns the requests about objects since the last call, in order: "GET deployments/a", "PATCH deployments/a (dry run)".
func (p *run) sent() []string {
	var out []string
	for _, r := range p.proxy.Requests() {
		if r.Name == "" && r.Method == "GET" || r.Resource == "" || r.Namespace == api.SystemNamespace {
			continue
		}
		line := r.Method + " " + r.Resource
		if r.Name != "" {
			line += "/" + r.Name
		}
		if r.Class == memfleet.DryRun {
			line += " (dry run)"
		}
		out = append(out, line)
	}
	p.proxy.Reset()
	return out
}

func (p *run) plan(t *testing.T, sets ...apply.Set) apply.Plan {
	t.Helper()
	clustertest.AwaitView(t, p.process, sets)
	return apply.Diff("aks-1", sets, p.Live(), time.Now())
}

// converge plans and executes until nothing is left to do, and returns all outcomes by kind and name, the last one each.
func (p *run) converge(t *testing.T, sets ...apply.Set) map[string]apply.Outcome {
	t.Helper()
	out := map[string]apply.Outcome{}
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		plan := p.plan(t, sets...)
		if plan.Empty() && p.settled() {
			return out
		}
		for key, o := range p.once(t, plan) {
			if o.Err != nil {
				t.Fatalf("%s: %v", key, o.Err)
			}
			out[key] = o
		}
		if p.killed.Load() {
			return out
		}
	}
	t.Fatalf("does not converge: still\n%s", p.plan(t, sets...))
	return nil
}

// settled tells that nothing of ours is on its way out.
func (p *run) settled() bool {
	for lo := range p.Live().Objects.All() {
		if lo.Deleting {
			return false
		}
	}
	return true
}

func (p *run) once(t *testing.T, plan apply.Plan) map[string]apply.Outcome {
	t.Helper()
	out := map[string]apply.Outcome{}
	result := p.Execute(p.ctx, plan)
	for set, err := range result.Errs {
		if !p.killed.Load() {
			t.Errorf("set %s: %v", set, err)
		}
	}
	if p.killed.Load() {
		return nil
	}
	for _, outcomes := range result.Outcomes {
		for _, o := range outcomes {
			out[o.Ref.Kind+" "+o.Ref.Name] = o
		}
	}
	return out
}

// wanted is one object of a wish: its manifest and the fields of it that are given away.
type wanted struct {
	manifest string
	ignore   []string
	recreate bool
}

func wish(t *testing.T, name, revision string, objects ...wanted) apply.Set {
	t.Helper()
	s := apply.Set{Name: name, Revision: revision, PolicyDigest: "policy"}
	for _, w := range objects {
		o := render.Object{Unstructured: clustertest.Object(t, w.manifest), Directives: api.Directives{Recreate: w.recreate}}
		for _, path := range w.ignore {
			o.Directives.IgnoreFields = append(o.Directives.IgnoreFields, clustertest.Must(api.ParseFieldPath(path))(t))
		}
		s.Objects = append(s.Objects, apply.NewTarget(o, nil))
	}
	return s
}

func namespaceOf(name string) wanted {
	return wanted{manifest: "{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}"}
}

func (r *rig) get(t *testing.T, resource schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	return clustertest.Must(r.client.Resource(resource).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{}))(t)
}

func (r *rig) create(t *testing.T, resource schema.GroupVersionResource, manager, manifest string) {
	t.Helper()
	u := clustertest.Object(t, manifest)
	clustertest.Must(r.client.Resource(resource).Namespace(u.GetNamespace()).Create(t.Context(), u, metav1.CreateOptions{FieldManager: manager}))(t)
}

// patch changes an object as a foreigner, by a merge patch; of a subresource when one is named.
func (r *rig) patch(t *testing.T, resource schema.GroupVersionResource, ref [2]string, manager, body string, subresource ...string) *unstructured.Unstructured {
	t.Helper()
	return clustertest.Must(r.client.Resource(resource).Namespace(ref[0]).Patch(t.Context(), ref[1], "application/merge-patch+json", []byte(body),
		metav1.PatchOptions{FieldManager: manager}, subresource...))(t)
}

func owners(u *unstructured.Unstructured) []string {
	var out []string
	for _, e := range u.GetManagedFields() {
		out = append(out, fmt.Sprintf("%s %s%s: %s", e.Manager, e.Operation, e.Subresource, e.FieldsV1.GetRawString()))
	}
	return out
}

func refusedAs(err error) *apply.RefusedError {
	refused, _ := errors.AsType[*apply.RefusedError](err)
	return refused
}

var (
	services      = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaceKind = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)
