package mcs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	mcscrd "sigs.k8s.io/mcs-api/config/crd"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// inPlace is a synced member that has namespace shop and, for each key, a ServiceImport and a derived Service with ips.
func inPlace(cluster string, ips []string, keys ...Key) Observed {
	o := Observed{Cluster: cluster, Synced: true, Standard: true, Namespaces: []string{"default", "shop"}}
	for _, key := range keys {
		o.Imports = append(o.Imports, MemberImport{Cluster: cluster, Namespace: key.Namespace, Name: key.Name, Dialect: Standard,
			UID: types.UID("uid-" + cluster + "-" + key.Name)})
		d := DerivedService{Cluster: cluster, Namespace: key.Namespace, Name: DerivedName(key)}
		for _, ip := range ips {
			d.ClusterIPs = append(d.ClusterIPs, netip.MustParseAddr(ip))
		}
		o.Derived = append(o.Derived, d)
	}
	return o
}

var shopWeb = Key{Namespace: "shop", Name: "web"}

// standard is a valid export of shop/web in the standard's dialect, with one ready endpoint of each address.
func standard(cluster string, age int, change func(*Export), addresses ...string) Export {
	return export(cluster, now.Add(time.Duration(age)*time.Second), func(e *Export) {
		e.Dialect, e.Service.IPFamilies = Standard, []corev1.IPFamily{corev1.IPv4Protocol}
		for _, a := range addresses {
			e.Endpoints = append(e.Endpoints, Endpoint{Address: netip.MustParseAddr(a), Ready: true, Serving: true, Slice: "web-x",
				Ports: map[string]int32{"http": 8080}})
		}
		change(e)
	})
}

// typed decodes the objects of one kind, strictly: a field that the API does not have is an error.
func typed[T any](t *testing.T, objects []render.Object) []T {
	t.Helper()
	kind := reflect.TypeFor[T]().Name()
	var out []T
	for _, o := range objects {
		if o.GetKind() != kind || o.GroupVersionKind().Group == "networking.fleet.azure.com" {
			continue
		}
		var x T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &x, true); err != nil {
			t.Fatalf("%s %s does not decode: %v", kind, o.GetName(), err)
		}
		out = append(out, x)
	}
	return out
}

// TestObjectsConform asserts what the conformance suite of the standard asserts of imports (its specs 2 to 15) that no API
// server is needed for. m1 is the older exporter.
func TestObjectsConform(t *testing.T) {
	h2c, near, local := "h2c", "PreferClose", corev1.ServiceInternalTrafficPolicyLocal
	same := func(*Export) {}
	ports := func(list ...Port) func(*Export) { return func(e *Export) { e.Service.Ports = list } }
	tcp, udp, sctp := Port{"tcp", "TCP", "", 42}, Port{"udp", "UDP", "", 42}, Port{"stcp", "SCTP", "", 142}
	headless := func(e *Export) { e.Service.Headless = true }
	dual := func(e *Export) { e.Service.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol} }
	http := []mcsv1beta1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80}}
	v4, v6 := []corev1.IPFamily{"IPv4"}, []corev1.IPFamily{"IPv6"}
	spec := func(change func(*mcsv1beta1.ServiceImportSpec)) *mcsv1beta1.ServiceImportSpec {
		s := &mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, Ports: http, IPs: []string{"10.96.0.9"}, IPFamilies: v4}
		change(s)
		return s
	}
	plain := spec(func(*mcsv1beta1.ServiceImportSpec) {})
	tests := map[string]struct {
		reason string
		m1, m2 func(*Export)
		ips    []string
		want   *mcsv1beta1.ServiceImportSpec // nil when nothing is imported
	}{
		"plain": {"4: a Service with a cluster IP is a ClusterSetIP import", same, nil, []string{"10.96.0.9"}, plain},
		"affinity": {"5: as in the Service", func(e *Export) { e.Service.SessionAffinity, e.Service.SessionAffinityConfig = "ClientIP", timeout(10) }, nil, []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) {
			s.SessionAffinity, s.SessionAffinityConfig = "ClientIP", timeout(10)
		})},
		"policy":       {"6: as in the Service", func(e *Export) { e.Service.InternalTrafficPolicy = &local }, nil, []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) { s.InternalTrafficPolicy = &local })},
		"distribution": {"7: as in the Service", func(e *Export) { e.Service.TrafficDistribution = &near }, nil, []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) { s.TrafficDistribution = &near })},
		"dual stack": {"8: an IP for each family, at the same index", dual, nil, []string{"10.96.0.9", "fd00::9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) {
			s.IPs, s.IPFamilies = []string{"fd00::9", "10.96.0.9"}, []corev1.IPFamily{"IPv6", "IPv4"}
		})},
		"single stack": {"8: this cluster has one of two families", dual, nil, []string{"fd00::9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) { s.IPs, s.IPFamilies = []string{"fd00::9"}, v6 })},
		"no use":       {"8: nothing is behind the other address", same, nil, []string{"10.96.0.9", "fd00::9"}, plain},
		"unknown":      {"8: as long as the exporters' families are not known, all", func(e *Export) { e.Service.IPFamilies = nil }, nil, []string{"10.96.0.9"}, plain},
		"no address":   {"8: until the derived Service has one", same, nil, nil, spec(func(s *mcsv1beta1.ServiceImportSpec) { s.IPs, s.IPFamilies = nil, nil })},
		"ports": {"9: no field but those of the Service", ports(tcp, Port{"x", "UDP", h2c, 43}), nil, []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) {
			s.Ports = []mcsv1beta1.ServicePort{{Name: "tcp", Protocol: "TCP", Port: 42}, {Name: "x", Protocol: "UDP", AppProtocol: &h2c, Port: 43}}
		})},
		"unnamed": {"9: a single port needs no name", ports(Port{"", "TCP", "", 80}), nil, []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) { s.Ports = []mcsv1beta1.ServicePort{{Protocol: "TCP", Port: 80}} })},
		"union": {"10: all ports of all", ports(tcp, udp), ports(tcp, sctp), []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) {
			s.Ports = []mcsv1beta1.ServicePort{{Name: "stcp", Protocol: "SCTP", Port: 142}, {Name: "tcp", Protocol: "TCP", Port: 42}, {Name: "udp", Protocol: "UDP", Port: 42}}
		})},
		"port lost": {"11: the oldest decides", ports(tcp), ports(Port{"tcp", "TCP", "", 43}), []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) {
			s.Ports = []mcsv1beta1.ServicePort{{Name: "tcp", Protocol: "TCP", Port: 42}}
		})},
		"headless": {"12, 13: no IP whatever a Service of the derived name has, families, and ports as an empty list", headless, nil, []string{"10.96.0.9"}, spec(func(s *mcsv1beta1.ServiceImportSpec) {
			s.Type, s.Ports, s.IPs = mcsv1beta1.Headless, []mcsv1beta1.ServicePort{}, nil
		})},
		"ExternalName": {"14: is not exported", func(e *Export) { e.Service.Type = corev1.ServiceTypeExternalName }, nil, nil, nil},
		"type":         {"15: the oldest decides", same, headless, []string{"10.96.0.9"}, plain},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m1, m2 := inPlace("m1", tt.ips, shopWeb), inPlace("m2", tt.ips, shopWeb)
			m1.Exports = []Export{standard("m1", 0, tt.m1)}
			if tt.m2 != nil {
				m2.Exports = []Export{standard("m2", 1, tt.m2)}
			}
			r := Resolve([]Observed{m1, m2}, Terms{}, now)
			for _, cluster := range []string{"m1", "m2"} {
				imports := typed[mcsv1beta1.ServiceImport](t, r.Objects[cluster])
				if tt.want == nil {
					if len(r.Objects[cluster]) > 0 {
						t.Errorf("%s: %s has %d objects, want none", tt.reason, cluster, len(r.Objects[cluster]))
					}
					continue
				}
				if len(imports) != 1 {
					t.Fatalf("%s: %s has %d imports, want 1", tt.reason, cluster, len(imports))
				}
				if diff := cmp.Diff(*tt.want, imports[0].Spec); diff != "" {
					t.Errorf("%s: import on %s (-want +got):\n%s", tt.reason, cluster, diff)
				}
				services := typed[corev1.Service](t, r.Objects[cluster])
				if isHeadless := tt.want.Type == mcsv1beta1.Headless; isHeadless != (len(services) == 0) {
					t.Errorf("%s: %s has %d derived Services", tt.reason, cluster, len(services))
				} else if got := imports[0].Annotations[AnnotationDerivedService]; !isHeadless && got != services[0].Name {
					t.Errorf("%s: the import names the derived Service %q, it is %q", tt.reason, got, services[0].Name)
				}
			}
		})
	}
}

// What is exported is what spec.exportedLabels and -Annotations say, as far as an API server takes it.
func TestExportedMetadata(t *testing.T) {
	m1 := inPlace("m1", nil, shopWeb)
	m1.Exports = []Export{standard("m1", 0, func(e *Export) {
		e.ExportedLabels = map[string]string{"app": "web", "not a name": "x", "long": strings.Repeat("x", 64), api.ApplySetIDLabel: "x", api.LabelDerived: "x"}
		e.ExportedAnnotations = map[string]string{"text": "with spaces", "//": "x", api.AnnotationAppliedHash: "x", AnnotationDerivedService: "mine"}
	})}
	r := Resolve([]Observed{m1}, Terms{}, now)
	i := typed[mcsv1beta1.ServiceImport](t, r.Objects["m1"])[0]
	for _, told := range []string{`spec.exportedLabels: left out is "applyset.kubernetes.io/id": names of applyset.kubernetes.io are gitfleet's own, `, `"long": must be no more than 63`,
		"and 1 more; spec.exportedAnnotations: left out is \"//\": "} {
		if v := r.Exports[0].Valid; v.Status != "True" || !strings.Contains(v.Message, told) {
			t.Errorf("what is left out is not told (%s): %s", told, v)
		}
	}
	if diff := cmp.Diff(map[string]string{"app": "web"}, i.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"text": "with spaces", AnnotationDerivedService: DerivedName(shopWeb)}, i.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	m1.Exports[0].ExportedAnnotations = map[string]string{"a": strings.Repeat("x", apivalidation.TotalAnnotationSizeLimitB)}
	i = typed[mcsv1beta1.ServiceImport](t, Resolve([]Observed{m1}, Terms{}, now).Objects["m1"])[0]
	if len(i.Annotations) != 1 {
		t.Errorf("more annotations than an object may have were exported")
	}
}

// TestWhereObjectsAre changes the importing member m2, and looks at what it needs.
func TestWhereObjectsAre(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func(*Observed)
		want   []string // kinds; nil when the member is left alone
	}{
		"all":           {"a member with the namespace imports", func(*Observed) {}, []string{"ServiceImport", "Service", "EndpointSlice"}},
		"no namespace":  {"none is created for an import", func(o *Observed) { o.Standard, o.Namespaces = true, []string{"default"} }, []string{}},
		"not synced":    {"its set is left alone", func(o *Observed) { o.Synced = false }, nil},
		"no import yet": {"slices wait for the object that owns them", func(o *Observed) { o.Imports = nil }, []string{"ServiceImport", "Service"}},
		"import goes":   {"what is being deleted owns nothing new", func(o *Observed) { o.Imports[0].Deleting = true }, []string{"ServiceImport", "Service"}},
		"other dialect": {"the import of the other API is no owner", func(o *Observed) { o.Imports[0].Dialect = Azure }, []string{"ServiceImport", "Service"}},
		"load balancer": {"a MultiClusterService brings the import of its own API, once", func(o *Observed) {
			o.Services = []Service{{Cluster: "m2", Namespace: "shop", Name: "a", ImportName: "web"}, {Cluster: "m2", Namespace: "shop", Name: "b", ImportName: "web"}}
		}, []string{"ServiceImport", "ServiceImport", "Service", "EndpointSlice"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m1, m2 := inPlace("m1", nil, shopWeb), inPlace("m2", nil, shopWeb)
			m1.Exports = []Export{standard("m1", 0, func(*Export) {}, "10.1.0.1")}
			tt.change(&m2)
			objects, synced := Resolve([]Observed{m2, m1}, Terms{}, now).Objects["m2"]
			if synced != (tt.want != nil) || synced && objects == nil {
				t.Fatalf("%s: objects %v, known: %t", tt.reason, objects, synced)
			}
			got := []string{}
			for _, o := range objects {
				got = append(got, o.GetKind())
			}
			if diff := cmp.Diff(tt.want, got); synced && diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// TestObjectsAreAccepted makes up fleets and checks every object as an API server does: distinct and valid names and labels,
// known fields only, values that survive JSON, and the schema of the definition.
func TestObjectsAreAccepted(t *testing.T) {
	schema := importSchema(t)
	kinds := map[string]int{}
	for seed := range uint64(300) {
		r := Resolve(inventInPlace(rand.New(rand.NewPCG(seed, 1))), Terms{}, now)
		for cluster, objects := range r.Objects {
			seen := map[string]bool{}
			for _, o := range objects {
				id := o.GroupVersionKind().GroupKind().String() + " " + o.GetName()
				if seen[id] {
					t.Errorf("seed %d: %s is on %s twice", seed, id, cluster)
				}
				seen[id] = true
				kinds[o.GetAPIVersion()+" "+o.GetKind()]++
				checkAccepted(t, o)
				if o.GetAPIVersion() == mcsv1beta1.GroupVersion.String() {
					if errs := crdvalidation.ValidateCustomResource(nil, o.Object, schema); len(errs) > 0 {
						t.Errorf("seed %d: %s: %v", seed, id, errs.ToAggregate())
					}
				}
			}
			typed[mcsv1beta1.ServiceImport](t, objects)
			for _, s := range typed[corev1.Service](t, objects) {
				checkService(t, s)
			}
			for _, s := range typed[discoveryv1.EndpointSlice](t, objects) {
				checkSlice(t, s)
			}
		}
	}
	if len(kinds) != 4 {
		t.Errorf("not all kinds were made up: %v", kinds)
	}
}

func importSchema(t *testing.T) crdvalidation.SchemaValidator {
	t.Helper()
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(mcscrd.ServiceImportCRD, &v1); err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(v1.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == "v1beta1" })
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v1.Spec.Versions[n].Schema, &internal, nil); err != nil {
		t.Fatal(err)
	}
	validator, _, err := crdvalidation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

func checkAccepted(t *testing.T, o render.Object) {
	t.Helper()
	for _, problem := range append(validation.IsDNS1123Subdomain(o.GetName()), validation.IsDNS1123Label(o.GetNamespace())...) {
		t.Errorf("%s %q: %s", o.GetKind(), o.GetName(), problem)
	}
	if errs := metavalidation.ValidateLabels(o.GetLabels(), nil); len(errs) > 0 {
		t.Errorf("%s %q: %v", o.GetKind(), o.GetName(), errs.ToAggregate())
	}
	if errs := apivalidation.ValidateAnnotations(o.GetAnnotations(), nil); len(errs) > 0 {
		t.Errorf("%s %q: %v", o.GetKind(), o.GetName(), errs.ToAggregate())
	}
	o.DeepCopy() // panics on what is no JSON value
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := yaml.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(back); string(again) != string(text) {
		t.Errorf("%s %q changes in JSON: %s, then %s", o.GetKind(), o.GetName(), text, again)
	}
}

func checkService(t *testing.T, s corev1.Service) {
	t.Helper()
	if s.Labels[api.LabelDerived] != api.DerivedClusterSetIP || len(s.Spec.Selector) > 0 || s.Spec.IPFamilies != nil ||
		*s.Spec.IPFamilyPolicy != corev1.IPFamilyPolicyPreferDualStack || len(validation.IsDNS1035Label(s.Name)) > 0 {
		t.Errorf("derived Service %+v", s)
	}
	if s.Spec.SessionAffinityConfig != nil && s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		t.Errorf("a configuration of affinity %q", s.Spec.SessionAffinity)
	}
	names := map[string]bool{}
	for _, p := range s.Spec.Ports {
		if names[p.Name] || p.Name == "" && len(s.Spec.Ports) > 1 || p.Name != "" && len(validation.IsDNS1123Label(p.Name)) > 0 {
			t.Errorf("ports %+v", s.Spec.Ports)
		}
		names[p.Name] = true
	}
}

func checkSlice(t *testing.T, s discoveryv1.EndpointSlice) {
	t.Helper()
	if s.Labels[mcsv1beta1.LabelServiceName] == "" || s.Labels[mcsv1beta1.LabelSourceCluster] == "" || s.Labels[discoveryv1.LabelManagedBy] != ManagedBy {
		t.Errorf("labels %v", s.Labels)
	}
	if len(s.OwnerReferences) != 1 || s.OwnerReferences[0].UID == "" || s.OwnerReferences[0].Controller != nil {
		t.Errorf("owners %v", s.OwnerReferences)
	}
	if len(s.Endpoints) == 0 || len(s.Endpoints) > maxEndpoints {
		t.Errorf("%d endpoints", len(s.Endpoints))
	}
	for _, e := range s.Endpoints {
		if a, err := netip.ParseAddr(e.Addresses[0]); err != nil || string(FamilyOf(a)) != string(s.AddressType) {
			t.Errorf("address %s in a slice of %s", e.Addresses[0], s.AddressType)
		}
	}
}

// inventInPlace makes up a fleet whose members have all that imports need there.
func inventInPlace(r *rand.Rand) []Observed {
	observed := invent(r)
	for n := range observed {
		o := &observed[n]
		o.Imports = slices.DeleteFunc(o.Imports, func(MemberImport) bool { return r.IntN(2) > 0 })
		m := inPlace(o.Cluster, pick(r, nil, []string{"10.96.0.1"}, []string{"fd00::1", "10.96.0.1"}), shopWeb, Key{Namespace: "shop", Name: "api"})
		o.Standard, o.Namespaces, o.Imports, o.Derived = true, m.Namespaces, append(o.Imports, m.Imports...), m.Derived
		for i := range o.Exports {
			e := &o.Exports[i]
			for k := range e.Endpoints {
				e.Endpoints[k].Slice = pick(r, "a", "b")
				e.Endpoints[k].Hostname, e.Endpoints[k].NodeName, e.Endpoints[k].Zone = pick(r, "", "web-0"), pick(r, "", "node.1"), pick(r, "", "eu 1")
				if r.IntN(3) == 0 {
					e.Endpoints[k].Address = netip.MustParseAddr(fmt.Sprintf("fd00::%d:%d", n, k))
				}
			}
		}
	}
	return observed
}

// Objects are the same whatever the order of what was observed, and however they came about.
func TestObjectsAreStable(t *testing.T) {
	var k Resolver
	for seed := range uint64(200) {
		observed := func() []Observed { return inventInPlace(rand.New(rand.NewPCG(seed, 2))) }
		want := Resolve(observed(), Terms{}, now).Objects
		shuffled := observed()
		shuffle(shuffled, rand.New(rand.NewPCG(seed, 3)))
		if diff := cmp.Diff(objectTexts(want), objectTexts(Resolve(shuffled, Terms{}, now).Objects)); diff != "" {
			t.Fatalf("seed %d: another order gives other objects (-before +shuffled):\n%s", seed, diff)
		}
		if diff := cmp.Diff(objectTexts(want), objectTexts(k.Resolve(shuffled, Terms{}, now).Objects)); diff != "" {
			t.Fatalf("seed %d: what came before shows (-anew +after):\n%s", seed, diff)
		}
	}
}

func objectTexts(objects map[string][]render.Object) map[string][]string {
	out := map[string][]string{}
	for cluster, list := range objects {
		for _, o := range list {
			text, err := json.Marshal(o.Object)
			if err != nil {
				panic(err)
			}
			out[cluster] = append(out[cluster], string(text))
		}
	}
	return out
}

// One endpoint that changes changes one object on each member; the objects of other imports are the very same.
func TestOneEndpointChangesOneObject(t *testing.T) {
	observed := largeFleet(3, 4, 40)
	var k Resolver
	before := k.Resolve(observed, Terms{}, now)
	changed := largeFleet(3, 4, 40)
	changed[1].Exports[2].Endpoints[0].Ready = false
	after := k.Resolve(changed, Terms{}, now)
	for cluster, objects := range after.Objects {
		differ, fresh := 0, 0
		for n, o := range objects {
			if o.Unstructured != before.Objects[cluster][n].Unstructured {
				fresh++
			}
			if !reflect.DeepEqual(o, before.Objects[cluster][n]) {
				differ++
			}
		}
		if differ != 1 || fresh*4 != len(objects) {
			t.Errorf("on %s %d objects differ and %d of %d were built anew, want 1 and those of one import of four", cluster, differ, fresh, len(objects))
		}
	}
}

// What was built for one ServiceImport and its addresses is not taken over for others.
func TestObjectsFollowTheirMember(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func(*Observed)
	}{
		"owner":     {"a ServiceImport that was recreated owns its slices again", func(o *Observed) { o.Imports[0].UID = "another" }},
		"no owner":  {"without it there are none", func(o *Observed) { o.Imports = nil }},
		"addresses": {"the import tells of the addresses there are", func(o *Observed) { o.Derived[0].ClusterIPs = nil }},
		"namespace": {"nothing is left where it went", func(o *Observed) { o.Namespaces = nil }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m1 := inPlace("m1", []string{"10.96.0.9"}, shopWeb)
			m1.Exports = []Export{standard("m1", 0, func(*Export) {}, "10.1.0.1")}
			var k Resolver
			before := objectTexts(k.Resolve([]Observed{m1}, Terms{}, now).Objects)
			tt.change(&m1)
			after := objectTexts(k.Resolve([]Observed{m1}, Terms{}, now).Objects)
			if cmp.Equal(before, after) {
				t.Errorf("%s: nothing changes", tt.reason)
			}
			if diff := cmp.Diff(objectTexts(Resolve([]Observed{m1}, Terms{}, now).Objects), after); diff != "" {
				t.Errorf("%s: what came before shows (-anew +after):\n%s", tt.reason, diff)
			}
		})
	}
}

// Whatever an endpoint or import can differ in is noticed.
func TestEveryFieldCounts(t *testing.T) {
	var e ImportedEndpoint
	for n := range reflect.TypeOf(e.Endpoint).NumField() {
		other := e
		change(reflect.ValueOf(&other.Endpoint).Elem().Field(n))
		if sameEndpoint(e, other) {
			t.Errorf("%s of an endpoint is not compared", reflect.TypeOf(e.Endpoint).Field(n).Name)
		}
	}
	if sameEndpoint(e, ImportedEndpoint{Lapsed: true}) || sameEndpoint(e, ImportedEndpoint{Cluster: "m"}) || reflect.TypeOf(e).NumField() != 3 {
		t.Error("a field of an imported endpoint is not compared")
	}
	if (Import{}).equal(Import{Traits: Traits{SessionAffinityConfig: timeout(1)}}) || !(Import{Traits: Traits{SessionAffinityConfig: timeout(1)}}).equal(Import{Traits: Traits{SessionAffinityConfig: timeout(1)}}) {
		t.Error("imports are compared by address")
	}
}

func change(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *netip.Addr:
		*x = netip.MustParseAddr("10.0.0.1")
	case *map[string]int32:
		*x = map[string]int32{"": 1}
	case *bool:
		*x = true
	case *string:
		*x = "x"
	default:
		panic(fmt.Sprintf("a field of type %s", v.Type()))
	}
}

// largeFleet has services exported by every member, each with its share of endpoints, two source slices a service.
func largeFleet(members, services, endpoints int) []Observed {
	var keys []Key
	for s := range services {
		keys = append(keys, Key{Namespace: "shop", Name: fmt.Sprintf("svc-%03d", s)})
	}
	var out []Observed
	for m := range members {
		cluster := fmt.Sprintf("m%d", m)
		o := inPlace(cluster, []string{"10.96.0.1"}, keys...)
		for s, key := range keys {
			e := standard(cluster, m, func(e *Export) { e.Name = key.Name })
			for n := range endpoints / members {
				e.Endpoints = append(e.Endpoints, Endpoint{Address: netip.AddrFrom4([4]byte{10, byte(m), byte(s), byte(n)}), Ready: true, Serving: true,
					Slice: fmt.Sprintf("%s-%d", key.Name, n%2), NodeName: "node", Zone: "zone", Ports: map[string]int32{"http": 8080}})
			}
			o.Exports = append(o.Exports, e)
		}
		out = append(out, o)
	}
	return out
}

// BenchmarkObjects is a fleet of 4 members with 10,000 endpoints in 100 services, of which one endpoint changes each time.
func BenchmarkObjects(b *testing.B) {
	observed := largeFleet(4, 100, 100)
	resolve := func(k *Resolver, n int) {
		observed[0].Exports[n%100].Endpoints[0].Ready = n/100%2 == 0
		k.Resolve(observed, Terms{}, now)
	}
	b.Run("resolve/anew", func(b *testing.B) {
		b.ReportAllocs()
		for n := range b.N {
			resolve(new(Resolver), n)
		}
	})
	b.Run("resolve/after", func(b *testing.B) {
		b.ReportAllocs()
		var k Resolver
		resolve(&k, 0)
		b.ResetTimer()
		for n := range b.N {
			resolve(&k, n+1)
		}
	})
	build := func(b *testing.B, remember bool) {
		b.ReportAllocs()
		before := map[Key]built{}
		resolutions := []Resolution{Resolve(observed, Terms{}, now)}
		observed[0].Exports[7].Endpoints[0].Ready = !observed[0].Exports[7].Endpoints[0].Ready
		resolutions = append(resolutions, Resolve(observed, Terms{}, now))
		b.ResetTimer()
		for n := range b.N {
			r := resolutions[n%2]
			r.Objects = map[string][]render.Object{}
			r.buildObjects(observed, before)
			if remember {
				before = r.built
			}
		}
	}
	b.Run("objects/anew", func(b *testing.B) { build(b, false) })
	b.Run("objects/after", func(b *testing.B) { build(b, true) })
}
