package reconcile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
)

var updatePlans = flag.Bool("update-plans", false, "rewrite the expected plans in testdata/plan")

var planTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestOfflinePlanStories runs testdata/plan/*.txtar: the files below base/ (none: compared with nothing) and head/ are
// two revisions of a fleet repository, plan.txt is the plan between them. Every story runs twice, the second time with
// the documents in another order.
func TestOfflinePlanStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/plan/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories in testdata/plan (%v)", err)
	}
	for _, path := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			plan := planOf(t, archive, nil)
			got := planText(t, plan)
			shuffled := planOf(t, archive, rand.New(rand.NewPCG(1, 2)))
			if diff := cmp.Diff(plan, shuffled); diff != "" {
				t.Errorf("the order of documents matters (-first +shuffled):\n%s", diff)
			}
			want := goldenFile(t, archive, "plan.txt")
			if diff := cmp.Diff(string(want.Data), got); diff != "" && !*updatePlans {
				t.Errorf("plan.txt (-want +got):\n%s", diff)
			}
			if *updatePlans {
				want.Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func goldenFile(t *testing.T, archive *txtar.Archive, name string) *txtar.File {
	t.Helper()
	for i := range archive.Files {
		if archive.Files[i].Name == name {
			return &archive.Files[i]
		}
	}
	t.Fatalf("the story has no %s", name)
	return nil
}

// planOf plans an archive, its documents shuffled unless random is nil.
func planOf(t *testing.T, archive *txtar.Archive, random *rand.Rand) report.Plan {
	t.Helper()
	base, head := revision(t, archive, "base/", random), revision(t, archive, "head/", random)
	if head == nil {
		t.Fatal("the story has no files below head/")
	}
	return OfflinePlan(base, head, planTime)
}

func planText(t *testing.T, plan report.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := plan.Text(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// revision composes the files below prefix; nil when there is none. The commit is named like the prefix.
func revision(t *testing.T, archive *txtar.Archive, prefix string, random *rand.Rand) *render.Desired {
	t.Helper()
	var objects []render.Object
	found := false
	for _, file := range archive.Files {
		if name, ok := strings.CutPrefix(file.Name, prefix); ok {
			found = true
			objects = append(objects, documents(t, name, file.Data)...)
		}
	}
	if !found {
		return nil
	}
	if random != nil {
		random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	}
	desired, err := render.Compose(source.Revision{Commit: strings.TrimSuffix(prefix, "/")}, objects)
	if err != nil {
		t.Fatalf("%s: %v", prefix, err)
	}
	return desired
}

func documents(t *testing.T, name string, data []byte) []render.Object {
	t.Helper()
	decoder := k8syaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var objects []render.Object
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		objects = append(objects, render.Object{Unstructured: u, Origin: render.Origin{File: name, Document: len(objects) + 1}})
	}
}

// fleetYAML is a small revision that the tests below vary.
const fleetYAML = `
apiVersion: cluster.kubernetes-fleet.io/v1beta1
kind: MemberCluster
metadata: {name: aks-1}
---
apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: web}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: web}]
---
apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: web}
data: {level: info}
`

func fleetRevision(t *testing.T, file, text string) *render.Desired {
	t.Helper()
	desired, err := render.Compose(source.Revision{Commit: file}, documents(t, file, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return desired
}

func TestOfflinePlanOfTheSameIsEmpty(t *testing.T) {
	plan := OfflinePlan(fleetRevision(t, "a.yaml", fleetYAML), fleetRevision(t, "b.yaml", fleetYAML), planTime)
	if plan.Changed() || len(plan.Moves)+len(plan.Services)+len(plan.Risks)+len(plan.Errors) > 0 {
		t.Errorf("moving everything to another file changes something:\n%s", planText(t, plan))
	}
	if plan.Base != "a.yaml" || plan.Head != "b.yaml" || len(plan.Placements) != 1 {
		t.Errorf("plan is from %s to %s with %d placements, want a.yaml, b.yaml and 1", plan.Base, plan.Head, len(plan.Placements))
	}
}

func TestPlanDigest(t *testing.T) {
	digest := func(file, text string) string { return OfflinePlan(nil, fleetRevision(t, file, text), planTime).Digest }
	first := digest("a.yaml", fleetYAML)
	if same := digest("b.yaml", fleetYAML); same != first {
		t.Errorf("the digest depends on commit or file: %s and %s", first, same)
	}
	if based := OfflinePlan(fleetRevision(t, "a.yaml", fleetYAML), fleetRevision(t, "b.yaml", fleetYAML), planTime).Digest; based != first {
		t.Errorf("the digest depends on the base: %s and %s", first, based)
	}
	for reason, edit := range map[string][2]string{
		"content":    {"level: info", "level: debug"},
		"an object":  {"name: settings", "name: options"},
		"the member": {"name: aks-1", "name: aks-2"},
		"the owner":  {"metadata: {name: web}\nspec", "metadata: {name: site}\nspec"},
	} {
		text := strings.Replace(fleetYAML, edit[0], edit[1], 1)
		if text == fleetYAML {
			t.Fatalf("edit %q changes nothing", reason)
		}
		if other := digest("a.yaml", text); other == first {
			t.Errorf("the digest stays when %s changes", reason)
		}
	}
}

// TestOfflinePlanOnABrokenBase: a pull request that mends double ownership must be plannable, but not look like an edit.
func TestOfflinePlanOnABrokenBase(t *testing.T) {
	second := `---
apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: again}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: web}]
`
	plan := OfflinePlan(fleetRevision(t, "a.yaml", fleetYAML+second), fleetRevision(t, "b.yaml", fleetYAML), planTime)
	if len(plan.Errors) > 0 || len(plan.Changes) != 2 {
		t.Errorf("want 2 objects that show as new and no errors, got:\n%s", planText(t, plan))
	}
	if len(plan.Risks) != 1 || plan.Risks[0].Kind != report.RiskBaseInvalid {
		t.Errorf("risks are %v, want %s", plan.Risks, report.RiskBaseInvalid)
	}
}

func TestOfflinePlanReasons(t *testing.T) {
	twice := strings.Replace(fleetYAML, "metadata: {name: aks-1}", "metadata: {name: aks-1}\n---\napiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberCluster\nmetadata: {name: aks-2}", 1)
	crds := func(names ...string) string {
		text := "apiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberCluster\nmetadata: {name: aks-1}\n"
		for _, name := range names {
			text += "---\n" + name
		}
		return text
	}
	role := func(name string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + name + "}\nrules: []\n"
	}
	selecting := func(name string) string {
		return "apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ClusterResourcePlacement\nmetadata: {name: roles}\nspec:\n" +
			"  resourceSelectors: [{group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole, name: " + name + "}]\n"
	}
	tests := map[string]struct {
		base, head string
		want       []string // "action name: reason"
	}{
		"NewMember": {fleetYAML, twice, []string{
			"create settings on aks-2: the placement comes to this cluster: the policy requires nothing, so every cluster matches",
			"create web on aks-2: the placement comes to this cluster: the policy requires nothing, so every cluster matches"}},
		"OtherSelector": {crds(role("a"), role("b"), selecting("a")), crds(role("a"), role("b"), selecting("b")), []string{
			"create b on aks-1: now selected by the placement", "delete a on aks-1: no longer selected by the placement"}},
		"PlacementRemoved": {crds(role("a"), selecting("a")), crds(role("a")), []string{"delete a on aks-1: the placement is removed"}},
		"NewObject":        {crds(role("a"), selecting("b")), crds(role("a"), role("b"), selecting("b")), []string{"create b on aks-1: new object"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := OfflinePlan(fleetRevision(t, "a.yaml", tc.base), fleetRevision(t, "b.yaml", tc.head), planTime)
			var got []string
			for _, c := range plan.Changes {
				got = append(got, string(c.Action)+" "+c.Name+" on "+c.Cluster+": "+c.Reason)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRisksOfDeleting(t *testing.T) {
	tests := map[string]string{
		"v1/Namespace":                                     report.RiskDeleteNamespace,
		"v1/PersistentVolume":                              report.RiskDeleteStorage,
		"v1/PersistentVolumeClaim":                         report.RiskDeleteStorage,
		"apps/v1/StatefulSet":                              report.RiskDeleteStorage,
		"apiextensions.k8s.io/v1/CustomResourceDefinition": report.RiskDeleteCRD,
		"v1/ConfigMap":                                     "",
		"example.org/v1/Namespace":                         "",
	}
	for name, want := range tests {
		i := strings.LastIndex(name, "/")
		changes := []report.Change{{Cluster: "b", Action: "delete", APIVersion: name[:i], Kind: name[i+1:], Name: "x"},
			{Cluster: "c", Action: "delete", APIVersion: name[:i], Kind: name[i+1:], Name: "x"},
			{Cluster: "a", Action: "update", APIVersion: name[:i], Kind: name[i+1:], Name: "x"}}
		risks := deleteRisks(changes)
		switch {
		case want == "" && len(risks) > 0:
			t.Errorf("deleting a %s is a risk: %v", name, risks)
		case want != "" && (len(risks) != 1 || risks[0].Kind != want || !strings.Contains(risks[0].Message, "is deleted on b, c,")):
			t.Errorf("deleting a %s gives %v, want one %s on b, c", name, risks, want)
		}
	}
}

// TestConflictsOfManyMembers name the first of them.
func TestConflictsOfManyMembers(t *testing.T) {
	s := outlook{Desired: &render.Desired{}, targets: map[string][]apply.Set{}}
	for i := range 20 {
		documents := []string{
			fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {namespace: web, name: shop}, spec: {ports: [{port: %d}]}}", 80+i%2),
			"{apiVersion: networking.fleet.azure.com/v1alpha1, kind: ServiceExport, metadata: {namespace: web, name: shop}}"}
		set := apply.Set{Name: "web"}
		for _, document := range documents {
			set.Objects = append(set.Objects, apply.NewTarget(render.Object{Unstructured: object(t, document)}, nil))
		}
		s.targets[fmt.Sprintf("aks-%02d", i)] = []apply.Set{set}
	}
	const want = "the exports of service web/shop do not agree: [80/TCP] on aks-00, aks-02, aks-04, aks-06, aks-08 … and 5 more (of 10); " +
		"[81/TCP] on aks-01, aks-03, aks-05, aks-07, aks-09 … and 5 more (of 10); they are united, and where they contradict each other the oldest decides"
	if got := exportConflicts(s); len(got) != 1 || got[0].Message != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}
