package kube

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/api/crd"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/mcs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. It is never waited for when things work.
const patience = 20 * time.Second

// onEveryServer runs test against the API server in memory and, where there is one, against a real one.
func onEveryServer(t *testing.T, test func(t *testing.T, m *member)) {
	t.Run("memory", func(t *testing.T) {
		s := memfleet.NewServer()
		t.Cleanup(s.Close)
		test(t, newMember(t, s.Config()))
	})
	t.Run("real", func(t *testing.T) { test(t, newMember(t, startServer(t))) })
}

// member is an API server with a proxy before it, our session through the proxy, and somebody else's client.
type member struct {
	proxy    *memfleet.Proxy
	session  *fleet.Session
	observer *Observer
	news     chan struct{}
	theirs   dynamic.Interface
}

func newMember(t *testing.T, config *rest.Config) *member {
	t.Helper()
	proxy, err := memfleet.NewProxy(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	m := &member{proxy: proxy, news: make(chan struct{}, 1)}
	m.session, err = fleet.Open("m1", proxy.Config(), func() {
		select {
		case m.news <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.session.Close)
	// A transport of its own for each test's client: shared ones outlive the test and look like leaks.
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	if m.theirs, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		t.Fatal(err)
	}
	m.observer = NewObserver(m.session)
	return m
}

// await observes until ok, whenever the session has news.
func (m *member) await(t *testing.T, what string, ok func(mcs.Observed) bool) mcs.Observed {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		o := m.observer.Observe(true)
		if ok(o) {
			return o
		}
		select {
		case <-m.news:
		case <-deadline.C:
			t.Fatalf("not seen: %s; %v; last observation: %+v", what, m.observer.Err(), o)
		}
	}
}

func (m *member) install(t *testing.T) {
	t.Helper()
	for _, u := range append(crd.Member(), crd.Standard()...) {
		m.create(t, u)
	}
	m.await(t, "definitions are served", func(o mcs.Observed) bool { return o.Synced })
}

var resources = map[string]string{"Namespace": "namespaces", "Service": "services", "EndpointSlice": "endpointslices",
	"ServiceExport": "serviceexports", "ServiceImport": "serviceimports", "MultiClusterService": "multiclusterservices",
	"CustomResourceDefinition": "customresourcedefinitions"}

func (m *member) client(u *unstructured.Unstructured) dynamic.ResourceInterface {
	gvk := u.GroupVersionKind()
	return m.theirs.Resource(gvk.GroupVersion().WithResource(resources[gvk.Kind])).Namespace(u.GetNamespace())
}

func (m *member) create(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	if _, err := m.client(u).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (m *member) createAll(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		m.create(t, object(t, text))
	}
}

func (m *member) get(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := object(t, text)
	got, err := m.client(u).Get(t.Context(), u.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (m *member) delete(t *testing.T, text string) {
	t.Helper()
	u := object(t, text)
	if err := m.client(u).Delete(t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

func (m *member) patch(t *testing.T, text, patch string) {
	t.Helper()
	u := object(t, text)
	if _, err := m.client(u).Patch(t.Context(), u.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

const (
	shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}`
	service = `
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {type: ClusterIP, selector: {app: web}, ports: [{name: http, port: 80, protocol: TCP, targetPort: http}]}`
	ownSlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}
addressType: IPv4
ports: [{name: http, port: 8000, protocol: TCP}]
endpoints: [{addresses: [10.1.0.2], conditions: {ready: true}}]`
	importedSlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: web-2, labels: {kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: gitfleet}}
addressType: IPv4
ports: [{name: http, port: 8000, protocol: TCP}]
endpoints: [{addresses: [10.2.0.2], conditions: {ready: true}}]`
	export = `
apiVersion: networking.fleet.azure.com/v1alpha1
kind: ServiceExport
metadata: {namespace: shop, name: web}`
	serviceImport = `
apiVersion: networking.fleet.azure.com/v1alpha1
kind: ServiceImport
metadata: {namespace: shop, name: web}`
	multiClusterService = `
apiVersion: networking.fleet.azure.com/v1alpha1
kind: MultiClusterService
metadata: {namespace: shop, name: web}
spec: {serviceImport: {name: web}}`
)
