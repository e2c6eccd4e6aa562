package render

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/source"
)

// selectedID reads "group/version kind namespace/name" with an envelope after it where there is one.
func selectedID(t *testing.T, line string) v1beta1.ResourceIdentifier {
	t.Helper()
	parts := strings.Fields(line)
	group, version, _ := strings.Cut(parts[0], "/")
	if version == "" {
		group, version = "", group
	}
	namespace, name, found := strings.Cut(parts[2], "/")
	if !found {
		namespace, name = "", namespace
	}
	id := v1beta1.ResourceIdentifier{Group: group, Version: version, Kind: parts[1], Namespace: namespace, Name: name}
	if len(parts) > 3 {
		id.Envelope = &v1beta1.EnvelopeIdentifier{Type: "ResourceEnvelope", Namespace: namespace, Name: parts[3]}
	}
	return id
}

// TestSortSelected: each group of lines is in upstream's order, and is found again from any other order.
func TestSortSelected(t *testing.T) {
	tests := []struct{ reason, lines string }{
		{"the fixed sequence of kinds", `
scheduling.k8s.io/v1 PriorityClass z
v1 Namespace y
networking.k8s.io/v1 NetworkPolicy a/a
v1 ResourceQuota a/a
v1 LimitRange a/a
policy/v1 PodDisruptionBudget a/a
v1 ServiceAccount a/a
v1 Secret a/a
v1 ConfigMap a/a
storage.k8s.io/v1 StorageClass a
v1 PersistentVolume a
v1 PersistentVolumeClaim a/a
apiextensions.k8s.io/v1 CustomResourceDefinition a
rbac.authorization.k8s.io/v1 ClusterRole a
rbac.authorization.k8s.io/v1 ClusterRoleBinding a
rbac.authorization.k8s.io/v1 Role a/a
rbac.authorization.k8s.io/v1 RoleBinding a/a
v1 Service a/a
apps/v1 DaemonSet a/a
v1 Pod a/a
v1 ReplicationController a/a
apps/v1 ReplicaSet a/a
apps/v1 Deployment a/a
autoscaling/v2 HorizontalPodAutoscaler a/a
apps/v1 StatefulSet a/a
batch/v1 Job a/a
batch/v1 CronJob a/a
networking.k8s.io/v1 IngressClass a
networking.k8s.io/v1 Ingress a/a
apiregistration.k8s.io/v1 APIService a
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration a
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration a
apps/v1 ControllerRevision a/a`},
		{"other kinds come last, by group, version and kind, whatever their names", `
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration z
v1 Endpoints z/z
a.example.com/v1 Zebra a/a
a.example.com/v2 Ant a/a
b.example.com/v1 Ant a/a
networking.fleet.azure.com/v1alpha1 ServiceExport a/a`},
		{"a kind goes by its name, so that a foreign Service stands beside the built-in one", `
rbac.authorization.k8s.io/v1 RoleBinding a/a
serving.knative.dev/v1 Service a/a
v1 Service a/a
apps/v1 DaemonSet a/a`},
		{"within a kind by apiVersion, then by the text namespace/name, where - comes before /", `
autoscaling/v1 HorizontalPodAutoscaler z/z
autoscaling/v2 HorizontalPodAutoscaler a-b/a
autoscaling/v2 HorizontalPodAutoscaler a/b
autoscaling/v2 HorizontalPodAutoscaler b/a`},
		{"two variants of one object by their envelopes, and what comes in none first", `
v1 ConfigMap a/a
v1 ConfigMap a/a one
v1 ConfigMap a/a two`},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			var want []v1beta1.ResourceIdentifier
			for line := range strings.Lines(strings.TrimSpace(tt.lines)) {
				want = append(want, selectedID(t, line))
			}
			for seed := range uint64(5) {
				got := slices.Clone(want)
				rand.New(rand.NewPCG(seed, 0)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
				SortSelected(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("shuffled with seed %d: want - got +:\n%s", seed, diff)
				}
			}
		})
	}
}

func TestSelectedResources(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/envelopes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Compose(source.Revision{}, documents(t, archive.Files[:len(archive.Files)-1]))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(d.Placements, func(p Placement) bool { return p.Key() == "by-namespace" })
	want := []v1beta1.ResourceIdentifier{
		{Version: "v1", Kind: "Namespace", Name: "shop"},
		{Version: "v1", Kind: "ResourceQuota", Namespace: "shop", Name: "small",
			Envelope: &v1beta1.EnvelopeIdentifier{Name: "quota", Namespace: "shop", Type: "ResourceEnvelope"}},
		{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a"},
	}
	if diff := cmp.Diff(want, d.Placements[i].SelectedResources()); diff != "" {
		t.Errorf("want - got +:\n%s", diff)
	}
	if got := (Placement{}).SelectedResources(); len(got) != 0 {
		t.Errorf("a placement that selects nothing lists %v", got)
	}
}
