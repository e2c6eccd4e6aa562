package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

const accounts = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: gitfleet, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: gitfleet}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: gitfleet, namespace: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: group-may-view, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts:default"}]
`

// realRotation goes from the administrator's certificate to a token and to another one while writes go on.
func realRotation(t *testing.T, real *realfleet.Fleet, name string, cfg *rest.Config) {
	m := &member{t: t, direct: dynamic.NewForConfigOrDie(cfg), changed: make(chan struct{}, 1)}
	m.proxy = idleProxy(t, cfg)
	real.Apply(t, name, accounts)
	m.watched(cfg)
	w := m.watchNames()
	m.awaitSynced(w)
	others := len(w.Objects())
	stop := m.load()
	wrote := func(n int) func() bool { return func() bool { return w.Synced() && len(w.Objects()) > others+n } }
	m.await("some writes", wrote(20))
	for range 2 {
		next := rest.AnonymousClientConfig(cfg)
		next.BearerToken = strings.TrimSpace(real.Kubectl(t, name, "create", "token", "gitfleet"))
		if err := m.SetConfig(next); err != nil {
			t.Fatal(err)
		}
		m.await("more writes", wrote(len(w.Objects())-others+20))
	}
	realfleet.Eventually(t, 10*time.Second, func() error {
		if open := len(m.wire.lines()); open != 1 {
			return fmt.Errorf("%d lines are open", open)
		}
		return nil
	})
	written := stop()
	m.await("everything is seen", func() bool { return w.Synced() && len(w.Objects()) == others+written })
	who, err := m.Dynamic().Resource(schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "selfsubjectreviews"}).
		Create(context.Background(), parse(t, "apiVersion: authentication.k8s.io/v1\nkind: SelfSubjectReview\nmetadata: {name: x}"), metav1.CreateOptions{})
	if err != nil || !strings.Contains(fmt.Sprint(who.Object), "system:serviceaccount:default:gitfleet") {
		t.Errorf("requests come from %v, %v", who, err)
	}
	if err := m.direct.Resource(configMaps).Namespace("default").DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app"}); err != nil {
		t.Fatal(err)
	}
}

// idleProxy is for a session that goes past it: it has seen no requests when a failure tells them.
func idleProxy(t *testing.T, cfg *rest.Config) *memfleet.Proxy {
	t.Helper()
	p, err := memfleet.NewProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// realImpersonation: the API server adds an account's groups itself, and says who lacks which right.
func realImpersonation(t *testing.T, real *realfleet.Fleet, name string, m *member, cfg *rest.Config) {
	list := func(client dynamic.Interface, namespace string) error {
		_, err := client.Resource(configMaps).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		return err
	}
	team := m.As("default/deployer").Dynamic
	realfleet.Eventually(t, 10*time.Second, func() error { return list(team, "default") }) // by its group
	err := list(team, "kube-system")
	if !apierrors.IsForbidden(err) || ImpersonationDenied(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:deployer") {
		t.Errorf("beyond the account's rights: %v", err)
	}
	cfg = rest.AnonymousClientConfig(cfg)
	cfg.BearerToken = strings.TrimSpace(real.Kubectl(t, name, "create", "token", "default"))
	unprivileged := &member{t: t, proxy: m.proxy, direct: m.direct, changed: make(chan struct{}, 1)}
	unprivileged.open(cfg)
	unprivileged.await("ready", func() bool { return unprivileged.State().Phase == Ready })
	if err := list(unprivileged.As("default/deployer").Dynamic, "default"); !ImpersonationDenied(err) {
		t.Errorf("impersonation without the right to: %v", err)
	}
}

// realResources: a pod with requests makes less available.
func realResources(t *testing.T, real *realfleet.Fleet, name string, m *member) {
	free := func() *Amount { r, _ := m.Resources(); return r.Available }
	m.await("the pods are counted", func() bool { return free() != nil })
	r, _ := m.Resources()
	if r.Problem != nil || r.Capacity.CPU.Sign() <= 0 || r.Capacity.Memory.Cmp(r.Allocatable.Memory) < 0 {
		t.Errorf("resources %+v", r)
	}
	before := free().CPU.MilliValue()
	real.Apply(t, name, `
apiVersion: v1
kind: Pod
metadata: {name: taker, namespace: default}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: example.test/a:1, resources: {requests: {cpu: 100m}}}]
`)
	m.await("the pod counts", func() bool { return free().CPU.MilliValue() == before-100 })
	real.Kubectl(t, name, "delete", "pod", "taker", "--now")
	m.await("it no longer counts", func() bool { return free().CPU.MilliValue() == before })
}

// realAggregated: an aggregated API that nobody answers for is unknown, not absent, and it is found when it comes.
func realAggregated(t *testing.T, real *realfleet.Fleet, name string, m *member) {
	gadget := schema.GroupVersionKind{Group: "late.gitfleet.io", Version: "v1", Kind: "Gadget"}
	mapping := func() error { _, err := m.Mapping(context.Background(), gadget); return err }
	m.await("the APIs are watched", m.aggregated.Synced)
	if err := mapping(); err == nil {
		t.Fatal("a kind is mapped that nobody serves")
	}
	real.Apply(t, name, `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.late.gitfleet.io}
spec: {group: late.gitfleet.io, version: v1, groupPriorityMinimum: 1000, versionPriority: 10, service: {name: nobody, namespace: default}}
`)
	m.await("it is seen", func() bool { _, seen := m.aggregated.Get("", "v1.late.gitfleet.io"); return seen })
	realfleet.Eventually(t, 20*time.Second, func() error {
		if _, doubted := m.catalog.current(gadget.Group); doubted.IsZero() {
			return errors.New("what is known of its group is not in doubt")
		}
		return nil
	})
	real.Kubectl(t, name, "delete", "apiservice", "v1.late.gitfleet.io")
}
