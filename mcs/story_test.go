package mcs

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the stories' want.txt; read the difference before you keep it")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A story is testdata/NAME.txtar with observed.yaml ([]Observed), optionally state.yaml (what the provider has in place)
// and want.txt: what Resolve and Statuses make of them.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runStory(t, file) })
	}
}

func runStory(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read := func() ([]Observed, State) { return parseStory(t, archive) }
	observed, state := read()
	got := describe(Resolve(observed, Terms{}, now), state)
	if *update {
		setFile(archive, "want.txt", got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(getFile(archive, "want.txt")), got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", file, diff)
	}
	again, _ := read()
	if diff := cmp.Diff(again, observed, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("Resolve changed its input (-before +after):\n%s", diff)
	}
	for seed := range uint64(20) {
		shuffled, _ := read()
		shuffle(shuffled, rand.New(rand.NewPCG(seed, 1)))
		if diff := cmp.Diff(got, describe(Resolve(shuffled, Terms{}, now), state)); diff != "" {
			t.Fatalf("another order gives another answer, seed %d (-sorted +shuffled):\n%s", seed, diff)
		}
	}
	write(observed, Resolve(observed, Terms{}, now).Statuses(state, now))
	later := now.Add(time.Hour)
	if writes := Resolve(observed, Terms{}, now).Statuses(state, later); len(writes) > 0 {
		t.Errorf("statuses do not settle; written again after they were written: %s", describeWrites(writes))
	}
}

func parseStory(t *testing.T, archive *txtar.Archive) ([]Observed, State) {
	t.Helper()
	var observed []Observed
	if err := yaml.UnmarshalStrict(getFile(archive, "observed.yaml"), &observed); err != nil {
		t.Fatalf("observed.yaml: %v", err)
	}
	for i, o := range observed {
		for j := range o.Exports {
			observed[i].Exports[j].Cluster = o.Cluster
		}
		for j := range o.Imports {
			observed[i].Imports[j].Cluster = o.Cluster
		}
		for j := range o.Services {
			observed[i].Services[j].Cluster = o.Cluster
		}
	}
	var frontends map[string]Frontend
	if err := yaml.UnmarshalStrict(getFile(archive, "state.yaml"), &frontends); err != nil {
		t.Fatalf("state.yaml: %v", err)
	}
	state := State{}
	for name, f := range frontends {
		namespace, name, _ := strings.Cut(name, "/")
		state[LoadBalancerKey{Key: Key{Namespace: namespace, Name: name}}] = Installed{Frontend: f}
	}
	return observed, state
}

func getFile(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setFile(a *txtar.Archive, name, text string) {
	for i, f := range a.Files {
		if f.Name == name {
			a.Files[i].Data = []byte(text)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
}

func shuffle(observed []Observed, r *rand.Rand) {
	for _, o := range observed {
		mix(r, o.Exports)
		mix(r, o.Imports)
		mix(r, o.Services)
		for _, e := range o.Exports {
			mix(r, e.Endpoints)
			if e.Service != nil {
				mix(r, e.Service.Ports)
			}
		}
	}
	mix(r, observed)
}

func mix[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// write carries out writes as the API servers would.
func write(observed []Observed, writes []StatusWrite) {
	for _, w := range writes {
		i := slices.IndexFunc(observed, func(o Observed) bool { return o.Cluster == w.Cluster })
		o := observed[i]
		key := Key{Namespace: w.Namespace, Name: w.Name}
		switch s := w.Status.(type) {
		case networkingv1alpha1.ServiceExportStatus:
			o.Exports[o.export(key, Azure)].Conditions = s.Conditions
		case mcsv1beta1.ServiceExportStatus:
			o.Exports[o.export(key, Standard)].Conditions = s.Conditions
		case mcsv1beta1.ServiceImportStatus:
			i := &o.Imports[o.imported(key, Standard)]
			i.Conditions, i.EndpointSlices, i.Status.Clusters = s.Conditions, string(s.EndpointSliceObjects), nil
			for _, c := range s.Clusters {
				i.Status.Clusters = append(i.Status.Clusters, networkingv1alpha1.ClusterStatus{Cluster: c.Cluster})
			}
		case networkingv1alpha1.ServiceImportStatus:
			o.Imports[o.imported(key, Azure)].Status = s
		case networkingv1alpha1.MultiClusterServiceStatus:
			i := slices.IndexFunc(o.Services, func(s Service) bool { return s.Key() == key })
			o.Services[i].Conditions, o.Services[i].Ingress = s.Conditions, nil
			for _, ingress := range s.LoadBalancer.Ingress {
				o.Services[i].Ingress = append(o.Services[i].Ingress, ingress.IP)
			}
		}
	}
}

func (o Observed) export(key Key, d Dialect) int {
	return slices.IndexFunc(o.Exports, func(e Export) bool { return e.Key() == key && e.Dialect == d })
}

func (o Observed) imported(key Key, d Dialect) int {
	return slices.IndexFunc(o.Imports, func(i MemberImport) bool { return i.Namespace == key.Namespace && i.Name == key.Name && i.Dialect == d })
}

func describe(r Resolution, in State) string {
	var b strings.Builder
	if len(r.Unsynced) > 0 {
		fmt.Fprintf(&b, "unsynced: %s\n", strings.Join(r.Unsynced, ", "))
	}
	for _, e := range r.Exports {
		fmt.Fprintf(&b, "export %s in %s: takes part with %v\n  Valid %s\n  Conflict %s\n", e.Key(), e.Cluster, e.Ports, e.Valid, e.Conflict)
		if e.Dialect == Standard {
			fmt.Fprintf(&b, "  Ready %s\n", e.Ready)
		}
	}
	for _, i := range r.Imports {
		fmt.Fprintf(&b, "import %s: %v from %s", i.Key(), i.Ports, strings.Join(i.Clusters, ", "))
		if len(i.Held) > 0 {
			fmt.Fprintf(&b, " (held: %s)", strings.Join(i.Held, ", "))
		}
		describeTraits(&b, i)
		b.WriteString("\n")
		for _, e := range i.Endpoints {
			fmt.Fprintf(&b, "  %s %s %v ready=%t terminating=%t\n", e.Cluster, e.Address, e.Ports, e.Ready, e.Terminating)
		}
	}
	for _, s := range r.Services {
		fmt.Fprintf(&b, "service %s in %s: decided by %q\n  Valid %s\n", s.Key(), s.Cluster, s.Decider, s.Valid)
	}
	for _, lb := range r.LoadBalancers {
		fmt.Fprintf(&b, "load balancer %s for %s: internal=%t ports %v previous %v\n", lb.Key(), strings.Join(lb.Clusters, ", "), lb.Internal, lb.Ports, lb.Previous)
		for _, x := range lb.Backends {
			fmt.Fprintf(&b, "  %q -> %s in %s\n", x.Port, x.Target, x.Cluster)
		}
	}
	for _, cluster := range slices.Sorted(maps.Keys(r.Objects)) {
		fmt.Fprintf(&b, "objects on %s:", cluster)
		for _, o := range r.Objects[cluster] {
			fmt.Fprintf(&b, " %s %s %s/%s", o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName())
		}
		b.WriteString("\n")
	}
	return b.String() + describeWrites(r.Statuses(in, now))
}

func describeTraits(b *strings.Builder, i Import) {
	if i.Headless {
		b.WriteString(" headless")
	}
	for _, trait := range []struct {
		name string
		set  bool
		text string
	}{
		{"families", len(i.IPFamilies) > 0, familyNames(i.IPFamilies)},
		{"affinity", i.SessionAffinity != "", string(i.SessionAffinity)},
		{"timeout", i.SessionAffinityConfig != nil, fmt.Sprint(deref(deref(deref(i.SessionAffinityConfig, corev1.SessionAffinityConfig{}).ClientIP,
			corev1.ClientIPConfig{}).TimeoutSeconds, 0))},
		{"internal", i.InternalTrafficPolicy != nil, string(deref(i.InternalTrafficPolicy, ""))},
		{"external", i.ExternalTrafficPolicy != "", string(i.ExternalTrafficPolicy)},
		{"distribution", i.TrafficDistribution != nil, deref(i.TrafficDistribution, "")},
		{"labels", len(i.Labels) > 0, fmt.Sprint(i.Labels)},
		{"annotations", len(i.Annotations) > 0, fmt.Sprint(i.Annotations)},
	} {
		if trait.set {
			fmt.Fprintf(b, " %s %s", trait.name, trait.text)
		}
	}
}

func (v Verdict) String() string { return fmt.Sprintf("%s %s: %s", v.Status, v.Reason, v.Message) }

func describeWrites(writes []StatusWrite) string {
	var b strings.Builder
	for _, w := range writes {
		fmt.Fprintf(&b, "write %s %s/%s on %s\n", strings.TrimSuffix(w.GVK.Kind+"."+w.GVK.Group, "."+networkingv1alpha1.Group), w.Namespace, w.Name, w.Cluster)
		switch s := w.Status.(type) {
		case networkingv1alpha1.ServiceExportStatus:
			describeConditions(&b, s.Conditions)
		case mcsv1beta1.ServiceExportStatus:
			describeConditions(&b, s.Conditions)
		case mcsv1beta1.ServiceImportStatus:
			fmt.Fprintf(&b, "  clusters %v slices %s\n", s.Clusters, s.EndpointSliceObjects)
			describeConditions(&b, s.Conditions)
		case networkingv1alpha1.ServiceImportStatus:
			fmt.Fprintf(&b, "  type %q ports %v clusters %v\n", s.Type, importedPorts(s.Ports), s.Clusters)
		case networkingv1alpha1.MultiClusterServiceStatus:
			describeConditions(&b, s.Conditions)
			for _, ingress := range s.LoadBalancer.Ingress {
				fmt.Fprintf(&b, "  ingress %s\n", ingress.IP)
			}
		default:
			fmt.Fprintf(&b, "  unexpected %T\n", s)
		}
	}
	return b.String()
}

func describeConditions(b *strings.Builder, conditions []metav1.Condition) {
	for _, c := range conditions {
		fmt.Fprintf(b, "  %s=%s %s generation %d since %s: %s\n", c.Type, c.Status, c.Reason, c.ObservedGeneration,
			c.LastTransitionTime.UTC().Format(time.RFC3339), c.Message)
	}
}
