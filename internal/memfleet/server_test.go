package memfleet_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// newAPI starts a server that belongs to one test.
func newAPI(t *testing.T) (*memfleet.Server, *api) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	server := memfleet.NewServer()
	t.Cleanup(func() {
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return server, &api{t: t, ns: "default", DynamicClient: dynamic.NewForConfigOrDie(server.Config()), cfg: server.Config()}
}

func TestForgottenHistoryIsGone(t *testing.T) {
	server, a := newAPI(t)
	old := a.create(configMaps, a.ns, configMap("a", "k: v"))
	a.create(configMaps, a.ns, configMap("b", "k: v"))
	server.Compact()
	w, err := a.Resource(configMaps).Watch(context.Background(), metav1.ListOptions{ResourceVersion: old.GetResourceVersion()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	event := <-w.ResultChan()
	if err := apierrors.FromObject(event.Object); event.Type != watch.Error || !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v, want an error event that says 410", event)
	}
}

func TestFutureVersionIsTooLarge(t *testing.T) {
	_, a := newAPI(t)
	_, err := a.Resource(configMaps).List(context.Background(), metav1.ListOptions{ResourceVersion: "1000000"})
	if !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := a.Resource(configMaps).List(context.Background(), metav1.ListOptions{ResourceVersion: "x"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a version that is none: %v", err)
	}
	if _, err := a.Resource(configMaps).List(context.Background(), metav1.ListOptions{FieldSelector: "data.k=v"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a field that cannot be selected by: %v", err)
	}
}

func TestReadsDoNotWrite(t *testing.T) {
	server, a := newAPI(t)
	a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	before := server.Version()
	a.get(configMaps, "a")
	a.mustApply(configMaps, "one", false, configMap("a", "k: v"))
	if _, err := a.apply(configMaps, "one", false, configMap("a", "k: w"), metav1.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if after := server.Version(); after != before {
		t.Errorf("version %d became %d", before, after)
	}
}

// TestDump also shows that the dump is the same for the same objects, whatever order they came in.
func TestDump(t *testing.T) {
	var dumps []string
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		t.Run(strings.Join(order, ""), func(t *testing.T) {
			server, a := newAPI(t)
			for _, name := range order {
				a.mustApply(configMaps, "one", false, configMap(name, "k: v"))
			}
			a.create(secrets, a.ns, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: topsecret}")
			a.create(definitions, "", definition)
			a.mustApply(widgets, "one", false, "apiVersion: test.gitfleet.io/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 1}")
			dumps = append(dumps, server.Dump())
		})
	}
	if diff := cmp.Diff(dumps[0], dumps[1]); diff != "" {
		t.Errorf("the order of creation shows:\n%s", diff)
	}
	for _, want := range []string{`--- ConfigMap default/a
apiVersion: v1
data:
  k: v
kind: ConfigMap
metadata:
  labels:
    app: a
  name: a
  namespace: default
--- ConfigMap default/b
`, `--- Widget.test.gitfleet.io default/w
apiVersion: test.gitfleet.io/v1
kind: Widget
metadata:
  generation: 1
  name: w
  namespace: default
spec:
  size: 1
`, "type: Established"} {
		if !strings.Contains(dumps[0], want) {
			t.Errorf("the dump lacks\n%s", want)
		}
	}
	if strings.Contains(dumps[0], "dG9wc2VjcmV0") || strings.Contains(dumps[0], "uid") || strings.Contains(dumps[0], "lastTransitionTime") {
		t.Errorf("the dump tells what it should not:\n%s", dumps[0])
	}
	if strings.Count(dumps[0], "--- Widget") != 1 {
		t.Error("an object of two versions is dumped twice")
	}
}
