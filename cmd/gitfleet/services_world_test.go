package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

var (
	standardGroup    = schema.GroupVersion{Group: mcsv1beta1.GroupName, Version: "v1beta1"}
	standardExports  = standardGroup.WithResource("serviceexports")
	standardImports  = standardGroup.WithResource("serviceimports")
	services         = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	fleetMultiple    = schema.GroupVersionResource{Group: "networking.fleet.azure.com", Version: "v1alpha1", Resource: "multiclusterservices"}
	fleetExports     = schema.GroupVersionResource{Group: "networking.fleet.azure.com", Version: "v1alpha1", Resource: "serviceexports"}
	namespacesOfCore = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// clusterset is a namespace of its own on every member, in which one story plays. Nothing in it comes from Git.
type clusterset struct {
	t     *testing.T
	w     *world
	p     *process
	ns    string
	image string // of hello's pods
}

func newClusterset(t *testing.T, w *world, p *process, ns string, on ...int) *clusterset {
	t.Helper()
	c := &clusterset{t: t, w: w, p: p, ns: ns, image: "registry.example/web:1"}
	for i := range w.fleet.Members {
		if len(on) == 0 || slices.Contains(on, i) {
			c.apply(i, namespace(ns))
		}
	}
	t.Cleanup(func() {
		for _, member := range w.fleet.Members {
			err := w.client(member).Resource(namespacesOfCore).Delete(context.Background(), ns, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		}
	})
	return c
}

// startServices starts gitfleet on members that Git has nothing for.
func (w *world) startServices(flags ...string) *process {
	w.t.Helper()
	commit := w.push("members", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	p := w.start(flags...)
	p.awaitConverged(commit)
	return p
}

// standardServices are the flags for both dialects and load balancers of the members.
func standardServices(more ...string) []string {
	return append([]string{"--mcs-api", "--load-balancer", "service", "--local-dial-map", ""}, more...)
}

func (c *clusterset) member(i int) string { return c.w.fleet.Members[i] }

func (c *clusterset) apply(i int, manifest string) {
	c.t.Helper()
	c.w.fleet.Apply(c.t, c.member(i), manifest)
}

// hello is a Deployment with a Service whose spec holds more fields; ports are a name, a protocol and a number each.
func (c *clusterset) hello(i int, more string, ports ...string) {
	c.t.Helper()
	var list []string
	for _, p := range ports {
		f := strings.Fields(p)
		list = append(list, fmt.Sprintf("{name: %s, protocol: %s, port: %s, targetPort: 4242}", f[0], f[1], f[2]))
	}
	c.apply(i, fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: hello, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec: {containers: [{name: web, image: %[4]s}]}
---
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: %[1]s, labels: {mine: stays}, annotations: {mine: stays}}
spec: {selector: {app: hello}, ports: [%[2]s]%[3]s}
`, c.ns, strings.Join(list, ", "), more, c.image))
}

// share exports hello in the standard's API, with the spec's fields.
func (c *clusterset) share(i int, spec string) {
	c.t.Helper()
	c.apply(i, standardExport(c.ns, "hello", spec))
}

func standardExport(ns, name, spec string) string {
	return fmt.Sprintf("apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: {name: %s, namespace: %s}\nspec: {%s}\n", name, ns, spec)
}

func (c *clusterset) delete(i int, gvr schema.GroupVersionResource, name string) {
	c.t.Helper()
	if err := c.w.client(c.member(i)).Resource(gvr).Namespace(c.ns).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// read returns an object of a member; ok is false when it is not there.
func read[T any](c *clusterset, i int, gvr schema.GroupVersionResource, name string) (out T, ok bool) {
	c.t.Helper()
	u := c.w.get(c.member(i), gvr, c.ns, name)
	if u == nil {
		return out, false
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &out); err != nil {
		c.t.Fatal(err)
	}
	return out, true
}

// await waits until cond has nothing to complain about.
func (c *clusterset) await(what string, cond func() error) {
	c.t.Helper()
	realfleet.Eventually(c.t, patience, func() error {
		if err := cond(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// awaitImport waits until hello is imported on member i as ok wants it, which says what is wrong.
func (c *clusterset) awaitImport(i int, what string, ok func(mcsv1beta1.ServiceImport) string) mcsv1beta1.ServiceImport {
	c.t.Helper()
	var got mcsv1beta1.ServiceImport
	c.await(what, func() error {
		imported, there := read[mcsv1beta1.ServiceImport](c, i, standardImports, "hello")
		if !there {
			return fmt.Errorf("%s has no ServiceImport hello", c.member(i))
		}
		if wrong := ok(imported); wrong != "" {
			return fmt.Errorf("on %s: %s; it is %s", c.member(i), wrong, printed(imported))
		}
		got = imported
		return nil
	})
	return got
}

func any1(mcsv1beta1.ServiceImport) string { return "" }

func printed(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// awaitGone waits until hello is imported nowhere, nor anything that came with it.
func (c *clusterset) awaitGone(on ...int) {
	c.t.Helper()
	for _, i := range on {
		c.await("the end of the import", func() error {
			if imported, there := read[mcsv1beta1.ServiceImport](c, i, standardImports, "hello"); there {
				return fmt.Errorf("on %s there is still %s", c.member(i), printed(imported))
			}
			if left := c.slices(i); len(left) > 0 {
				return fmt.Errorf("on %s there is still %s", c.member(i), printed(left))
			}
			return nil
		})
	}
}

// condition waits until the export on member i has a condition with this status, and a reason that contains one.
func (c *clusterset) condition(i int, gvr schema.GroupVersionResource, kind, status, reason string) {
	c.t.Helper()
	c.await(fmt.Sprintf("condition %s=%s %s of the export on %s", kind, status, reason, c.member(i)), func() error {
		e, there := read[mcsv1beta1.ServiceExport](c, i, gvr, "hello") // conditions look alike in both APIs
		if !there {
			return fmt.Errorf("no ServiceExport")
		}
		for _, have := range e.Status.Conditions {
			if have.Type == kind && string(have.Status) == status && strings.Contains(have.Reason, reason) {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %s", printed(e.Status.Conditions))
	})
}

// slices returns the imported EndpointSlices of hello on member i.
func (c *clusterset) slices(i int) []discoveryv1.EndpointSlice {
	c.t.Helper()
	list, err := c.w.client(c.member(i)).Resource(endpointSlices).Namespace(c.ns).List(context.Background(),
		metav1.ListOptions{LabelSelector: mcsv1beta1.LabelServiceName + "=hello"})
	if err != nil {
		c.t.Fatal(err)
	}
	var out []discoveryv1.EndpointSlice
	for _, u := range list.Items {
		var s discoveryv1.EndpointSlice
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &s); err != nil {
			c.t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// awaitEndpoints waits until what is imported on member i comes from these clusters, with ready endpoints each, and nobody else.
func (c *clusterset) awaitEndpoints(i int, from ...int) {
	c.t.Helper()
	var want []string
	for _, f := range from {
		want = append(want, c.member(f))
	}
	c.await("endpoints", func() error {
		var got []string
		for _, s := range c.slices(i) {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready && !slices.Contains(got, s.Labels[mcsv1beta1.LabelSourceCluster]) {
					got = append(got, s.Labels[mcsv1beta1.LabelSourceCluster])
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("on %s there are ready ones of %v, want %v: %s", c.member(i), got, want, printed(c.slices(i)))
		}
		return nil
	})
}

// marked waits until an export that is made now is imported on those members, or on all: what was there before has then been seen, too.
func (c *clusterset) marked(name string, on ...int) {
	c.t.Helper()
	c.apply(0, serviceWithoutSelector(c.ns, name, "{port: 1}")+"---\n"+standardExport(c.ns, name, ""))
	for i, member := range c.w.fleet.Members {
		if len(on) > 0 && !slices.Contains(on, i) {
			continue
		}
		c.await("the marker "+name, func() error {
			if c.w.get(member, standardImports, c.ns, name) == nil {
				return fmt.Errorf("not imported on %s", member)
			}
			return nil
		})
	}
}

// address waits until the MultiClusterService hello on member i has one.
func (c *clusterset) address(i int) string {
	c.t.Helper()
	var address string
	c.await("an address", func() error {
		s, there := read[networkingv1alpha1.MultiClusterService](c, i, fleetMultiple, "hello")
		if !there || len(s.Status.LoadBalancer.Ingress) != 1 {
			return fmt.Errorf("the MultiClusterService is %s", printed(s))
		}
		address = s.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return address
}

func serviceWithoutSelector(ns, name, ports string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec: {ports: [%s]}\n", name, ns, ports)
}

// endpointSlice is a slice of hello, written by nobody's controller, with one port.
func endpointSlice(ns, family, port string, protocol corev1.Protocol, number int, endpoints ...string) string {
	return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: hello-%s, namespace: %s, labels: {kubernetes.io/service-name: hello}}\n"+
		"addressType: %s\nports: [{name: %s, port: %d, protocol: %s}]\nendpoints: [%s]\n", strings.ToLower(family), ns, family, port, number, protocol, strings.Join(endpoints, ", "))
}

func readyEndpoint(address string) string {
	return fmt.Sprintf("{addresses: [%q], conditions: {ready: true}}", address)
}

// ports prints an import's ports, sorted by name.
func ports(i mcsv1beta1.ServiceImport) string {
	var out []string
	for _, p := range i.Spec.Ports {
		text := fmt.Sprintf("%s %s %d", p.Name, p.Protocol, p.Port)
		if p.AppProtocol != nil {
			text += " " + *p.AppProtocol
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func wantPorts(want string) func(mcsv1beta1.ServiceImport) string {
	return func(i mcsv1beta1.ServiceImport) string {
		if got := ports(i); got != want {
			return fmt.Sprintf("its ports are %q, want %q", got, want)
		}
		return ""
	}
}

func textAt(u *unstructured.Unstructured, fields ...string) string {
	v, _, _ := unstructured.NestedFieldNoCopy(u.Object, fields...)
	return fmt.Sprint(v)
}

// find returns the one object that a selector selects; nil when there is none.
func (w *world) find(member string, gvr schema.GroupVersionResource, namespace, selector string) *unstructured.Unstructured {
	w.t.Helper()
	list, err := w.client(member).Resource(gvr).Namespace(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	return &list.Items[0]
}

// whoAnswers returns the cluster of the pod that answers a request, on a connection of its own.
func whoAnswers(url string) (cluster string, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	var page struct{ Cluster string }
	_, text, _ := strings.Cut(string(body), "\n")
	if err := json.Unmarshal([]byte(text), &page); err != nil || page.Cluster == "" {
		return "", fmt.Errorf("%s answered %q (%v)", url, body, err)
	}
	return page.Cluster, nil
}
