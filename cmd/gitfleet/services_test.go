package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/gitfleet/gitfleet/mcs"
)

// TestServices asserts on real API servers what each conformance spec of sigs.k8s.io/mcs-api asserts, as far as objects show it (the
// number in a name is the spec's), and what the suite does not look at. Where a spec asks a name server or a pod, the objects are
// looked at that those go by.
func TestServices(t *testing.T) {
	w := newWorld(t, 3)
	p := w.startServices(standardServices()...)
	for n, story := range []struct {
		name string
		run  func(*clusterset)
	}{
		{"01 the import lives while any export does", specLifetime},
		{"02 03 exported metadata", specMetadata},
		{"04 to 09 fields of an import", specFields},
		{"10 ports are united", specUnion},
		{"11 23 24 ports that contradict", specContradiction},
		{"12 13 headless", specHeadless},
		{"14 ExternalName", specExternalName},
		{"15 headless and not", specTypes},
		{"16 to 19 EndpointSlices and what a name server reads", specSlices},
		{"20 22 who does not export takes no part", specUnexported},
		{"25 to 27 names of headless endpoints", specHostnames},
		{"namespace comes later", storyNamespace},
		{"Service recreated, export applied again", storyRecreated},
		{"oldest export goes", storyOldest},
		{"both dialects on one member", storyDialects},
		{"load balancer of the member", storyLoadBalancer},
		{"export of a client of the older version", storyOlderVersion},
		{"not ready, on the way out, and published all the same", storyReadiness},
		{"what the conformance suite needs of a cluster", storySuite},
	} {
		t.Run(story.name, func(t *testing.T) { story.run(newClusterset(t, w, p, fmt.Sprintf("story-%d", n))) })
	}
	p.stop()
}

const tcp, udp = "tcp TCP 42", "udp UDP 42"

func specLifetime(c *clusterset) {
	c.hello(0, "", tcp)
	c.hello(1, "", tcp)
	c.share(0, "")
	c.awaitImport(0, "one export", any1)
	c.share(1, "")
	for i := range 3 {
		c.awaitImport(i, "two exports", func(s mcsv1beta1.ServiceImport) string {
			if len(s.Status.Clusters) != 2 {
				return "it does not name both exporters"
			}
			return ""
		})
	}
	before := c.awaitImport(2, "two exports", any1)
	c.delete(0, standardExports, "hello")
	after := c.awaitImport(2, "the second export alone", func(s mcsv1beta1.ServiceImport) string {
		if len(s.Status.Clusters) != 1 || s.Status.Clusters[0].Cluster != c.member(1) {
			return "it does not name the second exporter alone"
		}
		return ""
	})
	if before.UID != after.UID || !slices.Equal(before.Spec.IPs, after.Spec.IPs) {
		c.t.Errorf("the import or its address is another one: %s, before %s", printed(after), printed(before))
	}
	c.delete(1, standardExports, "hello")
	c.awaitGone(0, 1, 2)
}

func specMetadata(c *clusterset) {
	for i, team := range []string{"a", "b"} {
		c.hello(i, "", tcp)
		c.share(i, fmt.Sprintf("exportedLabels: {team: %[1]s}, exportedAnnotations: {note: %[1]s}", team))
		c.awaitImport(0, "the export", any1) // creation times have seconds: the first by name is the older one of two in one
		got := c.awaitImport(0, "exported metadata", func(s mcsv1beta1.ServiceImport) string {
			if s.Labels["team"] != "a" || s.Annotations["note"] != "a" {
				return "it does not carry what the older export says"
			}
			return ""
		})
		if _, leaked := got.Labels["mine"]; leaked || got.Annotations["mine"] != "" {
			c.t.Errorf("the Service's own metadata is on the import: %s", printed(got.ObjectMeta))
		}
	}
	for i := range 2 {
		c.condition(i, standardExports, "Conflict", "True", "LabelsConflict")
		c.condition(i, standardExports, "Conflict", "True", "AnnotationsConflict")
	}
	c.share(1, "exportedLabels: {team: a}, exportedAnnotations: {note: a}")
	for i := range 2 {
		c.condition(i, standardExports, "Conflict", "False", "NoConflicts")
	}
}

func specFields(c *clusterset) {
	c.hello(0, ", sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}, internalTrafficPolicy: Cluster, trafficDistribution: PreferClose, ipFamilyPolicy: PreferDualStack", tcp, udp)
	c.share(0, "")
	c.condition(0, standardExports, "Valid", "True", "Valid")
	c.condition(0, standardExports, "Ready", "True", "Exported")
	for i := range 3 {
		s := c.awaitImport(i, "everything", func(s mcsv1beta1.ServiceImport) string {
			ready := slices.ContainsFunc(s.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Ready" && c.Status == "True" })
			switch {
			case s.Spec.Type != mcsv1beta1.ClusterSetIP:
				return "its type is wrong"
			case len(s.Spec.IPs) == 0 || len(s.Spec.IPs) != len(s.Spec.IPFamilies):
				return "it has no address for each family"
			case !ready || s.Status.EndpointSliceObjects != mcsv1beta1.EndpointSliceObjectsPresent:
				return "its status is not complete"
			}
			return wantPorts("tcp TCP 42, udp UDP 42")(s)
		})
		if ip, err := netip.ParseAddr(s.Spec.IPs[0]); err != nil || ip.Is4() != (s.Spec.IPFamilies[0] == "IPv4") {
			c.t.Errorf("address %v of family %v", s.Spec.IPs, s.Spec.IPFamilies)
		}
		if got := printed([]any{s.Spec.SessionAffinity, s.Spec.SessionAffinityConfig, s.Spec.InternalTrafficPolicy, s.Spec.TrafficDistribution}); got !=
			`["ClientIP",{"clientIP":{"timeoutSeconds":10}},"Cluster","PreferClose"]` {
			c.t.Errorf("on %s the traits are %s", c.member(i), got)
		}
		derived := c.w.get(c.member(i), services, c.ns, mcs.DerivedName(mcs.Key{Namespace: c.ns, Name: "hello"}))
		if derived == nil || textAt(derived, "spec", "clusterIP") != s.Spec.IPs[0] || s.Annotations[mcs.AnnotationDerivedService] != derived.GetName() {
			c.t.Errorf("on %s the address %v is not that of the derived Service %v", c.member(i), s.Spec.IPs, derived)
		}
	}
	c.delete(0, standardExports, "hello")
	c.awaitGone(0, 1, 2)
}

func specUnion(c *clusterset) {
	c.hello(0, "", tcp, udp)
	c.share(0, "")
	c.awaitImport(1, "the first export", wantPorts("tcp TCP 42, udp UDP 42"))
	c.hello(1, "", tcp, "stcp SCTP 142")
	c.share(1, "")
	c.awaitImport(1, "the union", wantPorts("stcp SCTP 142, tcp TCP 42, udp UDP 42"))
	for i := range 2 {
		c.condition(i, standardExports, "Conflict", "True", "PortConflict")
	}
}

func specContradiction(c *clusterset) {
	c.hello(0, "", tcp)
	c.share(0, "")
	c.awaitEndpoints(2, 0)
	c.hello(1, "", "tcp TCP 43", "more TCP 99")
	c.share(1, "")
	for i := range 2 {
		c.condition(i, standardExports, "Conflict", "True", "PortConflict")
	}
	c.awaitImport(2, "the older port, and what is only united", wantPorts("more TCP 99, tcp TCP 42"))
	c.awaitEndpoints(2, 0, 1)
	for _, s := range c.slices(2) {
		for _, port := range s.Ports {
			if from := s.Labels[mcsv1beta1.LabelSourceCluster]; (*port.Name == "tcp") != (from == c.member(0)) {
				c.t.Errorf("port %s leads to %s", *port.Name, from)
			}
		}
	}
	c.hello(1, "", tcp)
	for i := range 2 {
		c.condition(i, standardExports, "Conflict", "False", "NoConflicts")
	}
}

func specHeadless(c *clusterset) {
	c.hello(0, ", clusterIP: None", tcp)
	c.share(0, "")
	for i := range 3 {
		s := c.awaitImport(i, "headless", func(s mcsv1beta1.ServiceImport) string {
			if s.Spec.Type != mcsv1beta1.Headless || len(s.Spec.IPFamilies) == 0 {
				return "it is not headless, or has no family"
			}
			return ""
		})
		c.awaitEndpoints(i, 0)
		if len(s.Spec.IPs) > 0 || c.w.get(c.member(i), services, c.ns, mcs.DerivedName(mcs.Key{Namespace: c.ns, Name: "hello"})) != nil {
			c.t.Errorf("a headless import has an address: %s", printed(s))
		}
	}
	c.delete(0, standardExports, "hello")
	c.awaitGone(0, 1, 2)
}

func specExternalName(c *clusterset) {
	c.apply(0, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: hello, namespace: %s}\nspec: {type: ExternalName, externalName: example.org}\n", c.ns))
	c.share(0, "")
	c.condition(0, standardExports, "Valid", "False", "InvalidServiceType")
	c.marked("later")
	if _, there := read[mcsv1beta1.ServiceImport](c, 0, standardImports, "hello"); there {
		c.t.Error("a Service of type ExternalName is imported")
	}
}

func specTypes(c *clusterset) {
	c.hello(0, "", tcp)
	c.share(0, "")
	c.awaitImport(2, "the first export", any1)
	c.hello(1, ", clusterIP: None", tcp)
	c.share(1, "")
	for i := range 2 {
		c.condition(i, standardExports, "Conflict", "True", "TypeConflict")
	}
	for i := range 3 {
		c.awaitImport(i, "as the older export has it", func(s mcsv1beta1.ServiceImport) string {
			if s.Spec.Type != mcsv1beta1.ClusterSetIP {
				return "its type is wrong"
			}
			return ""
		})
	}
}

func specSlices(c *clusterset) {
	c.hello(0, "", tcp, udp)
	c.share(0, "")
	for i := range 3 {
		c.awaitEndpoints(i, 0)
		s := c.awaitImport(i, "the address", func(s mcsv1beta1.ServiceImport) string {
			if len(s.Spec.IPs) == 0 {
				return "it has none"
			}
			return ""
		})
		for _, slice := range c.slices(i) {
			if m := slice.Labels["endpointslice.kubernetes.io/managed-by"]; m == "" || m == "endpointslice-controller.k8s.io" {
				c.t.Errorf("managed by %q", m)
			}
			if len(slice.OwnerReferences) != 1 || slice.OwnerReferences[0].UID != s.UID {
				c.t.Errorf("the slice does not go with the import: %s", printed(slice.OwnerReferences))
			}
			e := slice.Endpoints[0]
			if e.NodeName == nil || e.Zone == nil || e.Conditions.Serving == nil || !*e.Conditions.Serving {
				c.t.Errorf("node, zone or condition did not come along: %s", printed(e))
			}
		}
		// CoreDNS reads the import in the older version.
		older := c.w.get(c.member(i), schema.GroupVersionResource{Group: mcsv1beta1.GroupName, Version: "v1alpha1", Resource: "serviceimports"}, c.ns, "hello")
		if older == nil || textAt(older, "spec", "ips") != fmt.Sprint(s.Spec.IPs) {
			c.t.Errorf("in version v1alpha1 the import is %v", older)
		}
	}
	c.delete(0, standardExports, "hello")
	c.awaitGone(0, 1, 2)
}

func specUnexported(c *clusterset) {
	c.hello(1, "", tcp) // the same Service, which nobody exports
	c.hello(0, "", tcp)
	c.marked("earlier")
	for i := range 3 {
		if _, there := read[mcsv1beta1.ServiceImport](c, i, standardImports, "hello"); there {
			c.t.Errorf("nobody exports hello, and %s imports it", c.member(i))
		}
	}
	c.share(0, "")
	for i := range 3 {
		c.awaitEndpoints(i, 0)
	}
}

func specHostnames(c *clusterset) {
	c.apply(0, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: hello, namespace: %[1]s}
spec: {selector: {app: set}, clusterIP: None, ports: [{name: tcp, port: 42}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set, namespace: %[1]s}
spec:
  replicas: 2
  serviceName: hello
  selector: {matchLabels: {app: set}}
  template:
    metadata: {labels: {app: set}}
    spec: {containers: [{name: web, image: registry.example/web:1}]}
`, c.ns))
	c.share(0, "")
	for i := range 3 {
		c.await("two names", func() error {
			var names []string
			for _, s := range c.slices(i) {
				for _, e := range s.Endpoints {
					if e.Hostname != nil && len(s.Ports) == 1 && *s.Ports[0].Port == 42 {
						names = append(names, *e.Hostname)
					}
				}
			}
			if slices.Sort(names); strings.Join(names, " ") != "set-0 set-1" {
				return fmt.Errorf("on %s the endpoints are %s", c.member(i), printed(c.slices(i)))
			}
			return nil
		})
	}
}

// storyOlderVersion: who knows v1alpha1 only exports as ever.
func storyOlderVersion(c *clusterset) {
	c.hello(0, "", tcp)
	c.apply(0, strings.Replace(standardExport(c.ns, "hello", ""), "/v1beta1", "/v1alpha1", 1))
	c.condition(0, standardExports, "Ready", "True", "Exported")
	c.awaitEndpoints(1, 0)
	older := schema.GroupVersionResource{Group: mcsv1beta1.GroupName, Version: "v1alpha1", Resource: "serviceexports"}
	if u := c.w.get(c.member(0), older, c.ns, "hello"); u == nil || !strings.Contains(textAt(u, "status", "conditions"), "reason:Valid") {
		c.t.Errorf("in version v1alpha1 the export is %v", u)
	}
	c.delete(0, older, "hello")
	c.awaitGone(0, 1, 2)
}

// storyReadiness: endpoints come with the conditions that they have at home.
func storyReadiness(c *clusterset) {
	c.image = "registry.example/does-not-exist:1"
	c.hello(0, ", publishNotReadyAddresses: true", tcp)
	c.share(0, "")
	c.awaitEndpoints(1, 0) // published, and so ready, though no pod is

	c.apply(2, serviceWithoutSelector(c.ns, "hello", "{name: tcp, port: 42}"))
	c.apply(2, endpointSlice(c.ns, "IPv4", "tcp", corev1.ProtocolTCP, 42, "{addresses: [10.253.1.1], conditions: {ready: false, serving: true, terminating: true}}",
		"{addresses: [10.253.1.2], conditions: {ready: false, serving: false, terminating: false}}", "{addresses: [10.253.1.3]}"))
	c.share(2, "")
	want := map[string]string{"10.253.1.1": "false true true", "10.253.1.2": "false false false", "10.253.1.3": "true true false"}
	c.await("conditions", func() error {
		got := map[string]string{}
		for _, s := range c.slices(1) {
			for _, e := range s.Endpoints {
				if _, ours := want[e.Addresses[0]]; ours {
					got[e.Addresses[0]] = fmt.Sprint(deref(e.Conditions.Ready), deref(e.Conditions.Serving), deref(e.Conditions.Terminating))
				}
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("ready, serving and terminating are %v, want %v", got, want)
		}
		return nil
	})
}

func deref(b *bool) bool { return b != nil && *b }

// storySuite: the suite finds its clusters as contexts of one file; each runs pods of any image in a new namespace, under the service account that
// comes with it, and the namespace can be deleted.
func storySuite(c *clusterset) {
	namespace := c.ns + "-suite"
	serviceAccounts, pods := schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	for i, member := range c.w.fleet.Members { // Members are contexts of one file: see realfleet
		c.apply(i, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", namespace))
		c.await("the default service account", func() error {
			if c.w.get(member, serviceAccounts, namespace, "default") == nil {
				return fmt.Errorf("%s has none in a new namespace", member)
			}
			return nil
		})
		c.apply(i, fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: request, namespace: %s}\nspec: {containers: [{name: request, image: registry.example/tools:1, args: [/bin/sh, -ec, sleep 3600]}]}\n", namespace))
		c.await("a pod", func() error {
			if u := c.w.get(member, pods, namespace, "request"); u == nil || textAt(u, "status", "phase") != "Running" {
				return fmt.Errorf("on %s it is %v", member, u)
			}
			return nil
		})
		if err := c.w.client(member).Resource(namespacesOfCore).Delete(context.Background(), namespace, metav1.DeleteOptions{}); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, member := range c.w.fleet.Members {
		c.await("the end of the namespace", func() error {
			if u := c.w.get(member, namespacesOfCore, "", namespace); u != nil {
				return fmt.Errorf("on %s it is still there: %v", member, u.Object["status"])
			}
			return nil
		})
	}
}

func storyNamespace(c *clusterset) {
	late := newClusterset(c.t, c.w, c.p, c.ns+"-late", 0)
	late.hello(0, "", tcp)
	late.share(0, "")
	late.awaitEndpoints(0, 0)
	c.marked("elsewhere")
	if late.w.get(late.member(1), namespacesOfCore, "", late.ns) != nil {
		c.t.Fatalf("namespace %s was made for the import", late.ns)
	}
	late.apply(1, namespace(late.ns))
	late.awaitEndpoints(1, 0)
}

func storyRecreated(c *clusterset) {
	c.hello(0, "", tcp)
	c.share(0, "")
	c.awaitEndpoints(1, 0)
	c.hello(1, "", "tcp TCP 43")
	c.share(1, "") // younger, and loses
	c.condition(1, standardExports, "Conflict", "True", "PortConflict")
	c.delete(0, services, "hello")
	c.condition(0, standardExports, "Valid", "False", "NoService")
	c.awaitImport(2, "the younger export alone", wantPorts("tcp TCP 43"))
	c.share(0, "exportedLabels: {again: applied}")
	c.hello(0, "", tcp)
	c.awaitImport(2, "the older export again", wantPorts("tcp TCP 42"))
	c.awaitEndpoints(2, 0)
}

func storyOldest(c *clusterset) {
	for i, port := range []string{"tcp TCP 42", "tcp TCP 43", "tcp TCP 43"} {
		c.hello(i, "", port)
		c.share(i, "")
		c.awaitImport(0, "the oldest decides", wantPorts("tcp TCP 42"))
		c.condition(i, standardExports, "Valid", "True", "")
	}
	c.awaitEndpoints(1, 0)
	c.delete(0, standardExports, "hello")
	c.awaitImport(0, "the next decides", wantPorts("tcp TCP 43"))
	c.awaitEndpoints(0, 1, 2)
	for i := 1; i < 3; i++ {
		c.condition(i, standardExports, "Conflict", "False", "NoConflicts")
	}
}

func storyDialects(c *clusterset) {
	c.hello(0, "", tcp)
	c.apply(0, export(c.ns, "hello"))
	c.condition(0, fleetExports, "Valid", "True", "ServiceIsValid")
	c.awaitEndpoints(1, 0)
	c.share(0, "")
	c.condition(0, standardExports, "Valid", "True", "Valid")
	c.delete(0, fleetExports, "hello")
	c.marked("after")
	c.awaitEndpoints(1, 0) // the other one exports still
}

func storyLoadBalancer(c *clusterset) {
	for i := range 2 {
		c.hello(i, "", tcp)
		c.apply(i, export(c.ns, "hello"))
	}
	c.apply(0, multiClusterService(c.ns, "hello"))
	at := "http://" + strings.Replace(c.address(0), "10.", "127.", 1) + ":42"
	answered := map[string]bool{}
	c.await("pods of both members behind "+at, func() error {
		cluster, err := whoAnswers(at)
		if err != nil {
			return err
		}
		if answered[cluster] = true; len(answered) < 2 {
			return fmt.Errorf("only %v answered", answered)
		}
		return nil
	})
	c.apply(0, strings.Replace(multiClusterService(c.ns, "hello"), "metadata: {", `metadata: {annotations: {example.org/tier: gold, networking.fleet.azure.com/azure-load-balancer-internal: "true"}, `, 1))
	derived := func(want string) {
		c.await("annotations of the derived Service", func() error {
			var u = c.w.find(c.member(0), services, c.ns, "gitfleet.dev/derived=load-balancer")
			if u == nil {
				return fmt.Errorf("there is none")
			}
			a := u.GetAnnotations()
			if got := a["example.org/tier"] + " " + a["service.beta.kubernetes.io/azure-load-balancer-internal"]; got != want {
				return fmt.Errorf("they are %v, want %q", a, want)
			}
			return nil
		})
	}
	derived("gold true")
	c.apply(0, multiClusterService(c.ns, "hello"))
	derived(" ")
	c.delete(0, fleetMultiple, "hello")
	c.await("the end of the derived Service", func() error {
		if u := c.w.find(c.member(0), services, c.ns, "gitfleet.dev/derived=load-balancer"); u != nil {
			return fmt.Errorf("%s is still there", u.GetName())
		}
		return nil
	})
}
