package hub

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/crd"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	applykube "github.com/gitfleet/gitfleet/apply/kube"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

var (
	placements = placementv1beta1.GroupVersion.WithResource("clusterresourceplacements")
	local      = placementv1beta1.GroupVersion.WithResource("resourceplacements")
	copies     = placementv1beta1.GroupVersion.WithResource("clusterresourceplacementstatuses")
	events     = corev1.SchemeGroupVersion.WithResource("events")
	namespaces = corev1.SchemeGroupVersion.WithResource("namespaces")
	members    = clusterv1beta1.GroupVersion.WithResource("memberclusters")
)

// cluster is an API server that serves as the hub, and a client that is not watched.
type cluster struct {
	config *rest.Config
	dynamic.Interface
}

func newCluster(t *testing.T, config *rest.Config) cluster {
	t.Helper()
	unlimited := rest.CopyConfig(config)
	unlimited.QPS = -1 // what a test looks at is no load
	client, err := dynamic.NewForConfig(unlimited)
	if err != nil {
		t.Fatal(err)
	}
	return cluster{config, client}
}

// process is one gitfleet process as far as the hub is concerned.
type process struct {
	*Publisher
	proxy *memfleet.Proxy
}

// start starts a process whose requests follow rule.
func (c cluster) start(t *testing.T, rule memfleet.Rule) *process {
	t.Helper()
	proxy, err := memfleet.NewProxy(c.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	proxy.SetRule(rule)
	session, err := fleet.Open("hub", proxy.Config(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return &process{NewPublisher(session, applykube.NewCRDs(session, crd.Hub()).Ensure), proxy}
}

func (p *process) publish(t *testing.T, desired *render.Desired, r report.Report) {
	t.Helper()
	if err := p.Publish(t.Context(), desired, r); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// sent returns the requests since the last call, but those that watch, probe and ask for definitions.
func (p *process) sent() []string {
	var list []string
	for _, r := range p.proxy.Requests() {
		if r.Class != memfleet.Watch && r.Class != memfleet.Other && r.Resource != "customresourcedefinitions" && r.Resource != "nodes" {
			list = append(list, r.Method+" "+r.Path)
		}
	}
	p.proxy.Reset()
	slices.Sort(list)
	return list
}

// names returns what is on the hub, as "clusterresourceplacements/NAME", "resourceplacements/NAMESPACE/NAME",
// "clusterresourceplacementstatuses/NAMESPACE/NAME" and "memberclusters/NAME".
func (c cluster) names(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, gvr := range []schema.GroupVersionResource{placements, local, copies, members} {
		list, err := c.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			names = append(names, gvr.Resource+"/"+keyOf(&u).String())
		}
	}
	slices.Sort(names)
	return names
}

func (c cluster) placement(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := c.Resource(placements).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (c cluster) patch(t *testing.T, name, body string) {
	t.Helper()
	if _, err := c.Resource(placements).Patch(t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// createTheirs creates a placement that gitfleet did not publish.
func (c cluster) createTheirs(t *testing.T, finalizers ...string) *unstructured.Unstructured {
	t.Helper()
	theirs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"resourceSelectors": []any{map[string]any{"group": "", "version": "v1", "kind": "Namespace", "name": "x"}}}}}
	theirs.SetGroupVersionKind(placementv1beta1.ClusterResourcePlacementGVK)
	theirs.SetName("theirs")
	theirs.SetFinalizers(finalizers)
	created, err := c.Resource(placements).Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("it does not come true that %s", what)
		}
	}
}

func isDelete(request string) bool { return strings.HasPrefix(request, "DELETE ") }
