package memfleet_test

import (
	"context"
	"encoding/json"
	"fmt"

	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	widgets     = schema.GroupVersionResource{Group: "test.gitfleet.io", Version: "v1", Resource: "widgets"}
)

// api is an API server under test, with a namespace of its own.
type api struct {
	t  *testing.T
	ns string
	*dynamic.DynamicClient
	cfg *rest.Config
}

// contract is what every API server does, in memory or real. Each case says what gitfleet relies on.
var contract = []struct {
	name string
	test func(*api)
}{
	{"discovery names kinds, scopes and subresources", testDiscovery},
	{"lists select by label and by name, and tell metadata alone", testLists},
	{"a watch shows coming, changing, leaving a selector, and going", testWatch},
	{"an update from an old state conflicts", testStaleUpdate},
	{"deletes keep their preconditions", testPreconditions},
	{"a finalizer holds an object that is marked as deleted", testFinalizer},
	{"a namespace takes its content with it", testNamespace},
	{"creating in a namespace that is not there is not found", testMissingNamespace},
	{"an apply that changes nothing writes nothing", testNoOpApply},
	{"applies conflict, and force takes over", testApplyConflict},
	{"a field that is no longer applied goes away", testApplyRemoves},
	{"lists with keys are merged by key", testApplyKeyedList},
	{"a dry run keeps nothing", testDryRun},
	{"status and the rest are written apart", testStatus},
	{"patches of all kinds", testPatches},
	{"a custom kind is served once it is established", testDefinition},
	{"stringData becomes data", testSecret},
	{"a watch may begin with what is there", testInitialEvents},
	{"a collection is deleted by selector", testDeleteCollection},
	{"what a path says and what an object says must agree", testMismatches},
}

func TestServerKeepsTheContract(t *testing.T) {
	server := memfleet.NewServer()
	t.Cleanup(server.Close)
	runContract(t, server.Config())
}

// TestRealServerKeepsTheContract shows that the contract is not our invention, and, since it goes through a proxy, that
// the proxy changes nothing by itself.
func TestRealServerKeepsTheContract(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real API servers")
	}
	fleet := realfleet.Start(t, 1)
	runContract(t, startProxy(t, fleet.Config(t, "aks-member-1")).Config())
}

func startProxy(t *testing.T, upstream *rest.Config) *memfleet.Proxy {
	t.Helper()
	proxy, err := memfleet.NewProxy(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

func runContract(t *testing.T, cfg *rest.Config) {
	for i, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			client, err := dynamic.NewForConfig(cfg)
			if err != nil {
				t.Fatal(err)
			}
			a := &api{t: t, ns: fmt.Sprintf("contract-%d", i), DynamicClient: client, cfg: cfg}
			a.create(namespaces, "", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+a.ns+"}")
			c.test(a)
		})
	}
}

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	return u
}

func (a *api) create(gvr schema.GroupVersionResource, ns, manifest string) *unstructured.Unstructured {
	a.t.Helper()
	u, err := a.Resource(gvr).Namespace(ns).Create(context.Background(), parse(a.t, manifest), metav1.CreateOptions{})
	if err != nil {
		a.t.Fatalf("create: %v", err)
	}
	return u
}

func (a *api) get(gvr schema.GroupVersionResource, name string) *unstructured.Unstructured {
	a.t.Helper()
	u, err := a.Resource(gvr).Namespace(a.ns).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		a.t.Fatalf("get: %v", err)
	}
	return u
}

func (a *api) apply(gvr schema.GroupVersionResource, manager string, force bool, manifest string, dryRun ...string) (*unstructured.Unstructured, error) {
	u := parse(a.t, manifest)
	return a.Resource(gvr).Namespace(a.ns).Apply(context.Background(), u.GetName(), u, metav1.ApplyOptions{FieldManager: manager, Force: force, DryRun: dryRun})
}

func (a *api) mustApply(gvr schema.GroupVersionResource, manager string, force bool, manifest string) *unstructured.Unstructured {
	a.t.Helper()
	u, err := a.apply(gvr, manager, force, manifest)
	if err != nil {
		a.t.Fatalf("apply by %s: %v", manager, err)
	}
	return u
}

// eventually waits until cond holds; only what a real server does later needs it.
func (a *api) eventually(what string, cond func() bool) {
	a.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			a.t.Fatalf("never happened: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (a *api) gone(gvr schema.GroupVersionResource, ns, name string) bool {
	_, err := a.Resource(gvr).Namespace(ns).Get(context.Background(), name, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// entry returns the fields that a manager owns.
func entry(t *testing.T, u *unstructured.Unstructured, manager string) string {
	t.Helper()
	for _, e := range u.GetManagedFields() {
		if e.Manager == manager {
			var fields any
			if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields); err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(fields)
			return string(e.Operation) + " " + e.Subresource + string(text)
		}
	}
	return ""
}

func configMap(name, extra string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", labels: {app: " + name + "}}\ndata: {" + extra + "}"
}
