package clustertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// server is an API server under test, real or in memory. client reaches it directly, as a foreigner does.
type server struct {
	config *rest.Config
	client dynamic.Interface
	open   func(*rest.Config) (Member, error)
}

func newServer(c Cluster) server {
	return server{client: dynamic.NewForConfigOrDie(unlimited(c.Config)), config: unlimited(c.Config), open: c.Open}
}

// unlimited returns config without client-go's own rate limit.
func unlimited(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	return config
}

// as returns the same API server for processes that it takes for user.
func (s server) as(user string) server {
	s.config = rest.CopyConfig(s.config)
	s.config.Impersonate.UserName = user
	return s
}

var (
	claims      = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

func (s server) configMaps(namespace string) dynamic.ResourceInterface {
	return s.client.Resource(configMaps).Namespace(namespace)
}

// inventory reads the parent of a Set, or returns nil when there is none.
func (s server) inventory(t *testing.T, set string) *unstructured.Unstructured {
	t.Helper()
	u, err := s.configMaps(api.SystemNamespace).Get(t.Context(), apply.ParentName(set), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return Must(u, err)(t)
}

// labelled returns the names of the ConfigMaps in a namespace that carry any ApplySet label, sorted.
func (s server) labelled(t *testing.T, namespace string) []string {
	t.Helper()
	list := Must(s.configMaps(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: api.ApplySetPartOfLabel}))(t)
	var out []string
	for _, u := range list.Items {
		out = append(out, u.GetName())
	}
	slices.Sort(out)
	return out
}

func (s server) exists(t *testing.T, resource schema.GroupVersionResource, namespace, name string) bool {
	t.Helper()
	u, err := s.client.Resource(resource).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil && u.GetDeletionTimestamp() == nil
}

// patch changes an object as a foreigner, by a merge patch.
func (s server) patch(t *testing.T, namespace, name, body string) {
	t.Helper()
	Must(s.configMaps(namespace).Patch(t.Context(), name, "application/merge-patch+json", []byte(body), metav1.PatchOptions{FieldManager: "foreigner"}))(t)
}

// Must returns a function that fails the test unless the call that it wraps succeeded.
func Must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Eventually waits until done returns nil.
func Eventually(t *testing.T, what string, done func(context.Context) error) {
	t.Helper()
	realfleet.Eventually(t, 20*time.Second, func() error {
		if err := done(t.Context()); err != nil {
			return fmt.Errorf("until %s: %w", what, err)
		}
		return nil
	})
}
